"""A judged log laid out by customer: one Arrow file, of which a shard of the customers is read without the others.

A shard is what the hash of ``customer_id`` leaves when divided by a power of two, so that of twice as many shards two
make one. A file holds its log piece by piece, and of each piece a record batch for every shard, in order.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from configs.errors import SourceError
from features.judged import CELLS, JudgedLog, take_rows
from features.quarantine import join_rejects, parse_rejects, spell_rejects

HASHED = "CAST(hash(coalesce({id}, '')) % {n_shards} AS INTEGER)"
"""Shard of a customer in DuckDB's SQL."""

Choice = Callable[[Any], npt.NDArray[np.bool_]]
_PLAIN = {pa.large_string(): pa.string(), CELLS.field("outcome").type: pa.string()}
_STORED = pa.schema([(field.name, _PLAIN.get(field.type, field.type)) for field in CELLS])
_ID = _STORED.get_field_index("customer_id")
_PACKED = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 1))
_ALONE = pa.ipc.IpcReadOptions(use_threads=False)  # other processes read beside us


def find_shards(ids: Any, n_shards: int) -> npt.NDArray[np.int32]:
    """Shard of every customer, (n,); who has no id is where the empty id is.

    >>> find_shards(pa.array(["a", "b", None]), 1).tolist()
    [0, 0, 0]
    """
    with duckdb.connect(config={"python_enable_replacements": "false"}) as database:
        database.register("given", pa.table({"id": ids}))
        found = database.sql(f"SELECT {HASHED.format(id='id', n_shards=n_shards)} AS shard FROM given")
        return np.asarray(found.to_arrow_table()["shard"].to_numpy())


@contextmanager
def open_shards(sink: Any, n_shards: int) -> Iterator[Callable[[JudgedLog, npt.NDArray[np.int32]], None]]:
    """Write a file of shards.

    Yields
    ------
    What writes a piece, given the shard of each of its rows.
    """
    with pa.ipc.new_file(sink, _STORED, options=_PACKED) as writer:

        def write(log: JudgedLog, shards: npt.NDArray[np.int32]) -> None:
            whole = take_rows(log, np.argsort(shards, kind="stable"))
            cells = whole.cells.cast(_STORED)
            batch = pa.record_batch([cells[name].combine_chunks() for name in _STORED.names], schema=_STORED)
            ends = np.cumsum(np.bincount(shards, minlength=n_shards))
            for begin, end in zip([0, *ends], ends, strict=False):
                listed = _list_rejects(whole.rejects, begin, end)
                writer.write_batch(batch.slice(begin, end - begin), {b"rejects": listed.encode()} if listed else None)

        yield write


def count_pieces(file: Path, n_shards: int) -> int:
    """Count the pieces of a file; 0 where there is none, or it cannot be read."""
    try:
        with pa.OSFile(str(file), "r") as source:
            return int(pa.ipc.open_file(source).num_record_batches) // n_shards
    except (OSError, pa.ArrowException):
        return 0


def has_customer(file: Path, customer_id: str) -> bool:
    """Whether a customer occurs in a file; true where it cannot be read."""
    wanted, options = pa.scalar(customer_id), pa.ipc.IpcReadOptions(included_fields=[_ID])
    try:
        with pa.OSFile(str(file), "r") as source:
            reader = pa.ipc.open_file(source, options=options)
            batches = (reader.get_batch(at) for at in range(reader.num_record_batches))
            return any(pc.any(pc.equal(batch.column(0), wanted)).as_py() for batch in batches)
    except (OSError, pa.ArrowException):
        return True


def read_shards(
    files: Sequence[tuple[Path, int]], n_shards: int, shards: range, choose: Choice | None = None
) -> JudgedLog:
    """Read some shards of several files as one log, by line.

    Parameters
    ----------
    files
        Each with the line of its first row.
    choose
        Marks the rows that are wanted, (n,) bool, by their customers; all without it.

    Raises
    ------
    SourceError
        A file is damaged; it is removed, so that the next run makes it again.
    """
    batches, rejects, lines = [], [], [np.zeros(0, dtype="int64")]
    n_rows = 0
    for file, first_row in files:
        for batch, listed in _read_batches(file, n_shards, shards):
            if choose is not None:
                batch, listed = _filter(batch, listed, choose(batch["customer_id"]))
            if listed is not None:
                rejects.append(listed.assign(position=listed["position"] + n_rows, row=listed["row"] + first_row))
            lines.append(batch["row"].to_numpy() + first_row)
            batches.append(batch)
            n_rows += len(batch)
    rows = np.concatenate(lines)
    table = pa.Table.from_batches(batches, _STORED).set_column(0, "row", pa.array(rows))
    log = JudgedLog(table.combine_chunks().cast(CELLS), join_rejects(rejects))
    return log if (np.diff(rows) > 0).all() else take_rows(log, np.argsort(rows, kind="stable"))


def _filter(
    batch: pa.RecordBatch, listed: pd.DataFrame | None, is_wanted: npt.NDArray[np.bool_]
) -> tuple[pa.RecordBatch, pd.DataFrame | None]:
    if listed is not None:
        now_at = np.cumsum(is_wanted) - 1
        listed = listed[is_wanted[listed["position"].to_numpy()]]
        listed = listed.assign(position=now_at[listed["position"].to_numpy()])
    return batch.filter(pa.array(is_wanted)), listed


def _list_rejects(rejects: pd.DataFrame, begin: int, end: int) -> str:
    """The rejects of some rows as JSON, counted from the first of them; empty where there is none."""
    first, last = np.searchsorted(rejects["position"].to_numpy(), [begin, end])
    mine = rejects.iloc[first:last]
    return spell_rejects(mine.assign(position=mine["position"] - begin)) if len(mine) else ""


def _read_batches(file: Path, n_shards: int, shards: range) -> Iterator[tuple[pa.RecordBatch, pd.DataFrame | None]]:
    try:
        with pa.OSFile(str(file), "r") as source:
            reader = pa.ipc.open_file(source, options=_ALONE)
            for piece in range(0, reader.num_record_batches, n_shards):
                for shard in shards:
                    batch, told = reader.get_batch_with_custom_metadata(piece + shard)
                    yield batch, None if told is None else parse_rejects(told[b"rejects"])
    except (OSError, pa.ArrowException) as error:
        file.unlink(missing_ok=True)
        raise SourceError(f"{file}: what was kept of the log is damaged: run again, it is made anew") from error
