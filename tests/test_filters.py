"""Filters: the rows that pandas would choose, in every spelling, and nothing that a value says is ever SQL."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from finished_run import NASTY, OPEN, ZONE, build_people, build_rows, write_finished_run
from hypothesis import example, given, settings
from hypothesis import strategies as st

from configs.errors import UsageError
from pipelines.exports.filters import KEYS, ListFilter
from pipelines.exports.run_tables import open_run

PEOPLE = build_people()
ROWS = build_rows(PEOPLE)
TEXTS = st.sampled_from(NASTY) | st.text(max_size=8)
NAIVE = st.datetimes(datetime.fromisoformat("2026-11-01"), datetime.fromisoformat("2026-11-10"))
OPTIONS = {
    "slot_start": st.sampled_from([start.to_pydatetime() for start in OPEN]),
    "slot_from": NAIVE,
    "slot_to": NAIVE,
    "weekday": st.integers(0, 6),
    "hour": st.integers(0, 23),
    "region": st.lists(st.sampled_from(["東京都", "Washington, D.C.", "=cmd", "x"]), max_size=2).map(tuple),
    "gender": st.lists(st.sampled_from(["male", "female"]), max_size=2).map(tuple),
    "age_from": st.integers(18, 80).map(float),
    "age_to": st.integers(18, 80).map(float),
    "p_from": st.integers(0, 60).map(lambda n: n / 100),
    "p_to": st.integers(0, 60).map(lambda n: n / 100),
    "attempt_number_from": st.integers(1, 10),
    "attempt_number_to": st.integers(1, 10),
    "arm": st.sampled_from(["plan", "explore", "x"]),
    "reason": TEXTS,
    "customer": TEXTS | st.sampled_from(["C0*", "=*", "C001"]),
    "is_firm": st.booleans(),
}
FILTERS = st.fixed_dictionaries({}, optional=OPTIONS).map(lambda given: ListFilter.model_validate(given))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_run(write_finished_run(tmp_path_factory.mktemp("run") / "a*b'{x}[1]")) as connection:
        yield connection


def choose(chosen: ListFilter) -> pd.DataFrame:
    """The same choice a second way, in pandas."""
    rows = ROWS.merge(PEOPLE[["customer_id", "age", "gender", "region"]], on="customer_id", how="left")
    start = rows["slot_start"]

    def instant(time: datetime) -> pd.Timestamp:
        stamp = pd.Timestamp(time)
        return stamp.tz_localize(ZONE) if stamp.tz is None else stamp

    keep = pd.Series(True, index=rows.index)
    for limit, compare in (
        (chosen.slot_start, start.eq), (chosen.slot_from, start.ge), (chosen.slot_to, start.le)
    ):  # fmt: skip
        keep &= True if limit is None else compare(instant(limit))
    for low, high, column in (
        (chosen.age_from, chosen.age_to, rows["age"]),
        (chosen.p_from, chosen.p_to, (rows["p_keyman"] * 100).round() / 100),
        (chosen.attempt_number_from, chosen.attempt_number_to, rows["attempt_number"]),
    ):
        keep &= True if low is None else column >= low
        keep &= True if high is None else column <= high
    for wanted, column in (
        (chosen.weekday, start.dt.day_of_week), (chosen.hour, start.dt.hour), (chosen.arm, rows["arm"]),
        (chosen.is_firm, rows["is_firm"]),
    ):  # fmt: skip
        keep &= True if wanted is None else column == wanted
    for texts, column in ((chosen.region, rows["region"]), (chosen.gender, rows["gender"])):
        keep &= column.isin(texts) if texts else True
    if chosen.reason is not None:
        part = chosen.reason.lower()
        keep &= np.array([part in f"{a or ''}".lower() or part in f"{b or ''}".lower() for a, b in reasons(rows)])
    if chosen.customer is not None:
        beginning = chosen.customer.removesuffix("*")
        ids = rows["customer_id"]
        keep &= ids.str.startswith(beginning) if chosen.customer.endswith("*") else ids == chosen.customer
    return rows[keep]


def reasons(rows: pd.DataFrame) -> list[tuple[str | None, str | None]]:
    told = rows[["reason", "reason_ja"]].astype("object")
    return list(told.where(told.notna(), None).itertuples(index=False, name=None))


@settings(max_examples=50)
@given(chosen=FILTERS)
@example(chosen=ListFilter.parse("weekday=Tue hour=18 region=東京都 gender=female age>=40 p>=0.1"))
@example(chosen=ListFilter(p_from=0.1, p_to=0.1))
def test_a_filter_chooses_the_rows_that_pandas_chooses(run: duckdb.DuckDBPyConnection, chosen: ListFilter) -> None:
    where, values = chosen.to_sql()
    found = run.execute(f"SELECT rank, customer_id FROM call_list WHERE {where} ORDER BY slot_start, rank", values)
    expected = choose(chosen)
    assert found.fetchall() == list(zip(expected["rank"], expected["customer_id"], strict=True))


@settings(max_examples=40)
@given(chosen=FILTERS)
def test_a_filter_is_read_back_as_it_is_spelled(chosen: ListFilter) -> None:
    assert ListFilter.parse(chosen.spell()) == chosen


@pytest.mark.parametrize("field", ["region", "gender", "arm", "reason", "customer"])
def test_no_value_becomes_sql(run: duckdb.DuckDBPyConnection, field: str) -> None:
    for text in NASTY:
        where, values = ListFilter.model_validate({field: text}).to_sql()
        assert text not in where
        assert text in values
        run.execute(f"SELECT count(*) FROM call_list WHERE {where}", values)
    assert run.execute("SELECT count(*) FROM call_list").fetchall() == [(len(ROWS),)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("colour=red", "unknown key colour: use one of slot, weekday, hour, region"),
        ("age>40", "is no condition: write KEY=VALUE, KEY>=VALUE or KEY<=VALUE"),
        ("region>=x", "region takes = only; slot, age, p, attempt also take >= and <="),
        ("hour=25", "hour '25'"),
        ("weekday=Someday", "weekday 'Someday'"),
        ("p=nan", "p 'nan'"),
        ("slot=yesterday", "slot 'yesterday'"),
        ("reason='open", "a quote is not closed"),
        ("age=", "the value is missing"),
        ("hour=1 hour=2", "is said twice"),
    ],
)
def test_a_condition_that_cannot_be_read_is_named_with_the_remedy(text: str, told: str) -> None:
    with pytest.raises(UsageError, match="--filter") as refused:
        ListFilter.parse(text)
    assert told in str(refused.value)


def test_weekdays_are_read_in_both_languages_and_blanks_of_a_japanese_keyboard_part_words() -> None:
    assert (
        ListFilter.parse("weekday=火\u3000hour=18")
        == ListFilter(weekday=1, hour=18)
        == ListFilter.parse("weekday=Tuesday hour=18")
    )


def test_empty_fields_of_a_form_limit_nothing() -> None:
    assert ListFilter.model_validate(dict.fromkeys(ListFilter.model_fields, "")) == ListFilter()
    assert ListFilter.model_validate({"region": ["", "東京都"]}).region == ("東京都",)


def test_every_key_is_told_in_the_help() -> None:
    from pipelines.cli import app

    told = next(c for c in app.registered_commands if c.callback is not None and c.callback.__name__ == "export")
    assert told.callback is not None
    help_of_filter = told.callback.__annotations__["conditions"].__metadata__[0].help
    assert [key for key in KEYS if key not in help_of_filter] == []


def test_an_opened_run_shows_its_tables_in_the_centres_time_and_opens_nothing_else(
    run: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    with run.cursor() as cursor:
        slots = cursor.execute("SELECT slot_start, weekday, hour FROM slots ORDER BY slot_row LIMIT 1").fetchall()
        assert (slots[0][0].isoformat(), *slots[0][1:]) == ("2026-11-02T09:00:00+09:00", 0, 9)
        assert cursor.execute("SELECT customer_id FROM excluded").fetchall() == [("=q",), ("z",)]
        assert cursor.execute("SELECT count(*), count(seat_price) FROM staffing").fetchall() == [(84, 42)]
        assert cursor.execute("SELECT count(*) FROM shifts").fetchall() == [(0,)]
        assert cursor.execute("SELECT len(p), p[1] FROM chances").fetchall() == [(84, 500)]
        assert cursor.execute("SELECT run_id, timezone, has_page FROM run").fetchall() == [("r1", ZONE, True)]
        for statement in (
            "SELECT * FROM read_csv('/etc/passwd')",
            f"COPY (SELECT 1 AS a) TO '{tmp_path}/out.csv'",
            f"ATTACH '{tmp_path}/a.db'",
            "SET enable_external_access = true",
            "INSTALL httpfs",
        ):
            with pytest.raises(duckdb.Error):
                cursor.execute(statement)
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_the_pages_tables_can_be_opened_and_one_that_is_none_is_refused(tmp_path: Path) -> None:
    folder = write_finished_run(tmp_path / "run")
    for file in (folder / "page").iterdir():
        file.unlink()
    (folder / "staffing.csv").unlink()
    with open_run(folder) as connection:
        counts = "SELECT (SELECT count(*) FROM slots), (SELECT count(*) FROM customers), has_page FROM run"
        assert connection.execute(counts).fetchall() == [(ROWS["slot_start"].nunique(), 0, False)]
    (folder / "run.json").write_text("{}")
    with pytest.raises(UsageError, match="run the night again"):
        open_run(folder)
    with pytest.raises(UsageError, match="is no folder of a run"):
        open_run(tmp_path / "nowhere")
