"""Median and 95th percentile of every view and export with 1,000,000 list rows and 50 readers: ``make bench-page``.

A small night is run once and blown up: its list, customers, attempts and chances are copied under new ids until the
list has the rows that were asked for. A real server (``kakedoki serve``) is asked by one reader, then by fifty who each
wait for an answer before they ask again; server and readers share the machine. Every request asks for another slot or
customer, so that no list is measured on an answer that is remembered; heat maps,
staffing, measures and nights are made once a night, as in use. Elapsed seconds suffer from other work on the
machine; the processor seconds that the server spends on an answer do not.
"""

import argparse
import asyncio
import json
import math
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from urllib.parse import quote

import duckdb
import httpx
import pyarrow.parquet as pq
from night import describe_machine

from pipelines.exports.folders import replace_folder
from pipelines.runs import find_var
from pipelines.sample import write_sample
from pipelines.servers import set_environment

BANDS = ("", "20-29", "30-39", "40-49", "50-59", "60-69", "70-79")
BASE_CUSTOMERS, BASE_MONTHS, RUN_DATE = 3000, 2, date(2026, 11, 2)
ROWS_PER_CUSTOMER = 4
VIEWS: dict[str, str] = {
    "list": "/?page={page}",
    "list, one slot": "/?slot_start={slot}",
    "list, filtered": "/?region={region}&gender=female&age_from={age}&weekday={day}&hour={hour}",
    "list, sorted by chance": "/?sort=p_keyman&order=desc&hour={hour}",
    "list, search by customer": "/?customer={customer}",
    "customer": "/customers/{customer}",
    "heat maps": "/heatmaps",
    "heat maps, a segment": "/heatmaps?region={region}&age={band}",
    "staffing": "/staffing",
    "measures": "/measures",
    "models and nights": "/nights",
    "export csv, one slot": "/export?format=csv&slot_start={slot}",
    "export xlsx, one slot": "/export?format=xlsx&slot_start={slot}",
    "export parquet, one slot": "/export?format=parquet&slot_start={slot}",
    "export staffing xlsx": "/staffing/export?format=xlsx",
    "api list, 100 of a slot": "/api/v1/call-list?slot_start={slot}&limit=100",
    "api list, filtered": "/api/v1/call-list?region={region}&age_from={age}&weekday={day}&hour={hour}&limit=100",
    "api next 10": "/api/v1/call-list/next?slot_start={slot}&count=10",
    "api customer": "/api/v1/customers/{customer}",
    "api excluded": "/api/v1/excluded?limit=100",
    "api health": "/api/v1/health",
}
WHOLE = {
    "export csv, all rows": "/export?format=csv",
    "export parquet, all rows": "/export?format=parquet",
    "export xlsx, all rows": "/export?format=xlsx",
}
"""Asked by one reader, once."""
N_ALONE, MOST_SECONDS_ALONE, MOST_SECONDS = 10, 4.0, 8.0
"""Requests of the one reader per view, and the seconds after which nobody asks again, so that the whole run ends."""
IDLE_SHARE = 0.05
"""Of a processor: what a server that waits may use."""


@dataclass(frozen=True)
class Choice:
    """What there is to ask for in the blown-up run."""

    customers: list[str]
    slots: list[str]
    regions: list[str]

    def spell(self, pattern: str, i: int, first: int = 0) -> str:
        """The address of the i-th request; another ``first`` asks for other things."""
        i += first
        slot = self.slots[i * 31 % len(self.slots)]
        return pattern.format(
            customer=quote(self.customers[i * 7919 % len(self.customers)]),
            slot=quote(slot),
            region=quote(self.regions[i % len(self.regions)]),
            age=20 + i % 50,
            band=BANDS[i % len(BANDS)],
            day=i % 7,
            hour=9 + i % 12,
            page=1 + i % 40,
        )


