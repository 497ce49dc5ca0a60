"""The log as kept from run to run: ``var/kept/<source>/``, judged cell by cell, one Parquet file for each block.

A block is known by its content (``pipelines.sources.blocks``), so a run reads and judges only what it has not met
before, and nothing can be out of date: a row that was added, corrected or removed anywhere makes another block. What
depends on other rows or on the night is settled anew every time (``features.attempts``).
"""

import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.judged import CELLS, JudgedLog, join_logs, judge_log
from features.quarantine import parse_rejects, spell_rejects
from pipelines.kept_folder import KEPT, keep_table, name_judge, read_index, sweep, tell_change, tell_fact
from pipelines.sources.blocks import Block

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


def read_log(blocks: Sequence[Block], folder: Path, zone: str, *, rebuild: bool = False) -> LogReading:
    """Judge the blocks of a log that are not in ``folder`` yet, keep them there, and join all of them.

    Parameters
    ----------
    folder
        Of ``pipelines.kept_folder.find_kept``. What it holds of blocks that are gone, or of another kakedoki, is
        removed.
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
    before = read_index(home)
    logs = {block.digest: _read_block(home / f"{block.digest}.parquet") for block in blocks}
    unknown = {block.digest: block for block in blocks if logs[block.digest] is None}
    n_read = 0
    for block, fresh in _judge(list(unknown.values()), zone):
        logs[block.digest] = fresh
        _keep(home / f"{block.digest}.parquet", fresh)
        n_read += len(fresh)
    parts = [(block, log) for block in blocks if (log := logs[block.digest]) is not None]
    facts = [tell_fact(block.digest, log.cells["attempted_at"]) for block, log in parts]
    sweep(folder, home, facts)
    whole = join_logs([_number(log, block.first_row) for block, log in parts])
    return LogReading(whole, n_read, tell_change(before, facts))


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
        return JudgedLog(table.cast(CELLS), parse_rejects((table.schema.metadata or {})[b"rejects"]))
    except FileNotFoundError:
        return None
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        logging.getLogger("kakedoki").warning("%s: cannot be read and is made again: %s", file, error)
        return None


def _keep(file: Path, log: JudgedLog) -> None:
    keep_table(file, log.cells.replace_schema_metadata({"rejects": spell_rejects(log.rejects)}))


def _number(log: JudgedLog, by: int) -> JudgedLog:
    """The same rows ``by`` lines further down."""
    rows = pc.add(log.cells["row"], pa.scalar(by, pa.int64()))
    moved = log.rejects.assign(row=log.rejects["row"] + by) if len(log.rejects) else log.rejects
    return JudgedLog(log.cells.set_column(_ROW, "row", rows), moved)
