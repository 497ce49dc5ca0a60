"""The gate: on its own, and on whole nights of a centre whose log is sometimes damaged, with a real MLflow store."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from poison import lose_half, remap_to_contact, remap_to_no_answer, shuffle_labels
from strong_centre import RUN_DATE, draw_log, write_centre, write_settings

from models.contact.gate import Verdict, judge_challenger
from models.contact.leads import LEAD_COLUMNS
from models.registry import roll_back
from pipelines.nightly import nightly
from pipelines.order import build_order
from pipelines.train import NightModel, name_of_source, open_store, train


def judge(
    low: float = 0.001, error: float = 0.01, against: str = "champion", objections: tuple[str, ...] = ()
) -> Verdict:
    rivals = pd.DataFrame({"rival": ["LightGBM"], "fold": ["forward"], "calibration_error": [error]})
    leads = pd.DataFrame([[against, 900, 300, low + 0.003, 0.01, low, low + 0.006]], columns=list(LEAD_COLUMNS))
    return judge_challenger(rivals, leads, 0.05, "12", objections)


@pytest.mark.parametrize(
    ("low", "error", "passes"),
    [(0.001, 0.049, True), (0.001, 0.050, False), (0.0, 0.01, False), (-0.001, 0.01, False), (np.nan, 0.01, False)],
)
def test_only_what_is_better_by_more_than_noise_and_calibrated_passes(low: float, error: float, passes: bool) -> None:
    for against in ("champion", "overall rate"):
        assert judge(low, error, against).passes is passes


def test_the_verdict_is_one_sentence_with_the_numbers_and_whom_it_was_against() -> None:
    assert judge().sentence == (
        "passed: log loss 0.0040 nats a dial better than champion version 12 (90 % interval 0.0010 to 0.0070), "
        "calibration error 0.010"
    )
    assert judge(-0.001).sentence.startswith("not better than champion version 12 by more than noise: log loss")
    assert judge(-0.009, against="overall rate").sentence == (
        "not better than the overall rate by more than noise: log loss 0.0060 nats a dial worse "
        "(90 % interval -0.0090 to -0.0030), calibration error 0.010"
    )
    assert judge(error=0.07).sentence.startswith(
        "badly calibrated (limit 0.05), though log loss 0.0040 nats a dial better"
    )


def test_an_objection_to_the_log_outweighs_every_lead() -> None:
    assert judge(objections=("the past has changed", "the newest week is unlike")) == Verdict(
        False, "the past has changed", is_past_sound=False
    )


def test_a_model_that_nobody_could_judge_does_not_pass() -> None:
    rivals = pd.DataFrame({"rival": ["LightGBM"], "fold": ["unseen customers"], "calibration_error": [0.01]})
    unjudged = judge_challenger(rivals, pd.DataFrame(columns=list(LEAD_COLUMNS)), 0.05)
    assert unjudged == Verdict(False, "no dials in the forward fold to judge it on")


# --- whole nights


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A ``var/`` for this module, because a new MLflow store takes seconds."""
    folder = tmp_path_factory.mktemp("gate")
    before = mlflow.get_tracking_uri()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAKEDOKI_HOME", str(folder / "var"))
        yield folder
    mlflow.set_tracking_uri(before)
    mlflow.set_registry_uri(before)


@pytest.fixture(scope="module")
def log() -> pd.DataFrame:
    return draw_log()


@pytest.fixture(scope="module")
def run(home: Path) -> Callable[..., NightModel]:
    """Train on a log that arrives at a source of that name."""

    def train_on(
        name: str, log: pd.DataFrame, days_later: int = 0, attributes: str = "age, gender", accept: bool = False
    ) -> NightModel:
        write_centre(home / name, log)
        config = [write_settings(home / "settings.yaml", attributes)]
        return train.fn(str(home / name), RUN_DATE + timedelta(days=days_later), config, accept)

    return train_on


@pytest.fixture(scope="module")
def good(run: Callable[..., NightModel], log: pd.DataFrame) -> NightModel:
    """The first night of the centre."""
    return run("centre", log)


def test_a_good_first_night_becomes_champion(good: NightModel) -> None:
    assert (good.version, good.challenger, good.note) == ("1", None, "")
    assert good.verdict.startswith("passed: log loss 0.")
    assert "better than the overall rate" in good.verdict


