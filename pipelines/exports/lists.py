"""Exports of exactly what is filtered: the same rows as CSV, Excel and Parquet, or in a dialler's own form."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Literal, cast, get_args

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from configs.errors import UsageError
from configs.presets import ExportPreset
from pipelines.exports.delimited import Encoding, write_delimited
from pipelines.exports.dialer_rows import DialerRows, PhoneBook
from pipelines.exports.filters import ListFilter
from pipelines.exports.remarks import Remark
from pipelines.exports.workbooks import write_workbook

Format = Literal["csv", "xlsx", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)
_COUNTED = ("customer_id", "listed", "n_attempts", "n_contacts", "last_attempted_at")
_BATCH = 50_000
_NOTHING = Remark("nothing matches: only the header is written", "該当する行がないため、見出しだけを書き出します")


@dataclass(frozen=True)
class Exported:
    """What an export holds.

    Attributes
    ----------
    n_rows
        Rows written, without the header.
    remarks
        Plain sentences worth telling: what an encoding lacks, what was left out, that nothing matches.
    """

    n_rows: int
    remarks: tuple[Remark, ...]


class _Counted:
    """Batches on their way, and how many rows there were."""

    def __init__(self, batches: Iterator[pd.DataFrame]) -> None:
        self.n_rows = 0
        self._batches = batches

    def __iter__(self) -> Iterator[pd.DataFrame]:
        for rows in self._batches:
            self.n_rows += len(rows)
            yield rows


def list_columns(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Columns of an export: those of the call list in their order, then what the run knows of its customers."""
    listed, people = (
        [row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()] for table in ("call_list", "customers")
    )
    return listed + [name for name in people if name not in (*listed, *_COUNTED)]


def select_list(connection: duckdb.DuckDBPyConnection, chosen: ListFilter) -> tuple[str, list[object]]:
    """Give the query, and the values of its ``?``, for the chosen rows in the order of the list: slot_start, rank.

    Raises
    ------
    UsageError
        The filter asks about customers, and the run was written by a kakedoki that did not keep them.
    """
    if chosen.needs_customers and not connection.execute("SELECT has_page FROM run").fetchall()[0][0]:
        raise UsageError("region, gender and age are not in this run: run the night again, or leave them out")
    listed = {row[0] for row in connection.execute("DESCRIBE call_list").fetchall()}
    names = [
        ("call_list." if name in listed else "customers.") + '"' + name.replace('"', '""') + '"'
        for name in list_columns(connection)
    ]
    where, values = chosen.to_sql()
    sql = (
        f"SELECT {', '.join(names)} FROM call_list "
        "LEFT JOIN customers ON customers.customer_id = call_list.customer_id "
        f"WHERE {where} ORDER BY call_list.slot_start, call_list.rank"
    )
    return sql, values


def export_list(
    connection: duckdb.DuckDBPyConnection,
    chosen: ListFilter,
    target: IO[bytes],
    format: Format = "csv",
    preset: ExportPreset | None = None,
    encoding: Encoding | None = None,
    book: PhoneBook | None = None,
) -> Exported:
    """Write the chosen rows of a run's list, all of them, in the order of the list.

    Parameters
    ----------
    connection
        Of ``open_run``; a cursor of it is used, so several threads may export at once.
    target
        Where the bytes go; for Excel and Parquet it must be able to seek.
    preset
        A dialler's columns in place of the list's.
    encoding
        Of CSV; default utf-8-sig, or the preset's. Characters that cp932 lacks are written as ``&#N;`` and told.
    book
        Telephone numbers, for presets that want them.

    Raises
    ------
    UsageError
        An unknown format, an encoding with another format than CSV, or a preset that lacks what it needs.
    """
    if format not in FORMATS:
        raise UsageError(f"--format {format}: use one of {', '.join(FORMATS)}")
    if encoding is not None and format != "csv":
        raise UsageError(f"--encoding {encoding}: only CSV has encodings; {format} holds every character")
    with connection.cursor() as cursor:
        sql, values = select_list(cursor, chosen)
        shaped = None if preset is None else DialerRows(preset, list_columns(cursor), book)
        reader = cast(pa.RecordBatchReader, cursor.sql(sql, params=values).to_arrow_reader(_BATCH))
        if format == "parquet" and shaped is None:
            n_rows, told = _write_parquet(reader, target), list[Remark]()
        else:
            batches = _read_frames(reader)
            counted = _Counted(batches if shaped is None else shaped.shape(batches))
            told = _write(iter(counted), cursor, target, format, preset, encoding)
            n_rows = counted.n_rows
    remarks = [*told, *(shaped.remarks() if shaped is not None else [])]
    return Exported(n_rows, (*remarks, *([_NOTHING] if n_rows == 0 else [])))


def _write(
    batches: Iterator[pd.DataFrame],
    cursor: duckdb.DuckDBPyConnection,
    target: IO[bytes],
    format: Format,
    preset: ExportPreset | None,
    encoding: Encoding | None,
) -> list[Remark]:
    if format == "xlsx":
        with cursor.cursor() as other:
            created = other.execute("SELECT run_date FROM run").fetchall()[0][0]
        return write_workbook(batches, target, created)
    if format == "parquet":
        _write_parquet_of(batches, target)
        return []
    if preset is None:
        return write_delimited(batches, target, encoding or "utf-8-sig")
    return write_delimited(batches, target, encoding or preset.encoding, preset.delimiter, preset.header)


def _read_frames(reader: pa.RecordBatchReader) -> Iterator[pd.DataFrame]:
    """Give the rows batch by batch; the first is empty and tells columns and types."""
    yield reader.schema.empty_table().to_pandas()
    for batch in reader:
        yield pa.Table.from_batches([batch]).to_pandas()


def _write_parquet(reader: pa.RecordBatchReader, target: IO[bytes]) -> int:
    n_rows = 0
    with pq.ParquetWriter(target, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)
            n_rows += batch.num_rows
    return n_rows


def _write_parquet_of(batches: Iterator[pd.DataFrame], target: IO[bytes]) -> None:
    """Write a dialler's rows, which are texts throughout."""
    first = next(batches)
    schema = pa.schema({str(name): pa.string() for name in first.columns})
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for rows in batches:
            writer.write_table(pa.Table.from_pandas(rows, schema=schema, preserve_index=False))
