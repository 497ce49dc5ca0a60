"""Heat maps, measures, models and nights on a real small night: what they show is what the source holds."""

import json
import os
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from app.heat_cells import Segment, add_margins, name_levels
from app.nights import Nights
from app.site import build_site
from configs.settings import Settings, TargetSettings
from features.measures import band_ages
from features.outcomes import CONNECTED, CONTACT
from pipelines.exports.chance_sums import sum_chances, sum_rows
from pipelines.servers import find_pages
from tests.conftest import FinishedNight

PATHS = ("/heatmaps", "/heatmaps?across=week_of_month&gender=female", "/measures", "/measures?by=slot", "/nights")
TARGETS = TargetSettings(keyman_contact_rate=0.12, occupancy=0.9)
Table = list[list[str]]
Cells = dict[tuple[str, str], str]


class _Tables(HTMLParser):
    """Collects the cells of every table of a page as text, and the classes of its data cells."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[Table] = []
        self.classes: list[list[list[str]]] = []
        self._cell: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
            self.classes.append([])
        elif tag == "tr":
            self.tables[-1].append([])
            self.classes[-1].append([])
        elif tag in ("td", "th"):
            self._cell = []
            self.classes[-1][-1].append(dict(attrs).get("class") or "")

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None:
            self.tables[-1][-1].append(" ".join("".join(self._cell).split()))
            self._cell = None


def read_tables(html: str) -> _Tables:
    read = _Tables()
    read.feed(html)
    return read


@pytest.fixture(scope="module")
def page(small_night: FinishedNight) -> TestClient:
    site = build_site(Nights(small_night.var), Settings(targets=TARGETS))
    return TestClient(site)


@pytest.fixture(scope="module")
def log(small_night: FinishedNight) -> pd.DataFrame:
    """The source's attempts before the run date, with what is known of agents and customers."""
    attempts = pd.read_csv(small_night.source / "call_attempts.csv")
    at = pd.to_datetime(attempts["attempted_at"], utc=True).dt.tz_convert("Asia/Tokyo")
    agents = pd.read_csv(small_night.source / "agents.csv")[["agent_id", "team"]]
    customers = pd.read_csv(small_night.source / "customers.csv")[["customer_id", "region", "gender", "age"]]
    dated = attempts.assign(at=at, contact=attempts["outcome"] == CONTACT)
    known = dated[at < pd.Timestamp(small_night.run_date, tz="Asia/Tokyo")]
    return known.merge(agents, how="left", on="agent_id").merge(customers, on="customer_id")


# --- every page


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("path", PATHS)
def test_every_page_stands_in_both_languages_without_styles_or_scripts_of_its_own(
    page: TestClient, path: str, language: str
) -> None:
    answer = page.get(path, headers={"accept-language": language})
    assert answer.status_code == 200
    assert f'<html lang="{language}">' in answer.text
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=)", answer.text)
    assert bool(re.search(r"架電|計画", answer.text)) == (language == "ja") or "架け時" in answer.text


@pytest.mark.parametrize("path", PATHS)
def test_every_table_has_a_caption_and_says_what_its_headers_head(page: TestClient, path: str) -> None:
    html = page.get(path).text
    assert html.count("<table") == html.count("<caption") > 0
    assert all('scope="' in tag for tag in re.findall(r"<th[ >][^>]*", html))


@pytest.mark.parametrize("query", ["by=month", "from=yesterday", "across=year", "age=" + "9" * 30])
def test_a_wish_that_cannot_be_met_is_refused_and_breaks_nothing(page: TestClient, query: str) -> None:
    path = "/heatmaps" if query.startswith(("across", "age")) else "/measures"
    assert page.get(f"{path}?{query}").status_code == 422


# --- measures


