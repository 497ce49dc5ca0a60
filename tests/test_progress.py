"""What a run is at, from the night's process to the page: written, seen, and gone again whatever happens."""

import json
import os
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.nights import Nights
from app.site import build_site
from configs.errors import SourceError
from configs.settings import Settings
from pipelines.exports.history import MOST_NIGHTS, keep_night, read_history
from pipelines.progress import FAILURE, PROGRESS, is_alive, read_failure, read_progress, show_progress
from pipelines.stages import record_stages, stage


@stage("fit")
def watch(var: Path) -> str:
    """Tell what the page would see while this stage runs."""
    told = read_progress(var)
    return "" if told is None else f"{told.stage} {told.n_done}/{told.n_stages}"


@stage("gains")
def fail() -> None:
    """Fail as a source does."""
    raise SourceError("the database of 090-1234-5678 is gone")


def run_and_fail(var: Path) -> None:
    with record_stages(2, var):
        watch(var)
        fail()


def open_page(var: Path) -> TestClient:
    return TestClient(build_site(Nights(var), Settings()))


def test_the_page_sees_each_stage_and_nothing_is_left_afterwards(tmp_path: Path) -> None:
    with record_stages(3, tmp_path):
        assert [watch(tmp_path), watch(tmp_path)] == ["fit 0/3", "fit 1/3"]
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_not_to_be_shown_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with record_stages(1):
        assert watch(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_leaves_word_of_it_until_one_ends_well(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        run_and_fail(tmp_path)
    failure = read_failure(tmp_path)
    assert not (tmp_path / PROGRESS).exists()
    assert failure is not None
    assert (failure.stage, failure.message) == ("gains", "the database of ••• is gone")
    with record_stages(1, tmp_path):
        watch(tmp_path)
    assert not (tmp_path / FAILURE).exists()


def test_an_error_of_ours_tells_no_more_than_its_kind(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), show_progress(tmp_path, 1):
        print(1 / 0)
    failure = read_failure(tmp_path)
    assert failure is not None
    assert failure.message == "ZeroDivisionError"


def test_progress_that_cannot_be_written_stops_no_run(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder", encoding="utf-8")
    with record_stages(1, blocked):
        assert watch(blocked) == ""


def test_the_file_of_a_dead_process_says_nothing(tmp_path: Path) -> None:
    with show_progress(tmp_path, 7):
        told = json.loads((tmp_path / PROGRESS).read_text(encoding="utf-8"))
    ended = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(ended, 0)
    for stale in ({"pid": ended}, {"born": "another boot"}):
        (tmp_path / PROGRESS).write_text(json.dumps(told | stale), encoding="utf-8")
        assert read_progress(tmp_path) is None
    assert not is_alive(ended)
    (tmp_path / PROGRESS).write_text(json.dumps(told), encoding="utf-8")
    assert read_progress(tmp_path) is not None


@pytest.mark.parametrize("broken", ["", "{}", "[1]", '{"stage": 1'])
def test_a_broken_file_says_nothing(tmp_path: Path, broken: str) -> None:
    for name in (PROGRESS, FAILURE):
        (tmp_path / name).write_text(broken, encoding="utf-8")
    assert (read_progress(tmp_path), read_failure(tmp_path)) == (None, None)


def test_the_line_of_progress_comes_changes_and_goes(tmp_path: Path) -> None:
    page = open_page(tmp_path)
    assert page.get("/progress").status_code == 204
    with show_progress(tmp_path, 7) as shown:
        shown.tell("fit", 2)
        line = page.get("/progress", params={"lang": "ja"})
        assert "学習（7 工程中 2 工程完了）" in line.text
        key = line.text.split('name="shown" value="')[1].split('"')[0]
        assert page.get("/progress", params={"shown": key}).status_code == 204
        shown.tell("plan", 3)
        assert "planning the calls, 3 of 7 stages done" in page.get("/progress", params={"shown": key}).text
    gone = page.get("/progress", params={"shown": key})
    assert (gone.status_code, gone.text) == (200, "")


def test_before_the_first_night_the_page_says_how_to_run_one(tmp_path: Path) -> None:
    for path in ("/heatmaps", "/measures", "/nights"):
        assert "kakedoki nightly --source" in open_page(tmp_path).get(path).text


def test_the_history_keeps_each_run_once_and_the_newest_only(tmp_path: Path) -> None:
    before = [json.dumps({"run_id": f"r{number}", "dials": number}) + "\n" for number in range(MOST_NIGHTS + 2)]
    (tmp_path / "history.jsonl").write_text("".join(before), encoding="utf-8")
    keep_night(tmp_path, {"run_id": "r402", "counts": {"dials": 402}})
    keep_night(tmp_path, {"run_id": "r400", "counts": {"dials": 7}})
    nights = read_history(tmp_path)
    assert (len(nights), nights[0]["run_id"]) == (MOST_NIGHTS, "r3")
    assert (nights[-1]["run_id"], nights[-1]["dials"]) == ("r400", 7)
    assert [file.name for file in tmp_path.iterdir()] == ["history.jsonl"]


def test_a_history_with_a_broken_line_or_no_place_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text('{"run_id": "a"}\nbroken\n', encoding="utf-8")
    keep_night(tmp_path, {"run_id": "b"})
    assert [night["run_id"] for night in read_history(tmp_path)] == ["a", "b"]
    keep_night(tmp_path / "missing", {"run_id": "c"})
