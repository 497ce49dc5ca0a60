"""Any source laid out as a folder of Parquet files, table by table, in memory that does not grow with it.

What stands in the files is what ``pipelines.sources.reader`` reads of the source, with the line of every row and what
is wrong with it. Row groups end where the content says so, so that rows which are added, changed or gone change their
own group and leave the bytes of all others as they were.
"""

import hashlib
import shutil
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from configs.errors import ContractError
from configs.settings import Settings
from features.judged import hash_cells
from features.quarantine import ROW_FAULT
from pipelines.kept_folder import write_private
from pipelines.sources.addresses import mask_password
from pipelines.sources.blocks import ROW_LINE, find_stretches
from pipelines.sources.databases import open_database, select
from pipelines.sources.delimited import PIECE, stream_csv
from pipelines.sources.folders import count_parquet, failing_clearly, find_files
from pipelines.sources.mapped_files import RawFile, count_mapped, stream_map
from pipelines.sources.mapping import mentions_table
from pipelines.sources.reader import REQUIRED_TABLES, TABLES, need_tables, require_tables

_CSV = ".csv"


@dataclass(frozen=True)
class LaidOut:
    """A source as a folder of Parquet files.

    Attributes
    ----------
    folder
        Holds customers.parquet and call_attempts.parquet, and agents and capacity where they exist.
    fingerprint
        SHA-256 of every table that was read, by its name in the source: of the file, or of the number and the sum of
        the hashes of a database table's rows.
    """

    folder: Path
    fingerprint: dict[str, str]


@dataclass(frozen=True)
class _Raw:
    files: dict[str, RawFile]
    fingerprint: dict[str, str]
    names: Collection[str]


def lay_out(source: str, settings: Settings, room: Path) -> LaidOut:
    """Lay a source out in an empty folder; one that is laid out already, and has no maps, stays where it is.

    Raises
    ------
    SourceError, ContractError, UsageError
        As :func:`pipelines.sources.reader.read_source`; customers or attempts are none.
    OSError
        The disk is full.
    """
    if is_laid_out(source, settings):
        folder = Path(source).expanduser()
        return LaidOut(folder, fingerprint_files(folder))
    raw = _take(source, need_tables(settings.source), room)
    maps = {} if settings.source is None else {str(name): table for name, table in settings.source.tables.items()}
    require_tables({*raw.files, *maps}, raw.names, mask_password(source))
    folder = room / "tables"
    folder.mkdir(exist_ok=True)
    for name, table in maps.items():
        _write(folder / f"{name}.parquet", stream_map(raw.files, name, table, room))
    for name in {*TABLES} & {*raw.files} - {*maps}:
        raw.files[name].path.rename(folder / f"{name}.parquet")
    for name in REQUIRED_TABLES:
        if count_parquet(folder / f"{name}.parquet") == 0:
            raise ContractError(f"{name}: the table is empty: was the export cut off?")
    shutil.rmtree(room / "raw")
    return LaidOut(folder, raw.fingerprint)


def fingerprint_files(folder: Path) -> dict[str, str]:
    """SHA-256 of the files of our tables in a folder, by name; failures are those of :func:`lay_out`."""
    return {name: _hash_file(file) for name, file in find_files(folder).items() if name in TABLES}


def is_laid_out(source: str, settings: Settings) -> bool:
    """Whether a source is a folder with customers.parquet and call_attempts.parquet, and is not mapped."""
    folder = Path(source).expanduser()
    files = [folder / f"{name}.parquet" for name in REQUIRED_TABLES]
    return "://" not in source and settings.source is None and all(file.is_file() for file in files)


def estimate_customers(source: str, settings: Settings, enough: int, room: Path) -> int:
    """Count the customers of any source by the footer, the lines of a CSV, or the database.

    Parameters
    ----------
    enough
        Where a map makes customers of tables that have no more rows than this, their rows are told; else it is run.
    room
        Empty folder for that.

    Raises
    ------
    SourceError, ContractError, UsageError
        The source cannot be reached, a file is damaged, or its map is wrong.
    """
    table = None if settings.source is None else settings.source.tables.get("customers")
    is_meant = "customers".__eq__ if table is None else partial(mentions_table, table)
    n_rows = _count(source, is_meant)
    if table is None or n_rows <= enough:
        return n_rows
    return count_mapped(_take(source, is_meant, room).files, "customers", table, room)