def by_hand(dials: pd.DataFrame) -> list[str]:
    """What a row of the table must say of some dials, counted with pandas."""
    contacts, connects = dials[dials["contact"]], dials[dials["outcome"].isin(list(CONNECTED))]
    handled = dials["talk_seconds"] + dials["wrap_seconds"]
    hours = len(dials.assign(clock=dials["at"].dt.floor("h"))[["agent_id", "clock"]].drop_duplicates())

    def share(part: float, whole: float) -> str:
        return f"{100 * part / whole:.1f} %" if whole else "–"

    return [
        f"{len(dials):,}",
        share(len(connects), len(dials)),
        share(len(contacts), len(dials)),
        share(contacts["converted"].sum(), len(contacts)),
        f"{handled[dials['contact']].mean():.0f} s" if len(contacts) else "–",
        f"{handled[~dials['contact']].mean():.0f} s",
        f"{connects['talk_seconds'].mean():.0f} s" if len(connects) else "–",
        f"{dials['wrap_seconds'].mean():.0f} s",
        f"{len(dials) / hours:.1f}",
        share(handled.sum(), 3600 * hours),
        share((dials["outcome"] == "abandoned").sum(), len(connects)),
    ]


def without_gaps(cells: list[str]) -> list[str]:
    return [re.split(r" ?[●▼]", cell)[0].strip() for cell in cells]


GROUPS: dict[str, Callable[[pd.DataFrame], "pd.Series[Any]"]] = {
    "team": lambda log: log["team"],
    "agent": lambda log: log["agent_id"],
    "slot": lambda log: log["at"].dt.strftime("%a %H:00"),
    "week": lambda log: (log["at"].dt.tz_localize(None).dt.to_period("W").dt.start_time).dt.strftime("%Y-%m-%d"),
}


@pytest.mark.parametrize("by", GROUPS)
def test_measures_are_those_of_the_source(page: TestClient, log: pd.DataFrame, by: str) -> None:
    html = page.get(f"/measures?by={by}&from=2026-09-01&to=2026-11-01").text
    rows = {row[0]: without_gaps(row[1:]) for row in read_tables(html).tables[0][1:]}
    expected = {str(name): by_hand(dials) for name, dials in log.groupby(GROUPS[by](log))}
    assert rows == expected


def test_days_are_those_asked_for_both_ends_included(page: TestClient, log: pd.DataFrame) -> None:
    html = page.get("/measures?by=day&from=2026-10-05&to=2026-10-06").text
    rows = read_tables(html).tables[0][1:]
    assert [row[0] for row in rows] == ["2026-10-05 Mon", "2026-10-06 Tue"]
    day = log[log["at"].dt.strftime("%Y-%m-%d") == "2026-10-06"]
    assert without_gaps(rows[1][1:]) == by_hand(day)


def test_a_gap_to_the_target_is_seen_and_heard(page: TestClient, log: pd.DataFrame) -> None:
    html = page.get("/measures?by=team&from=2026-09-01&to=2026-11-01").text
    reached = 100 * log["contact"].mean()
    tile = html.split('<dl class="tiles measures">')[1].split("</dl>")[0]
    assert f"{abs(reached - 12):.1f}\N{NO-BREAK SPACE}pt" in tile
    assert ("missed, gap to the target" in tile) == (reached < 12)
    assert "target at most 90.0\N{NO-BREAK SPACE}%" in tile
    assert "met, gap to the target" in tile


def test_formulas_are_told_on_hover_and_to_a_keyboard(page: TestClient) -> None:
    html = page.get("/measures?lang=ja").text
    formula = "成約数 ÷ キーマンコンタクト数（架電数で割る方式ではありません）"
    assert f'<abbr title="{formula}" aria-describedby="formula-conversion_rate">成約率' in html
    assert f'<dd id="formula-conversion_rate">{formula}' in html


def test_days_without_a_dial_say_which_days_there_are(page: TestClient) -> None:
    html = page.get("/measures?from=2020-01-01&to=2020-01-31").text
    assert "The log runs from 2026-09-0" in html
    assert "<table" not in html


# --- heat maps


def read_map(page: TestClient, query: str, number: int) -> tuple[Cells, Cells]:
    """Texts and classes of a map's cells, by row and column."""
    read = read_tables(page.get(f"/heatmaps?{query}").text)
    table, classes = read.tables[number], read.classes[number]
    texts = {
        (row[0], column): text for row in table[1:] for column, text in zip(table[0][1:], row[1:], strict=True) if text
    }
    shown = {
        (row[0], column): tone
        for row, tones in zip(table[1:], classes[1:], strict=True)
        for column, tone in zip(table[0][1:], tones[1:], strict=True)
    }
    return texts, shown


