"""Any source laid out as Parquet files says what it says read at once, whatever its kind."""

import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kept import ZONE, compare, draw_log

from configs.errors import ContractError, KakedokiError, SourceError, UsageError
from configs.settings import Settings, TableMap
from features.customers import check_customers
from features.judged import judge_log
from pipelines.chunks import read_share
from pipelines.forget import forget_customer
from pipelines.kept_shards import KeptShards, keep_log
from pipelines.runs import open_spool
from pipelines.sources import blocks, databases, delimited, mapped_files, read_source, row_groups
from pipelines.sources.blocks import ROW_LINE
from pipelines.sources.delimited import read_csv, stream_csv
from pipelines.sources.laid_out import estimate_customers, is_laid_out, lay_out
from pipelines.sources.mapped_files import RawFile, stream_map

CELL = st.sampled_from(["", "a", " b ", '""', '"x,y"', '"two\nlines"', '"two\r\n\nmore"', "東京", "表ソ", ","])
TEXT = st.lists(st.lists(CELL, min_size=1, max_size=3).map(",".join), max_size=12).map("\n".join)
OPEN = st.sampled_from(["", "", '\n"never,closed\n\n1,2\n'])
CODES = {"busy": "no_answer", "1": "voicemail", "Z": "never said"}
MAPPED = Settings.model_validate(
    {
        "max_bad_share": 1,
        "source": {
            "name": "another system",
            "tables": {
                "customers": {
                    "query": "SELECT people.*, n FROM people LEFT JOIN "
                    "(SELECT customer_id, count(*) AS n FROM dials GROUP BY 1) USING (customer_id) ORDER BY source_row",
                    "columns": {"customer_id": "customer_id", "do_not_call": "n > 30", "age": "age", "phone": "phone"},
                },
                "call_attempts": {
                    "query": "SELECT * FROM dials",
                    "columns": {
                        "attempt_id": "attempt_id",
                        "customer_id": "customer_id",
                        "attempted_at": "attempted_at",
                        "outcome": "outcome",
                        "refused": "refused",
                    },
                    "codes": {"outcome": CODES},
                },
            },
        },
    }
)
PLAIN = Settings(max_bad_share=1)


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, n in (
        (blocks, "ROWS", 16),
        (row_groups, "ROWS", 60),
        (delimited, "PIECE", 5_000),
        (databases, "_BATCH", 90),
        (mapped_files, "_BATCH", 90),
    ):
        monkeypatch.setattr(module, name, n)


@settings(max_examples=20, deadline=None)
@given(
    text=TEXT,
    tail=OPEN,
    mark=st.sampled_from(["", "\ufeff"]),
    encoding=st.sampled_from(["utf-8", "cp932"]),
    cut=st.integers(0, 3),
)
def test_a_csv_read_in_pieces_is_the_csv_read_at_once(text, tail, mark, encoding, cut, shared_folder):
    """Encodings, marks, quotes, blank lines, rows and letters cut short: the same rows, lines, faults and failures."""
    content = (mark if encoding == "utf-8" else "").encode() + f"a,b\n{text}{tail}".encode(encoding)
    file = shared_folder / "agents.csv"
    file.write_bytes(content[: len(content) - cut])
    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "PIECE", 8)
        for read in (lambda: read_csv(file, file.read_bytes()), lambda: pd.concat(list(stream_csv(file)))):
            try:
                frame = read().rename_axis("row").reset_index().astype("object")
                told.append(frame.where(frame.notna(), None).to_dict("records"))
            except KakedokiError as error:
                told.append(str(error))
    assert told[0] == told[1]


def draw_tables(n: int = 120, seed: int = 1) -> dict[str, pd.DataFrame]:
    """Seven people and their log, as text, with garbage."""
    people = [f"c{at}" for at in range(7)]
    phones = ["090-1111-2222", "09011112222", None, "0312345678", None, "", "06-1"]
    customers = pd.DataFrame({"customer_id": people, "age": ["30", "x", "", "41", "52.5", None, "7"], "phone": phones})
    slots = pd.DataFrame({"slot_start": ["2024-10-01T10:00", "bad"], "dials": ["5", "6"]})
    log = draw_log(np.random.default_rng(seed), n)
    return {"customers": customers.assign(do_not_call="no"), "call_attempts": log, "capacity": slots}


def write_csv(tables: dict[str, pd.DataFrame], folder: Path) -> str:
    """Blank lines, quoted line ends, a row cut short and one too long, in cp932."""
    folder.mkdir(exist_ok=True)
    for name, table in tables.items():
        lines = table.to_csv(index=False).splitlines(keepends=True)
        if len(lines) > 100:
            lines[60] = "\n" + re.sub(",(c[0-9]+),", r',"\1\n",', lines[60]) + "A,c1\n"
            lines[90] = "too,many,東京,fields,in,this,row\nA7,c2,2024-09-01\n" + lines[90]
        (folder / f"{name}.csv").write_text("".join(lines), encoding="cp932")
    return str(folder)


