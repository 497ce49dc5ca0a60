"""One customer's page says what the run's files say, and why; nobody's telephone number is on it."""

import re
import shutil
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
from conftest import FinishedNight
from page_readers import build_guarded_site, build_reader, read_call_list
from starlette.testclient import TestClient

from app.alternatives import VERDICTS, judge_slots
from app.customer import EXPLAINED
from app.rendering import speak
from pipelines.exports.page_tables import NOT_LAWFUL, PER_UNIT

STRANGE = 'a/b "<i>&?'


@pytest.fixture(scope="module")
def reader(small_night: FinishedNight, tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    return build_reader(build_guarded_site(small_night, tmp_path_factory.mktemp("doors")))


@pytest.fixture(scope="module")
def bare_reader(small_night: FinishedNight, tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """A reader of a run without tables for the page, with a strange id in it."""
    home = tmp_path_factory.mktemp("bare")
    shutil.copytree(small_night.out, home / "out", ignore=shutil.ignore_patterns("page"))
    listed = pd.read_parquet(home / "out" / "call_list.parquet").head(3)
    listed.loc[0, "customer_id"] = STRANGE
    listed.to_parquet(home / "out" / "call_list.parquet")
    night = FinishedNight(small_night.source, home / "out", small_night.var, small_night.run_date)
    return build_reader(build_guarded_site(night, home))


@pytest.fixture(scope="module")
def planned(small_night: FinishedNight) -> pd.Series:
    """A customer with a dial on the firm day."""
    return read_call_list(small_night).iloc[0]


def test_the_strip_shows_every_chance_of_the_week(
    reader: TestClient, planned: pd.Series, small_night: FinishedNight
) -> None:
    chances = pd.read_parquet(small_night.out / "page" / "chances.parquet").set_index("customer_id")["p"]
    codes = np.asarray(chances[planned["customer_id"]])
    page = reader.get(f"/customers/{planned['customer_id']}").text
    cells = re.findall(r'<td class="(?:q\d|barred)[^"]*" title="[^"]*">([^<]*)</td>', page)
    assert cells == ["×" if code == NOT_LAWFUL else f"{100 * (code / PER_UNIT):.1f}" for code in codes.tolist()]
    assert page.count(" chosen") >= 1


def test_it_says_why_now_and_what_is_planned(reader: TestClient, planned: pd.Series) -> None:
    page = reader.get(f"/customers/{planned['customer_id']}").text
    assert planned["reason"] in page
    assert f"{100 * planned['p_keyman']:.1f}\N{NO-BREAK SPACE}%" in page
    assert "Why not another time" in page
    assert "A dial is planned then." in page


def test_the_history_is_the_log(reader: TestClient, small_night: FinishedNight) -> None:
    log = pd.read_csv(small_night.source / "call_attempts.csv", dtype={"customer_id": "str"})
    busiest = log["customer_id"].value_counts().index[0]
    told = log[log["customer_id"] == busiest].sort_values("attempted_at", ascending=False)
    page = reader.get(f"/customers/{busiest}").text
    rows = re.findall(r'<th scope="row" class="nowrap">[A-Z][a-z]{2} \d+ \w+ \d{4} (\d\d:\d\d)</th>', page)
    assert rows == told["attempted_at"].str.slice(11, 16).tolist()


@pytest.mark.parametrize("language", ["en", "ja"])
def test_whoever_is_not_called_is_told_why(reader: TestClient, small_night: FinishedNight, language: str) -> None:
    excluded = pd.read_csv(small_night.out / "excluded.csv", encoding="utf-8-sig", dtype="str")
    for customer_id, reason in excluded.groupby("reason").head(1).itertuples(index=False):
        page = reader.get(f"/customers/{customer_id}", params={"lang": language}).text
        assert speak(f"excluded_{reason}", language) in page
        assert ("strip" in page) == (reason in EXPLAINED), reason


def test_no_page_tells_a_telephone_number(reader: TestClient, small_night: FinishedNight) -> None:
    people = pd.read_csv(small_night.source / "customers.csv", dtype="str").head(5)
    for customer_id, phone in people[["customer_id", "phone"]].itertuples(index=False):
        page = reader.get(f"/customers/{customer_id}")
        assert page.status_code == 200
        assert phone not in page.text


def test_the_search_leads_to_the_customer_or_to_ids_alike(reader: TestClient, planned: pd.Series) -> None:
    found = reader.get("/customers", params={"id": f" {planned['customer_id']} "}, follow_redirects=False)
    assert (found.status_code, found.headers["location"]) == (303, f"/customers/{planned['customer_id']}")
    alike = reader.get("/customers", params={"id": "c00001"})
    assert alike.status_code == 404
    assert 'href="/customers/C0000101"' in alike.text


def test_an_unknown_id_is_told_kindly_and_never_run(reader: TestClient) -> None:
    for text in ("nobody", "<script>alert(1)</script>", "' OR 1=1 --", "..%2F..%2Fetc%2Fpasswd"):
        page = reader.get(f"/customers/{quote(text)}")
        assert page.status_code == 404
        assert "<script>alert" not in page.text
    assert "Nobody of this id is listed" in page.text


def test_a_run_without_the_pages_tables_still_tells_what_it_can(bare_reader: TestClient) -> None:
    page = bare_reader.get("/").text
    assert f'href="/customers/{quote(STRANGE)}"' in page
    assert 'name="region"' not in page
    customer = bare_reader.get(f"/customers/{quote(STRANGE)}")
    assert customer.status_code == 200
    assert "a/b &#34;&lt;i&gt;&amp;?" in customer.text
    assert "did not predict" in customer.text
    assert "Not dialled yet." in customer.text


@pytest.mark.parametrize(
    ("p", "price", "planned", "verdicts"),
    [
        ([0.2, 0.2, 0.3], [0.1, 0.0, 0.3], [True, False, False], ["planned", "lower", "priced"]),
        ([0.2, np.nan, 0.3], [0.1, 0.0, 0.1], [True, False, False], ["planned", "barred", "kept_out"]),
        ([0.2, 0.1, np.nan], [0.3, 0.05, 0.0], [False, False, False], ["priced", "kept_out", "barred"]),
        ([0.2, 0.3, 0.1], [np.nan] * 3, [True, False, True], ["planned", "kept_out", "planned"]),
    ],
)
def test_a_slot_is_weighed_against_the_planned_one(
    p: list[float], price: list[float], planned: list[bool], verdicts: list[str]
) -> None:
    assert judge_slots(np.array(p), np.array(price), np.array(planned)).tolist() == verdicts
    assert set(verdicts) <= set(VERDICTS)


def test_a_contact_worth_more_bears_a_higher_price() -> None:
    p, price, planned = np.array([0.2, 0.3]), np.array([0.1, 0.25]), np.array([True, False])
    assert judge_slots(p, price, planned, value=1.0)[1] == "priced"
    assert judge_slots(p, price, planned, value=2.0)[1] == "kept_out"


def test_an_empty_folder_says_how_to_begin(small_night: FinishedNight, tmp_path: Path) -> None:
    nowhere = FinishedNight(small_night.source, tmp_path / "none", small_night.var, small_night.run_date)
    page = build_reader(build_guarded_site(nowhere, tmp_path)).get("/")
    assert "kakedoki nightly --source FOLDER --out OUT" in page.text
