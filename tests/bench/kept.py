"""The data path from the log's file to features, first night and next, beside pandas: ``make bench-kept``.

A simulated centre is copied until its log is as long as asked, every copy with its own ids, and written as one Parquet
file by time. Ours: reading, judging every cell, settling, and history features as of the night and as of every dial's
own midnight. pandas: reading, ``groupby`` and ``merge_asof`` for the same features, and no checks at all. Each runs in
a process of its own, so that its peak memory is its own.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
from night import describe_machine

from configs.settings import Settings
from features.attempts import check_attempts
from features.outcomes import CONTACT
from features.table import build_dial_log, midnight_seconds
from pipelines.kept_log import read_log
from pipelines.runs import find_var
from pipelines.sources.folders import open_table
from pipelines.stages import read_peak_memory_mb
from pipelines.world import build_world

POOL = 10_000  # customers of the centre that is copied, some 40,000 attempts
AS_OF = pd.Timestamp("2026-11-02", tz="Asia/Tokyo")
COMPARED = ("n_attempts", "n_contacts", "n_last_7_days", "n_last_28_days", "days_since_attempt", "days_since_contact")
WAYS = ("first night", "next night", "rebuilt", "pandas")


def main() -> None:
    """Print a line per size and way; the features of both are compared."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, nargs="+", default=[500_000, 5_000_000])
    parser.add_argument("--only", choices=WAYS, help="run one way in this process, told as JSON")
    asked = parser.parse_args()
    home = find_var() / "bench" / "kept"
    if asked.only:
        print(json.dumps(run(home / str(asked.attempts[0]), asked.only)))
        return
    print(f"{describe_machine()}, load average {os.getloadavg()}")
    for n in asked.attempts:
        grow(home / str(n), n)
        told = []
        for way in WAYS:
            again = [sys.executable, __file__, "--only", way, "--attempts", str(n)]
            told.append(json.loads(subprocess.run(again, check=True, stdout=subprocess.PIPE, text=True).stdout))
        shares = [np.load(home / str(n) / f"{way}.npy") for way in ("next night", "rebuilt", "pandas")]
        print(f"\n{n:,} attempts")
        print(pd.DataFrame(told).set_index("way").to_string(float_format=lambda x: f"{x:,.2f}"))
        print(
            f"greatest difference of a feature: kept and rebuilt {_differ(*shares[:2]):.1e}, "
            f"ours and pandas {_differ(*shares[1:]):.1e}"
        )


def _differ(one: np.ndarray, other: np.ndarray) -> float:
    assert (np.isnan(one) == np.isnan(other)).all()
    return float(np.nanmax(np.abs(one - other), initial=0.0))


