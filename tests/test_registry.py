"""The registry on a real MLflow store (SQLite in a folder of the test's own)."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from conftest import SMALL_RUN_DATE

from features.slots import SLOT_FEATURES
from models.contact.fitting import FittedNight, fit_night
from models.contact.model import BASE
from models.registry import (
    CHALLENGER,
    CHAMPION,
    ModelStore,
    judge_challenger,
    log_night,
    name_model,
    read_champion,
)
from pipelines.intake import Intake, check, read
from pipelines.order import Order, build_order
from pipelines.train import draw_heat_map


@pytest.fixture(scope="module")
def order(small_source: Path) -> Order:
    return build_order(str(small_source), None, SMALL_RUN_DATE, Path("unused"))


@pytest.fixture(scope="module")
def intake(order: Order) -> Intake:
    return check(order, read(order))


@pytest.fixture(scope="module")
def fitted(order: Order, intake: Intake) -> FittedNight:
    return fit_night(intake.tables, order.as_of, order.settings, np.random.default_rng(7))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(scope="module")
def store(folder: Path) -> Iterator[ModelStore]:
    """One store for the module, because a new one takes seconds; each test has a model name of its own."""
    before = mlflow.get_tracking_uri()
    yield ModelStore(f"sqlite:///{folder}/mlflow.db", folder / "artifacts")
    mlflow.set_tracking_uri(before)
    mlflow.set_registry_uri(before)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return name_model(request.node.name)


@pytest.fixture(scope="module")
def heat_map(order: Order, intake: Intake, fitted: FittedNight) -> pd.DataFrame:
    return draw_heat_map(order, intake, fitted.model)


def with_forward(fitted: FittedNight, **measures: float) -> FittedNight:
    """The same night as if its model had done so on the forward fold."""
    own = (fitted.rivals["rival"] == "LightGBM") & (fitted.rivals["fold"] == "forward")
    changed = {name: fitted.rivals[name].mask(own, value) for name, value in measures.items()}
    return replace(fitted, rivals=fitted.rivals.assign(**changed))


@pytest.fixture(scope="module")
def good(fitted: FittedNight) -> FittedNight:
    return with_forward(fitted, log_loss=0.1, calibration_error=0.01)


@pytest.fixture(scope="module")
def bad(fitted: FittedNight) -> FittedNight:
    return with_forward(fitted, log_loss=9.0, calibration_error=0.01)


def rows_of(fitted: FittedNight, n: int) -> pd.DataFrame:
    columns = [*fitted.model.feature_names, BASE]
    draws = np.random.default_rng(0).normal(size=(n, len(columns))).astype("float32")
    return pd.DataFrame(draws, columns=columns).assign(**{name: np.float32(3) for name in SLOT_FEATURES[:1]})


def test_there_is_no_champion_before_the_first_night(store: ModelStore, name: str) -> None:
    assert read_champion(store, name) is None


def test_a_model_that_passes_comes_back_as_the_champion_and_predicts_the_same(
    store: ModelStore, name: str, good: FittedNight, heat_map: pd.DataFrame
) -> None:
    registered = log_night(store, name, good, heat_map, {"run_date": "2026-11-02", "customers_kept": 3000})
    champion = read_champion(store, name)
    assert champion is not None
    assert (champion.version, registered.is_champion) == (registered.version, True)
    rows = rows_of(good, 50)
    np.testing.assert_allclose(champion.model.predict_rows(rows), good.model.predict_rows(rows), rtol=1e-6)


def test_a_model_that_fails_is_challenger_and_the_old_champion_stays(
    store: ModelStore, name: str, good: FittedNight, bad: FittedNight, heat_map: pd.DataFrame
) -> None:
    first = log_night(store, name, good, heat_map, {})
    second = log_night(store, name, bad, heat_map, {})
    client = mlflow.MlflowClient(store.tracking_uri)
    assert client.get_model_version_by_alias(name, CHAMPION).version == int(first.version)
    assert client.get_model_version_by_alias(name, CHALLENGER).version == int(second.version)
    assert "no better than the overall rate" in second.verdict


def test_a_new_champion_remembers_whom_it_replaced(
    store: ModelStore, name: str, good: FittedNight, heat_map: pd.DataFrame
) -> None:
    first = log_night(store, name, good, heat_map, {})
    second = log_night(store, name, good, heat_map, {})
    tags = mlflow.MlflowClient(store.tracking_uri).get_model_version(name, second.version).tags
    assert tags["previous_champion"] == first.version


def test_a_champion_belongs_to_its_source(store: ModelStore, good: FittedNight, heat_map: pd.DataFrame) -> None:
    log_night(store, name_model("/centre/a"), good, heat_map, {})
    assert read_champion(store, name_model("/centre/b")) is None


def test_mlflows_own_loader_predicts_with_the_signature_enforced(
    store: ModelStore, name: str, good: FittedNight, heat_map: pd.DataFrame
) -> None:
    registered = log_night(store, name, good, heat_map, {})
    loaded = mlflow.pyfunc.load_model(f"models:/{name}/{registered.version}")
    rows = rows_of(good, 20)
    np.testing.assert_allclose(loaded.predict(rows), good.model.predict_rows(rows), rtol=1e-6)
    signature = loaded.metadata.signature
    assert signature.inputs.input_names() == [*good.model.feature_names, BASE]
    with pytest.raises(mlflow.MlflowException, match="missing inputs"):
        loaded.predict(rows.drop(columns=BASE))


def test_a_run_keeps_parameters_metrics_plots_and_counts(
    store: ModelStore, name: str, good: FittedNight, heat_map: pd.DataFrame
) -> None:
    log_night(store, name, good, heat_map, {"run_date": "2026-11-02", "call_attempts_kept": 7917})
    client = mlflow.MlflowClient(store.tracking_uri)
    experiment = client.get_experiment_by_name(store.experiment)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (run,) = [run for run in runs if name in (run.info.run_name or "")]
    assert run.data.params["call_attempts_kept"] == "7917"
    assert run.data.params["learning_rate"] == str(good.params["learning_rate"])
    assert run.data.metrics.keys() == good.metrics.keys()
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files >= {"reliability.png", "heat_map.png", "importance.png", "rivals.json", "calibration.json"}


def test_nothing_in_the_store_names_a_person_or_a_telephone(
    store: ModelStore, name: str, good: FittedNight, heat_map: pd.DataFrame, intake: Intake, folder: Path
) -> None:
    log_night(store, name, good, heat_map, {"run_date": "2026-11-02", **intake.report.counts})
    kept = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    customers = intake.tables.customers
    named = [*customers["customer_id"].head(200), *customers["phone"].dropna().head(200)]
    assert [word for word in named if str(word).encode() in kept] == []


@pytest.mark.parametrize(
    ("log_loss", "calibration_error", "passes"),
    [(0.30, 0.049, True), (0.30, 0.050, False), (9.0, 0.01, False), (float("nan"), 0.01, False)],
)
def test_the_gate_asks_for_better_than_the_overall_rate_and_honest_probabilities(
    fitted: FittedNight, log_loss: float, calibration_error: float, passes: bool
) -> None:
    assert judge_challenger(with_forward(fitted, log_loss=log_loss, calibration_error=calibration_error))[0] is passes


def test_a_model_that_nobody_could_judge_does_not_pass(fitted: FittedNight) -> None:
    unjudged = replace(fitted, rivals=fitted.rivals[fitted.rivals["fold"] != "forward"])
    assert judge_challenger(unjudged) == (False, "no dials in the forward fold to judge it on")


def test_a_store_that_cannot_be_reached_is_an_oserror_that_names_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with pytest.raises(OSError, match=r"127\.0\.0\.1:9"):
        read_champion(ModelStore("http://127.0.0.1:9", None), name)


def test_the_heat_map_lies_on_weekdays_and_hours(heat_map: pd.DataFrame, intake: Intake) -> None:
    assert list(heat_map.index) == list(range(7))
    assert set(heat_map.columns) == set(intake.slots["slot_start"].dt.hour)
    assert ((heat_map > 0) & (heat_map < 1)).all(axis=None)
