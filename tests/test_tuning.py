"""The search for better settings of the trees: what it tries, what it stops, and when it is believed."""

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import mlflow
import numpy as np
import optuna
import pandas as pd
import pytest
from conftest import SMALL_RUN_DATE
from rich.console import Console
from small_centre import AS_OF, build_centre
from small_centre import SETTINGS as ALL_ATTRIBUTES

from configs.errors import NoModelError
from features.contracts import Tables
from models.contact.boosting import lightgbm_params
from models.contact.tuned import TUNED_PARAMS, Tuned, judge_search
from models.contact.tuning import TRIAL_COLUMNS, suggest_params, tune
from models.contact.tuning_folds import Params, Report, TuningFolds, build_tuning_folds, watch_learning
from models.registry import ModelStore, log_search
from pipelines import search as searching
from pipelines.order import build_order
from pipelines.sample import write_sample
from pipelines.search import Search, name_study, search, tell_search
from pipelines.train import find_tuned_params, read_tuned_params

FEW = ("age", "gender")  # the many tables of regions would take most of the time
SETTINGS = ALL_ATTRIBUTES.model_copy(update={"attributes": FEW, "segment_by": FEW})
OWN = lightgbm_params(SETTINGS.model, SETTINGS.seed)


def bowl(params: Params, report: Report) -> float:
    """Best at num_leaves 8; without parameters, the settings' own, rather bad."""
    return float(abs(np.log2(params["num_leaves"]) - 3)) if params else 2.0


def flat(params: Params, report: Report) -> float:
    """The default is best."""
    return 1.0 if params else 0.5


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return tmp_path / "tuning" / "studies.db"


@pytest.fixture(scope="module")
def tables() -> Tables:
    """A third of the small centre: enough to learn something, and light."""
    whole = build_centre().tables
    calls = whole.call_attempts
    some = whole.customers.head(1_000)
    calls = calls[calls["customer_id"].isin(some["customer_id"])].reset_index(drop=True)
    return replace(whole, customers=some, call_attempts=calls)


@pytest.fixture(scope="module")
def folds(tables: Tables) -> TuningFolds:
    return build_tuning_folds(tables, AS_OF, SETTINGS, np.random.default_rng(7))


# --- the search


def test_a_search_finds_the_bottom_of_a_bowl(storage: Path) -> None:
    trials = tune(bowl, storage, "bowl", seed=7, n_trials=18)
    assert tuple(trials.columns) == TRIAL_COLUMNS
    assert 6 <= trials["params"][0]["num_leaves"] <= 11
    assert trials["log_loss"][0] < 0.5 < trials.loc[trials["is_default"], "log_loss"].item() == 2.0
    assert trials["log_loss"].is_monotonic_increasing


def test_the_settings_as_they_are_are_the_first_trial_and_can_win(storage: Path) -> None:
    trials = tune(flat, storage, "flat", seed=7, n_trials=3)
    assert trials[["trial", "is_default", "log_loss"]].iloc[0].tolist() == [0, True, 0.5]
    assert trials["params"][0] == {}
    assert len(trials) == 4


def test_a_search_goes_on_where_it_ended_and_draws_nothing_twice(storage: Path) -> None:
    tune(bowl, storage, "bowl", seed=7, n_trials=4)
    trials = tune(bowl, storage, "bowl", seed=7, n_trials=3)
    assert len(trials) == 8
    assert trials["is_default"].sum() == 1
    assert trials.loc[~trials["is_default"], "params"].map(str).is_unique


def test_a_search_that_was_interrupted_goes_on(storage: Path) -> None:
    def fail_at_third(params: Params, report: Report) -> float:
        if asked.append(params) or len(asked) == 3:
            raise KeyboardInterrupt
        return bowl(params, report)

    asked: list[Params] = []
    with pytest.raises(KeyboardInterrupt):
        tune(fail_at_third, storage, "bowl", seed=7, n_trials=9)
    assert len(tune(bowl, storage, "bowl", seed=7, n_trials=2)) == 4


def test_no_trial_begins_after_the_timeout(storage: Path) -> None:
    assert 1 <= len(tune(bowl, storage, "bowl", seed=7, n_trials=10_000, timeout_seconds=1.0)) < 10_000


def test_progress_is_told_after_every_trial(storage: Path) -> None:
    told: list[tuple[int, float]] = []
    tune(bowl, storage, "bowl", seed=7, n_trials=3, progress=lambda n, best: told.append((n, best)))
    assert [n for n, _ in told] == [1, 2, 3, 4]
    assert [best for _, best in told] == sorted((best for _, best in told), reverse=True)


