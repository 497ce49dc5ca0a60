"""The command line as people meet it: help, options, exit codes, one line with the remedy."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from app.commands import kakedoki as app
from pipelines.runs import hold_lock

COMMANDS = (
    "nightly",
    "plan",
    "train",
    "tune",
    "compare",
    "rollback",
    "preview",
    "replan",
    "check",
    "sample",
    "demo",
    "schedule",
)
KAKEDOKI = str(Path(sys.executable).with_name("kakedoki"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KAKEDOKI_HOME", str(tmp_path / "var"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "var"


@pytest.fixture
def call(home: Path) -> Callable[..., Result]:
    """Call the command line inside this process."""

    def call_with(*words: str | Path) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])

    return call_with


@pytest.fixture
def source(small_source: Path, tmp_path: Path) -> Path:
    """A copy of the small world that a test may damage."""
    return Path(shutil.copytree(small_source, tmp_path / "source"))


def change(file: Path, **columns: object) -> None:
    """Overwrite columns of a CSV file; None drops one."""
    table = pd.read_csv(file, dtype="str")
    for name, value in columns.items():
        table = table.drop(columns=name) if value is None else table.assign(**{name: value})
    table.to_csv(file, index=False)


def one_line(result: Result) -> str:
    """What went to stderr after the stages' lines: exactly one line of ours, and no traceback."""
    ours = [line for line in result.stderr.splitlines() if line.startswith("kakedoki: ")]
    assert len(ours) == 1, result.output
    assert "Traceback" not in result.output
    return ours[0]


# --- help


