"""A source of any size cut into chunks that fit into memory: customers who share a phone stay together, by their hash.

DuckDB reads the customers once, within a limit of memory, and writes each chunk's beside one another. The log is kept
by shards of the same hash (``pipelines.kept_shards``), so that a chunk's attempts are its own shard's, but for those of
the few whose phone is also that of somebody in another chunk: these *strays* move over before anything is planned.
"""

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from configs.errors import ContractError, SourceError
from features.judged import JudgedLog, join_logs, take_rows
from pipelines.kept_shards import KeptShards
from pipelines.shards import HASHED, open_shards, read_shards
from pipelines.sources.blocks import ROW_LINE, number_rows
from pipelines.sources.folders import count_parquet

MOST_CHUNKS = 1024
_MEMORY = "2GB"
_BATCH = 100_000
_ID = "read_id"
_STRAYS, _MOVED = "strays.parquet", "moved.arrow"
_BLANKS = "chr(9) || chr(10) || chr(11) || chr(12) || chr(13) || chr(32) || chr(160) || chr(12288)"
# The last digits are the same however a number is written; who shares them by accident shares a chunk, no more.
_PHONE = """nullif(right(regexp_replace(translate(CAST(phone AS VARCHAR), '０１２３４５６７８９', '0123456789'),
'[^0-9]', '', 'g'), 8), '')"""


def count_customers(folder: Path) -> int:
    """Count the rows of ``customers.parquet`` by its footer.

    Raises
    ------
    SourceError
        The file is missing or damaged.
    """
    return count_parquet(folder / "customers.parquet")


def count_chunks(n_customers: int, per_chunk: int) -> int:
    """Count the chunks of some ``per_chunk`` customers: a power of two, at most ``MOST_CHUNKS``.

    >>> count_chunks(12_500_000, 100_000), count_chunks(10, 100_000)
    (128, 1)
    """
    return min(MOST_CHUNKS, 1 << max(0, round(math.log2(max(n_customers, 1) / per_chunk))))


def split_customers(folder: Path, spool: Path, n_chunks: int) -> list[int]:
    """Write the customers of a folder of Parquet files into ``spool``, chunk by chunk, and who are strays.

    Parameters
    ----------
    folder
        Holds ``customers.parquet``, with the columns of the contract.
    n_chunks
        Of :func:`count_chunks`.

    Returns
    -------
    list of int
        Customers of each chunk.

    Raises
    ------
    SourceError
        The file is missing or damaged.
    ContractError
        The table lacks ``customer_id``.
    """
    with _open_customers(folder, spool) as database:
        phone = _PHONE if "phone" in database.view("customers").columns else "CAST(NULL AS VARCHAR)"
        home, chunk = (HASHED.format(id=key, n_shards=n_chunks) for key in ("id", "min(coalesce(first, id))"))
        database.execute(f"CREATE TEMP TABLE people AS SELECT {_ID} AS id, {phone} AS phone FROM customers")
        database.execute(  # the key of a group is its first customer, so that nearly everybody stays at home
            "CREATE TEMP TABLE places AS WITH groups AS "
            "(SELECT phone, min(id) AS first FROM people WHERE phone IS NOT NULL GROUP BY phone HAVING count(*) > 1) "
            f"SELECT id, {home} AS home, {chunk} AS chunk, count(*) AS n "
            "FROM people LEFT JOIN groups USING (phone) GROUP BY id"
        )
        database.execute(
            f"COPY (SELECT c.* EXCLUDE ({_ID}), p.chunk FROM customers c JOIN places p ON p.id = {_ID}) "
            f"TO '{spool / 'customers'}' (FORMAT parquet, PARTITION_BY (chunk))"
        )
        strays = "SELECT id, home, chunk FROM places WHERE home != chunk ORDER BY home, id"
        pq.write_table(database.sql(strays).to_arrow_table(), spool / _STRAYS)
        counts = dict(database.execute("SELECT chunk, CAST(sum(n) AS BIGINT) FROM places GROUP BY chunk").fetchall())
    return [counts.get(number, 0) for number in range(n_chunks)]


