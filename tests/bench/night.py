"""Seconds and peak memory of each stage of a night at the reference case's size: ``make bench``.

The sample world is made once and kept under ``var/bench/``; the night itself runs without Prefect, whose share is a
dozen seconds and no memory of this process.
"""

import argparse
import os
import platform
import time
from pathlib import Path

from pipelines.runs import find_var
from pipelines.sample import write_sample
from pipelines.servers import set_environment

REFERENCE_CUSTOMERS = 150_000  # about 600,000 attempts in three months
MONTHS = 3
BUDGET_SECONDS = 300
BUDGET_MB = 4096


def describe_machine() -> str:
    """Cores, memory, Python."""
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, {pages / 2**30:.0f} GB, {platform.machine()}, Python {platform.python_version()}"


def main() -> None:
    """Make the world if needed, run the night, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=REFERENCE_CUSTOMERS)
    parser.add_argument("--staffing", choices=["fixed", "reshape"], default="fixed")
    asked = parser.parse_args()
    var = find_var()
    set_environment(var)
    source = var / "bench" / f"source-{asked.customers}"
    if not source.exists():
        print(f"making a world of {asked.customers:,} customers in {source} ...")
        write_sample(source, asked.customers, MONTHS, seed=7)
    run(source, var / "bench" / f"run-{asked.customers}", asked.staffing)


def run(source: Path, out: Path, staffing: str) -> None:
    """Run the night and print what each stage took."""
    from datetime import date

    from pipelines.memory import read_peak_memory_mb
    from pipelines.nightly import nightly

    began, worked = time.perf_counter(), time.process_time()
    night = nightly.fn(str(source), str(out), date(2026, 11, 2), staffing=staffing)
    seconds, worked = time.perf_counter() - began, time.process_time() - worked
    peak = max([*(stage["peak_mb"] for stage in night.stages), read_peak_memory_mb()])
    load = " ".join(f"{mean:.1f}" for mean in os.getloadavg())
    print(f"\n{describe_machine()}, load average {load}; {worked:.0f} seconds of processor time in all")
    counts = night.report.counts
    print(
        f"{counts['customers_kept']:,} customers, {counts['call_attempts_kept']:,} attempts, {len(night.slots)} slots"
    )
    print(f"{'stage':<10}{'seconds':>10}{'peak MB':>10}{'share':>8}")
    told = 0.0
    for stage in night.stages:
        told += stage["seconds"]
        print(
            f"{stage['stage']:<10}{stage['seconds']:>10.1f}{stage['peak_mb']:>10,.0f}{stage['seconds'] / seconds:>8.0%}"
        )
    print(f"{'write':<10}{seconds - told:>10.1f}{'':>10}{(seconds - told) / seconds:>8.0%}")
    print(f"{'night':<10}{seconds:>10.1f}{peak:>10,.0f}")
    share_of_time, share_of_memory = seconds / BUDGET_SECONDS, peak / BUDGET_MB
    print(f"{share_of_time:.0%} of the {BUDGET_SECONDS} s, {share_of_memory:.0%} of the {BUDGET_MB} MB allowed")


if __name__ == "__main__":
    main()