def test_hopeless_trials_are_stopped_early_and_never_win(storage: Path) -> None:
    asked: list[int] = []

    def worsen(params: Params, report: Report) -> float:
        """Every later trial is worse, and reports it; the steps that it lived to see are counted."""
        asked.append(0)
        for step in range(1, 11):
            asked[-1] = step
            report(step, len(asked) + 1 / step)
        return -float(len(asked)) if len(asked) > 6 else float(len(asked))

    trials = tune(worsen, storage, "worse", seed=7, n_trials=8)
    pruned = trials[trials["state"] == "pruned"]
    assert asked[:5] == [10] * 5
    assert asked[5:] == [2] * 4
    assert len(pruned) == 4
    assert pruned["log_loss"].isna().all()
    assert pruned.index.min() == 5
    assert trials["trial"][0] == 0


def test_the_parameters_shown_are_those_that_are_drawn() -> None:
    assert tuple(suggest_params(optuna.create_study().ask())) == TUNED_PARAMS


# --- the folds


def test_the_default_loss_is_the_same_again_and_answers_to_parameters(folds: TuningFolds) -> None:
    base, wild = folds.measure({}), folds.measure({"learning_rate": 0.9, "min_data_in_leaf": 1, "num_leaves": 63})
    assert 0.1 < base < 0.6
    assert base != wild
    assert folds.measure({}) == base


def test_the_search_sees_two_weeks_and_neither_of_them_is_the_newest(folds: TuningFolds, tables: Tables) -> None:
    weeks = [*folds.search, folds.newest]
    assert len(weeks) == 3
    days = tables.call_attempts["attempted_at"]
    for fold, back in zip(weeks, (1, 2, 0), strict=True):
        end = AS_OF - pd.Timedelta(days=7 * back)
        in_week = (days >= end - pd.Timedelta(days=7)) & (days < end)
        assert abs(len(fold.customer_row) - in_week.sum()) < 0.05 * in_week.sum()


def test_outcomes_of_the_newest_week_change_nothing_in_the_search(folds: TuningFolds, tables: Tables) -> None:
    calls = tables.call_attempts
    is_newest = calls["attempted_at"] >= AS_OF - pd.Timedelta(days=7)
    other = replace(tables, call_attempts=calls.assign(outcome=calls["outcome"].mask(is_newest, "busy")))
    with pytest.raises(NoModelError, match="0 keyman contacts to learn from, calibrate and judge"):
        build_tuning_folds(other, AS_OF, SETTINGS, np.random.default_rng(7))
    half = is_newest & (np.arange(len(calls)) % 2 == 0)
    other = replace(tables, call_attempts=calls.assign(outcome=calls["outcome"].mask(half, "busy")))
    changed = build_tuning_folds(other, AS_OF, SETTINGS, np.random.default_rng(7))
    assert changed.measure({}) == folds.measure({})
    assert changed.newest.forward.is_contact.mean() < folds.newest.forward.is_contact.mean()


def test_a_log_too_short_for_three_weeks_is_refused_with_the_days_it_needs(tables: Tables) -> None:
    recent = tables.call_attempts["attempted_at"] >= AS_OF - pd.Timedelta(days=20)
    short = replace(tables, call_attempts=tables.call_attempts[recent])
    with pytest.raises(NoModelError, match="20 days of log, tuning needs 23 days"):
        build_tuning_folds(short, AS_OF, SETTINGS, np.random.default_rng(7))


def test_learning_is_reported_by_learning_and_not_by_rounds(folds: TuningFolds) -> None:
    quick: list[tuple[int, float]] = []
    slow: list[tuple[int, float]] = []
    folds.measure({"learning_rate": 0.1}, lambda step, loss: quick.append((step, loss)))
    folds.measure({"learning_rate": 0.02}, lambda step, loss: slow.append((step, loss)))
    for told in (quick, slow):
        steps, losses = zip(*told, strict=True)
        assert list(steps) == list(range(1, len(steps) + 1))
        assert list(losses) == sorted(losses, reverse=True)
    assert quick[0][1] == pytest.approx(slow[0][1], rel=0.01)


def test_a_report_that_stops_ends_the_fit(folds: TuningFolds) -> None:
    def stop(step: int, loss: float) -> None:
        raise optuna.TrialPruned

    with pytest.raises(optuna.TrialPruned):
        folds.measure({}, stop)