def _count(source: str, is_meant: Callable[[str], bool]) -> int:
    if "://" in source:
        with open_database(source) as database:
            return sum(map(database.count, filter(is_meant, database.names)))
    files = find_files(Path(source).expanduser())
    return sum(
        _count_lines(file) if file.suffix.lower() == _CSV else count_parquet(file)
        for name, file in files.items()
        if is_meant(name)
    )


def _take(source: str, is_needed: Callable[[str], bool], room: Path) -> _Raw:
    """The needed tables as they are in the source, each in a file whose name is a number."""
    shutil.rmtree(room / "raw", ignore_errors=True)
    fingerprint, files = dict[str, str](), dict[str, RawFile]()
    if "://" in source:
        with open_database(source) as database:
            for name in filter(is_needed, database.names):
                path = room / "raw" / f"{len(files)}.parquet"
                fingerprint[name], fault = _write(path, map(_make_plain, database.stream(select(name))))
                files[name] = RawFile(path, fault)
        return _Raw(files, fingerprint, database.names)
    found = find_files(Path(source).expanduser())
    for name, given in found.items():
        if is_needed(name):
            fingerprint[name] = _hash_file(given)
            files[name] = _take_file(given, room / "raw" / f"{len(files)}.parquet")
    return _Raw(files, fingerprint, found)


def _take_file(given: Path, path: Path) -> RawFile:
    if given.suffix.lower() == _CSV:
        return RawFile(path, _write(path, map(_number, stream_csv(given)))[1])
    count_parquet(given)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(given.resolve())
    return RawFile(path)


def _number(frame: pd.DataFrame) -> pa.Table:
    """A piece of a CSV in Arrow, with its lines and faults."""
    faults = frame[ROW_FAULT] if ROW_FAULT in frame else pd.Series(None, index=frame.index, dtype="str")
    texts = {str(name): cells for name, cells in frame.items()} | {ROW_FAULT: faults}
    columns = {name: pa.array(cells, pa.string(), from_pandas=True) for name, cells in texts.items()}
    return pa.table(columns | {ROW_LINE: pa.array(frame.index.to_numpy("int64"))})


def _make_plain(batch: pa.RecordBatch) -> pa.Table:
    """A batch of a database in types that Parquet knows."""
    columns: list[Any] = [each.storage if isinstance(each, pa.ExtensionArray) else each for each in batch.columns]
    for at, column in enumerate(columns):
        if pa.types.is_interval(column.type):
            columns[at] = pa.array([None if cell is None else str(cell) for cell in column.to_pylist()], pa.string())
    return pa.table(columns, names=batch.schema.names)


def _write(path: Path, pieces: Iterable[pa.Table]) -> tuple[str, str]:
    """Write a table; a fingerprint of its rows in whatever order, and why the first faulty one cannot be trusted."""
    pieces = iter(pieces)
    first = next(pieces)
    n_rows, total, fault, waiting, known = 0, 0, "", first.slice(0, 0), np.zeros(0, "uint64")
    with write_private(path) as sink, pq.ParquetWriter(sink, first.schema, compression="zstd") as writer:
        for piece in chain([first], pieces):
            fault = fault or _find_fault(piece)
            hashes = hash_cells(piece.drop_columns([ROW_LINE]) if ROW_LINE in piece.column_names else piece)
            n_rows, total = n_rows + len(piece), (total + int(hashes.sum(dtype="uint64"))) % 2**64
            waiting, known = pa.concat_tables([waiting, piece]), np.append(known, hashes)
            *whole, (rest, _) = list(find_stretches(known)) or [(0, 0)]  # the last one may go on
            for begin, end in whole:
                writer.write_table(waiting.slice(begin, end - begin).combine_chunks())
            waiting, known = waiting.slice(rest), known[rest:]
        if len(waiting):
            writer.write_table(waiting.combine_chunks())
    said = f"{first.schema.remove_metadata()}|{n_rows}|{total}"
    return hashlib.sha256(said.encode()).hexdigest(), fault


def _find_fault(piece: pa.Table) -> str:
    faults = piece[ROW_FAULT].drop_null().slice(0, 1).to_pylist() if ROW_FAULT in piece.column_names else []
    return "".join(map(str, faults))


def _count_lines(path: Path) -> int:
    with failing_clearly(path), path.open("rb") as file:
        return sum(piece.count(b"\n") for piece in iter(partial(file.read, PIECE), b"")) - 1


def _hash_file(path: Path) -> str:
    with failing_clearly(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