def count_cells(dials: pd.DataFrame) -> pd.DataFrame:
    named = dials.assign(row=dials["at"].dt.strftime("%H:00"), column=dials["at"].dt.strftime("%a"))
    return named.groupby(["row", "column"])["contact"].agg(["size", "mean"])


@pytest.mark.parametrize("query", ["", "gender=female", "age=40-49", "region=Tokyo"])
def test_observed_cells_are_those_of_the_source_and_thin_ones_are_thin(
    page: TestClient, log: pd.DataFrame, query: str
) -> None:
    name, _, wanted = query.partition("=")
    levels = log.assign(age=band_ages(log["age"]).astype("str"))
    cells = count_cells(levels[levels[name] == wanted] if query else levels)
    assert len(cells) > 20
    texts, tones = read_map(page, query, 0)
    attempts, _ = read_map(page, query, 2)
    for place, (n, rate) in zip(cells.index, cells.to_numpy(), strict=True):
        assert texts[place].split()[0] == f"{100 * rate:.1f}"
        assert attempts[place] == f"{n:,.0f}"
        assert ("thin" in tones[place]) == (n < 50) == ("too thin to trust" in texts[place])
    assert texts["all", "all"].split()[0] == f"{100 * (cells['size'] * cells['mean']).sum() / cells['size'].sum():.1f}"


def read_chances(night: FinishedNight) -> tuple[pd.Index, np.ndarray, pd.DataFrame]:
    """Customers, probabilities (NaN where unlawful) and slots of the night."""
    kept = pq.read_table(night.out / "page" / "chances.parquet")
    p = np.array(kept["p"].to_pylist(), dtype="float64")
    slots = pd.read_parquet(night.out / "page" / "slots.parquet")
    return pd.Index(kept["customer_id"].to_pylist()), np.where(p == 65_535, np.nan, p / 10_000), slots


def test_predicted_cells_are_the_mean_over_those_who_may_be_called(
    page: TestClient, small_night: FinishedNight, log: pd.DataFrame
) -> None:
    ids, p, slots = read_chances(small_night)
    customers = pd.read_csv(small_night.source / "customers.csv").set_index("customer_id").loc[ids]
    women = p[(customers["gender"] == "female").to_numpy()]
    places = slots["slot_start"].dt.strftime("%H:00 %a")
    texts, _ = read_map(page, "gender=female", 1)
    gains, _ = read_map(page, "gender=female", 3)
    assert len(places) > 50
    for column, place in enumerate(places):
        row, day = place.split()
        mean = np.nanmean(women[:, column])
        assert texts[row, day].split()[0] == f"{100 * mean:.1f}"
        assert gains[row, day].split()[0] == f"{mean / np.nanmean(women):.2f}"


def test_a_segment_of_nobody_says_so(page: TestClient) -> None:
    html = page.get("/heatmaps", params={"region": "'; DROP TABLE attempts; --", "lang": "ja"}).text
    assert "条件を広げてください" in html
    assert "<table" not in html


