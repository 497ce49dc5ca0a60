"""The log of a database in blocks of a day, each known by a count and a sum of hashes that the database itself takes.

DuckDB and PostgreSQL can hash a row; SQLite cannot. Only the days whose sums are new are ever asked for.
"""

import hashlib
from contextlib import closing
from functools import partial

import duckdb
import pandas as pd

from pipelines.sources.blocks import Block
from pipelines.sources.databases import connect_postgresql, failing_clearly, find_file

_DAY = "substr(CAST(attempted_at AS VARCHAR), 1, 10)"
_HASH = {
    "duckdb": "CAST(hash(t) AS HUGEINT)",
    "postgresql": "CAST(hashtextextended(CAST(t AS text), 0) AS numeric)",
}
HASHING = {"duckdb": "duckdb", "postgresql": "postgresql", "postgres": "postgresql"}
"""Schemes of addresses whose databases can hash a row."""


def cut_days(address: str, table: str = "call_attempts") -> tuple[list[Block], str]:
    """Cut the log of a database into days, the rows without a time first, and take a fingerprint of all of them.

    Parameters
    ----------
    address
        Of one of ``HASHING``; the table has a column ``attempted_at``.

    Raises
    ------
    SourceError
        The database cannot be reached, or has no such table or column.
    """
    kind = HASHING[address.partition("://")[0].lower()]
    sums = (
        f"SELECT {_DAY} AS day, count(*) AS n, CAST(sum({_HASH[kind]}) AS VARCHAR) AS said "
        f"FROM {table} t GROUP BY 1 ORDER BY 1 NULLS FIRST"
    )
    told = _ask(address, kind, sums)
    columns = _ask(address, kind, f"SELECT * FROM {table} LIMIT 0")
    shape = str([(name, str(kept)) for name, kept in columns.dtypes.items()])
    blocks, first_row = [], 2
    for day, n, said in zip(told["day"], told["n"], told["said"], strict=True):
        is_day = f"{_DAY} IS NULL" if pd.isna(day) else f"{_DAY} = '{str(day).replace(chr(39), 2 * chr(39))}'"
        query = f"SELECT * FROM {table} WHERE {is_day}"
        digest = hashlib.sha256(f"{kind}|{shape}|{day}|{n}|{said}".encode()).hexdigest()[:40]
        blocks.append(Block(digest, first_row, partial(_read_day, address, kind, query, first_row)))
        first_row += int(n)
    fingerprint = hashlib.sha256("".join(block.digest for block in blocks).encode()).hexdigest()
    return blocks or [Block(fingerprint[:40], 2, lambda: columns)], fingerprint


def _read_day(address: str, kind: str, query: str, first_row: int) -> pd.DataFrame:
    frame = _ask(address, kind, query)
    return frame.set_axis(pd.RangeIndex(first_row, first_row + len(frame), name="row"), axis=0)


def _ask(address: str, kind: str, query: str) -> pd.DataFrame:
    if kind == "duckdb":
        path = find_file(address)
        with failing_clearly(address, duckdb.Error), closing(duckdb.connect(str(path), read_only=True)) as database:
            found: pd.DataFrame = database.sql(query).to_arrow_table().to_pandas()
            return found
    with connect_postgresql(address) as cursor:
        cursor.execute(query)
        told: pd.DataFrame = cursor.fetch_arrow_table().to_pandas()
        return told
