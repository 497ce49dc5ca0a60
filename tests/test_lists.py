"""Exports: whatever the format, the rows that were filtered and no other, and nothing in them runs or is lost."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import duckdb
import openpyxl
import pandas as pd
import pyarrow.parquet as pq
import pytest
from finished_run import ZONE, build_people, build_rows, write_finished_run
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import UsageError
from configs.presets import ExportColumn, ExportPreset, list_presets, read_preset, read_preset_file
from configs.settings import Settings
from pipelines.exports.delimited import write_delimited
from pipelines.exports.dialer_rows import PhoneBook, read_phone_book
from pipelines.exports.filters import ListFilter
from pipelines.exports.lines import FORMULA_STARTS
from pipelines.exports.lists import export_list
from pipelines.exports.run_tables import open_run
from pipelines.exports.workbooks import write_workbook

PEOPLE = build_people()
ROWS = build_rows(PEOPLE).merge(
    PEOPLE[["customer_id", "age", "gender", "region", "tenure"]], on="customer_id", how="left"
)
COLUMNS = list(ROWS.columns)
CHOICES = {
    "": ROWS,
    "weekday=Tue": ROWS[ROWS["slot_start"].dt.day_of_week == 1],
    "gender=female age>=40": ROWS[(ROWS["gender"] == "female") & (ROWS["age"] >= 40)],
    "customer==1+1": ROWS[ROWS["customer_id"] == "=1+1"],
    "customer=nobody": ROWS.head(0),
}
PLAIN = [*(name for name in COLUMNS if name not in ("slot_start", "run_date", "p_keyman", "propensity"))]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_run(write_finished_run(tmp_path_factory.mktemp("exports") / "run")) as connection:
        yield connection


def plain(rows: pd.DataFrame) -> list[dict[str, object]]:
    """Rows as Python values, missing ones None, times naive and the centre's."""
    naive = rows.assign(slot_start=rows["slot_start"].dt.tz_localize(None), p_keyman=rows["p_keyman"].round(6))
    records = naive.astype("object").where(naive.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in records]


def read_csv_rows(content: bytes, encoding: str = "utf-8-sig") -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(encoding), newline="")))


@pytest.mark.parametrize("text", CHOICES)
def test_every_format_holds_exactly_the_filtered_rows(run: duckdb.DuckDBPyConnection, text: str) -> None:
    wanted = plain(CHOICES[text])
    streams = {name: io.BytesIO() for name in ("parquet", "csv", "xlsx")}
    done = [export_list(run, ListFilter.parse(text), stream, name) for name, stream in streams.items()]  # type: ignore[arg-type]
    assert [export.n_rows for export in done] == [len(wanted)] * 3

    parquet = pq.read_table(streams["parquet"])
    assert str(parquet.schema.field("slot_start").type) == f"timestamp[us, tz={ZONE}]"
    assert plain(parquet.to_pandas()) == wanted

    header, *lines = read_csv_rows(streams["csv"].getvalue())
    assert header == COLUMNS
    assert len(lines) == len(wanted)
    for line, row in zip((dict(zip(header, cells, strict=True)) for cells in lines), wanted, strict=True):
        assert pd.Timestamp(line["slot_start"]).tz_localize(None) == row["slot_start"]
        assert float(line["p_keyman"]) == pytest.approx(row["p_keyman"])
        for name in PLAIN:
            cell = line[name][1:] if line[name][:1] == "'" and line[name][1:2] in FORMULA_STARTS else line[name]
            value = row[name]
            assert cell == ("" if value is None else f"{value:g}" if isinstance(value, float) else str(value)), name

    sheet = openpyxl.load_workbook(streams["xlsx"]).active
    assert sheet is not None
    assert sheet.freeze_panes == "A2"
    header_cells, *cells = sheet.iter_rows()
    assert [cell.value for cell in header_cells] == COLUMNS
    assert [cell for line in cells for cell in line if cell.data_type == "f"] == []
    for line, row in zip(cells, wanted, strict=True):
        found = {name: cell.value for name, cell in zip(COLUMNS, line, strict=True)}
        assert found["run_date"].date() == row["run_date"]
        assert found["slot_start"] == row["slot_start"]
        assert found["p_keyman"] == pytest.approx(row["p_keyman"])
        assert {name: found[name] for name in PLAIN} == {name: row[name] for name in PLAIN}


