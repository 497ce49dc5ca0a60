"""``kakedoki compare`` and ``kakedoki rollback``: what they say, and how they end."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result
from rich.console import Console
from small_centre import fit_centre
from typer.testing import CliRunner

from models.registry import LoggedNight, Rollback
from pipelines.champions import tell_comparison, tell_rollback
from pipelines.cli import app
from pipelines.runs import hold_lock

RUN_DATE = ("--run-date", "2026-11-02")


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Call the command line inside this process, with a ``var/`` of the test's own."""
    monkeypatch.setenv("KAKEDOKI_HOME", str(tmp_path / "var"))
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def build_nights() -> list[LoggedNight]:
    fitted = fit_centre()
    refused = "not better than champion version 1 by more than noise: log loss 0.0001 nats a dial worse"
    newest = LoggedNight("2", "2026-11-02", False, refused, fitted.rivals, fitted.leads)
    return [newest, LoggedNight("1", "2026-11-01", True, "passed: it is good", fitted.rivals, fitted.leads)]


def told(say: Callable[[Console], None], **options: bool) -> str:
    console = Console(file=StringIO(), soft_wrap=True, **options)
    say(console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_comparison_has_the_numbers_of_the_night_best_first() -> None:
    fitted = fit_centre()
    lines = told(lambda console: tell_comparison(build_nights(), console)).splitlines()
    forward = fitted.rivals[fitted.rivals["fold"] == "forward"].sort_values("log_loss", kind="stable")
    for line, row in zip(lines[2:7], forward.to_dict("records"), strict=True):
        shown = [f"{row['log_loss']:.4f}", f"{row['auc']:.3f}", f"{row['brier']:.4f}"]
        shown += [f"{row['calibration_error']:.4f}", f"{row['lift_top_tenth']:.2f}"]
        assert line.split() == [*row["rival"].split(), *shown]


def test_nights_are_told_newest_first_with_champion_and_verdict_and_at_last_who_won() -> None:
    lines = told(lambda console: tell_comparison(build_nights(), console)).strip().splitlines()
    heads = [row for row, line in enumerate(lines) if line.startswith("run date")]
    newest, champion = (line.split() for line in lines[heads[0] + 1 : heads[0] + 3])
    assert newest[:2] == ["2026-11-02", "2"]
    assert "noise:" in newest
    assert champion[:3] == ["2026-11-01", "1", "yes"]
    assert lines[-1].startswith("On the forward fold ")
    assert "interval" in lines[-1]


def test_a_comparison_is_plain_text_on_single_lines_when_piped_and_styled_on_a_terminal() -> None:
    piped = told(lambda console: tell_comparison(build_nights(), console))
    assert "\x1b" not in piped
    (verdict,) = [line for line in piped.splitlines() if "2026-11-02" in line and "not better" in line]
    assert verdict.rstrip().endswith("nats a dial worse")
    assert "\x1b[" in told(lambda console: tell_comparison(build_nights(), console), force_terminal=True)


def test_a_night_that_nobody_could_judge_is_shown_without_numbers() -> None:
    empty = pd.DataFrame(columns=fit_centre().rivals.columns)
    night = LoggedNight("1", "", False, "no dials", empty, pd.DataFrame(columns=fit_centre().leads.columns))
    text = told(lambda console: tell_comparison([night], console))
    assert "forward fold, no dials" in text
    assert "nothing could be judged" in text


def test_a_rollback_says_from_where_to_where_and_what_the_gate_had_said() -> None:
    text = told(lambda console: tell_rollback(Rollback("kakedoki-1", "3", "2", "passed: it is good"), console))
    assert "version 2 is champion again (before: version 3); the gate said of it: passed: it is good" in text
    same = told(lambda console: tell_rollback(Rollback("kakedoki-1", "3", "3", ""), console))
    assert "version 3 is the champion already" in same


def test_a_source_without_nights_exits_13_and_says_what_to_run(call: Callable[..., Result], tmp_path: Path) -> None:
    for command in ("compare", "rollback"):
        stopped = call(command, "--source", tmp_path / "nowhere")
        assert stopped.exit_code == 13, stopped.output
        assert "run kakedoki train or nightly first" in stopped.stderr


def test_no_champion_is_taken_back_while_a_run_holds_the_lock(call: Callable[..., Result], tmp_path: Path) -> None:
    with hold_lock(tmp_path / "var"):
        assert call("rollback", "--source", "in").exit_code == 15


@pytest.mark.usefixtures("prefect_server")
def test_train_compare_and_rollback_one_after_the_other(
    call: Callable[..., Result], small_source: Path, tmp_path: Path
) -> None:
    trained = call("train", "--source", small_source, "--accept-changed-past", *RUN_DATE)
    assert trained.exit_code == 0, trained.output
    compared = call("compare", "--source", small_source, "--nights", 3)
    assert compared.exit_code == 0, compared.output
    assert "Night of 2026-11-02, version 1: forward fold" in compared.stdout
    back = call("rollback", "--source", small_source, "--to", 1)
    assert back.exit_code == 0, back.output
    assert "version 1 is" in back.stdout
    refused = call("rollback", "--source", small_source, "--to", 7)
    assert refused.exit_code == 2
    assert "--to 7: model kakedoki-" in refused.stderr
    again = call("rollback", "--source", small_source)
    assert again.exit_code == 2
    assert "is the first champion" in again.stderr
