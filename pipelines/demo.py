"""A whole night on a sample world: what ``kakedoki demo`` runs."""

from pathlib import Path

import configs
from pipelines.night import Night
from pipelines.nightly import nightly
from pipelines.sample import write_sample
from pipelines.stages import run_flow
from pipelines.streamed import StreamedPlan

DEMO_CUSTOMERS, DEMO_MONTHS, DEMO_SEED = 20_000, 3, 7
DEMO_SETTINGS = Path(configs.__file__).with_name("demo.yaml")


def run_demo(var: Path) -> Night | StreamedPlan:
    """Write a sample world into ``var/demo/source`` and run the night on it into ``var/demo/run``."""
    source, out = var / "demo" / "source", var / "demo" / "run"
    run_date = write_sample(source, DEMO_CUSTOMERS, DEMO_MONTHS, DEMO_SEED)
    return run_flow(nightly, str(source), str(out), run_date, config=[str(DEMO_SETTINGS)])