@pytest.mark.parametrize("days_later", [0, 1])
def test_an_equal_night_leaves_the_champion_and_plans_with_it(
    run: Callable[..., NightModel], good: NightModel, log: pd.DataFrame, days_later: int
) -> None:
    chosen = run("centre", log, days_later)
    assert (chosen.version, chosen.model.to_json()) == ("1", good.model.to_json())
    assert chosen.challenger is not None
    assert "not better than champion version 1 by more than noise" in chosen.note
    assert chosen.fitted is not None


@pytest.mark.parametrize("poison", [shuffle_labels, lose_half, remap_to_contact])
def test_a_poisoned_night_never_replaces_the_champion(
    run: Callable[..., NightModel], good: NightModel, log: pd.DataFrame, poison: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    chosen = run("centre", poison(log), days_later=1)
    assert (chosen.version, chosen.model.to_json()) == ("1", good.model.to_json())
    assert "the past has changed since version" in chosen.verdict
    assert "the champion plans" in chosen.note


def test_a_code_remapped_only_in_the_newest_week_never_replaces_the_champion(
    run: Callable[..., NightModel], good: NightModel, log: pd.DataFrame
) -> None:
    cut = pd.Timestamp(RUN_DATE, tz="Asia/Tokyo")
    later = log["attempted_at"] >= cut
    chosen = run("centre", pd.concat([log[~later], remap_to_contact(log[later])]), days_later=7)
    assert chosen.version == "1"
    assert "the newest week is unlike the weeks before" in chosen.verdict


def test_a_whole_poisoned_night_goes_on_with_the_champion_and_its_report_says_why(
    good: NightModel, home: Path, log: pd.DataFrame
) -> None:
    write_centre(home / "centre", shuffle_labels(log))
    config = [write_settings(home / "settings.yaml", "age, gender")]
    night = nightly.fn(str(home / "centre"), str(home / "out"), RUN_DATE + timedelta(days=1), 2, config=config)
    assert len(night.call_list) > 0
    model = json.loads((home / "out" / "run.json").read_text())["model"]
    assert (model["version"], model["is_fitted_tonight"]) == ("1", False)
    assert "the past has changed since version" in model["verdict"]
    report = " ".join((home / "out" / "report.html").read_text().split())
    assert "did not become champion: the past has changed" in report
    assert "The champion, version 1, made this plan." in report


def test_a_night_before_the_champions_own_does_not_replace_it(
    run: Callable[..., NightModel], good: NightModel, log: pd.DataFrame
) -> None:
    chosen = run("centre", log, days_later=-1)
    assert chosen.version == "1"
    assert f"is of a later night, {RUN_DATE}" in chosen.verdict


def test_shuffled_labels_make_no_champion_on_a_first_night_either(
    run: Callable[..., NightModel], log: pd.DataFrame
) -> None:
    chosen = run("shuffled", shuffle_labels(log))
    assert "no model of this source has passed the gate yet" in chosen.note
    assert "not better than the overall rate by more than noise" in chosen.verdict


def test_a_truly_better_challenger_replaces_the_champion_and_has_to_be_beaten_again_after_a_rollback(
    run: Callable[..., NightModel], home: Path, log: pd.DataFrame
) -> None:
    assert run("better", log, attributes="gender").version == "1"
    better = run("better", log, days_later=1)
    assert (better.version, better.challenger) == ("2", None)
    assert "better than champion version 1" in better.verdict
    order = build_order(str(home / "better"), None, RUN_DATE, home / "var")
    assert roll_back(open_store(order), name_of_source(order)).champion == "1"
    again = run("better", log, days_later=2)
    assert again.version == "3"
    assert "better than champion version 1" in again.verdict


def test_a_change_that_is_meant_is_accepted_once_and_then_is_the_past(
    run: Callable[..., NightModel], log: pd.DataFrame
) -> None:
    assert run("changed", log).version == "1"
    assert "not better than champion version 1" in run("changed", remap_to_no_answer(log), accept=True).verdict
    assert "the past has changed since version 2" in run("changed", log, days_later=1).verdict
