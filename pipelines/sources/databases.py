"""Tables of a database: SQLite and DuckDB files, PostgreSQL servers; only ever read."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi
import duckdb
import pandas as pd
from adbc_driver_manager import Error as AdbcError

from configs.errors import SourceError
from pipelines.sources.addresses import mask_password, scrub

Wanted = Callable[[str], bool]
Found = tuple[dict[str, pd.DataFrame], tuple[str, ...]]

_SQLITE_NAMES = (
    "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY name"
)
_DUCKDB_NAMES = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() ORDER BY 1"
_POSTGRESQL_NAMES = (
    "SELECT DISTINCT table_name::text FROM information_schema.tables "
    "WHERE table_schema = ANY (current_schemas(false)) ORDER BY 1"
)


def read_sqlite(address: str, is_needed: Wanted) -> Found:
    """Read the needed tables of ``sqlite:///FILE``; they, and the names of all tables, come back.

    Raises
    ------
    SourceError
        No such file, or it is not a SQLite database.
    """
    path = find_file(address)
    uri = f"{path.resolve().as_uri()}?mode=ro"
    with failing_clearly(address, sqlite3.Error), closing(sqlite3.connect(uri, uri=True)) as connection:
        names = tuple(row[0] for row in connection.execute(_SQLITE_NAMES))
        return {name: pd.read_sql_query(_select(name), connection) for name in filter(is_needed, names)}, names


def read_duckdb(address: str, is_needed: Wanted) -> Found:
    """Read the needed tables of ``duckdb:///FILE``; they, and the names of all tables, come back.

    Raises
    ------
    SourceError
        No such file, it is not a DuckDB database, or another program holds it open for writing.
    """
    path = find_file(address)
    with failing_clearly(address, duckdb.Error), closing(duckdb.connect(str(path), read_only=True)) as connection:
        names = tuple(row[0] for row in connection.execute(_DUCKDB_NAMES).fetchall())
        tables = {name: connection.sql(_select(name)).to_arrow_table() for name in filter(is_needed, names)}
    return {name: table.to_pandas() for name, table in tables.items() if table is not None}, names


def read_postgresql(address: str, is_needed: Wanted) -> Found:
    """Read the needed tables on the search path of ``postgresql://…``; they, and the names of all, come back.

    Raises
    ------
    SourceError
        The server cannot be reached, refuses the user, or breaks off; the message never holds the password.
    """
    with connect_postgresql(address) as cursor:
        cursor.execute(_POSTGRESQL_NAMES)
        names = tuple(row[0] for row in cursor.fetchall())
        tables = {}
        for name in filter(is_needed, names):
            cursor.execute(_select(name))
            tables[name] = cursor.fetch_arrow_table().to_pandas()
    return tables, names


def fingerprint_table(table: pd.DataFrame) -> str:
    """SHA-256 of a table's content; the order of its rows, which a database does not promise, changes nothing.

    >>> table = pd.DataFrame({"a": [1, 2]})
    >>> fingerprint_table(table) == fingerprint_table(table[::-1])
    True
    """
    plain = table.astype({name: "str" for name in table.columns if table[name].dtype == object})
    rows = pd.util.hash_pandas_object(plain, index=False).sort_values()
    return hashlib.sha256(",".join(map(str, table.columns)).encode() + rows.to_numpy().tobytes()).hexdigest()


@contextmanager
def connect_postgresql(address: str) -> Iterator[Any]:
    """Give a cursor of a PostgreSQL server while the body runs; failures are those of :func:`read_postgresql`."""
    with failing_clearly(address, AdbcError), closing(_connect(address)) as connection, connection.cursor() as cursor:
        yield cursor


@contextmanager
def failing_clearly(address: str, failure: type[Exception]) -> Iterator[None]:
    """Turn a driver's failure into a :class:`SourceError` that holds no password."""
    try:
        yield
    except failure as error:
        message = f"{mask_password(address)}: cannot be read: {scrub(str(error), address)}: check address and rights"
    else:
        return
    raise SourceError(message)  # outside the except clause: a chained driver error could carry the password


def _connect(address: str) -> Any:
    return adbc_driver_postgresql.dbapi.connect(address, autocommit=True)


def _select(name: str) -> str:
    quoted = name.replace('"', '""')
    return f'SELECT * FROM "{quoted}"'


def find_file(address: str) -> Path:
    """Path of a database that is a file; SourceError when there is none."""
    path = Path(address.split(":///", 1)[1])
    if not path.is_file():
        raise SourceError(f"{address}: no such database file (an absolute path has four slashes)")
    return path