def test_a_filter_that_matches_nothing_gives_a_header_and_says_so(run: duckdb.DuckDBPyConnection) -> None:
    stream = io.BytesIO()
    done = export_list(run, ListFilter(customer="nobody"), stream)
    assert done.remarks == ("nothing matches: only the header is written",)
    assert read_csv_rows(stream.getvalue()) == [COLUMNS]


@settings(max_examples=20)
@given(texts=st.lists(st.text(alphabet=st.characters(codec="utf-8"), max_size=6), min_size=1, max_size=5))
def test_any_text_comes_back_from_csv_and_excel_and_never_runs(texts: list[str]) -> None:
    frame = pd.DataFrame({"reason": pd.Series(texts, dtype="str"), "rank": range(len(texts))})
    stream = io.BytesIO()
    write_delimited(iter([frame]), stream, "utf-8-sig")
    _, *lines = read_csv_rows(stream.getvalue())
    assert [line[0].startswith(FORMULA_STARTS) for line in lines] == [False] * len(texts)
    protected = [f"'{text}" if text.startswith(FORMULA_STARTS) else text for text in texts]
    assert [line[0] for line in lines] == protected
    book = io.BytesIO()
    write_workbook(iter([frame]), book, pd.Timestamp("2026-11-02").date())
    _, *cells = openpyxl.load_workbook(book).worksheets[0].iter_rows()
    assert {cell.data_type for line in cells for cell in line} <= {"s", "n", "inlineStr"}
    assert len(cells) == len(texts)


def test_cp932_keeps_what_it_has_and_reports_what_it_lacks(run: duckdb.DuckDBPyConnection) -> None:
    stream = io.BytesIO()
    frame = pd.DataFrame({"customer_id": ["髙﨑①㈱", "a😀b", "−1", "〜", "한"], "rank": range(5)})
    told = write_delimited(iter([frame]), stream, "cp932")
    _, *lines = read_csv_rows(stream.getvalue(), "cp932")
    assert [line[0] for line in lines] == ["髙﨑①㈱", "a&#128512;b", "'－1", "～", "&#54620;"]
    assert told == [
        "cp932 lacks 2 characters in 2 cells: 😀 (line 3, customer_id), 한 (line 6, customer_id); "
        "written as &#N;, or use utf-8-sig"
    ]
    assert "😀（3 行目、customer_id）、한（6 行目、customer_id）" in told[0].japanese
    whole = io.BytesIO()
    done = export_list(run, ListFilter(), whole, encoding="cp932")
    assert len(read_csv_rows(whole.getvalue(), "cp932")) == len(ROWS) + 1
    assert "😀" in done.remarks[0]


def test_a_full_sheet_is_followed_by_another_with_its_own_header() -> None:
    frame = pd.DataFrame({"rank": range(5), "reason": "x" * 40_000})
    book = io.BytesIO()
    told = write_workbook(
        iter([frame.head(0), frame.head(2), frame.tail(3)]), book, pd.Timestamp("2026-11-02").date(), 2
    )
    sheets = openpyxl.load_workbook(book).worksheets
    assert [sheet.title for sheet in sheets] == ["list", "list 2", "list 3"]
    assert [[line[0].value for line in sheet.iter_rows()] for sheet in sheets] == [
        ["rank", 0, 1],
        ["rank", 2, 3],
        ["rank", 4],
    ]
    assert told == ["more than 2 rows: 3 sheets", "5 cells were cut to Excel's 32,767 characters"]


def test_the_same_choice_gives_the_same_bytes(run: duckdb.DuckDBPyConnection) -> None:
    for name in ("csv", "xlsx", "parquet"):
        one, two = io.BytesIO(), io.BytesIO()
        for stream in (one, two):
            export_list(run, ListFilter(weekday=1), stream, name)  # type: ignore[arg-type]
        assert one.getvalue() == two.getvalue(), name


BOOK = PhoneBook(pd.Series({"C000": "03-0000-0001", "C001": "+81 3 0000 0002"}, dtype="str"), frozenset({"C002"}))