def test_a_run_without_the_tables_of_the_page_shows_what_it_has(small_night: FinishedNight, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(small_night.out, old, ignore=shutil.ignore_patterns("page"))
    page = TestClient(build_site(Nights(tmp_path, old), Settings()))
    assert "Run the night again" in page.get("/measures").text
    maps = page.get("/heatmaps").text
    assert "the planned dials (this night kept no other chances)" in maps
    assert len(read_tables(maps).tables) == 2
    assert page.get("/nights").status_code == 200


def test_margins_are_sums_not_means_of_means() -> None:
    cells = add_margins(pd.DataFrame({"row": [9, 9], "column": [0, 1], "n": [10, 90], "hits": [10, 0]}))
    whole = cells[(cells["row"] == "all") & (cells["column"] == "all")]
    assert whole["value"].tolist() == [0.1]


def test_a_segment_asks_the_database_and_the_sums_for_the_same_people() -> None:
    people = pd.DataFrame(
        {
            "customer_id": ["a", "b", "c", "d"],
            "region": ["Tokyo", "Osaka", None, "Tokyo"],
            "gender": ["male", "female", "female", None],
            "age": [19.0, 20.0, None, 80.0],
        }
    )
    levels = name_levels(people).reset_index(drop=True)
    assert Segment(age="under 20").holds(levels).tolist() == [True, False, False, False]
    assert Segment(region="unknown").spell_where() == ("region IS NULL", [])
    assert Segment(region="unknown").holds(levels).tolist() == [False, False, True, False]
    assert Segment("Tokyo", "unknown", "80+").holds(levels).tolist() == [False, False, False, True]


def test_sums_of_chances_agree_with_sums_group_by_group() -> None:
    rng = np.random.default_rng(3)
    p = rng.integers(0, 10_000, (40, 5)).astype("uint16")
    p[rng.random(p.shape) < 0.2] = 65_535
    codes = rng.integers(-1, 3, 40)
    n, total = sum_rows(p, codes, 3)
    for group in range(3):
        own = np.where(p[codes == group] == 65_535, np.nan, p[codes == group])
        assert total[group].tolist() == np.nansum(own, axis=0).tolist()
        assert n[group].tolist() == (~np.isnan(own)).sum(axis=0).tolist()


def test_a_run_without_chances_has_no_sums(tmp_path: Path) -> None:
    assert sum_chances(tmp_path, pd.DataFrame()) is None


# --- models and nights


def test_the_night_tells_rivals_gains_and_what_the_gate_said(page: TestClient, small_night: FinishedNight) -> None:
    record = json.loads((small_night.out / "run.json").read_text(encoding="utf-8"))
    html = page.get("/nights").text
    tables = read_tables(html).tables
    gains = {row[0].split(":")[0]: row[1:3] for row in tables[0][1:]}
    for name, gain in record["gains"].items():
        assert gains[name] == [f"{gain['ratio']:.2f}", f"{gain['low']:.2f} to {gain['high']:.2f}"]
    forward = sorted((r["log_loss"], f"{r['auc']:.3f}") for r in record["model"]["rivals"] if r["fold"] == "forward")
    assert [row[3] for row in tables[1][1:]] == [auc for _, auc in forward]
    assert record["model"]["verdict"].split(":")[0] in html
    assert f"version {record['model']['version']}" in html
    assert html.count('role="img"') == 2


def test_nights_stand_one_beside_the_other(page: TestClient, small_night: FinishedNight) -> None:
    record = json.loads((small_night.out / "run.json").read_text(encoding="utf-8"))
    kept = [json.loads(line) for line in (small_night.var / "runs" / "history.jsonl").read_text().splitlines()]
    assert [(night["run_id"], night["dials"]) for night in kept] == [(record["run_id"], record["counts"]["dials"])]
    row = next(row for row in read_tables(page.get("/nights").text).tables[-2] if row[0].startswith("2026-11-02"))
    assert row[1] == f"{record['counts']['dials']:,}"
    assert row[2].startswith(f"{record['expected_contacts']:,.0f}")


def test_a_night_that_failed_is_told_above_the_one_that_is_shown(small_night: FinishedNight, tmp_path: Path) -> None:
    failure = tmp_path / "last_failure.json"
    failure.write_text(json.dumps({"stage": "read", "message": "the folder is <gone>"}), encoding="utf-8")
    failed_at = pd.Timestamp("2026-11-03 02:30", tz="Asia/Tokyo").timestamp()
    os.utime(failure, (failed_at, failed_at))
    page = TestClient(build_site(Nights(tmp_path, small_night.out), Settings()))
    html = page.get("/nights").text
    assert "failed on 2026-11-03 02:30 in the stage “read”: the folder is &lt;gone&gt;" in html


def test_only_addresses_that_can_be_opened_are_linked(small_night: FinishedNight, tmp_path: Path) -> None:
    settings = Settings.model_validate({"mlflow": {"tracking_uri": "https://me:secret@mlflow.centre/"}})
    html = TestClient(build_site(Nights(tmp_path, small_night.out), settings)).get("/nights").text
    assert 'href="https://mlflow.centre/#/models/' in html
    assert "secret" not in html
    assert find_pages("sqlite:///mlflow.db", is_near=False) == {}