def make_base(var: Path) -> Path:
    """Run a night on a small simulated centre, unless it is there."""
    from pipelines.nightly import nightly

    out = var / "bench" / "page-base"
    if not (out / "page").is_dir():
        source = var / "bench" / "page-source"
        if not source.exists():
            write_sample(source, BASE_CUSTOMERS, BASE_MONTHS, seed=7)
        nightly.fn(str(source), str(out), RUN_DATE)
    return out


def blow_up(base: Path, out: Path, n_rows: int) -> None:
    """Copy a run with so many list rows; customers, attempts and chances grow in proportion."""
    record = json.loads((base / "run.json").read_text(encoding="utf-8"))
    n_base = int(record["counts"]["dials"])
    n_people = _count_rows(base / "page" / "customers.parquet")
    copies = max(math.ceil(n_rows / n_people / ROWS_PER_CUSTOMER), 1)
    times = math.ceil(n_rows / n_base)
    shutil.rmtree(out, ignore_errors=True)
    with replace_folder(out, "bench") as folder:
        (folder / "page").mkdir()
        _copy_people(base, folder, copies)
        _copy_list(base, folder, n_rows, times, copies)
        _copy_excluded(base, folder, copies)
        _copy_staffing(base, folder, times)
        record["run_id"], record["counts"]["dials"] = f"{record['run_id']}-x{n_rows}", n_rows
        (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")


def _count_rows(file: Path) -> int:
    return pq.read_metadata(file).num_rows


def _copy_people(base: Path, folder: Path, copies: int) -> None:
    for name, group in (("customers", 122_880), ("attempts", 50_000), ("chances", 10_000)):
        again = ", attempt_id || '-' || i AS attempt_id" if name == "attempts" else ""
        duckdb.sql(
            f"COPY (SELECT t.* REPLACE (customer_id || '-' || i AS customer_id{again}) "
            f"FROM '{base}/page/{name}.parquet' t, range({copies}) r(i) ORDER BY customer_id) "
            f"TO '{folder}/page/{name}.parquet' (COMPRESSION zstd, ROW_GROUP_SIZE {group})"
        )
    shutil.copy(base / "page" / "slots.parquet", folder / "page" / "slots.parquet")


def _copy_list(base: Path, folder: Path, n_rows: int, times: int, copies: int) -> None:
    """Every row ``times`` times, each for another customer of the blown-up centre.

    People are numbered so that a row's customer is an equality of two columns: DuckDB joins anything else by trying
    every pair.
    """
    n_people = _count_rows(base / "page" / "customers.parquet")
    duckdb.sql(
        f"""
        COPY (
            WITH people AS (
                SELECT customer_id, row_number() OVER (ORDER BY customer_id) - 1 AS k
                FROM '{base}/page/customers.parquet'
            ), rows AS (
                SELECT l.*, i, (row_number() OVER () + 7919 * i) % {n_people} AS k
                FROM '{base}/call_list.parquet' l, range({times}) r(i) LIMIT {n_rows}
            )
            SELECT rows.* EXCLUDE (i, k) REPLACE (
                row_number() OVER (PARTITION BY slot_start ORDER BY rank, i) AS rank,
                people.customer_id || '-' || (i % {copies}) AS customer_id
            )
            FROM rows JOIN people USING (k) ORDER BY slot_start, rank
        ) TO '{folder}/call_list.parquet' (COMPRESSION zstd)
        """
    )


def _copy_excluded(base: Path, folder: Path, copies: int) -> None:
    lines = (base / "excluded.csv").read_text(encoding="utf-8-sig").splitlines()
    with (folder / "excluded.csv").open("w", encoding="utf-8-sig", newline="\r\n") as file:
        file.write(lines[0] + "\n")
        file.writelines(line.replace(",", f"-{i},", 1) + "\n" for line in lines[1:] for i in range(copies))


def _copy_staffing(base: Path, folder: Path, times: int) -> None:
    header, *lines = (base / "staffing.csv").read_text(encoding="utf-8-sig").splitlines()
    names = header.split(",")
    with (folder / "staffing.csv").open("w", encoding="utf-8-sig", newline="\r\n") as file:
        file.write(header + "\n")
        for line in lines:
            cells = [
                str(int(cell) * times) if name.startswith("dials_") else cell
                for name, cell in zip(names, line.split(","), strict=True)
            ]
            file.write(",".join(cells) + "\n")


def read_choice(run: Path) -> Choice:
    """Read a few hundred customers, all slots and all regions of a run."""
    listed = duckdb.read_parquet(str(run / "call_list.parquet"))  # noqa: F841 - DuckDB finds it by name
    people = f"'{run}/page/customers.parquet'"
    slots = duckdb.sql("SELECT DISTINCT slot_start AT TIME ZONE 'UTC' AS at FROM listed ORDER BY 1").fetchall()
    customers = duckdb.sql("SELECT DISTINCT customer_id FROM listed USING SAMPLE 500 ROWS (reservoir, 7)").fetchall()
    regions = duckdb.sql(f"SELECT DISTINCT region FROM {people} WHERE region IS NOT NULL ORDER BY 1").fetchall()
    return Choice([c for (c,) in customers], [f"{at.isoformat()}+00:00" for (at,) in slots], [r for (r,) in regions])


@contextmanager
def serve(run: Path, var: Path) -> Iterator[tuple[str, int]]:
    """Start ``kakedoki serve`` on a free port; gives its address and process id, and shows what went wrong with it."""
    command = [sys.executable, "-m", "app.commands", "serve", "--port", "0", "--plan", str(run)]
    began, said = time.perf_counter(), var / "bench" / "server.log"
    with (
        said.open("w") as log,
        subprocess.Popen(command, stderr=log, env=os.environ | {"KAKEDOKI_HOME": str(var)}) as server,
    ):
        while (found := re.search(r"http://[\d.]+:\d+", said.read_text())) is None:
            if server.poll() is not None:
                raise SystemExit(said.read_text())
            time.sleep(0.1)
        told = f"server up after {time.perf_counter() - began:.1f} s, {read_memory_mb(server.pid):,.0f} MB"
        print(told, flush=True)
        try:
            yield found[0], server.pid
        finally:
            ended = server.poll()
            server.send_signal(signal.SIGTERM)
            server.wait(60)
            faults = said.read_text().splitlines()[1:-1]
            print("\n".join(faults[-20:] if ended is None else [f"the server ended by itself: {ended}", *faults[-20:]]))


def read_memory_mb(pid: int, field: str = "VmRSS") -> float:
    """Memory of a process: VmRSS now, VmHWM at most."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"{field}:\s+(\d+) kB", text)
    return int(found[1]) / 1024 if found else math.nan


@dataclass(frozen=True)
class Asked:
    """What readers met: seconds and status of every answer, and the server's processor seconds for one."""

    seconds: list[float]
    statuses: list[int]
    processor: float
    elapsed: float

    def spell(self) -> str:
        """Median and 95th percentile."""
        high = statistics.quantiles(self.seconds, n=20)[-1] if len(self.seconds) > 1 else self.seconds[0]
        return f"{statistics.median(self.seconds):>9.3f}s{high:>8.3f}s"


def read_processor_seconds(pid: int) -> float:
    """Processor seconds of a process so far, of all its threads: other work on the machine does not count."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until_warm(pid: int) -> None:
    """Wait until the server has made what it makes of a night before the first reader asks."""
    began, before = time.perf_counter(), -1.0
    while (spent := read_processor_seconds(pid)) - before > IDLE_SHARE:
        before = spent
        time.sleep(1.0)
    print(f"warm after {time.perf_counter() - began:.1f} s more, {read_memory_mb(pid):,.0f} MB", flush=True)


def ask(address: str, pid: int, spell: Callable[[int], str], n_readers: int, n_each: int, limit: float) -> Asked:
    """Let readers ask one after the other; nobody asks again when ``limit`` seconds have passed."""
    before, began = read_processor_seconds(pid), time.perf_counter()
    seconds, statuses = asyncio.run(_ask(address, spell, n_readers, n_each, began + limit))
    spent = (read_processor_seconds(pid) - before) / len(seconds)
    return Asked(seconds, statuses, spent, time.perf_counter() - began)


async def _ask(
    address: str, spell: Callable[[int], str], n_readers: int, n_each: int, until: float
) -> tuple[list[float], list[int]]:
    seconds: list[float] = []
    statuses: list[int] = []
    limits = httpx.Limits(max_connections=n_readers, max_keepalive_connections=n_readers)
    async with httpx.AsyncClient(base_url=address, timeout=600, limits=limits) as client:

        async def read(reader: int) -> None:
            for turn in range(n_each):
                began = time.perf_counter()
                if turn and began > until:
                    return
                try:
                    answer = await client.get(spell(reader * n_each + turn))
                except httpx.TransportError:  # a connection that the server closed just then: as browsers do, once more
                    answer = await client.get(spell(reader * n_each + turn))
                seconds.append(time.perf_counter() - began)
                statuses.append(answer.status_code)

        await asyncio.gather(*(read(reader) for reader in range(n_readers)))
    return seconds, statuses


def measure(address: str, pid: int, choice: Choice, n_readers: int, n_each: int, only: str) -> None:
    """Print a line per view as soon as it is measured."""
    print(f"{'view':<26}{'one reader':>19}{f'{n_readers} readers':>19}{'':>9}{'answers/s':>11}{'processor':>11}")
    print(f"{'':<26}{'median':>10}{'95 %':>9}{'median':>10}{'95 %':>9}{'answers':>9}{'':>11}{'per answer':>11}")
    for name, pattern in {**VIEWS, **WHOLE}.items():
        if only not in name:
            continue
        is_whole = name in WHOLE
        spell = partial(choice.spell, pattern)
        alone = told = ask(address, pid, spell, 1, 1 if is_whole else N_ALONE, MOST_SECONDS_ALONE)
        line = f"{name:<26}{alone.spell()}"
        if not is_whole and set(alone.statuses) == {200}:
            told = ask(address, pid, partial(spell, first=1000), n_readers, n_each, MOST_SECONDS)
            line += f"{told.spell()}{len(told.seconds):>9}{len(told.seconds) / told.elapsed:>11.1f}"
        wrong = sorted({status for status in (*alone.statuses, *told.statuses) if status != 200})
        refused = f"  answered {', '.join(map(str, wrong))}" if wrong else ""
        print(f"{line:<83}{told.processor:>11.3f}s{refused}", flush=True)


def main() -> None:
    """Make the run if needed, serve it, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the call list")
    parser.add_argument("--readers", type=int, default=50)
    parser.add_argument("--each", type=int, default=4, help="requests of each reader, per view")
    parser.add_argument("--night", type=Path, help="folder of a finished night to blow up, instead of making one")
    parser.add_argument("--only", default="", help="views whose name holds this")
    asked = parser.parse_args()
    var = find_var()
    set_environment(var)
    run = var / "bench" / f"page-{asked.rows}"
    if not (run / "run.json").is_file():
        began = time.perf_counter()
        blow_up(asked.night or make_base(var), run, asked.rows)
        print(f"a run of {asked.rows:,} list rows made in {time.perf_counter() - began:.0f} s", flush=True)
    choice = read_choice(run)
    print(f"{describe_machine()}, load {os.getloadavg()[0]:.1f}")
    print(f"{asked.rows:,} list rows in {len(choice.slots)} slots", flush=True)
    with serve(run, var) as (address, pid):
        wait_until_warm(pid)
        measure(address, pid, choice, asked.readers, asked.each, asked.only)
        print(f"load {os.getloadavg()[0]:.1f} at the end, {os.getloadavg()[2]:.1f} over the last quarter of an hour")
        print(f"peak memory of the server {read_memory_mb(pid, 'VmHWM'):,.0f} MB")


if __name__ == "__main__":
    main()
