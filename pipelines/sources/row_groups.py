"""A Parquet file of any size cut into blocks that know their content, of which only a piece is ever in memory.

A block is a row group, or neighbours that are small: one ends after a group whose own bytes say so, so that a group
that is added, changed or gone changes its own block and leaves all others as they were.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from configs.errors import SourceError
from pipelines.sources.blocks import number_rows, place_column

ROWS = 1 << 19
"""Rows of a block where row groups are small, about; twice as many at most. As many are read at a time."""

_BYTES = 1 << 24


@dataclass(frozen=True)
class GroupBlock:
    """Neighbouring row groups of a Parquet file.

    Attributes
    ----------
    digest
        Of their bytes: the same content has the same digest, wherever it stands.
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
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        digests = [_digest_group(source, file, group) for group in range(file.num_row_groups)]
    starts = np.cumsum([2, *sizes])
    return [
        GroupBlock(_digest(digests[begin:end]), int(starts[begin]), range(begin, end))
        for begin, end in _gather(digests, sizes)
    ]


def read_pieces(path: Path, block: GroupBlock) -> Iterator[pd.DataFrame]:
    """Read a block piece by piece; the index ``row`` counts from 0, the block's first row.

    Raises
    ------
    SourceError
        The file is damaged, or is another than the one that was cut.
    """
    with _open(path) as (source, file):
        if _digest(_digest_group(source, file, group) for group in block.groups) != block.digest:
            raise SourceError(f"{path.name}: was replaced while it was read: run again when the export is finished")
        n_rows, waiting = 0, list[pa.RecordBatch]()
        for batch in file.iter_batches(max(1, ROWS // 8), row_groups=list(block.groups)):
            waiting.append(batch)
            if sum(map(len, waiting)) >= ROWS:
                yield number_rows(pa.Table.from_batches(waiting), n_rows)
                n_rows, waiting = n_rows + sum(map(len, waiting)), []
        if waiting:
            yield number_rows(pa.Table.from_batches(waiting), n_rows)


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


def _digest_group(source: pa.NativeFile, file: pq.ParquetFile, group: int) -> str:
    seen, told = _begin(str(file.schema_arrow.remove_metadata())), file.metadata.row_group(group)
    for begin, end in (place_column(told.column(at)) for at in range(told.num_columns)):
        seen.update((end - begin).to_bytes(8, "little"))
        for at in range(begin, end, _BYTES):
            source.seek(at)
            seen.update(source.read(min(_BYTES, end - at)))
    return seen.hexdigest()


def _digest(digests: Iterable[str]) -> str:
    return _begin(" ".join(digests)).hexdigest()


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
