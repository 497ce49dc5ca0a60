"""The list on the page: filters agree with pandas on the run's files, and nothing typed is ever run."""

import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import FinishedNight
from fastapi import FastAPI
from page_readers import build_guarded_site, build_reader, ids_on, n_found, read_call_list
from starlette.testclient import TestClient

from app.dials import COLUMNS, PAGE_ROWS, Address
from app.downloads import FORMATS
from app.rendering import read_words
from pipelines.exports.sentences import EXCLUDED_MEANINGS

PAGES = ("/", "/heatmaps", "/staffing", "/measures", "/nights", "/api/v1/call-list")
NASTY = (
    "'; DROP TABLE call_list; --",
    '"><script>alert(1)</script>',
    "{{ 7 * 7 }}",
    "../../etc/passwd",
    "%00",
    "\x00",
    "😀" * 400,
    "1e999",
    "-1",
    "NaN",
)


@pytest.fixture(scope="module")
def site(small_night: FinishedNight, tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return build_guarded_site(small_night, tmp_path_factory.mktemp("doors"))


@pytest.fixture(scope="module")
def reader(site: FastAPI) -> TestClient:
    return build_reader(site)


@pytest.fixture(scope="module")
def listed(small_night: FinishedNight) -> pd.DataFrame:
    return read_call_list(small_night)


FILTERS: dict[str, tuple[dict[str, str], Callable[[pd.DataFrame], pd.Series]]] = {
    "hour": (
        {"weekday": "0", "hour": "18"},
        lambda d: (d.slot_start.dt.day_of_week == 0) & (d.slot_start.dt.hour == 18),
    ),
    "slot": ({"slot_start": "2026-11-03T14:00:00+09:00"}, lambda d: d.slot_start == pd.Timestamp("2026-11-03 05:00Z")),
    "people": (
        {"region": "Tokyo", "gender": "female", "age_from": "40"},
        lambda d: (d.region == "Tokyo") & (d.gender == "female") & (d.age >= 40),
    ),
    "age": ({"age_from": "30", "age_to": "45"}, lambda d: d.age.between(30, 45)),
    "chance": ({"percent_from": "12.5", "percent_to": "20"}, lambda d: d.p_keyman.between(0.125, 0.2)),
    "attempt": ({"attempt_number_from": "2", "attempt_number_to": "3"}, lambda d: d.attempt_number.between(2, 3)),
    "reason": ({"reason": "evening"}, lambda d: d.reason.str.contains("evening", na=False)),
    "reason_ja": ({"reason": "平日夜"}, lambda d: d.reason_ja.str.contains("平日夜", na=False)),
    "customer": ({"customer": "C00011"}, lambda d: d.customer_id.str.startswith("C00011")),
    "arm": ({"arm": "plan"}, lambda d: d.arm == "plan"),
    "blanks": ({"region": "", "hour": " ", "age_from": ""}, lambda d: d.customer_id.notna()),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_finds_what_pandas_finds(name: str, reader: TestClient, listed: pd.DataFrame) -> None:
    asked, choose = FILTERS[name]
    wanted = listed[choose(listed)]
    assert len(wanted) > 0
    page = reader.get("/", params=asked)
    assert page.status_code == 200
    assert n_found(page.text) == len(wanted)
    assert ids_on(page.text) == wanted["customer_id"].head(PAGE_ROWS).tolist()


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("column", COLUMNS)
def test_every_column_sorts_both_ways(column: str, order: str, reader: TestClient, listed: pd.DataFrame) -> None:
    page = reader.get("/", params={"sort": column, "order": order}).text
    expected = listed.sort_values(column, ascending=order == "asc", kind="stable", na_position="last")
    assert ids_on(page) == expected["customer_id"].head(PAGE_ROWS).tolist()
    assert page.count("aria-sort=") == 1


def test_pages_together_hold_every_dial_once(reader: TestClient, listed: pd.DataFrame) -> None:
    n_pages = -(-len(listed) // PAGE_ROWS)
    seen = [row for number in range(1, n_pages + 1) for row in ids_on(reader.get("/", params={"page": number}).text)]
    assert seen == listed["customer_id"].tolist()
    beyond = reader.get("/", params={"page": 10**8}).text
    assert ids_on(beyond) == listed["customer_id"].tolist()[PAGE_ROWS * (n_pages - 1) :]


def test_the_slots_to_choose_from_count_what_is_filtered(reader: TestClient, listed: pd.DataFrame) -> None:
    page = reader.get("/", params={"gender": "female", "slot_start": "2026-11-03T14:00:00+09:00"}).text
    counts = listed[listed["gender"] == "female"].groupby("slot_start").size()
    cells = [int(n) for n in re.findall(r'aria-label="[^"]*: (\d+) dials, predicted', page)]
    assert sum(cells) == counts.sum()
    assert len(cells) == len(counts)


def test_a_filtered_view_is_an_address(reader: TestClient) -> None:
    page = reader.get("/", params={"region": "Tokyo", "hour": "", "sort": "age", "lang": "ja"})
    assert page.headers["HX-Push-Url"] == "/?region=Tokyo&sort=age&order=asc&page=1"
    assert '<option value="Tokyo" selected>東京</option>' in page.text


def test_a_filter_that_cannot_be_read_is_told_beside_the_whole_list(reader: TestClient, listed: pd.DataFrame) -> None:
    page = reader.get("/", params={"age_from": "forty"}).text
    assert "Age: “forty” cannot be read" in page
    assert len(ids_on(page)) == PAGE_ROWS


def test_nothing_found_says_what_helps(reader: TestClient) -> None:
    page = reader.get("/", params={"customer": "ZZZ"}).text
    assert "No dial matches these filters." in page
    assert "Clear all" in page


def test_a_night_that_planned_no_dial_says_where_the_reasons_are(small_night: FinishedNight, tmp_path: Path) -> None:
    shutil.copytree(small_night.out, tmp_path / "out")
    file = tmp_path / "out" / "call_list.parquet"
    pq.write_table(pq.read_table(file).slice(0, 0), file)
    reader = build_reader(build_guarded_site(replace(small_night, out=tmp_path / "out"), tmp_path))
    assert {path: reader.get(path).status_code for path in PAGES} == dict.fromkeys(PAGES, 200)
    page = reader.get("/").text
    assert "Nobody is to be dialled" in page
    assert "excluded.csv and the report say why" in page
    assert "No dial matches these filters." not in page


@pytest.mark.parametrize("text", NASTY)
def test_nothing_typed_is_run(text: str, reader: TestClient) -> None:
    for names in (("region", "gender", "arm", "reason", "customer", "sort", "order", "page"), ("age_from",)):
        page = reader.get("/", params=dict.fromkeys(names, text))
        assert page.status_code == 200, names
        assert "<script>alert" not in page.text
        assert "49" not in re.findall(r'value="([^"]*)"', page.text)
    for path in ("/customers", "/export", "/staffing/export"):
        assert reader.get(path, params={"id": text, "format": text, "region": text}).status_code in (303, 400, 404)
    assert n_found(reader.get("/").text) > 800


def test_japanese_is_japanese(site: FastAPI, listed: pd.DataFrame) -> None:
    page = build_reader(site, "ja").get("/").text
    firm = listed["reason_ja"].iloc[0]
    assert '<html lang="ja">' in page
    assert all(word in page for word in ("今日の架電リスト", "予測コンタクト率", "絞り込み", firm))
    assert listed["reason"].iloc[0] not in page


def test_the_page_holds_no_style_or_script_of_its_own(reader: TestClient, listed: pd.DataFrame) -> None:
    for path in ("/", "/staffing", f"/customers/{listed['customer_id'].iloc[0]}", "/customers/nobody"):
        page = reader.get(path).text
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=\"/static/)|javascript:", page), path
        assert not re.search(r"(src|href)=\"(https?:)?//", page), path


def test_words_of_every_reason_and_arm_exist() -> None:
    words = read_words()
    assert {f"excluded_{name}": words[f"excluded_{name}"]["en"] for name in EXCLUDED_MEANINGS} == {
        f"excluded_{name}": meaning for name, meaning in EXCLUDED_MEANINGS.items()
    }
    assert all(f"arm_{name}" in words for name in ("plan", "explore", "control"))


def test_exports_hold_exactly_what_is_filtered(reader: TestClient, listed: pd.DataFrame) -> None:
    asked, choose = FILTERS["people"]
    wanted = listed[choose(listed)]["customer_id"].tolist()
    files = {name: reader.get("/export", params=asked | {"format": name}) for name in FORMATS}
    assert pd.read_csv(io.BytesIO(files["csv"].content), encoding="utf-8-sig")["customer_id"].tolist() == wanted
    assert pd.read_csv(io.BytesIO(files["csv_cp932"].content), encoding="cp932")["customer_id"].tolist() == wanted
    assert pd.read_excel(io.BytesIO(files["xlsx"].content))["customer_id"].tolist() == wanted
    assert pd.read_parquet(io.BytesIO(files["parquet"].content))["customer_id"].tolist() == wanted
    assert files["csv"].headers["Content-Disposition"] == 'attachment; filename="call_list_2026-11-02.csv"'


def test_an_export_is_recorded_before_it_leaves(small_night: FinishedNight, tmp_path: Path) -> None:
    reader = build_reader(build_guarded_site(small_night, tmp_path))
    n = len(pd.read_csv(io.BytesIO(reader.get("/export", params={"hour": "18"}).content)))
    told = json.loads((tmp_path / "exports.jsonl").read_text().splitlines()[-1])
    assert (told["event"], told["filter"], told["format"], told["rows"]) == ("export", "hour=18", "csv", n)


def test_nobody_unknown_sees_or_takes_the_list(small_night: FinishedNight, tmp_path: Path) -> None:
    stranger = build_reader(build_guarded_site(small_night, tmp_path, is_open=False))
    for path in ("/", "/export", "/staffing", "/staffing/export", "/customers/C0000001"):
        answer = stranger.get(path, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/login")
    assert stranger.get("/static/palette.css").status_code == 200


def test_an_address_reads_back_what_it_spells() -> None:
    asked = Address.read({"region": "東京 & Osaka", "customer": "C1", "sort": "age", "order": "desc"})
    query = asked.turn_to(3)
    assert Address.read(dict(parse_qsl(query))) == Address(asked.filters, "age", True, 3)