def test_a_watch_keeps_the_smallest_loss() -> None:
    class Env:
        def __init__(self, iteration: int, loss: float) -> None:
            self.iteration, self.evaluation_result_list = iteration, [("valid", "binary_logloss", loss, False)]

    told: list[tuple[int, float]] = []
    watch = watch_learning(lambda step, loss: told.append((step, loss)), 0.25)
    for row, loss in enumerate((0.5, 0.4, 0.45, 0.6)):
        watch(Env(row, loss))
    assert told == [(1, 0.4), (2, 0.4)]


def test_parameters_have_no_lead_over_themselves_and_bad_ones_a_lag(folds: TuningFolds) -> None:
    same = folds.compare({name: OWN[name] for name in TUNED_PARAMS})
    assert (same["saved"], same["low"], same["high"]) == (0.0, 0.0, 0.0)
    bad = folds.compare({"learning_rate": 3.0, "min_data_in_leaf": 1, "num_leaves": 63, "lambda_l2": 0.0})
    assert bad["saved"] < 0
    assert bad["low"] < bad["saved"] < bad["high"]
    assert bad["saved"] == pytest.approx(bad["default_log_loss"] - bad["log_loss"])
    assert bad["n_dials"] == len(folds.newest.customer_row)


# --- the verdict


def found_with(saved: float, low: float, high: float) -> Tuned:
    params = dict(zip(TUNED_PARAMS, (8, 100, 0.02, 0.4, 3.0), strict=True))
    rows = [(3, "complete", False, 0.30, 1.5, params), (0, "complete", True, 0.31, 2.0, {})]
    trials = pd.DataFrame([*rows, (4, "pruned", False, np.nan, 0.2, params)], columns=list(TRIAL_COLUMNS))
    lead = {"default_log_loss": 0.32, "log_loss": 0.32 - saved, "saved": saved, "low": low, "high": high}
    return judge_search("kakedoki-1 2026-11-02", trials, OWN, lambda _: lead)


@pytest.mark.parametrize(
    ("lead", "is_used", "said"),
    [
        ((0.004, 0.001, 0.007), True, "better than the default by more than noise"),
        ((0.004, -0.001, 0.009), True, "better than the default by no more than noise"),
        ((-0.002, -0.004, 0.001), False, "the best is not better than the default"),
    ],
)
def test_what_was_found_is_used_if_the_newest_week_bears_it_out(
    lead: tuple[float, float, float], is_used: bool, said: str
) -> None:
    found = found_with(*lead)
    assert found.params == (found.best if is_used else {})
    assert found.verdict.startswith(said)
    assert f"{abs(lead[0]):.5f} nats a dial (90 % interval of the gain {lead[1]:.5f} to {lead[2]:.5f})" in found.verdict
    assert found.verdict.endswith("the next nights use it" if is_used else "the next nights keep the default")
    kept = json.loads(found.to_json())
    assert (kept["params"], kept["n_pruned"], kept["verdict"]) == (found.params, 1, found.verdict)


def test_when_the_default_wins_nothing_is_compared_and_it_is_said(storage: Path) -> None:
    found = judge_search("flat", tune(flat, storage, "flat", 7, 3), OWN, lambda _: pytest.fail("compared"))
    assert (found.params, found.best, found.lead) == ({}, {}, {})
    assert found.verdict.startswith("nothing better than the default in 3 trials")


