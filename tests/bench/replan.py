"""Seconds of planning the afternoon again at the reference case's size: ``make bench-replan``.

Takes the world and the night of ``make bench`` (run first if they are missing), dials the morning's list by lot, adds
the outcomes to the log where it lies, replans at 12:10, and takes them out again. In a process of its own per run, the
clock started after the imports; with what the night has kept and without.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
from night import REFERENCE_CUSTOMERS, describe_machine

from pipelines.kept_folder import find_kept
from pipelines.runs import find_var

NOON = datetime(2026, 11, 2, 12, 10)  # noqa: DTZ001 - the centre's time
BUDGET_SECONDS = 10


def main() -> None:
    """Run the night if needed, live through the morning, replan with and without what is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=REFERENCE_CUSTOMERS)
    parser.add_argument("--only", action="store_true", help="replan once in this process, told as JSON")
    asked = parser.parse_args()
    home = find_var() / "bench"
    source, night = home / f"source-{asked.customers}", home / f"run-{asked.customers}"
    if asked.only:
        print(json.dumps(replan_once(source, night, home / "replanned")))
        return
    kept = find_kept(find_var(), str(source))
    if not night.exists() or not kept.exists():
        again = [sys.executable, str(Path(__file__).with_name("night.py")), "--customers", str(asked.customers)]
        subprocess.run(again, check=True)
    print(f"{describe_machine()}, load average {os.getloadavg()}")
    aside = home / "kept-of-the-night"
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(kept, aside)
    with live_through_the_morning(source, night):
        for way in ("with what the night has kept", "without"):
            shutil.rmtree(kept)
            if way != "without":
                shutil.copytree(aside, kept)
            again = [sys.executable, __file__, "--only", "--customers", str(asked.customers)]
            told = json.loads(subprocess.run(again, check=True, stdout=subprocess.PIPE, text=True).stdout)
            print(f"{way}: {told.pop('seconds'):.1f} s, {told.pop('processor'):.1f} s of the processor, {told}")
    shutil.rmtree(kept)
    aside.rename(kept)
    print(f"allowed: {BUDGET_SECONDS} s")


@contextmanager
def live_through_the_morning(source: Path, night: Path) -> Iterator[None]:
    """Add the outcomes of the list until noon to the log, and take them out again."""
    log, listed = source / "call_attempts.csv", pd.read_parquet(night / "call_list.parquet")
    morning = listed[listed["slot_start"] < pd.Timestamp(NOON, tz=str(listed["slot_start"].dt.tz))]
    rng, n = np.random.default_rng(1), len(morning)
    at = morning["slot_start"] + pd.to_timedelta(rng.integers(1, 9, n), "m")
    made = pd.DataFrame(
        {"attempt_id": [f"M{nth}" for nth in range(n)], "customer_id": morning["customer_id"].to_numpy()}
    )
    outcomes = ["no_answer", "busy", "keyman_contact", "wrong_number"]
    made = made.assign(
        attempted_at=[when.isoformat() for when in at], outcome=rng.choice(outcomes, n, p=[0.6, 0.1, 0.2, 0.1])
    )
    n_bytes = log.stat().st_size
    with log.open(encoding="utf-8") as file:
        columns = file.readline().strip().split(",")
    try:
        made.reindex(columns=columns).to_csv(log, mode="a", header=False, index=False)
        yield
    finally:
        os.truncate(log, n_bytes)


def replan_once(source: Path, night: Path, out: Path) -> dict[str, float]:
    """Seconds in all, of the processor, and of each stage."""
    from pipelines.replan import replan
    from pipelines.servers import set_environment

    set_environment(find_var())
    began, worked = time.perf_counter(), time.process_time()
    sys.stdout, screen = sys.stderr, sys.stdout
    done = replan(str(source), night, out, NOON)
    sys.stdout = screen
    took = {"seconds": time.perf_counter() - began, "processor": time.process_time() - worked}
    return took | {stage["stage"]: round(stage["seconds"], 1) for stage in done.record["stages"]}


if __name__ == "__main__":
    main()
