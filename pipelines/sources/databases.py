"""Tables of a database: SQLite and DuckDB files, PostgreSQL servers; only ever read."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi
import duckdb
import pandas as pd
import pyarrow as pa
from adbc_driver_manager import Error as AdbcError

from configs.errors import SourceError
from pipelines.sources.addresses import mask_password, scrub

Wanted = Callable[[str], bool]
Found = tuple[dict[str, pd.DataFrame], tuple[str, ...]]
Batches = Iterator[pa.RecordBatch]

_BATCH = 100_000
_MEMORY = "1GB"
_SQLITE_NAMES = (
    "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY name"
)
_DUCKDB_NAMES = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() ORDER BY 1"
_POSTGRESQL_NAMES = (
    "SELECT DISTINCT table_name::text FROM information_schema.tables "
    "WHERE table_schema = ANY (current_schemas(false)) ORDER BY 1"
)
_SQLITE_TYPES: dict[frozenset[str], pa.DataType] = {
    frozenset({"integer"}): pa.int64(),
    frozenset({"real"}): pa.float64(),
    frozenset({"integer", "real"}): pa.float64(),
}


@dataclass(frozen=True)
class Database:
    """A database that is open.

    Attributes
    ----------
    names
        Of all its tables and views.
    read
        A table by its name, whole.
    stream
        What a query gives, batch by batch, one at least; rows that nobody has touched come in the same order again.
    """

    names: tuple[str, ...]
    read: Callable[[str], pd.DataFrame]
    stream: Callable[[str], Batches]

    def count(self, name: str) -> int:
        """Count the rows of a table."""
        counted = pa.Table.from_batches(self.stream(f"SELECT count(*) AS n FROM {quote(name)}"))
        return int(counted["n"][0].as_py())


def read_database(address: str, is_needed: Wanted) -> Found:
    """Read the needed tables of a database; they, and the names of all tables, come back.

    Raises
    ------
    SourceError
        As :func:`open_database`.
    """
    with open_database(address) as database:
        return {name: database.read(name) for name in filter(is_needed, database.names)}, database.names


@contextmanager
def open_database(address: str) -> Iterator[Database]:
    """Open ``sqlite:///FILE``, ``duckdb:///FILE`` or ``postgresql://…``, whose tables are on the search path.

    Raises
    ------
    SourceError
        Another kind of address; no such file, not a database, or held open for writing; a server that cannot be
        reached, refuses the user, or breaks off. The message never holds the password.
    """
    kind = _KINDS.get(address.partition("://")[0].lower())
    if kind is None:
        known = ", ".join(f"{name}://" for name in _KINDS)
        raise SourceError(f"{mask_password(address)}: unknown kind of source: give a folder, or one of {known}")
    with kind(address) as database:
        yield database


@contextmanager
def _open_sqlite(address: str) -> Iterator[Database]:
    uri = f"{find_file(address).resolve().as_uri()}?mode=ro"
    with failing_clearly(address, sqlite3.Error), closing(sqlite3.connect(uri, uri=True)) as connection:
        connection.execute("BEGIN")  # what is asked and what is read are of one moment
        names = tuple(row[0] for row in connection.execute(_SQLITE_NAMES))
        yield Database(
            names, lambda name: pd.read_sql_query(select(name), connection), partial(_stream_sqlite, connection)
        )


def _stream_sqlite(connection: sqlite3.Connection, query: str) -> Batches:
    """SQLite's columns have no type, so that its cells are asked first; what is mixed, or no number, becomes text."""
    columns = [column[0] for column in connection.execute(f"SELECT * FROM ({query}) LIMIT 0").description]
    kinds = connection.execute(
        f"SELECT DISTINCT {', '.join(f'typeof({quote(name)})' for name in columns)} FROM ({query})"
    )
    types = [
        _SQLITE_TYPES.get(frozenset(found) - {"null"}, pa.string())
        for found in zip(*kinds.fetchall() or [["null"] * len(columns)], strict=True)
    ]
    cursor = connection.execute(query)
    while True:
        rows = cursor.fetchmany(_BATCH)
        cells = zip(*rows, strict=True) if rows else ([] for _ in columns)
        yield pa.record_batch(
            [_build_array(each, kind) for each, kind in zip(cells, types, strict=True)], names=columns
        )
        if len(rows) < _BATCH:
            return


