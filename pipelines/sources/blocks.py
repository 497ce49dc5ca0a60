"""A table cut into blocks that know their content without being read, so that only new ones need to be.

The cuts follow the content, not the position: after every row whose own hash says so, one in ``ROWS`` or so. A row that
is added, changed or gone anywhere changes its own block and leaves all others as they were.

Source: Muthitacharoen, Chen and Mazieres, A low-bandwidth network file system (2001), cuts files that way.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.judged import hash_rows
from pipelines.sources.delimited import CsvText

ROWS = 1 << 14
"""Rows of a block, about; four times as many at most."""
ROW_LINE = "kakedoki_line"
"""Reserved column of a Parquet file that was made of a source: the line of each row in it."""

_LOOKED_AT = 48
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Block:
    """A stretch of a table.

    Attributes
    ----------
    digest
        Of all that its rows are read from: the same content has the same digest, wherever it stands.
    first_row
        Line of its first row in the file (the header is line 1).
    read
        Reads it, as ``pipelines.sources`` reads a whole table, with an index ``row`` where there is any row.
    """

    digest: str
    first_row: int
    read: Callable[[], pd.DataFrame]


def cut_csv(text: CsvText) -> list[Block]:
    r"""Cut a CSV into blocks of whole records; an empty file is one block.

    >>> from pathlib import Path
    >>> from pipelines.sources.delimited import open_csv
    >>> [block.first_row for block in cut_csv(open_csv(Path("agents.csv"), b"agent_id\n007\n"))]
    [2]
    """
    if len(text) == 0:
        return [Block(_digest(text.text), 2, text.read)]
    blocks = []
    for begin, end in find_stretches(_hash_lines(text.text, text.starts[1:])):
        digest = _digest(text.content(begin, end), b"cut" if text.is_cut and end == len(text) else b"")
        blocks.append(Block(digest, int(text.lines[begin + 1]), partial(text.read, begin, end)))
    return blocks


def cut_parquet(content: bytes) -> list[Block]:
    """Cut a Parquet file into its row groups, known by their bytes; larger ones by their rows.

    Raises
    ------
    pyarrow.ArrowException, OSError
        The file is damaged.
    """
    file, blocks, first_row = pq.ParquetFile(pa.BufferReader(content)), [], 2
    for group in range(file.num_row_groups):
        n_rows = file.metadata.row_group(group).num_rows
        if n_rows <= 4 * ROWS:
            schema = str(file.schema_arrow.remove_metadata()).encode()
            digest = _digest(schema, *_column_bytes(content, file.metadata.row_group(group)))
            blocks.append(Block(digest, first_row, partial(_read_group, file, group, first_row)))
        else:
            blocks += cut_frame(_read_group(file, group, first_row))
        first_row += n_rows
    return blocks or [Block(_digest(content), 2, partial(_read_parquet, content))]


def cut_frame(frame: pd.DataFrame) -> list[Block]:
    """Cut a table that has been read into blocks by the hash of its rows; an empty table is one block.

    >>> [len(block.read()) for block in cut_frame(pd.DataFrame({"a": ["x", "y"]}))]
    [2]
    """
    if frame.index.name == "row":
        frame = frame.sort_index(kind="stable")
        rows = frame.index.to_numpy()
    else:
        rows = np.arange(len(frame)) + 2
    kind = str([(str(name), str(frame[name].dtype)) for name in frame.columns]).encode()
    if frame.empty:
        return [Block(_digest(kind), 2, lambda: frame)]
    hashes = hash_rows(frame)
    numbered = frame.set_axis(pd.Index(rows, name="row"), axis=0)
    return [
        Block(
            _digest(kind, hashes[begin:end].tobytes(), (rows[begin:end] - rows[begin]).tobytes()),
            int(rows[begin]),
            partial(_take, numbered, begin, end),
        )
        for begin, end in find_stretches(hashes)
    ]


def number_rows(table: pa.Table, first_row: int) -> pd.DataFrame:
    """Rows of a Parquet file in pandas, their index ``row`` their line, else counted from ``first_row``.

    >>> number_rows(pa.table({" a": ["x"]}), 7).to_dict()
    {'a': {7: 'x'}}
    """
    rows: Any = pd.RangeIndex(first_row, first_row + table.num_rows, name="row")
    if ROW_LINE in table.column_names:
        rows = pd.Index(table[ROW_LINE].to_numpy(), name="row")
        table = table.drop_columns([ROW_LINE])
    frame = table.to_pandas(ignore_metadata=True).set_axis(rows, axis=0)
    return frame.rename(columns=lambda name: str(name).strip())


def _take(frame: pd.DataFrame, begin: int, end: int) -> pd.DataFrame:
    return frame.iloc[begin:end]


def find_stretches(hashes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Begin and end of every block, by the hashes of the rows; (n,) uint64.

    >>> list(find_stretches(np.array([1, 0, 1], dtype="uint64")))
    [(0, 2), (2, 3)]
    """
    begin, n_rows = 0, len(hashes)
    for mark in [*(np.flatnonzero(hashes % np.uint64(ROWS) == 0) + 1), n_rows]:
        while begin < mark:
            end = min(int(mark), begin + 4 * ROWS)
            yield begin, end
            begin = end


def _hash_lines(text: bytes, starts: np.ndarray) -> np.ndarray:
    """A hash of the first bytes and the last ones of every record; (n,) uint64. Good enough to cut by, no more."""
    padded = text + bytes(_LOOKED_AT)
    words = np.ndarray(len(padded) - 7, dtype="<u8", buffer=padded, strides=(1,))
    ends = np.append(starts[1:], len(text))
    mixed = (ends - starts).astype("uint64")
    for at in range(0, _LOOKED_AT - 7, 8):
        mixed = (mixed ^ words[np.minimum(starts + at, len(words) - 1)]) * _ODD
        mixed ^= mixed >> np.uint64(29)
    mixed = (mixed ^ words[np.maximum(ends - 8, 0)]) * _ODD
    return np.asarray(mixed ^ (mixed >> np.uint64(32)))


def _column_bytes(content: bytes, group: pq.RowGroupMetaData) -> Iterator[memoryview]:
    """The compressed bytes of every column of a row group, where they are in the file."""
    seen = memoryview(content)
    for at in range(group.num_columns):
        begin, end = place_column(group.column(at))
        yield seen[begin:end]


def place_column(column: pq.ColumnChunkMetaData) -> tuple[int, int]:
    """First byte of a column of a row group in its file, and the one after its last."""
    begin = (column.dictionary_page_offset if column.has_dictionary_page else None) or column.data_page_offset
    return begin, begin + column.total_compressed_size


def _read_group(file: pq.ParquetFile, group: int, first_row: int) -> pd.DataFrame:
    return number_rows(file.read_row_group(group), first_row)


def _read_parquet(content: bytes) -> pd.DataFrame:
    return pq.read_table(pa.BufferReader(content)).to_pandas(ignore_metadata=True)


def _digest(*parts: bytes | memoryview) -> str:
    seen = hashlib.blake2b(digest_size=20)
    for part in parts:
        seen.update(len(part).to_bytes(8, "little"))
        seen.update(part)
    return seen.hexdigest()
