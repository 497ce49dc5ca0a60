"""The rest of today planned again: the page and the interface show it, and say so; an old one is not shown."""

import json
from pathlib import Path

import pandas as pd
import pytest
from conftest import FinishedNight
from page_readers import build_guarded_site, build_reader, read_call_list

from app.nights import Nights
from pipelines.export import ExportOrder, export_run
from pipelines.exports.folders import point_latest, point_replanned
from pipelines.exports.tables import write_csv
from pipelines.forget import list_runs

NOON = pd.Timestamp("2026-11-02 12:10", tz="Asia/Tokyo")


def plan_again(night: FinishedNight, folder: Path, plan: str) -> pd.DataFrame:
    """Write what ``kakedoki replan`` leaves: today's rows after noon but the first, whose customer comes later."""
    listed = pd.read_parquet(night.out / "call_list.parquet")
    rest = listed[listed["is_firm"] & (listed["slot_start"] > NOON)].iloc[1:]
    later = listed.loc[~listed["is_firm"], "customer_id"].iloc[:1]
    folder.mkdir()
    rest.to_parquet(folder / "call_list.parquet", index=False)
    out = pd.DataFrame({"customer_id": [*later, "X1"], "reason": ["planned_later", "dialled_today"]})
    write_csv(out, folder / "excluded.csv")
    record = json.loads((night.out / "run.json").read_text(encoding="utf-8"))
    told = {"run_id": f"{plan}-1210", "plan": plan, "replanned_at": NOON.isoformat(), "run_date": record["run_date"]}
    kept = {name: record[name] for name in ("settings", "is_simulated")}
    (folder / "run.json").write_text(json.dumps(told | kept), encoding="utf-8")
    return pd.concat([rest, listed[~listed["is_firm"]]])


@pytest.fixture
def var(small_night: FinishedNight, tmp_path: Path) -> Path:
    point_latest(tmp_path / "var" / "runs", small_night.out)
    return tmp_path / "var"


def test_the_newest_plan_of_the_day_is_shown_and_the_page_says_which(
    small_night: FinishedNight, var: Path, tmp_path: Path
) -> None:
    nights = Nights(var)
    before = nights.current()
    expected = plan_again(small_night, tmp_path / "rest", before.run_id)
    point_replanned(var / "runs", tmp_path / "rest")
    night = nights.current()
    shown = night.ask("SELECT customer_id, slot_start FROM call_list ORDER BY slot_start, rank")
    assert night.run_id == f"{before.run_id}-1210"
    assert night.stamp != before.stamp
    assert shown["customer_id"].tolist() == expected.sort_values(["slot_start", "rank"])["customer_id"].tolist()
    assert night.ask("SELECT * FROM excluded").values.tolist() == [["X1", "dialled_today"]]
    assert len(night.ask("SELECT * FROM staffing")) == len(before.ask("SELECT * FROM staffing"))


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_page_tells_which_plan_it_is_of(
    small_night: FinishedNight, var: Path, tmp_path: Path, language: str
) -> None:
    plan_again(small_night, tmp_path / "rest", Nights(var).current().run_id)
    point_replanned(var / "runs", tmp_path / "rest")
    site = build_guarded_site(small_night, tmp_path, var=var)
    site.state.nights = Nights(var)
    page = build_reader(site, language)
    for path in ("/", "/heatmaps", "/staffing", "/measures", "/nights"):
        answer = page.get(path)
        assert answer.status_code == 200
        assert "12:10" in answer.text.partition("<main")[0]
    assert page.get("/nights").text.count('class="tag"') == 1  # a replan is no night of its own
    health = page.get("/api/v1/health").json()
    assert health["run_id"].endswith("-1210")


def test_a_plan_of_another_night_is_not_laid_over_this_one(
    small_night: FinishedNight, var: Path, tmp_path: Path
) -> None:
    plan_again(small_night, tmp_path / "rest", "20261101-older")
    point_replanned(var / "runs", tmp_path / "rest")
    night = Nights(var).current()
    assert "replanned_at" not in night.record
    assert len(night.ask("SELECT 1 FROM call_list")) == len(read_call_list(small_night))


def test_where_earlier_plans_were_written_is_remembered_for_those_who_are_to_be_forgotten(
    small_night: FinishedNight, var: Path, tmp_path: Path
) -> None:
    for name in ("noon", "one", "two"):
        plan_again(small_night, tmp_path / name, Nights(var).current().record.get("night_id") or "x")
        point_replanned(var / "runs", tmp_path / name)
    assert {tmp_path / name for name in ("noon", "one", "two")} <= set(list_runs(var))


def test_an_export_without_a_plan_of_its_own_is_what_the_page_shows(
    small_night: FinishedNight, var: Path, tmp_path: Path
) -> None:
    expected = plan_again(small_night, tmp_path / "rest", Nights(var).current().run_id)
    point_replanned(var / "runs", tmp_path / "rest")
    done = export_run(ExportOrder(tmp_path / "list.parquet"), var)
    assert done.n_rows == len(expected)
    assert any("kakedoki replan" in remark for remark in done.remarks)
    assert export_run(ExportOrder(tmp_path / "list.parquet", plan=small_night.out), var).n_rows > len(expected)