def _build_array(cells: Sequence[object], kind: pa.DataType) -> "pa.Array[Any]":
    if kind == pa.string():
        cells = [None if cell is None else str(cell) for cell in cells]
    return pa.array(cells, kind)


@contextmanager
def _open_duckdb(address: str) -> Iterator[Database]:
    path = find_file(address)
    failures = (duckdb.Error, pa.ArrowException)  # what breaks while batches come is the latter
    with failing_clearly(address, *failures), closing(duckdb.connect(str(path), read_only=True)) as connection:
        connection.execute(f"SET memory_limit = '{_MEMORY}'")
        connection.execute("SET threads = 1")  # several give batches in any order
        names = tuple(row[0] for row in connection.execute(_DUCKDB_NAMES).fetchall())
        yield Database(
            names,
            lambda name: connection.sql(select(name)).to_arrow_table().to_pandas(),
            lambda query: stream_reader(connection.sql(query).to_arrow_reader(_BATCH)),
        )


@contextmanager
def _open_postgresql(address: str) -> Iterator[Database]:
    with connect_postgresql(address) as cursor:
        cursor.execute(_POSTGRESQL_NAMES)
        names = tuple(row[0] for row in cursor.fetchall())

        def ask(query: str) -> Any:
            cursor.execute(query)
            return cursor

        def stream(query: str) -> Batches:
            for setting in _IN_ORDER:
                cursor.execute(setting)
            yield from stream_reader(ask(query).fetch_record_batch())

        yield Database(names, lambda name: ask(select(name)).fetch_arrow_table().to_pandas(), stream)


_IN_ORDER = ("SET synchronize_seqscans = off", "SET max_parallel_workers_per_gather = 0")
_KINDS = {"sqlite": _open_sqlite, "duckdb": _open_duckdb, "postgresql": _open_postgresql, "postgres": _open_postgresql}


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
    """Give a cursor of a PostgreSQL server while the body runs; failures are those of :func:`open_database`."""
    with failing_clearly(address, AdbcError), closing(_connect(address)) as connection, connection.cursor() as cursor:
        yield cursor


@contextmanager
def failing_clearly(address: str, *failures: type[Exception]) -> Iterator[None]:
    """Turn a driver's failure into a :class:`SourceError` that holds no password."""
    try:
        yield
    except failures as error:
        message = f"{mask_password(address)}: cannot be read: {scrub(str(error), address)}: check address and rights"
    else:
        return
    raise SourceError(message)  # outside the except clause: a chained driver error could carry the password


def _connect(address: str) -> Any:
    return adbc_driver_postgresql.dbapi.connect(address, autocommit=True)


def stream_reader(reader: pa.RecordBatchReader) -> Batches:
    """Give the batches of a reader, an empty one first, so that there is always one to tell the columns."""
    yield pa.record_batch([pa.array([], field.type) for field in reader.schema], schema=reader.schema)
    yield from reader


def select(name: str) -> str:
    """Ask for all of a table.

    >>> select("calls")
    'SELECT * FROM "calls"'
    """
    return f"SELECT * FROM {quote(name)}"


def quote(name: str) -> str:
    """Write a name as SQL does.

    >>> quote("calls")
    '"calls"'
    """
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def find_file(address: str) -> Path:
    """Path of a database that is a file; SourceError when there is none."""
    path = Path(address.split(":///", 1)[1])
    if not path.is_file():
        raise SourceError(f"{address}: no such database file (an absolute path has four slashes)")
    return path
