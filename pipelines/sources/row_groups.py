"""A Parquet file of any size cut into blocks that know their content, of which only a piece is ever in memory.

A block is a row group, or neighbours that are small: one ends after a group whose own bytes say so, so that a group
that is added, changed or gone changes its own block and leaves all others as they were.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from configs.errors import SourceError
from pipelines.sources.blocks import ROW_LINE, number_rows, place_column

ROWS = 1 << 19
"""Rows of a block where row groups are small, about; twice as many at most. As many are read at a time."""

_BYTES = 1 << 24


@dataclass(frozen=True)
class GroupBlock:
    """Neighbouring row groups of a Parquet file.

    Attributes
    ----------
    digest
        Of their bytes: the same content has the same digest, wherever it stands. Of a column of lines
        (``pipelines.sources.blocks.ROW_LINE``) only the steps from row to row belong to it.
    first_row
        Line of the first row in the file (the header is line 1).
    groups
        Their numbers in the file.
    """

    digest: str
    first_row: int
    groups: range


def cut_groups(path: Path) -> list[GroupBlock]:
    """Cut a Parquet file into blocks by the bytes of its row groups, which are hashed and not decoded.

    Raises
    ------
    SourceError
        The file is missing or damaged.
    """
    with _open(path) as (source, file):
        groups = _learn_groups(source, file, range(file.num_row_groups))
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    return [
        GroupBlock(_digest(groups[begin:end]), groups[begin][1], range(begin, end))
        for begin, end in _gather([digest for digest, _ in groups], sizes)
    ]


def read_pieces(path: Path, block: GroupBlock) -> Iterator[pd.DataFrame]:
    """Read a block piece by piece; the index ``row`` counts from 0, the block's first row, by lines of the source.

    Raises
    ------
    SourceError
        The file is damaged, or is another than the one that was cut.
    """
    with _open(path) as (source, file):
        if _digest(_learn_groups(source, file, block.groups)) != block.digest:
            raise SourceError(f"{path.name}: was replaced while it was read: run again when the export is finished")
        n_rows, waiting = 0, list[pa.RecordBatch]()
        for batch in file.iter_batches(max(1, ROWS // 8), row_groups=list(block.groups)):
            waiting.append(batch)
            if sum(map(len, waiting)) >= ROWS:
                yield _number_from_0(waiting, block, n_rows)
                n_rows, waiting = n_rows + sum(map(len, waiting)), []
        if waiting:
            yield _number_from_0(waiting, block, n_rows)


def _number_from_0(batches: Sequence[pa.RecordBatch], block: GroupBlock, n_before: int) -> pd.DataFrame:
    frame = number_rows(pa.Table.from_batches(batches), block.first_row + n_before)
    return frame.set_axis(frame.index - block.first_row, axis=0)


def _gather(digests: Sequence[str], sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First row group of every block, and the one after its last."""
    begin, n_rows = 0, 0
    for group, (digest, size) in enumerate(zip(digests, sizes, strict=True)):
        if group > begin and n_rows + size > 2 * ROWS:
            yield begin, group
            begin, n_rows = group, 0
        n_rows += size
        if int(digest[:8], 16) % max(1, ROWS // max(1, size)) == 0:
            yield begin, group + 1
            begin, n_rows = group + 1, 0
    if begin < len(digests):
        yield begin, len(digests)


def _learn_groups(source: pa.NativeFile, file: pq.ParquetFile, groups: range) -> list[tuple[str, int]]:
    """Digest of every row group, and the line of its first row: as the file says, else counted from 2."""
    learned, line, has_lines = list[tuple[str, int]](), 2, ROW_LINE in file.schema_arrow.names
    for group in groups:
        lines = file.read_row_group(group, [ROW_LINE])[ROW_LINE].to_numpy() if has_lines else np.zeros(0, "int64")
        line = int(lines[0]) if len(lines) else line
        learned.append((_digest_group(source, file, group, np.diff(lines)), line))
        line += file.metadata.row_group(group).num_rows
    return learned


def _digest_group(source: pa.NativeFile, file: pq.ParquetFile, group: int, steps: np.ndarray) -> str:
    seen, told = _begin(str(file.schema_arrow.remove_metadata())), file.metadata.row_group(group)
    seen.update(steps.tobytes())
    columns = [told.column(at) for at in range(told.num_columns)]
    for begin, end in (place_column(column) for column in columns if column.path_in_schema != ROW_LINE):
        seen.update((end - begin).to_bytes(8, "little"))
        for at in range(begin, end, _BYTES):
            source.seek(at)
            seen.update(source.read(min(_BYTES, end - at)))
    return seen.hexdigest()


def _digest(groups: Sequence[tuple[str, int]]) -> str:
    return _begin(" ".join(f"{digest}+{line - groups[0][1]}" for digest, line in groups)).hexdigest()


def _begin(text: str) -> "hashlib.blake2b":
    return hashlib.blake2b(text.encode(), digest_size=20)


@contextmanager
def _open(path: Path) -> Iterator[tuple[pa.NativeFile, pq.ParquetFile]]:
    try:
        with pa.OSFile(str(path), "r") as source:
            yield source, pq.ParquetFile(source)
    except FileNotFoundError as error:
        raise SourceError(f"{path}: no such file: check --source") from error
    except (pa.ArrowException, OSError) as error:
        said = str(error).splitlines()[0]
        raise SourceError(f"{path.name}: damaged or cut short: {said}: export it again") from error
