"""A schedule that is really served: Prefect makes a run out of the cron line, and the run leaves a night."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from pipelines.world import build_world, write_world

WAIT_SECONDS = 420
KAKEDOKI = [sys.executable, "-c", "from pipelines.cli import main; main()"]


def test_a_served_schedule_runs_a_night_and_ends_when_told(tmp_path: Path) -> None:
    today = datetime.now(ZoneInfo("Asia/Tokyo")).date()
    write_world(build_world(1500, 1, np.random.default_rng(7), end=today), tmp_path / "source")
    out = tmp_path / "out"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    served = subprocess.Popen(
        [*KAKEDOKI, "schedule", "--cron", "* * * * *", "--source", str(tmp_path / "source"), "--out", str(out)],
        env=environment | {"KAKEDOKI_HOME": str(tmp_path / "var")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        ends = time.monotonic() + WAIT_SECONDS
        while not (out / "run.json").exists() and served.poll() is None and time.monotonic() < ends:
            time.sleep(1)
    finally:
        served.send_signal(signal.SIGINT)
        told = served.communicate(timeout=120)[0]
    assert (out / "run.json").exists(), told
    planned_for = json.loads((out / "run.json").read_text(encoding="utf-8"))["run_date"]
    assert 0 <= (datetime.now(ZoneInfo("Asia/Tokyo")).date() - datetime.fromisoformat(planned_for).date()).days <= 1
