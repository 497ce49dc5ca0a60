"""Millions of customers scored and planned in chunks, first night and next: ``make bench-scale``.

A simulated centre is made and its model is trained once, as a night trains it; a source of any size is that centre
copied, every copy with its own customer ids and phones, its log by time, and the places grow with it. The clock runs
from the source's Parquet files to the finished call list: on a first night, of which nothing is kept; on the next one,
when a day of dials was added to the log; and on that night with nothing kept, whose files must be the same to the byte.
Each runs in a process of its own, so that its peak memory is its own. Sources are made once, under ``var/bench/``.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from night import describe_machine

from configs.settings import Settings
from features.contracts import check_tables
from models.contact.fitting import fit_night
from models.contact.model import ContactModel
from pipelines.chunks import count_chunks, count_customers
from pipelines.kept_shards import keep_log
from pipelines.runs import find_var
from pipelines.streamed import plan_in_chunks
from pipelines.world import build_world

SIZES = (100_000, 1_000_000)
POOL = 20_000
RUN_DATE = date(2026, 11, 2)
BUDGET_SECONDS, BUDGET_GB = 900, 8
WAYS = ("first night", "next night", "rebuilt")
PLANS = ("call_list.parquet", "call_list.csv", "excluded.csv", "staffing.csv", "quarantine/rejects.csv")


def main() -> None:
    """Print a line per size, and how seconds and memory grow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, nargs="+", default=list(SIZES), help="10000000 takes some 15 minutes")
    parser.add_argument("--pool", type=int, default=POOL, help="customers of the centre that is copied")
    parser.add_argument("--per-chunk", type=int, default=Settings().planning.per_chunk)
    parser.add_argument("--processes", type=int, help="by default one per core")
    parser.add_argument("--ways", choices=WAYS, nargs="+", default=list(WAYS))
    parser.add_argument("--only", action="store_true", help="run one size one way in this process, told as JSON")
    asked = parser.parse_args()
    home = find_var() / "bench" / f"pool-{asked.pool}"
    if asked.only:
        place = home / str(asked.customers[0])
        print(json.dumps(run(place, asked.ways[0], asked.per_chunk, asked.processes)))
        return
    make_pool(home, asked.pool)
    told = []
    for n in asked.customers:
        grow(home, n, asked.pool)
        for way in asked.ways:
            print(f"planning {n:,} customers, {way} ...", file=sys.stderr, flush=True)
            again = [sys.executable, __file__, "--only", "--customers", str(n), "--pool", str(asked.pool)]
            again += ["--per-chunk", str(asked.per_chunk), "--ways", way]
            again += ["--processes", str(asked.processes)] if asked.processes else []
            told.append(json.loads(subprocess.run(again, check=True, stdout=subprocess.PIPE, text=True).stdout))
        if {"next night", "rebuilt"} <= set(asked.ways):
            compare(home / str(n))
    print(f"{describe_machine()}, load average {os.getloadavg()}")
    print(tell(pd.DataFrame(told)))


def make_pool(home: Path, n: int) -> None:
    """Simulate the centre and train its model, unless both are there."""
    if (home / "model.json").exists():
        return
    print(f"making a centre of {n:,} customers and its model in {home} ...", file=sys.stderr, flush=True)
    home.mkdir(parents=True, exist_ok=True)
    world, settings = build_world(n, 3, np.random.default_rng(7)), Settings()
    raw = {"customers": world.customers, "call_attempts": world.call_attempts, "capacity": world.capacity}
    for name, table in raw.items():
        table.to_parquet(home / f"{name}.parquet")
    as_of = pd.Timestamp(RUN_DATE, tz=settings.timezone)
    tables, _ = check_tables(raw, as_of, settings)
    fitted = fit_night(tables, as_of, settings, np.random.default_rng(7))
    (home / "model.json").write_text(fitted.model.to_json(), encoding="utf-8")


def grow(home: Path, n: int, n_pool: int) -> None:
    """Write a source of ``n`` customers, the centre copied, and as it was a day before."""
    tonight, before = home / str(n) / "tonight", home / str(n) / "before"
    if (before / "capacity.parquet").exists():
        return
    for folder in (tonight, before):
        folder.mkdir(parents=True, exist_ok=True)
    copies, last = divmod(n, n_pool)
    database = duckdb.connect(config={"memory_limit": "2GB", "temp_directory": str(home / "spilled")})
    database.execute(
        f"CREATE TABLE people AS SELECT *, row_number() OVER (ORDER BY customer_id) AS nth, "
        f"dense_rank() OVER (ORDER BY phone) AS number FROM '{home}/customers.parquet'"
    )
    copied = f"JOIN range({copies + 1}) c(k) ON k < {copies} OR nth <= {last}"
    own = "customer_id || '-' || k AS customer_id"
    line = f"lpad((number * {copies + 1} + k)::VARCHAR, 8, '0')"  # the digits by which numbers are told apart
    phone = f"CASE WHEN phone IS NULL THEN NULL ELSE '090' || {line} END"
    attempts = f"(SELECT a.*, nth FROM '{home}/call_attempts.parquet' a JOIN people USING (customer_id))"
    rows = (
        f"SELECT * EXCLUDE (nth, k) REPLACE ({own}, attempt_id || '-' || k AS attempt_id) FROM {attempts} {copied} "
        "ORDER BY attempted_at, attempt_id"
    )
    write_logs(database.sql(rows).to_arrow_reader(122_880), tonight, before)
    queries = {
        "customers": f"SELECT * EXCLUDE (nth, number, k) REPLACE ({own}, {phone} AS phone) FROM people {copied}",
        "capacity": f"SELECT * REPLACE (CAST(round(dials * {n / n_pool}) AS BIGINT) AS dials) "
        f"FROM '{home}/capacity.parquet'",
    }
    for name, query in queries.items():
        database.execute(f"COPY ({query}) TO '{tonight / name}.parquet' (FORMAT parquet)")
        shutil.copy(tonight / f"{name}.parquet", before)