def told(done: Search) -> str:
    console = Console(file=StringIO(), soft_wrap=True)
    tell_search(done, console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_screen_shows_the_best_the_default_the_verdict_and_the_file() -> None:
    lines = told(Search(found_with(0.004, 0.001, 0.007), Path("tuned.json"), "MLflow: here")).splitlines()
    assert lines[0].endswith("2 trials and the default, 1 stopped early as hopeless")
    assert lines[2].split() == ["3", "0.30000", "+0.01000", "8", "100", "0.020", "0.40", "3.00", "1.5"]
    assert lines[3].split() == ["default", "0.31000", "–", "15", "500", "0.050", "0.50", "10.00", "2.0"]
    assert lines[4].startswith("better than the default by more than noise")
    assert lines[5:] == ["settings of the next nights: tuned.json", "MLflow: here"]


def test_the_screen_shows_five_and_the_default_even_when_it_is_far_behind(storage: Path) -> None:
    found = judge_search("bowl", tune(bowl, storage, "bowl", 7, 9), OWN, lambda _: {"saved": 0.1, "low": 0, "high": 1})
    lines = told(Search(found, Path("f"), "")).splitlines()
    assert [line.split()[0] for line in lines[2:8]] == [*map(str, found.trials["trial"][:5]), "default"]


# --- MLflow and the next night


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    folder = tmp_path_factory.mktemp("mlflow")
    return ModelStore(f"sqlite:///{folder}/mlflow.db", folder / "artifacts")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "world"
    assert write_sample(folder, 1_000, 2, seed=7) == SMALL_RUN_DATE
    return folder


@pytest.fixture(scope="module")
def finished(source: Path, store: ModelStore, tmp_path_factory: pytest.TempPathFactory) -> tuple[Search, Search, Path]:
    """Two searches of one study, the second while the registry is away."""
    var = tmp_path_factory.mktemp("var")

    def away(*_: object) -> str:
        raise OSError("MLflow at nowhere: gone")

    before = mlflow.get_tracking_uri()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAKEDOKI_HOME", str(var))
        patch.setattr(searching, "open_store", lambda _: store)
        config = [var / "few.yaml"]
        config[0].write_text(f"attributes: {[*FEW]}\nsegment_by: {[*FEW]}\n")
        first = search(str(source), SMALL_RUN_DATE, 2, None, config)
        patch.setattr(searching, "log_search", away)
        second = search(str(source), SMALL_RUN_DATE, 1, None, config)
    mlflow.set_tracking_uri(before)
    mlflow.set_registry_uri(before)
    return first, second, var


def test_what_was_found_lies_where_the_next_night_looks(finished: tuple[Search, Search, Path], source: Path) -> None:
    _, second, var = finished
    order = build_order(str(source), None, SMALL_RUN_DATE, var)
    assert second.file == find_tuned_params(order)
    assert read_tuned_params(order) == second.found.params


def test_a_registry_that_is_away_loses_nothing_but_the_log(finished: tuple[Search, Search, Path]) -> None:
    first, second, _ = finished
    assert (first.found.n_trials, second.found.n_trials) == (3, 4)
    assert second.found.study == first.found.study
    assert json.loads(second.file.read_text())["n_trials"] == 4
    assert second.logged == "not logged in MLflow, all else is kept: MLflow at nowhere: gone"


def test_mlflow_shows_the_trials_and_the_default_side_by_side(
    finished: tuple[Search, Search, Path], store: ModelStore
) -> None:
    first, _, _ = finished
    assert first.logged == f"MLflow: experiment kakedoki-tuning, run {first.found.study}"
    client = mlflow.MlflowClient(store.tracking_uri)
    experiment = client.get_experiment_by_name("kakedoki-tuning")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if run.info.run_name == first.found.study]
    assert parent.data.metrics["default.log_loss"] == first.found.default_log_loss
    assert parent.data.metrics["n_trials"] == 3
    assert parent.data.tags["verdict"] == first.found.verdict
    assert [file.path for file in client.list_artifacts(parent.info.run_id)] == ["trials.json"]
    nested = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    table = first.found.table.set_index("trial")
    assert sorted(run.data.metrics["log_loss"] for run in nested) == sorted(table["log_loss"].dropna())
    (default,) = [run for run in nested if run.info.run_name == "default"]
    assert default.data.params == {name: str(OWN[name]) for name in TUNED_PARAMS}


def test_default_and_best_say_how_they_did_on_the_newest_week_and_the_search_by_how_much(store: ModelStore) -> None:
    before = mlflow.get_tracking_uri()
    found = found_with(0.004, 0.001, 0.007)
    log_search(replace(store, experiment="told"), "kakedoki-1", found)
    client = mlflow.MlflowClient(store.tracking_uri)
    mlflow.set_tracking_uri(before)
    mlflow.set_registry_uri(before)
    experiment = client.get_experiment_by_name("told-tuning")
    assert experiment is not None
    runs = {run.info.run_name: run.data for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {found.study, "trial 3 (best)", "default", "trial 4"}
    newest = {name: run.metrics.get("newest_week.log_loss") for name, run in runs.items()}
    assert newest["trial 3 (best)"] == pytest.approx(0.316)
    assert (newest["default"], newest["trial 4"]) == (0.32, None)
    assert runs["trial 4"].tags["state"] == "pruned"
    lead = {name: runs[found.study].metrics[f"newest_week.{name}"] for name in ("saved", "low", "high")}
    assert lead == {"saved": 0.004, "low": 0.001, "high": 0.007}


def test_a_search_belongs_to_its_log_its_settings_and_its_date_but_not_to_how_the_plan_is_made() -> None:
    def study(fingerprint: str = "1f", **settings: object) -> str:
        order = build_order("a", None, SMALL_RUN_DATE, Path("unused"))
        changed = replace(order, settings=order.settings.model_copy(update=settings))
        return name_study(changed, {"customers": fingerprint})

    assert study() == study(horizon_days=3)
    assert len({study(), study("2f"), study(attributes=("age",)), study(seed=8)}) == 4
