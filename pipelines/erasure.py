"""One customer taken out of one file: rows removed, or the id struck out; every file whole or not at all."""

import csv
import json
import os
import re
import shlex
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from html import escape
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

STRUCK = "forgotten"
"""Stands in reports and records where the id stood."""
_FEWEST_MARKS = 5
_BUSY_SECONDS = 10.0


def count_in_parquet(file: Path, customer_id: str) -> int:
    """Count a customer's rows; none in a table without customers."""
    kept = pq.ParquetFile(file)
    if "customer_id" not in kept.schema_arrow.names:
        return 0
    return sum(_count(group, customer_id) for group in _read_groups(kept, ["customer_id"]))


def erase_from_parquet(file: Path, customer_id: str) -> int:
    """Remove a customer's rows, keeping order, types and the size of row groups; returns how many."""
    n_rows = count_in_parquet(file, customer_id)
    if n_rows:
        kept = pq.ParquetFile(file)
        with _replaced(file) as beside, pq.ParquetWriter(beside, kept.schema_arrow, compression="zstd") as writer:
            for group in _read_groups(kept):
                ids: Any = group["customer_id"]
                others: Any = pc.fill_null(pc.not_equal(ids, pa.scalar(customer_id)), True)
                writer.write_table(group.filter(others), row_group_size=max(group.num_rows, 1))
    return n_rows


def erase_from_csv(file: Path, customer_id: str) -> int:
    """Remove the lines of which a cell is the customer's id, as written or defused with ``'``; returns how many."""
    if customer_id.encode() not in file.read_bytes() and '"' not in customer_id:
        return 0
    names = {customer_id, f"'{customer_id}"}
    n_lines = 0
    with file.open(encoding="utf-8", newline="") as read, StringIO(newline="") as kept:
        lines = csv.writer(kept, lineterminator="\r\n")
        for cells in csv.reader(read):
            if names.isdisjoint(cells):
                lines.writerow(cells)
            else:
                n_lines += 1
        text = kept.getvalue()
    if n_lines:
        with _replaced(file) as beside:
            beside.write_bytes(text.encode())
    return n_lines


def strike_in_report(file: Path, customer_id: str) -> int:
    """Put ``STRUCK`` where an element of an HTML page holds the id and nothing else; returns how often."""
    return _rewrite(file, lambda text: _strike(text, re.escape(f">{escape(customer_id)}<"), f">{STRUCK}<"))


def strike_in_record(file: Path, customer_id: str) -> int:
    """Put ``STRUCK`` where a text of a JSON file is the id, or names it in a sentence; returns how often."""
    n_struck = 0

    def strike(told: Any) -> Any:
        nonlocal n_struck
        if isinstance(told, dict):
            return {key: strike(part) for key, part in told.items()}
        if isinstance(told, list):
            return [strike(part) for part in told]
        if not isinstance(told, str):
            return told
        pattern = _name_in_sentence(customer_id) if told != customer_id else re.escape(customer_id)
        struck, n = _strike(told, pattern, STRUCK)
        n_struck += n
        return struck

    text = file.read_text(encoding="utf-8")
    record = strike(json.loads(text))
    if n_struck:
        with _replaced(file) as beside:
            beside.write_text(json.dumps(record, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return n_struck


def strike_in_log(file: Path, customer_id: str) -> int:
    """Overwrite the id with stars, in place, so that lines which others append meanwhile are not lost.

    In audit logs it stands in filters and addresses; elsewhere as a word, where it cannot be mistaken for a number.
    """
    written = json.dumps(customer_id, ensure_ascii=False)[1:-1]
    quoted = json.dumps(shlex.quote(f"{customer_id}*")[:-2], ensure_ascii=False)[1:-1]
    after = (
        (r"customer=", written),
        (r"customer=", quoted),
        (r"/customers/", written),
        (r"/customers/", quote(customer_id)),
    )
    patterns = [f"(?<={lead}){re.escape(name)}(?![\\w-])" for lead, name in after]
    whole = file.read_bytes()
    found = re.finditer("|".join([*patterns, _name_in_sentence(written)]).encode(), whole)
    places = [match.span() for match in found]
    with file.open("rb+") as log:
        for start, end in places:
            os.pwrite(log.fileno(), b"*" * (end - start), start)
        os.fsync(log.fileno())
    return len(places)


def erase_from_outcomes(file: Path, customer_id: str) -> int:
    """Delete what was posted about a customer from the store of outcomes, and from its free pages; returns how many."""
    with closing(sqlite3.connect(file, timeout=_BUSY_SECONDS, isolation_level=None)) as store:
        store.execute("PRAGMA secure_delete = ON")
        n_rows = store.execute("DELETE FROM posted WHERE customer_id = ?", [customer_id]).rowcount
        if n_rows:
            store.execute("VACUUM")
            store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return n_rows


def _read_groups(kept: pq.ParquetFile, columns: list[str] | None = None) -> Iterator[pa.Table]:
    return (kept.read_row_group(number, columns=columns) for number in range(kept.num_row_groups))


def _count(group: pa.Table, customer_id: str) -> int:
    ids: Any = group["customer_id"]
    is_named: Any = pc.equal(ids, pa.scalar(customer_id))
    return int(pc.sum(is_named).as_py() or 0)


def _name_in_sentence(customer_id: str) -> str:
    """Match the id as a word; short numbers match nothing, since every count would be one."""
    if customer_id.isdecimal() and len(customer_id) < _FEWEST_MARKS:
        return "(?!)"
    return rf"(?<![\w-]){re.escape(customer_id)}(?![\w-])"


def _strike(text: str, pattern: str, put: str) -> tuple[str, int]:
    return re.subn(pattern, lambda _: put, text)


def _rewrite(file: Path, change: Callable[[str], tuple[str, int]]) -> int:
    text, n = change(file.read_text(encoding="utf-8"))
    if n:
        with _replaced(file) as beside:
            beside.write_text(text, encoding="utf-8")
    return n


@contextmanager
def _replaced(file: Path) -> Iterator[Path]:
    """Give a place beside a file; when the block ends well, what was written there takes its place in one step."""
    beside = file.with_name(f".{file.name}.forgetting")
    try:
        yield beside
        with beside.open("rb+") as written:
            os.fsync(written.fileno())
        beside.chmod(file.stat().st_mode)
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
