"""The log as kept from run to run: ``var/kept/<source>/``, judged cell by cell, one Parquet file for each block.

A block is known by its content (``pipelines.sources.blocks``), so a run reads and judges only what it has not met
before, and nothing can be out of date: a row that was added, corrected or removed anywhere makes another block. What
depends on other rows or on the night is settled anew every time (``features.attempts``).
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features import cells, columns, judged, outcomes, quarantine, schemas
from features.judged import CELLS, JudgedLog, join_logs, judge_log
from pipelines.sources.blocks import Block

KEPT = "kept"
_CODE = (cells, columns, judged, outcomes, quarantine, schemas)
_LIBRARIES = ("duckdb", "numpy", "pandas", "pandera", "pyarrow")
_INDEX = "log.json"
_NO_REJECTS = quarantine.join_rejects([])
_ROW = CELLS.get_field_index("row")
_TOGETHER = 1 << 18  # rows, or a block more


@dataclass(frozen=True)
class LogReading:
    """A log, and how much of it was new.

    Attributes
    ----------
    n_read
        Rows that were read and judged now; the others were kept.
    note
        One sentence when rows of the past are not what they were on the last run; else empty.
    """

    log: JudgedLog
    n_read: int
    note: str


def find_kept(var: Path, source: str) -> Path:
    """Folder in which is kept what was learned from a source (password masked); not created.

    >>> find_kept(Path("/v"), "/data/centre").name[:8]
    'dbc64efe'
    """
    place = source if "://" in source else str(Path(source).expanduser().resolve())
    return var / KEPT / hashlib.sha256(place.encode()).hexdigest()[:16]


def read_log(blocks: Sequence[Block], folder: Path, zone: str, *, rebuild: bool = False) -> LogReading:
    """Judge the blocks of a log that are not in ``folder`` yet, keep them there, and join all of them.

    Parameters
    ----------
    folder
        Of :func:`find_kept`. What it holds of blocks that are gone, or of another kakedoki, is removed.
    zone
        The centre's, in which naive times are.
    rebuild
        Begin with an empty folder.

    Raises
    ------
    ContractError
        A required column is missing.
    """
    if rebuild:
        shutil.rmtree(folder, ignore_errors=True)
    home = folder / name_judge(zone)
    before = _read_index(home)
    logs = {block.digest: _read_block(home / f"{block.digest}.parquet") for block in blocks}
    unknown = {block.digest: block for block in blocks if logs[block.digest] is None}
    n_read = 0
    for block, fresh in _judge(list(unknown.values()), zone):
        logs[block.digest] = fresh
        _keep(home / f"{block.digest}.parquet", fresh)
        n_read += len(fresh)
    parts = [(block, log) for block in blocks if (log := logs[block.digest]) is not None]
    facts = [{"digest": block.digest, "n_rows": len(log), **_span(log)} for block, log in parts]
    _sweep(folder, home, facts)
    whole = join_logs([_number(log, block.first_row) for block, log in parts])
    return LogReading(whole, n_read, _tell_change(before, facts))


def name_judge(zone: str) -> str:
    """Name of what judges cells: its code, the libraries under it, and the zone; another one keeps apart.

    >>> name_judge("Asia/Tokyo") == name_judge("Asia/Tokyo"), name_judge("Asia/Tokyo") == name_judge("UTC")
    (True, False)
    """
    seen = hashlib.sha256(zone.encode())
    for module in _CODE:
        seen.update(Path(str(module.__file__)).read_bytes())
    seen.update(" ".join(version(name) for name in _LIBRARIES).encode())
    return seen.hexdigest()[:16]


def forget_in_log(var: Path, customer_id: str) -> int:
    """Remove every kept block in which a customer occurs; the next run reads it again, from a source without them.

    Returns
    -------
    How many blocks were removed.
    """
    n_removed = 0
    for file in sorted((var / KEPT).glob("*/*/*.parquet")):
        ids = pq.read_table(file, columns=["customer_id"])["customer_id"]
        if pc.any(pc.equal(ids, pa.scalar(customer_id, pa.large_string()))).as_py():
            file.unlink()
            n_removed += 1
    return n_removed


def write_private(file: Path, table: pa.Table) -> None:
    """Write a Parquet file that only its owner can read, whole or not at all; a full disk costs only the keeping."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as sink:
            pq.write_table(table, sink, compression="zstd", compression_level=1)
        beside.replace(file)
    except OSError as error:
        logging.getLogger("kakedoki").warning("%s: cannot be kept: %s", file, error)
        beside.unlink(missing_ok=True)


