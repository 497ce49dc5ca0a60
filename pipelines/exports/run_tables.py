"""A finished run, opened for questions: its tables in DuckDB, with no way out to other files."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from configs.errors import UsageError
from pipelines.exports.tables import EXCLUDED_COLUMNS, SHIFTS_COLUMNS, STAFFING_COLUMNS, read_csv_back

_VIEWED = ("attempts", "chances")
_CALENDAR = "CAST(isodow(slot_start) - 1 AS INTEGER) AS weekday, CAST(hour(slot_start) AS INTEGER) AS hour"
_INSTANT = pa.timestamp("us", tz="UTC")
_CSV: dict[str, dict[str, pa.DataType]] = {
    "excluded": dict.fromkeys(EXCLUDED_COLUMNS, pa.string()),
    "staffing": dict(
        zip(STAFFING_COLUMNS, (_INSTANT, *[pa.int64()] * 2, *[pa.float64()] * 3, pa.string()), strict=True)
    ),
    "shifts": dict(zip(SHIFTS_COLUMNS, (pa.date32(), pa.string(), pa.int64(), *[pa.string()] * 3), strict=True)),
}
_EMPTY: dict[str, dict[str, pa.DataType]] = {
    "customers": {"customer_id": pa.string(), "age": pa.float32(), "gender": pa.string(), "region": pa.string()},
    "attempts": {"attempt_id": pa.string(), "customer_id": pa.string(), "attempted_at": _INSTANT},
    "chances": {"customer_id": pa.string(), "p": pa.list_(pa.uint16())},
    "slots": {"slot_row": pa.int32(), "slot_start": _INSTANT, "price": pa.float64(), "places": pa.int64()},
    **_CSV,
}


def open_run(folder: Path, rest: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Open a run's folder for reading; times are shown in the centre's zone, on every cursor of the connection.

    ``call_list`` (in its order) · ``customers`` · ``excluded`` · ``staffing`` · ``shifts`` · ``slots`` (slot_row ·
    slot_start · price and places of a dial, null where unknown · weekday, 0 is Monday · hour) · ``run`` (one row:
    run_id · run_date · timezone · slot_minutes · is_simulated · has_page) are copied into memory, so they stay when
    another run takes the folder's place. ``attempts`` and ``chances`` are views of the run's own two files: ask them
    for one customer. What a run does not have is empty.

    Parameters
    ----------
    rest
        Folder of a replan of this night: its list takes the place of the night's on the run date, and its run_id that
        of the night's. Later days stay as the night planned them.

    Afterwards the connection opens no other file, loads no extension and keeps its settings. Use one cursor a thread.

    Raises
    ------
    UsageError
        It is no folder of a run; the message names what is missing.
    """
    folder = folder.expanduser().resolve()
    facts = _read_facts(folder)
    connection = duckdb.connect()
    connection.execute("SET GLOBAL TimeZone = ?", [facts["timezone"]])
    pages = {name: folder / "page" / f"{name}.parquet" for name in (*_VIEWED, "customers", "slots")}
    files = {"call_list": folder / "call_list.parquet", **pages}
    if rest is not None:
        rest = rest.expanduser().resolve()
        facts["run_id"] = _read_facts(rest)["run_id"]
        files["rest"] = rest / "call_list.parquet"
    present = {name: file for name, file in files.items() if file.is_file()}
    connection.execute(
        f"SET GLOBAL allowed_paths = [{', '.join('?' * len(present))}]", list(map(str, present.values()))
    )
    connection.execute("SET GLOBAL enable_external_access = false")
    _keep(connection, "run", pa.Table.from_pylist([facts | {"has_page": len(present) == len(files)}]))
    for name in files:
        _show(connection, name, present.get(name))
    _add_calendar(connection)
    for name, types in _CSV.items():
        file = folder / f"{name}.csv"
        _keep(connection, name, read_csv_back(file, types) if file.is_file() else _empty(name))
    if rest is not None:
        _lay_over(connection, read_csv_back(rest / "excluded.csv", _CSV["excluded"]))
    connection.execute("SET GLOBAL lock_configuration = true")
    return connection


def _read_facts(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        pq.read_schema(folder / "call_list.parquet")
        return {
            "run_id": str(record["run_id"]),
            "run_date": date.fromisoformat(record["run_date"]),
            "timezone": str(record["settings"]["timezone"]),
            "slot_minutes": int(record["settings"]["slot_minutes"]),
            "is_simulated": bool(record["is_simulated"]),
        }
    except OSError as error:
        raise UsageError(f"{folder}: is no folder of a run ({error.strerror or 'a file is damaged'})") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{folder}: cannot be read ({error}): run the night again") from error


def _show(connection: duckdb.DuckDBPyConnection, name: str, file: Path | None) -> None:
    """Copy a file into a table of its name, or make a view of it where it is large."""
    if file is None:
        _keep(connection, name, _empty(name))
    elif name in _VIEWED:
        connection.read_parquet(str(file)).create_view(name)
    else:
        connection.execute(f"CREATE TABLE {name} AS SELECT * FROM read_parquet(?)", [str(file)])


def _keep(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    connection.register("_given", rows)
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM _given")
    connection.unregister("_given")


def _empty(name: str) -> pa.Table:
    return pa.schema(_EMPTY[name]).empty_table()


def _lay_over(connection: duckdb.DuckDBPyConnection, excluded: pa.Table) -> None:
    """Lay the list of the rest of a day, table ``rest``, over the night's; whoever is planned later is not excluded."""
    connection.execute(
        "CREATE OR REPLACE TABLE call_list AS SELECT * FROM rest UNION ALL BY NAME SELECT call_list.* FROM call_list, "
        "run WHERE CAST(slot_start AS DATE) > run.run_date ORDER BY slot_start, rank"
    )
    connection.execute("DROP TABLE rest")
    _keep(connection, "given", excluded)
    connection.execute("CREATE OR REPLACE TABLE excluded AS FROM given ANTI JOIN call_list USING (customer_id)")
    connection.execute("DROP TABLE given")


def _add_calendar(connection: duckdb.DuckDBPyConnection) -> None:
    """Runs that left no slots for the page have those of their list."""
    connection.execute(
        "INSERT INTO slots SELECT row_number() OVER (ORDER BY slot_start) - 1, slot_start, NULL, NULL "
        "FROM (SELECT DISTINCT slot_start FROM call_list) WHERE NOT EXISTS (FROM slots)"
    )
    connection.execute(f"CREATE OR REPLACE TABLE slots AS SELECT *, {_CALENDAR} FROM slots ORDER BY slot_row")