def move_strays(log: KeptShards, spool: Path, n_chunks: int) -> None:
    """Write the attempts of all strays into ``spool``, by the chunk in which they are planned."""
    strays = pq.read_table(spool / _STRAYS)
    with (spool / _MOVED).open("wb") as sink, open_shards(sink, n_chunks) as write:
        for home in np.unique(strays["home"].to_numpy()).tolist():
            theirs = strays.filter(pc.equal(strays["home"], pa.scalar(home)))
            moved = log.read(home, n_chunks, partial(_is_among, theirs["id"]))
            if len(moved):
                at = pc.index_in(moved.cells["customer_id"], theirs["id"].cast(pa.large_string()))
                write(moved, theirs["chunk"].to_numpy()[at.to_numpy()])


def read_chunk(log: KeptShards, spool: Path, number: int, n_chunks: int) -> tuple[pd.DataFrame, JudgedLog]:
    """Read the customers of a chunk, as ``pipelines.sources`` reads a table, and their attempts by line."""
    away = pq.read_table(spool / _STRAYS, filters=[("home", "==", number)])["id"]
    own = log.read(number, n_chunks, lambda ids: ~_is_among(away, ids))
    moved = read_shards([(spool / _MOVED, 0)], n_chunks, range(number, number + 1))
    joined = join_logs([own, moved])
    return _read_customers(spool, number), take_rows(joined, np.argsort(joined.cells["row"].to_numpy(), kind="stable"))


def _is_among(some: Any, ids: Any) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.is_in(ids, some.cast(ids.type)).to_numpy(zero_copy_only=False))


def read_share(folder: Path, n_shares: int) -> pd.DataFrame:
    """Read one customer in ``n_shares``, a power of two, of a folder of Parquet files: those of shard 0.

    Raises
    ------
    SourceError, ContractError
        As :func:`split_customers`.
    """
    with _open_customers(folder) as database:
        chosen = f"{HASHED.format(id=_ID, n_shards=n_shares)} = 0"
        return _name_rows(database.sql(f"SELECT * EXCLUDE ({_ID}) FROM customers WHERE {chosen}").to_arrow_table())


def read_sorted(spool: Path, names: str, query: str) -> Iterator[pa.RecordBatch]:
    """What an SQL query says of the Parquet files in ``spool`` with such names, its view ``parts``, batch by batch."""
    with closing(_open(spool)) as database:
        database.read_parquet(str(spool / f"{names}.parquet")).create_view("parts")
        yield from database.sql(query).to_arrow_reader(_BATCH)


@contextmanager
def _open_customers(folder: Path, spool: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """The view ``customers``, with ``read_id`` as the contract reads it; what it cannot read is said in our words."""
    count_customers(folder)
    try:
        with closing(_open(spool)) as database:
            table = database.read_parquet(str(folder / "customers.parquet"), file_row_number=True)
            kinds = dict(zip(table.columns, map(str, table.types), strict=True))
            if ROW_LINE not in kinds:
                table = table.project(f"* EXCLUDE (file_row_number), file_row_number + 2 AS {ROW_LINE}")
            whole = "CAST(customer_id AS BIGINT)" if kinds.get("customer_id") in ("DOUBLE", "FLOAT") else "customer_id"
            read_id = f"coalesce(trim(CAST({whole} AS VARCHAR), {_BLANKS}), '')"
            table.project(f"*, {read_id} AS {_ID}").create_view("customers")
            yield database
    except duckdb.BinderException as error:
        raise ContractError(f"customers: {str(error).splitlines()[0]}") from error
    except duckdb.IOException as error:
        raise SourceError(f"customers: {str(error).splitlines()[0]}: export it again") from error


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


def _read_customers(spool: Path, number: int) -> pd.DataFrame:
    files = sorted((spool / "customers" / f"chunk={number}").glob("*.parquet"))
    if not files:  # nobody is in this chunk: any other tells the columns
        files = sorted((spool / "customers").glob("*/*.parquet"))[:1]
        return _name_rows(pq.ParquetFile(files[0]).schema_arrow.empty_table()) if files else pd.DataFrame()
    return _name_rows(pa.concat_tables([pq.ParquetFile(file).read() for file in files]))


def _name_rows(table: pa.Table) -> pd.DataFrame:
    return number_rows(table.drop_columns([name for name in table.column_names if name == "file_row_number"]), 2)
