"""A source of any size cut into chunks that fit into memory: customers who share a phone stay together, by their hash.

DuckDB reads the Parquet files once, within a limit of memory, and writes each chunk's customers and attempts beside
one another; from then on a chunk is read like a small source.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from configs.errors import ContractError, SourceError

MOST_CHUNKS = 1_000
_MEMORY = "2GB"
_BATCH = 100_000
_TABLES = ("customers", "call_attempts")
# The last digits are the same however a number is written; who shares them by accident shares a chunk, no more.
_KEY = """coalesce(nullif(right(regexp_replace(translate(CAST(phone AS VARCHAR), '０１２３４５６７８９', '0123456789'),
'[^0-9]', '', 'g'), 8), ''), CAST(customer_id AS VARCHAR))"""


def split_source(folder: Path, spool: Path, per_chunk: int) -> list[int]:
    """Write the customers and attempts of a folder of Parquet files into ``spool``, chunk by chunk.

    Parameters
    ----------
    folder
        Holds ``customers.parquet`` and ``call_attempts.parquet``, with the columns of the contract.
    per_chunk
        Customers of a chunk, about; more where there would be over ``MOST_CHUNKS``.

    Returns
    -------
    list of int
        Customers of each chunk.

    Raises
    ------
    SourceError
        A file is missing or damaged.
    ContractError
        A table lacks ``customer_id``.
    """
    files = {name: folder / f"{name}.parquet" for name in _TABLES}
    for path in files.values():
        if not path.is_file():
            raise SourceError(f"{path}: no such file: a source that is planned in chunks is a folder of Parquet files")
    with _telling(folder), closing(_open(spool)) as database:
        for name, path in files.items():
            database.read_parquet(str(path), file_row_number=True).create_view(name)
        found = database.execute("SELECT count(*) FROM customers").fetchone()
        n_chunks = min(MOST_CHUNKS, max(1, round((found[0] if found else 0) / per_chunk)))
        return _write_chunks(database, spool, n_chunks)


@contextmanager
def _telling(folder: Path) -> Iterator[None]:
    """Say in our words what DuckDB could not read."""
    try:
        yield
    except duckdb.BinderException as error:
        raise ContractError(f"{folder}: {str(error).splitlines()[0]}") from error
    except duckdb.IOException as error:
        raise SourceError(f"{folder}: {str(error).splitlines()[0]}: export it again") from error


def _open(spool: Path | None = None) -> duckdb.DuckDBPyConnection:
    options: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": _MEMORY,
        "preserve_insertion_order": "false",
    }
    if spool is not None:
        spool.mkdir(parents=True, exist_ok=True)
        options["temp_directory"] = str(spool / "spilled")
    database = duckdb.connect(config=options)
    database.execute(f"SET partitioned_write_max_open_files = {MOST_CHUNKS}")
    return database


def _write_chunks(database: duckdb.DuckDBPyConnection, spool: Path, n_chunks: int) -> list[int]:
    has_phone = "phone" in database.view("customers").columns
    key = f"min({_KEY})" if has_phone else "min(CAST(customer_id AS VARCHAR))"
    database.execute(
        f"CREATE TEMP TABLE places AS SELECT CAST(customer_id AS VARCHAR) AS id, "
        f"CAST(hash({key}) % {n_chunks} AS INTEGER) AS chunk, count(*) AS n FROM customers GROUP BY id"
    )
    for name in _TABLES:
        stray = f"CAST(hash(CAST(t.customer_id AS VARCHAR)) % {n_chunks} AS INTEGER)"  # the contract will reject it
        database.execute(
            f"COPY (SELECT t.*, coalesce(chunk, {stray}, 0) AS chunk FROM {name} t "
            f"LEFT JOIN places ON id = CAST(t.customer_id AS VARCHAR)) TO '{spool / name}' "
            "(FORMAT parquet, PARTITION_BY (chunk))"
        )
    counts = dict(database.execute("SELECT chunk, CAST(sum(n) AS BIGINT) FROM places GROUP BY chunk").fetchall())
    return [counts.get(number, 0) for number in range(n_chunks)]


def read_chunk(spool: Path, number: int) -> dict[str, pd.DataFrame]:
    """Read the raw tables of one chunk, as ``pipelines.sources`` reads those of a folder; rows keep their numbers."""
    return {name: _read_table(spool, name, number) for name in _TABLES}


def _read_table(spool: Path, name: str, number: int) -> pd.DataFrame:
    files = sorted((spool / name / f"chunk={number}").glob("*.parquet"))
    if not files:  # nobody of this chunk has a row: any other chunk tells the columns
        files = sorted((spool / name).glob("*/*.parquet"))[:1]
        return _name_rows(pq.ParquetFile(files[0]).schema_arrow.empty_table()) if files else pd.DataFrame()
    return _name_rows(pa.concat_tables([pq.ParquetFile(file).read() for file in files]))


def _name_rows(table: pa.Table) -> pd.DataFrame:
    frame = table.to_pandas(ignore_metadata=True).rename(columns=lambda name: str(name).strip())
    return frame.set_index(frame.pop("file_row_number").to_numpy() + 2).rename_axis("row")  # as a header counted


def read_share(folder: Path, n_shares: int) -> dict[str, pd.DataFrame]:
    """Read one customer in ``n_shares`` of a folder of Parquet files, with all their attempts.

    Raises
    ------
    SourceError, ContractError
        As :func:`split_source`.
    """
    with _telling(folder), closing(_open()) as database:
        tables = {}
        for name in _TABLES:
            database.read_parquet(str(folder / f"{name}.parquet"), file_row_number=True).create_view(name)
            chosen = f"hash(CAST(customer_id AS VARCHAR)) % {n_shares} = 0"
            tables[name] = _name_rows(database.sql(f"SELECT * FROM {name} WHERE {chosen}").to_arrow_table())
    return tables


def read_sorted(spool: Path, names: str, query: str) -> Iterator[pa.RecordBatch]:
    """What an SQL query says of the Parquet files in ``spool`` with such names, its view ``parts``, batch by batch."""
    with closing(_open(spool)) as database:
        database.read_parquet(str(spool / f"{names}.parquet")).create_view("parts")
        yield from database.sql(query).to_arrow_reader(_BATCH)