def test_help_teaches_and_does_not_keep_anyone_waiting() -> None:
    began = time.monotonic()
    shown = subprocess.run([KAKEDOKI, "--help"], capture_output=True, text=True, env={"COLUMNS": "200"}, check=True)
    assert time.monotonic() - began < 10  # 0.5 s on an idle machine
    for word in ("kakedoki demo", "call_list.csv", "excluded.csv", "report.html", "Exit codes", *COMMANDS):
        assert word in shown.stdout, word


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; import pipelines.cli; print([m for m in ('prefect', 'mlflow', 'pandas') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, call: Callable[..., Result]) -> None:
    shown = call(command, "--help")
    assert shown.exit_code == 0
    assert command == "demo" or f"Example: kakedoki {command}" in " ".join(shown.output.split())


# --- 2: usage


@pytest.mark.parametrize(
    "words",
    [
        ["nightly"],
        ["nightly", "--source", "in"],
        ["nightly", "--source", "in", "--out", "out", "--run-date", "2026-13-01"],
        ["nightly", "--source", "in", "--out", "out", "--horizon-days", "0"],
        ["nightly", "--source", "in", "--out", "out", "--staffing", "elastic"],
        ["nightly", "--source", "in", "--out", "out", "--unknown"],
        ["sample", "--out", "out", "--customers", "0"],
        ["tune", "--source", "in", "--trials", "0"],
        ["fly"],
    ],
)
def test_options_that_make_no_sense_exit_2(words: list[str], call: Callable[..., Result]) -> None:
    assert call(*words).exit_code == 2


@pytest.mark.parametrize(
    ("settings", "told"),
    [("horizon_dayz: 3\n", "horizon_dayz"), ("model: {n_trees: 0}\n", "model.n_trees"), ("- a\n- b\n", "key: value")],
)
def test_a_wrong_settings_file_exits_2_and_names_the_key(
    settings: str, told: str, call: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(settings)
    refused = call("nightly", "--source", "in", "--out", tmp_path / "out", "--config", tmp_path / "mine.yaml")
    assert refused.exit_code == 2
    assert told in one_line(refused)
    assert "mine.yaml" in one_line(refused)


def test_a_cron_line_that_is_none_exits_2_before_anything_starts(call: Callable[..., Result], tmp_path: Path) -> None:
    refused = call("schedule", "--cron", "at two", "--source", "in", "--out", tmp_path / "out")
    assert refused.exit_code == 2
    assert "five fields" in one_line(refused)


def test_a_sample_never_overwrites_something_else(call: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_text("sea")
    refused = call("sample", "--out", tmp_path / "photos")
    assert refused.exit_code == 2
    assert (tmp_path / "photos" / "holiday.jpg").read_text() == "sea"


def test_a_home_that_cannot_be_written_exits_2_with_the_remedy(
    call: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("KAKEDOKI_HOME", str(tmp_path / "file"))
    refused = call("check", "--source", "in")
    assert refused.exit_code == 2
    assert "set KAKEDOKI_HOME" in one_line(refused)


# --- 10 to 15: the night that cannot go on. Each says what to do, and leaves no OUT.

RUN_DATE = ("--run-date", "2026-11-02")


@pytest.mark.usefixtures("prefect_server")
class TestNightsThatStop:
    """All under a real Prefect server, as a user has it."""

    def test_a_source_that_is_not_there_exits_10(self, call: Callable[..., Result], tmp_path: Path) -> None:
        stopped = call("nightly", "--source", tmp_path / "nowhere", "--out", tmp_path / "out", *RUN_DATE)
        assert stopped.exit_code == 10
        assert "nowhere" in one_line(stopped)
        assert not (tmp_path / "out").exists()

    def test_a_missing_column_exits_11(self, call: Callable[..., Result], source: Path, tmp_path: Path) -> None:
        change(source / "call_attempts.csv", outcome=None)
        stopped = call("nightly", "--source", source, "--out", tmp_path / "out", *RUN_DATE)
        assert stopped.exit_code == 11
        assert "call_attempts.outcome" in one_line(stopped)
        assert not (tmp_path / "out").exists()

    def test_a_stale_log_exits_11(self, call: Callable[..., Result], source: Path, tmp_path: Path) -> None:
        stopped = call("nightly", "--source", source, "--out", tmp_path / "out", "--run-date", "2026-12-24")
        assert stopped.exit_code == 11
        assert "max_log_age_days" in one_line(stopped)

    def test_too_many_bad_rows_exit_12_and_are_kept_beside_out(
        self, call: Callable[..., Result], source: Path, tmp_path: Path
    ) -> None:
        attempts = pd.read_csv(source / "call_attempts.csv", dtype="str")
        bad = attempts["attempted_at"].mask(attempts.index % 10 == 0, "yesterday")
        attempts.assign(attempted_at=bad).to_csv(source / "call_attempts.csv", index=False)
        stopped = call("nightly", "--source", source, "--out", tmp_path / "out", *RUN_DATE)
        assert stopped.exit_code == 12
        assert "out.failed" in one_line(stopped)
        rejects = pd.read_csv(tmp_path / "out.failed" / "rejects.csv", encoding="utf-8-sig")
        assert len(rejects) == (attempts.index % 10 == 0).sum()
        assert set(rejects["value"]) == {"yesterday"}
        assert not (tmp_path / "out").exists()

    def test_a_log_too_thin_and_no_champion_exits_13(
        self, call: Callable[..., Result], source: Path, tmp_path: Path
    ) -> None:
        attempts = pd.read_csv(source / "call_attempts.csv", dtype="str")
        attempts.tail(100).to_csv(source / "call_attempts.csv", index=False)
        stopped = call("nightly", "--source", source, "--out", tmp_path / "out", *RUN_DATE)
        assert stopped.exit_code == 13
        assert "100 dials" in one_line(stopped)
        assert not (tmp_path / "out").exists()

    def test_no_place_in_the_horizon_exits_14(self, call: Callable[..., Result], source: Path, tmp_path: Path) -> None:
        change(source / "capacity.csv", dials="0")
        stopped = call("nightly", "--source", source, "--out", tmp_path / "out", *RUN_DATE)
        assert stopped.exit_code == 14
        assert "capacity" in one_line(stopped)

    def test_planning_without_a_champion_exits_13_and_says_how_to_get_one(
        self, call: Callable[..., Result], source: Path, tmp_path: Path
    ) -> None:
        stopped = call("plan", "--source", source, "--out", tmp_path / "out", *RUN_DATE)
        assert stopped.exit_code == 13
        assert "kakedoki train" in one_line(stopped)

    def test_training_says_which_model_it_registered(
        self, call: Callable[..., Result], source: Path, home: Path
    ) -> None:
        trained = call("train", "--source", source, *RUN_DATE)
        assert trained.exit_code == 0, trained.output
        assert "overall rate" in trained.stdout
        assert "version 1" in trained.stdout
        assert (home / "mlflow" / "mlflow.db").exists()


def test_a_run_while_another_holds_the_lock_exits_15_at_once(
    call: Callable[..., Result], home: Path, tmp_path: Path
) -> None:
    with hold_lock(home):
        refused = call("nightly", "--source", "in", "--out", tmp_path / "out")
    assert refused.exit_code == 15
    assert "another run (process" in one_line(refused)


# --- the other commands


def test_a_sound_source_passes_the_check(call: Callable[..., Result], source: Path) -> None:
    checked = call("check", "--source", source, *RUN_DATE)
    assert checked.exit_code == 0
    assert "The night would go on." in checked.stdout


def test_the_check_ends_as_the_night_would(call: Callable[..., Result], source: Path) -> None:
    change(source / "capacity.csv", dials="0")
    assert call("check", "--source", source, *RUN_DATE).exit_code == 14


def test_the_same_seed_writes_the_same_world_and_says_its_run_date(call: Callable[..., Result], tmp_path: Path) -> None:
    for name in ("one", "two"):
        made = call("sample", "--customers", 300, "--months", 1, "--seed", 3, "--out", tmp_path / name)
        assert made.exit_code == 0
        assert "--run-date 2026-11-02" in made.stdout
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_tuning_says_what_it_found_and_where_it_is_kept(call: Callable[..., Result], source: Path, home: Path) -> None:
    tuned = call("tune", "--source", source, "--trials", 1, *RUN_DATE)
    assert tuned.exit_code == 0, tuned.output
    assert "1 trials and the default" in tuned.stdout
    assert "MLflow: experiment kakedoki-tuning" in tuned.stdout
    (file,) = (home / "tuning").glob("kakedoki-*.json")
    assert str(file) in tuned.stdout.replace("\n", "")
