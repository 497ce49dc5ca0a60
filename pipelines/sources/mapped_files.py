"""The maps of a settings file run over Parquet files of any size, in memory that does not grow with them.

What comes out is what ``pipelines.sources.mapping`` makes of the same tables in memory.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from configs.settings import TableMap
from features.quarantine import ROW_FAULT
from pipelines.sources.blocks import ROW_LINE
from pipelines.sources.databases import quote, stream_reader
from pipelines.sources.mapping import SOURCE_ROW, failing_clearly, spell_query, translate

_BATCH = 100_000
_MEMORY = "1GB"


@dataclass(frozen=True)
class RawFile:
    """A raw table as a Parquet file.

    Attributes
    ----------
    path
        It may hold ``ROW_LINE`` and ``ROW_FAULT``.
    fault
        Why the first faulty row cannot be trusted; empty where all can.
    """

    path: Path
    fault: str = ""


def stream_map(files: Mapping[str, RawFile], name: str, table: TableMap, room: Path) -> Iterator[pa.Table]:
    """Make one of our tables from raw files, batch by batch.

    Parameters
    ----------
    files
        Raw tables by name.
    room
        Folder for what DuckDB cannot hold in memory.

    Yields
    ------
    pyarrow.Table
        All of one schema, with ``ROW_FAULT``, and with ``ROW_LINE`` where the query passes ``source_row`` on; one at
        least. Failures are those of :func:`pipelines.sources.mapping.map_tables`.
    """
    for faulty in (None, *(raw for raw, file in files.items() if file.fault)):
        reason = None if faulty is None else f"a row of {faulty}: {files[faulty].fault}"
        with closing(_open(files, faulty, room)) as database, failing_clearly(name):
            query, is_passed_on = spell_query(database, name, table)
            for batch in stream_reader(database.sql(query).to_arrow_reader(_BATCH)):
                yield _finish(pa.Table.from_batches([batch]), table, is_passed_on, reason)


def count_mapped(files: Mapping[str, RawFile], name: str, table: TableMap, room: Path) -> int:
    """Count the sound rows that :func:`stream_map` gives."""
    with closing(_open(files, None, room)) as database, failing_clearly(name):
        return int(database.execute(f"SELECT count(*) FROM ({table.query})").fetchall()[0][0])


def _open(files: Mapping[str, RawFile], faulty: str | None, room: Path) -> duckdb.DuckDBPyConnection:
    """The sound rows of all files as views, or the faulty ones of one file alone; no other file can be reached."""
    options: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": _MEMORY,
        "temp_directory": str(room),
        "threads": 1,  # several give batches in any order, and every night other row groups
        "python_enable_replacements": "false",
    }
    database = duckdb.connect(config=options)
    for name, file in files.items():
        raw = database.read_parquet(str(file.path), file_row_number=True)
        is_sound = f"{ROW_FAULT} IS NULL" if ROW_FAULT in raw.columns else "true"
        is_meant = is_sound if faulty is None else f"NOT ({is_sound})" if faulty == name else "false"
        own = [column for column in raw.columns if column not in ("file_row_number", ROW_LINE, ROW_FAULT, SOURCE_ROW)]
        line = ROW_LINE if ROW_LINE in raw.columns else "file_row_number + 2"
        columns = [f"{quote(column)} AS {quote(column.strip())}" for column in own]
        raw.filter(is_meant).project(", ".join([*columns, f"{line} AS {SOURCE_ROW}"])).create_view(name)
    allowed = ", ".join("'" + str(file.path).replace("'", "''") + "'" for file in files.values())
    database.execute(f"SET allowed_paths = [{allowed}]")
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")
    return database


def _finish(batch: pa.Table, table: TableMap, is_passed_on: bool, reason: str | None) -> pa.Table:
    for column, codes in table.codes.items():
        texts = translate(batch.select([column]).to_pandas()[column], codes)
        ours = pa.array(texts, pa.string(), from_pandas=True)
        batch = batch.set_column(batch.column_names.index(column), column, ours)
    if is_passed_on:
        lines: Any = batch[SOURCE_ROW].cast(pa.int64())
        batch = batch.drop_columns([SOURCE_ROW]).append_column(ROW_LINE, pc.fill_null(lines, 0))
    return batch.append_column(ROW_FAULT, pa.array([reason] * len(batch), pa.string()))