def grow(home: Path, n: int) -> None:
    """Write the log as it was a night ago, and as it is tonight."""
    if (home / "tonight" / "call_attempts.parquet").exists():
        return
    world = build_world(POOL, 3, np.random.default_rng(7))
    attempts = world.call_attempts
    attempts = attempts[pd.to_datetime(attempts["attempted_at"], utc=True) < AS_OF]
    copies = -(-n // len(attempts))
    database = duckdb.connect(config={"memory_limit": "2GB"})
    database.register("pool", attempts.assign(attempted_at=pd.to_datetime(attempts["attempted_at"], utc=True)))
    query = (
        "SELECT * EXCLUDE (k) REPLACE (attempt_id || '-' || k AS attempt_id, customer_id || '-' || k AS customer_id) "
        f"FROM pool, range({copies}) c(k) WHERE attempted_at < TIMESTAMPTZ '{{until}}' "
        "ORDER BY attempted_at, attempt_id"
    )
    for name, until in (("before", AS_OF - pd.Timedelta(days=1)), ("tonight", AS_OF)):
        (home / name).mkdir(parents=True, exist_ok=True)
        file = home / name / "call_attempts.parquet"
        database.execute(f"COPY ({query.format(until=until.isoformat())}) TO '{file}' (FORMAT parquet)")


def run(home: Path, way: str) -> dict[str, float | str]:
    """What one way took."""
    if way == "pandas":
        return measure(home, way, lambda: build_by_pandas(home / "tonight" / "call_attempts.parquet"))
    if way in ("first night", "rebuilt"):
        shutil.rmtree(home / "kept", ignore_errors=way == "first night")
    folder = home / ("before" if way == "first night" else "tonight")
    return measure(home, way, lambda: build_ours(folder, home / "kept"))


def measure(home: Path, way: str, build: Callable[[], tuple[pd.DataFrame, dict[str, float]]]) -> dict[str, float | str]:
    """Seconds, processor seconds and peak memory of one way; its features are written beside."""
    began, worked = time.perf_counter(), time.process_time()
    found, parts = build()
    took = {"seconds": time.perf_counter() - began, "processor": time.process_time() - worked}
    np.save(home / f"{way}.npy", found.sort_index()[list(COMPARED)].to_numpy("float64"))
    return {"way": way, **took, "peak_gb": read_peak_memory_mb() / 1024, **parts}


def build_ours(folder: Path, kept: Path) -> tuple[pd.DataFrame, dict[str, float]]:
    """Features as of the night by customer, and as of every dial's own midnight (counted, not kept)."""
    settings, at = Settings(), [time.process_time()]
    blocks, _ = open_table(folder, "call_attempts")
    reading = read_log(blocks, kept, settings.timezone)
    at.append(time.process_time())
    ids = pd.Index(reading.log.cells["customer_id"].unique().to_pandas()).sort_values()
    checked = check_attempts(reading.log, ids, frozenset(), AS_OF, settings.timezone)
    del reading
    at.append(time.process_time())
    log = build_dial_log(checked.frame, pd.DataFrame({"customer_id": ids}), settings)
    night = midnight_seconds(np.array([AS_OF.date()], dtype="datetime64[D]"), settings.timezone)
    features = log.history.features_at(np.arange(len(ids)), np.repeat(night, len(ids)))
    days = midnight_seconds(log.dials["day"].to_numpy("datetime64[D]"), settings.timezone)
    log.history.features_at(log.history.customer_row, days)
    at.append(time.process_time())
    parts = dict(zip(("read", "check", "features"), map(float, np.diff(at)), strict=True))
    return pd.DataFrame(features, index=ids), parts


def build_by_pandas(file: Path) -> tuple[pd.DataFrame, dict[str, float]]:
    """The same features as people write them: cumulative counts by ``groupby``, looked up by ``merge_asof``."""
    at = [time.process_time()]
    log = pd.read_parquet(file, columns=["attempt_id", "customer_id", "attempted_at", "outcome"])
    at.append(time.process_time())
    log = log.sort_values(["attempted_at", "attempt_id"], ignore_index=True)
    log["is_contact"] = log["outcome"] == CONTACT
    by = log.groupby("customer_id", sort=False)
    log["n_attempts"], log["n_contacts"] = by.cumcount() + 1, by["is_contact"].cumsum()
    for outcome in ("third_party", "voicemail", "busy"):
        log[f"n_{outcome}"] = (log["outcome"] == outcome).groupby(log["customer_id"]).cumsum()
    log["last_at"] = log["attempted_at"]
    log["contact_at"] = log["attempted_at"].where(log["is_contact"])
    log["contact_at"] = log.groupby("customer_id", sort=False)["contact_at"].ffill()
    people = pd.DataFrame({"customer_id": np.sort(log["customer_id"].unique())})
    tonight = _ask(log, people.assign(asked_at=AS_OF.tz_convert("UTC").as_unit("us")))
    asked = log["attempted_at"].dt.tz_convert("Asia/Tokyo").dt.floor("D").dt.tz_convert("UTC").dt.as_unit("us")
    _ask(log, pd.DataFrame({"customer_id": log["customer_id"], "asked_at": asked}))
    at.append(time.process_time())
    parts = dict(zip(("read", "features"), map(float, np.diff(at)), strict=True))
    return tonight.set_index("customer_id"), {"check": float("nan"), **parts}


def _ask(log: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
    """What was known of customers before instants."""
    log = log.assign(attempted_at=log["attempted_at"].dt.tz_convert("UTC").dt.as_unit("us"))
    asked = asked.sort_values("asked_at")
    how = {"by": "customer_id", "right_on": "attempted_at", "allow_exact_matches": False}
    known = pd.merge_asof(asked, log, left_on="asked_at", **how)
    for days in (7, 28):
        before = asked.assign(since=asked["asked_at"] - pd.Timedelta(days=days))
        older = pd.merge_asof(before, log[["customer_id", "attempted_at", "n_attempts"]], left_on="since", **how)
        known[f"n_last_{days}_days"] = known["n_attempts"].fillna(0) - older["n_attempts"].fillna(0)
    for name, event in (("days_since_attempt", "last_at"), ("days_since_contact", "contact_at")):
        known[name] = (known["asked_at"] - known[event]).dt.total_seconds() / 86_400
    return known.fillna({"n_attempts": 0, "n_contacts": 0})


if __name__ == "__main__":
    main()