def _judge(blocks: Sequence[Block], zone: str) -> Iterator[tuple[Block, JudgedLog]]:
    """Judge blocks, many at a time because a judgement has its own price; lines count from each block's first."""
    waiting: list[tuple[Block, pd.DataFrame]] = []
    for block in blocks:
        frame = block.read()
        if frame.empty:  # whatever its columns, it holds nothing to judge
            yield block, join_logs([])
            continue
        is_alike = not waiting or waiting[0][1].dtypes.equals(frame.dtypes)
        if not is_alike or sum(len(kept) for _, kept in waiting) > _TOGETHER:
            yield from _judge_together(waiting, zone)
            waiting = []
        waiting.append((block, frame))
    yield from _judge_together(waiting, zone)


def _judge_together(waiting: list[tuple[Block, pd.DataFrame]], zone: str) -> Iterator[tuple[Block, JudgedLog]]:
    if not waiting:
        return
    begins = np.cumsum([0, *(len(frame) for _, frame in waiting)])
    together = pd.concat([frame for _, frame in waiting])
    whole = judge_log(together.set_axis(pd.RangeIndex(len(together), name="row"), axis=0), zone)
    for (block, frame), begin, end in zip(waiting, begins[:-1], begins[1:], strict=True):
        lines = frame.index.to_numpy("int64") - block.first_row
        positions = whole.rejects["position"]
        rejects = whole.rejects[(positions >= begin) & (positions < end)].reset_index(drop=True)
        at = rejects["position"] - begin
        rejects = rejects.assign(position=at, row=lines[at.to_numpy()])
        cells = whole.cells.slice(begin, end - begin).set_column(_ROW, "row", pa.array(lines, pa.int64()))
        yield block, JudgedLog(cells, rejects)


def _read_block(file: Path) -> JudgedLog | None:
    try:
        table = pq.ParquetFile(file).read()
        listed = json.loads((table.schema.metadata or {})[b"rejects"])
        rejects = _NO_REJECTS
        if listed:
            rejects = pd.DataFrame(listed, columns=list(rejects.columns)).astype(rejects.dtypes.to_dict())
        return JudgedLog(table.cast(CELLS), rejects)
    except FileNotFoundError:
        return None
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        logging.getLogger("kakedoki").warning("%s: cannot be read and is made again: %s", file, error)
        return None


def _keep(file: Path, log: JudgedLog) -> None:
    listed = json.dumps(log.rejects.to_numpy(dtype=object).tolist(), default=int)
    write_private(file, log.cells.replace_schema_metadata({"rejects": listed}))


def _number(log: JudgedLog, by: int) -> JudgedLog:
    """The same rows ``by`` lines further down."""
    rows = pc.add(log.cells["row"], pa.scalar(by, pa.int64()))
    moved = log.rejects.assign(row=log.rejects["row"] + by) if len(log.rejects) else log.rejects
    return JudgedLog(log.cells.set_column(_ROW, "row", rows), moved)


def _span(log: JudgedLog) -> dict[str, str | None]:
    ends: Any = pc.min_max(log.cells["attempted_at"]).as_py()
    return {name: None if ends[name] is None else ends[name].isoformat() for name in ("min", "max")}


def _read_index(home: Path) -> list[dict[str, Any]]:
    try:
        index: list[dict[str, Any]] = json.loads((home / _INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return index


def _sweep(folder: Path, home: Path, facts: Sequence[dict[str, Any]]) -> None:
    """Write what is kept now, and remove what no block of the log stands for any more."""
    wanted = {f"{fact['digest']}.parquet" for fact in facts}
    try:
        for other in folder.iterdir():
            if other.is_dir() and other != home:
                shutil.rmtree(other)
        for file in home.glob("*.parquet"):
            if file.name not in wanted:
                file.unlink(missing_ok=True)
        beside = home / f".{_INDEX}.{os.getpid()}"
        beside.write_text(json.dumps(list(facts)), encoding="utf-8")
        beside.replace(home / _INDEX)
    except OSError as error:
        logging.getLogger("kakedoki").warning("%s: cannot be tidied: %s", folder, error)


def _tell_change(before: Sequence[dict[str, Any]], now: Sequence[dict[str, Any]]) -> str:
    """What is newest may have grown, and what is oldest may have been left out of the export; the rest is the past."""
    known = {fact["digest"] for fact in now}
    begins = min((fact["min"] for fact in now if fact["min"]), default="")
    ended = max((fact["max"] for fact in before if fact["max"]), default="")
    gone = [
        fact
        for fact in before
        if fact["digest"] not in known and fact["min"] and fact["min"] >= begins and fact["max"] != ended
    ]
    if not gone:
        return ""
    first, last = min(fact["min"] for fact in gone)[:10], max(fact["max"] for fact in gone)[:10]
    n_rows = sum(fact["n_rows"] for fact in gone)
    return (
        f"rows between {first} and {last} were changed, added or removed since the last run: the {n_rows:,} attempts "
        "around them were read again"
    )
