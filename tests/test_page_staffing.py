"""The staffing page shows staffing.csv and shifts.csv, and gives them out as they are."""

import io
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import FinishedNight
from page_readers import build_guarded_site, build_reader
from starlette.testclient import TestClient

from app.rendering import speak
from app.staffing import HINTS


@pytest.fixture(scope="module")
def reader(small_night: FinishedNight, tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    return build_reader(build_guarded_site(small_night, tmp_path_factory.mktemp("doors")))


@pytest.fixture(scope="module")
def staffing(small_night: FinishedNight) -> pd.DataFrame:
    return pd.read_csv(small_night.out / "staffing.csv", encoding="utf-8-sig")


def test_every_slot_stands_in_the_table(reader: TestClient, staffing: pd.DataFrame) -> None:
    rows = re.findall(
        r'(\d\d:\d\d)</th><td class="n">([\d,]+)</td><td class="n">([\d,]+)</td>.*?nowrap">([^<]+)</td></tr>',
        reader.get("/staffing").text,
    )
    hints = staffing["hint"].map(lambda hint: speak(f"hint_{hint}", "en"))
    told = staffing.assign(time=staffing["slot_start"].str.slice(11, 16), hint=hints)
    columns = ["time", "dials_given", "dials_recommended", "hint"]
    assert rows == list(told[columns].astype("str").itertuples(index=False, name=None))


def test_the_seat_map_shades_every_slot_and_the_hours_of_each_hint_are_named(
    reader: TestClient, staffing: pd.DataFrame
) -> None:
    page = reader.get("/staffing").text
    assert len(re.findall(r'title="[^"]*: seat price [\d.]+, agents', page)) == len(staffing)
    for hint in HINTS:
        listed = page.split(speak(f"hint_say_{hint}", "en"))[1].split("</dl>")[0]
        n_hours = len(re.findall(r"\d\d:\d\d", listed)) if (staffing["hint"] == hint).any() else 0
        assert n_hours == (staffing["hint"] == hint).sum(), hint


@pytest.mark.parametrize("format", ["csv", "xlsx"])
def test_the_export_is_staffing_csv(reader: TestClient, staffing: pd.DataFrame, format: str) -> None:
    answer = reader.get("/staffing/export", params={"format": format})
    held = io.BytesIO(answer.content)
    taken = pd.read_csv(held, encoding="utf-8-sig") if format == "csv" else pd.read_excel(held)
    assert taken.columns.tolist() == staffing.columns.tolist()
    assert taken["dials_recommended"].tolist() == staffing["dials_recommended"].tolist()
    assert taken["seat_price"].to_numpy() == pytest.approx(staffing["seat_price"].to_numpy(), abs=1e-6)
    assert reader.get("/staffing/export", params={"format": "exe"}).status_code == 400


def test_shifts_are_shown_with_their_times_away(small_night: FinishedNight, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(small_night.out, out, ignore=shutil.ignore_patterns("page"))
    (out / "shifts.csv").write_text(
        "date,shift,agents,breaks,training,one_to_ones\r\n2026-11-03,early <b>,4,12:00-13:00 × 2,,15:00-15:30 × 1\r\n",
        encoding="utf-8-sig",
    )
    night = FinishedNight(small_night.source, out, small_night.var, small_night.run_date)
    page = build_reader(build_guarded_site(night, tmp_path), "ja").get("/staffing").text
    assert "11月3日（火）" in page
    assert "early &lt;b&gt;" in page
    assert "12:00-13:00 × 2" in page
    assert "シフトは計画されていません" not in page


def test_japanese_is_japanese(reader: TestClient) -> None:
    page = reader.get("/staffing", params={"lang": "ja"}).text
    assert all(word in page for word in ("席価格", "推奨架電枠", "休憩・研修・1on1", "11月3日（火）"))
    assert "seat price" not in page