def write_logs(batches: pa.RecordBatchReader, tonight: Path, before: Path) -> None:
    """Write a log that comes by time, a row group a batch, and as it was a day before the run date."""
    until, file = (
        pa.scalar(pd.Timestamp(RUN_DATE, tz=Settings().timezone) - pd.Timedelta(days=1)),
        "call_attempts.parquet",
    )
    with (
        pq.ParquetWriter(tonight / file, batches.schema, compression="zstd") as whole,
        pq.ParquetWriter(before / file, batches.schema, compression="zstd") as part,
    ):
        for batch in batches:
            whole.write_batch(batch, len(batch))
            earlier = batch.filter(pc.less(batch["attempted_at"], until.cast(batch["attempted_at"].type)))
            if len(earlier):
                part.write_batch(earlier, len(earlier))


def run(home: Path, way: str, per_chunk: int, n_processes: int | None) -> dict[str, float | str]:
    """Plan one size; what it took. ``processor`` is the seconds of all processes, imports and compilation included."""
    model, settings = ContactModel.from_json((home.parent / "model.json").read_text(encoding="utf-8")), Settings()
    as_of, source = pd.Timestamp(RUN_DATE, tz=settings.timezone), home / ("before" if way == WAYS[0] else "tonight")
    n_chunks = count_chunks(count_customers(source), per_chunk)
    began, worked = time.perf_counter(), count_processor_seconds()
    log_file, rebuild = source / "call_attempts.parquet", way != "next night"
    log = keep_log(log_file, home / "kept", settings.timezone, n_chunks, rebuild=rebuild)
    reading = count_processor_seconds() - worked
    plan = plan_in_chunks(source, log, home / way, model, as_of, settings, per_chunk=per_chunk, n_processes=n_processes)
    seconds = time.perf_counter() - began
    facts: dict[str, float | str] = {"way": way, "customers": plan.n_customers, "attempts": log.n_rows}
    facts |= {"attempts_read": log.n_read, "eligible": plan.n_eligible, "dials": plan.n_dials}
    facts |= {"places_left": plan.places_left, "gap_percent": 100 * plan.gap, "contacts": plan.expected_contacts}
    facts |= {"processes": plan.n_processes, "load": os.getloadavg()[1], "seconds": seconds}
    facts |= {"processor": count_processor_seconds(), "peak_gb": plan.peak_mb / 1024}
    return facts | {"reading what is new": reading} | plan.seconds


def count_processor_seconds() -> float:
    """Seconds of this process and of those that it started and has seen end."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in usage)


def compare(place: Path) -> None:
    """Say whether the plan made with what was kept is the one made from nothing."""
    differ = [name for name in PLANS if (place / WAYS[1] / name).read_bytes() != (place / WAYS[2] / name).read_bytes()]
    print(f"{place.name} customers, kept and rebuilt: {', '.join(differ) or 'no byte'} differs", file=sys.stderr)


def tell(told: pd.DataFrame) -> str:
    """One column per size and way; below, how many times the seconds and the memory of the size before."""
    growing = told.loc[told["way"] == told["way"].iloc[-1], ["customers", "seconds", "processor", "peak_gb"]]
    times = growing / growing.shift()
    lines = [told.T.to_string(header=False, float_format=lambda x: f"{x:,.2f}")]
    lines += [
        f"×{row['customers']:.0f} customers: ×{row['seconds']:.1f} seconds, ×{row['processor']:.1f} of the processors, "
        f"×{row['peak_gb']:.2f} memory"
        for row in times.dropna().to_dict("records")
    ]
    largest = told.iloc[-1]
    share = (largest["seconds"] / BUDGET_SECONDS, largest["peak_gb"] / BUDGET_GB)
    lines.append(
        f"{share[0]:.0%} of the {BUDGET_SECONDS} s, {share[1]:.0%} of the {BUDGET_GB} GB allowed for 10,000,000"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