def write_sqlite(tables: dict[str, pd.DataFrame], folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    with sqlite3.connect(folder / "centre.db") as connection:
        for name, table in tables.items():
            table.to_sql(name, connection, index=False, if_exists="replace")
    connection.close()
    return f"sqlite:///{folder / 'centre.db'}"


def write_duckdb(tables: dict[str, pd.DataFrame], folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    with duckdb.connect(str(folder / "centre.duckdb")) as connection:
        for name, table in tables.items():
            connection.register("given", table)
            connection.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM given")
    return f"duckdb:///{folder / 'centre.duckdb'}"


def write_parquet(tables: dict[str, pd.DataFrame], folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", row_group_size=20)
    return str(folder)


WAYS = {"csv": write_csv, "sqlite": write_sqlite, "duckdb": write_duckdb, "parquet": write_parquet}


def rename(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    names = {"customers": "people", "call_attempts": "dials"}
    return {names.get(name, name): table for name, table in tables.items()}


@dataclass(frozen=True)
class Read:
    customers: pd.DataFrame
    log: KeptShards
    fingerprint: dict[str, str]


def read_laid_out(source: str, asked: Settings, folder: Path) -> Read:
    with open_spool(folder / "var") as room:
        laid = lay_out(source, asked, room)
        log = keep_log(laid.folder / "call_attempts.parquet", folder / "kept", ZONE, 4)
        files = [file for file in room.rglob("*.parquet") if not file.is_symlink()]
        assert {file.stat().st_mode & 0o077 for file in files} <= {0}
        return Read(read_share(laid.folder, 1), log, laid.fingerprint)


def judge(customers: pd.DataFrame) -> list[list[dict[str, object]]]:
    checked = check_customers(customers, (), 1.0, ZONE)
    return [
        table.astype("str").to_dict("records") for table in (checked.frame, checked.rejects, checked.refused_phones)
    ]


@pytest.mark.parametrize(
    ("way", "asked"),
    [("csv", PLAIN), ("csv", MAPPED), ("sqlite", PLAIN), ("duckdb", PLAIN), ("duckdb", MAPPED), ("parquet", MAPPED)],
    ids=lambda each: "mapped" if each is MAPPED else "" if each is PLAIN else each,
)
def test_a_source_of_any_kind_is_laid_out_as_it_is_read_at_once(way, asked, tmp_path):
    """Every cell, line, fault and code; what is mapped and what is not; files of the owner's alone, gone afterwards."""
    tables = draw_tables()
    source = WAYS[way](rename(tables) if asked is MAPPED else tables, tmp_path / "centre")
    read, whole = read_laid_out(source, asked, tmp_path), read_source(source, asked)
    judged = judge_log(whole.tables["call_attempts"], ZONE)
    compare(read.log.read(0, 1), judged)
    assert judge(read.customers) == judge(whole.tables["customers"])
    assert set(read.fingerprint) == set(whole.fingerprint)
    if way == "csv":
        assert read.fingerprint == whole.fingerprint
        assert judged.cells["is_faulty"].to_pylist().count(True) == 3
    if asked is MAPPED:
        assert "busy" not in judged.cells["outcome"].to_pylist()
    assert not (tmp_path / "var" / "spool").exists()


@pytest.mark.parametrize(("way", "asked"), [("csv", PLAIN), ("sqlite", MAPPED)], ids=["csv", "mapped sqlite"])
def test_a_next_night_reads_only_what_is_new_of_any_source(way, asked, tmp_path):
    """Rows that are added, and one that is gone, make their own blocks new and no other."""
    tables = draw_tables(250)
    shape = rename if asked is MAPPED else dict

    def read() -> Read:
        return read_laid_out(WAYS[way](shape(tables), tmp_path / "centre"), asked, tmp_path)

    first = read()
    assert (first.log.n_rows, first.log.n_read) == (len(tables["call_attempts"]) + (3 if way == "csv" else 0),) * 2
    again = read()
    assert (again.log.n_read, again.fingerprint) == (0, first.fingerprint)
    new = draw_log(np.random.default_rng(9), 5, 900)
    tables["call_attempts"] = pd.concat([tables["call_attempts"].drop(index=[120]), new], ignore_index=True)
    grown = read()
    assert 5 < grown.log.n_read <= 3 * row_groups.ROWS
    assert grown.log.n_rows == first.log.n_rows + 4
    assert grown.fingerprint != first.fingerprint


def test_a_column_of_sqlite_may_hold_numbers_and_words(tmp_path):
    source = write_sqlite(draw_tables(40), tmp_path / "centre")
    with sqlite3.connect(tmp_path / "centre" / "centre.db") as connection:
        connection.execute("ALTER TABLE call_attempts ADD COLUMN ring_seconds")
        connection.execute("UPDATE call_attempts SET ring_seconds = CASE WHEN rowid = 3 THEN 'long' ELSE rowid END")
    connection.close()
    read = read_laid_out(source, PLAIN, tmp_path).log.read(0, 1)
    compare(read, judge_log(read_source(source, PLAIN).tables["call_attempts"], ZONE))
    assert read.cells["ring_seconds"].to_pylist()[:4] == [1.0, 2.0, None, 4.0]


@pytest.mark.parametrize("way", WAYS)
def test_customers_are_counted_before_anything_is_read(way, tmp_path):
    tables = draw_tables(60)
    plain, mapped = (WAYS[way](each, tmp_path / name) for each, name in ((tables, "plain"), (rename(tables), "mapped")))
    assert estimate_customers(plain, PLAIN, 0, tmp_path) == 7
    assert is_laid_out(plain, PLAIN) == (way == "parquet")
    assert not is_laid_out(plain, MAPPED)
    assert estimate_customers(mapped, MAPPED, 200, tmp_path) >= 67  # all that the map could make customers of
    assert estimate_customers(mapped, MAPPED, 10, tmp_path) == 7


def test_the_map_of_a_large_source_reaches_no_file_but_its_own(tmp_path):
    source = write_csv(rename(draw_tables(40)), tmp_path / "centre")
    (tmp_path / "secret.csv").write_text("customer_id\nx\n", encoding="utf-8")
    attempts = [
        f"SELECT * FROM read_csv('{tmp_path}/secret.csv')",
        f"SELECT * FROM read_text('{tmp_path}/room/raw/0.parquet/../../../secret.csv')",
        f"SELECT filename FROM glob('{tmp_path}/*')",
        f"SELECT 1; COPY (SELECT 1) TO '{tmp_path}/out.csv'; SELECT 1",
        f"SELECT 1; ATTACH '{tmp_path}/other.db'",
        "SELECT 1; SET enable_external_access = true",
    ]
    for query in attempts:
        table = {"query": f"{query} -- dials people", "columns": {"customer_id": "1", "do_not_call": "false"}}
        maps = {"customers": table, "call_attempts": table}
        asked = Settings.model_validate({"source": {"name": "x", "tables": maps}})
        with pytest.raises((ContractError, UsageError), match=r"disabled|locked|not DuckDB's SQL"):
            lay_out(source, asked, tmp_path / "room")
    assert {file.name for file in tmp_path.iterdir()} == {"centre", "secret.csv", "room"}


def test_the_map_of_a_large_source_gives_its_rows_in_one_order(tmp_path):
    """Several threads give batches in any order, and row groups are then others every night."""
    pd.DataFrame({"a": np.arange(300)}).to_parquet(tmp_path / "raw.parquet", row_group_size=10)
    table = TableMap(query="SELECT * FROM raw", columns={"a": "a", "n": "current_setting('threads')"})
    told = pd.concat(
        piece.to_pandas() for piece in stream_map({"raw": RawFile(tmp_path / "raw.parquet")}, "x", table, tmp_path)
    )
    assert told["a"].tolist() == list(range(300))
    assert told[ROW_LINE].tolist() == list(range(2, 302))
    assert {*told["n"].astype("int64")} == {1}


def test_what_a_killed_run_has_left_goes_with_the_next_or_when_somebody_is_forgotten(tmp_path):
    left = tmp_path / "spool" / "tables"
    left.mkdir(parents=True)
    with open_spool(tmp_path) as room:
        assert not list(room.iterdir())
    left.mkdir(parents=True)
    assert forget_customer(tmp_path, "c1") == []
    assert not left.parent.exists()


def test_a_source_that_fails_on_the_way_leaves_nothing_behind(tmp_path):
    tables = draw_tables(60)
    source = write_csv(tables, tmp_path / "centre")
    log = tmp_path / "centre" / "call_attempts.csv"
    whole = log.read_bytes()
    wrong = {"call_attempts": {"query": "SELECT CAST(outcome AS INT) AS n FROM call_attempts", "columns": {"n": "n"}}}
    mapped = Settings.model_validate({"source": {"name": "x", "tables": wrong}})
    for content, asked, failure, said in (
        (whole + b'A9,"c1,2024-09-01\n\n', PLAIN, SourceError, "never closed"),
        (whole, mapped, ContractError, "call_attempts: the map does not fit the source: Conversion Error"),
        (whole.splitlines(keepends=True)[0], PLAIN, ContractError, "call_attempts: the table is empty"),
        (b"", PLAIN, ContractError, "call_attempts: the table is empty"),
    ):
        log.write_bytes(content)
        with pytest.raises(failure, match=said), open_spool(tmp_path / "var") as room:
            lay_out(source, asked, room)
        assert not list((tmp_path / "var").iterdir())
    log.unlink()
    with pytest.raises(ContractError, match="call_attempts: table missing"), open_spool(tmp_path / "var") as room:
        lay_out(source, PLAIN, room)