def test_the_vicidial_file_has_the_fields_of_its_manual_in_their_order(run: duckdb.DuckDBPyConnection) -> None:
    preset = read_preset("vicidial_list")
    assert " ".join(column.name for column in preset.columns) == (
        "vendor_lead_code source_code list_id phone_code phone_number title first_name middle_initial last_name "
        "address1 address2 address3 city state province postal_code country_code gender date_of_birth alt_phone email "
        "security_phrase comments rank owner"
    )
    stream = io.BytesIO()
    done = export_list(run, ListFilter(customer="C00*"), stream, preset=preset, book=BOOK)
    lines = read_csv_rows(stream.getvalue(), "utf-8")
    dials = ROWS[ROWS["customer_id"].isin(["C000", "C001"])]
    assert [line[0] for line in lines] == dials["customer_id"].tolist()
    assert done.n_rows == len(dials)
    assert {line[4] for line in lines} == {"0300000001", "81300000002"}
    assert {line[17] for line in lines} <= {"M", "F", "U"}
    assert lines[0][1] == dials["slot_start"].iloc[0].strftime("%Y-%m-%d %H:%M")
    assert lines[0][23] == str(dials["rank"].iloc[0])
    n_barred = int((ROWS["customer_id"] == "C002").sum())
    assert f"{n_barred} rows left out: the source bars them by now" in done.remarks
    assert any("they have no phone" in remark for remark in done.remarks)
    assert any("are of later days" in remark for remark in done.remarks)


def test_the_generic_file_has_a_header_and_no_cell_that_runs(run: duckdb.DuckDBPyConnection) -> None:
    preset = read_preset("generic_dialer")
    everybody = PhoneBook(pd.Series(dict.fromkeys(PEOPLE["customer_id"], "+81-3-0000"), dtype="str"), frozenset())
    stream = io.BytesIO()
    done = export_list(run, ListFilter(), stream, preset=preset, book=everybody)
    header, *lines = read_csv_rows(stream.getvalue(), "utf-8")
    assert header == [column.name for column in preset.columns]
    assert done.n_rows == len(lines) == len(ROWS)
    assert [cell for line in lines for cell in line if cell.startswith(FORMULA_STARTS)] == []


def test_presets_that_lack_what_they_need_are_refused(run: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="add --source SOURCE"):
        export_list(run, ListFilter(), io.BytesIO(), preset=read_preset("generic_dialer"))
    wrong = ExportPreset(name="w", source="s", columns=(ExportColumn(name="a", column="shoe_size"),))
    with pytest.raises(UsageError, match="no column shoe_size: use age"):
        export_list(run, ListFilter(), io.BytesIO(), preset=wrong)
    for name in ("../base", "nothing", "/etc/passwd"):
        with pytest.raises(UsageError, match="use one of generic_dialer, vicidial_list"):
            read_preset(name)
    file = tmp_path / "p.yaml"
    file.write_text("name: p\nsource: s\ncolumns: [{name: a, from: rank, constant: x}]\n")
    with pytest.raises(UsageError, match="write either from"):
        read_preset_file(file)
    with pytest.raises(UsageError, match="only CSV has encodings"):
        export_list(run, ListFilter(), io.BytesIO(), "xlsx", encoding="cp932")
    with pytest.raises(UsageError, match="use one of csv, xlsx, parquet"):
        export_list(run, ListFilter(), io.BytesIO(), "pdf")  # type: ignore[arg-type]
    assert list_presets() == ("generic_dialer", "vicidial_list")


def test_a_preset_can_also_fill_a_workbook_and_parquet(run: duckdb.DuckDBPyConnection) -> None:
    preset = ExportPreset(name="w", source="s", columns=(ExportColumn(name="who", column="customer_id"),))
    book, parquet = io.BytesIO(), io.BytesIO()
    export_list(run, ListFilter(is_firm=True), book, "xlsx", preset)
    export_list(run, ListFilter(is_firm=True), parquet, "parquet", preset)
    who = ROWS.loc[ROWS["is_firm"], "customer_id"].tolist()
    assert [line[0].value for line in openpyxl.load_workbook(book).worksheets[0].iter_rows()] == ["who", *who]
    assert pq.read_table(parquet).to_pydict() == {"who": who}


def test_the_phone_book_bars_whom_any_row_of_the_source_bars(tmp_path: Path) -> None:
    (tmp_path / "customers.csv").write_text(
        "customer_id,do_not_call,phone\nA,no,1\nA,no,2\nB,no,3\nB,yes,3\nC,,4\nD,no,\n", encoding="utf-8"
    )
    (tmp_path / "call_attempts.csv").write_text("attempt_id,customer_id,attempted_at,outcome\n", encoding="utf-8")
    book = read_phone_book(str(tmp_path), Settings())
    assert book.phones.to_dict() == {"A": "1"}
    assert book.barred == {"B", "C"}
