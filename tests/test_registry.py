"""The registry on a real MLflow store (SQLite in a folder of the test's own)."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from conftest import SMALL_RUN_DATE

from configs.errors import NoModelError, UsageError
from features.slots import SLOT_FEATURES
from models.contact.fitting import FittedNight, fit_night
from models.contact.gate import Verdict
from models.contact.model import BASE
from models.contact.past import Past, fingerprint_log
from models.registry import (
    CHALLENGER,
    CHAMPION,
    ModelStore,
    ModelVersion,
    log_night,
    name_model,
    read_champion,
    read_nights,
    roll_back,
)
from pipelines.intake import Intake, check, read
from pipelines.order import Order, build_order
from pipelines.train import draw_heat_map


@pytest.fixture(scope="module")
def order(small_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Order:
    return build_order(str(small_source), None, SMALL_RUN_DATE, tmp_path_factory.mktemp("var"))


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


@pytest.fixture(scope="module")
def heat_map(order: Order, intake: Intake, fitted: FittedNight) -> pd.DataFrame:
    return draw_heat_map(order, intake, fitted.model)


NAME = name_model("/centre")
PASSED, REFUSED = Verdict(True, "passed: it is good"), Verdict(False, "not better by more than noise")


@pytest.fixture(scope="module")
def past(intake: Intake) -> Past:
    return fingerprint_log(intake.tables.call_attempts, intake.tables.customers)


@pytest.fixture(scope="module")
def register(
    store: ModelStore, fitted: FittedNight, past: Past, heat_map: pd.DataFrame, intake: Intake
) -> Callable[[str, Verdict, str], ModelVersion]:
    """Log the night of the small world under a name, with a verdict and a run date."""

    def log(name: str, verdict: Verdict, run_date: str) -> ModelVersion:
        return log_night(store, name, fitted, past, verdict, heat_map, {"run_date": run_date, **intake.report.counts})

    return log


@pytest.fixture(scope="module")
def nights(register: Callable[[str, Verdict, str], ModelVersion]) -> list[ModelVersion]:
    """Five nights of one source: champion, refused, refused for its log, champion, refused."""
    verdicts = (PASSED, REFUSED, replace(REFUSED, is_past_sound=False), PASSED, REFUSED)
    return [register(NAME, verdict, f"2026-11-0{day}") for day, verdict in enumerate(verdicts, start=1)]


@pytest.fixture
def five(nights: list[ModelVersion], store: ModelStore) -> Iterator[list[ModelVersion]]:
    """The same for tests that roll back; put right again afterwards."""
    yield nights
    roll_back(store, NAME, "4")


def rows_of(fitted: FittedNight, n: int) -> pd.DataFrame:
    columns = [*fitted.model.feature_names, BASE]
    draws = np.random.default_rng(0).normal(size=(n, len(columns))).astype("float32")
    return pd.DataFrame(draws, columns=columns).assign(**{name: np.float32(3) for name in SLOT_FEATURES[:1]})


def tags_of(store: ModelStore, version: str) -> dict[str, str]:
    return dict(mlflow.MlflowClient(store.tracking_uri).get_model_version(NAME, version).tags)


def test_there_is_no_champion_before_the_first_night(store: ModelStore) -> None:
    assert read_champion(store, name_model("/nowhere")) is None


def test_the_newest_that_passed_is_champion_and_the_newest_of_all_challenger(
    store: ModelStore, nights: list[ModelVersion]
) -> None:
    assert [night.is_champion for night in nights] == [True, False, False, True, False]
    client = mlflow.MlflowClient(store.tracking_uri)
    assert client.get_model_version_by_alias(NAME, CHAMPION).version == int(nights[3].version)
    assert client.get_model_version_by_alias(NAME, CHALLENGER).version == int(nights[4].version)


def test_a_champion_comes_back_with_its_twin_and_its_past_and_predicts_the_same(
    store: ModelStore, nights: list[ModelVersion], fitted: FittedNight, past: Past
) -> None:
    champion = read_champion(store, NAME)
    assert champion is not None
    assert (champion.version, champion.run_date) == (nights[3].version, "2026-11-04")
    rows = rows_of(fitted, 50)
    for kept, given in ((champion.model, fitted.model), (champion.held_out, fitted.held_out)):
        np.testing.assert_allclose(kept.predict_rows(rows), given.predict_rows(rows), rtol=1e-6)
    assert champion.held_out.to_json() != champion.model.to_json()
    assert champion.past.to_json() == past.to_json()


def test_a_champion_that_stays_remembers_the_newest_sound_past_and_no_other(
    store: ModelStore, nights: list[ModelVersion]
) -> None:
    assert tags_of(store, "1")["past_version"] == "2"
    assert tags_of(store, "4")["past_version"] == "5"


def test_a_new_champion_remembers_whom_it_replaced(store: ModelStore, nights: list[ModelVersion]) -> None:
    assert tags_of(store, "1")["previous_champion"] == "none"
    assert tags_of(store, "4")["previous_champion"] == "1"
    assert tags_of(store, "2")["verdict"] == REFUSED.sentence


def test_a_champion_belongs_to_its_source(store: ModelStore, nights: list[ModelVersion]) -> None:
    assert read_champion(store, name_model("/centre/b")) is None


def test_a_champion_of_another_kakedoki_is_told_by_name_and_version(
    store: ModelStore, nights: list[ModelVersion], folder: Path
) -> None:
    twins = list(folder.rglob("held_out.json"))
    assert len(twins) >= len(nights)
    for file in twins:
        file.rename(file.with_suffix(".kept"))
    with pytest.raises(NoModelError, match=f"{NAME} version 4, was written by another kakedoki"):
        read_champion(store, NAME)
    for file in twins:
        file.with_suffix(".kept").rename(file)


def test_mlflows_own_loader_predicts_with_the_signature_enforced(
    nights: list[ModelVersion], fitted: FittedNight
) -> None:
    loaded = mlflow.pyfunc.load_model(f"models:/{NAME}/4")
    rows = rows_of(fitted, 20)
    np.testing.assert_allclose(loaded.predict(rows), fitted.model.predict_rows(rows), rtol=1e-6)
    signature = loaded.metadata.signature
    assert signature.inputs.input_names() == [*fitted.model.feature_names, BASE]
    with pytest.raises(mlflow.MlflowException, match="missing inputs"):
        loaded.predict(rows.drop(columns=BASE))


def test_a_run_keeps_parameters_metrics_plots_counts_and_the_verdict(
    store: ModelStore, nights: list[ModelVersion], fitted: FittedNight, intake: Intake
) -> None:
    client = mlflow.MlflowClient(store.tracking_uri)
    experiment = client.get_experiment_by_name(store.experiment)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], f"tags.model = '{NAME}' AND tags.version = '4'")
    assert run.info.run_name == f"2026-11-04 {NAME}"
    assert run.data.params["call_attempts_kept"] == str(intake.report.counts["call_attempts_kept"])
    assert run.data.params["learning_rate"] == str(fitted.params["learning_rate"])
    assert run.data.metrics.keys() == fitted.metrics.keys()
    assert {"LightGBM.forward.log_loss", "lead_over.overall_rate.saved"} <= run.data.metrics.keys()
    assert (run.data.tags["passed"], run.data.tags["verdict"]) == ("True", PASSED.sentence)
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files >= {"reliability.png", "heat_map.png", "importance.png", "rivals.json", "calibration.json"}


def test_nothing_in_the_store_names_a_person_or_a_telephone(
    nights: list[ModelVersion], intake: Intake, folder: Path
) -> None:
    kept = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    customers = intake.tables.customers
    named = [*customers["customer_id"].head(200), *customers["phone"].dropna().head(200)]
    assert [word for word in named if str(word).encode() in kept] == []


# --- nights side by side


def test_the_newest_nights_are_read_back_newest_first(
    store: ModelStore, nights: list[ModelVersion], fitted: FittedNight
) -> None:
    read = read_nights(store, NAME, 2)
    assert [(night.run_date, night.is_champion) for night in read] == [("2026-11-05", False), ("2026-11-04", True)]
    assert [night.version for night in read_nights(store, NAME, 14)] == ["5", "4", "3", "2", "1"]
    assert read[0].verdict == REFUSED.sentence
    rivals = read[0].rivals.set_index(["rival", "fold"])
    told = fitted.rivals.set_index(["rival", "fold"])
    pd.testing.assert_frame_equal(rivals.loc[told.index], told, check_dtype=False)
    assert set(read[0].leads["against"]) == set(fitted.leads["against"])


def test_a_source_without_nights_has_none(store: ModelStore) -> None:
    assert read_nights(store, name_model("/nowhere"), 14) == []


# --- rollback


def champion_of(store: ModelStore) -> str:
    champion = read_champion(store, NAME)
    assert champion is not None
    return champion.version


def test_a_rollback_goes_from_champion_to_champion_and_not_to_those_that_were_refused(
    store: ModelStore, five: list[ModelVersion]
) -> None:
    done = roll_back(store, NAME)
    assert (done.left, done.champion, done.verdict) == ("4", "1", PASSED.sentence)
    assert champion_of(store) == "1"
    assert read_nights(store, NAME, 2)[1].verdict == f"taken back; it had {PASSED.sentence}"
    with pytest.raises(UsageError, match="version 1 is the first champion: name another with --to"):
        roll_back(store, NAME)
    assert champion_of(store) == "1"


def test_a_rollback_to_a_version_can_be_undone_in_the_same_way(store: ModelStore, five: list[ModelVersion]) -> None:
    assert roll_back(store, NAME, "3").champion == champion_of(store) == "3"
    assert roll_back(store, NAME, "4").left == "3"
    assert read_nights(store, NAME, 2)[1].verdict == PASSED.sentence
    assert roll_back(store, NAME).champion == "1"


def test_taking_back_to_the_champion_itself_changes_nothing(store: ModelStore, five: list[ModelVersion]) -> None:
    before = tags_of(store, "4")
    done = roll_back(store, NAME, "4")
    assert (done.left, done.champion, tags_of(store, "4")) == ("4", "4", before)


def test_after_a_rollback_the_log_is_held_against_the_past_of_the_restored_champion(
    store: ModelStore, five: list[ModelVersion]
) -> None:
    roll_back(store, NAME)
    champion = read_champion(store, NAME)
    assert champion is not None
    assert champion.past_version == "2"


@pytest.mark.parametrize("to", ["9", "0", "-1", "two", "champion"])
def test_a_version_that_is_not_there_is_refused_with_those_that_are(
    store: ModelStore, five: list[ModelVersion], to: str
) -> None:
    with pytest.raises(UsageError, match=f"--to {to}: model {NAME} has no such version, it has 1, 2, 3, 4, 5$"):
        roll_back(store, NAME, to)
    assert champion_of(store) == "4"


def test_without_a_champion_there_is_nothing_to_take_back(
    store: ModelStore, register: Callable[[str, Verdict, str], ModelVersion]
) -> None:
    name = name_model("/centre/of/refusals")
    for to in (None, "1"):
        with pytest.raises(NoModelError, match="run kakedoki train or nightly first"):
            roll_back(store, name, to)
    register(name, REFUSED, "2026-11-02")
    with pytest.raises(NoModelError):
        roll_back(store, name)
    assert roll_back(store, name, "1").left is None


def test_a_store_that_cannot_be_reached_is_an_oserror_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with pytest.raises(OSError, match=r"127\.0\.0\.1:9"):
        read_champion(ModelStore("http://127.0.0.1:9", None), NAME)


def test_the_heat_map_lies_on_weekdays_and_hours(heat_map: pd.DataFrame, intake: Intake) -> None:
    assert list(heat_map.index) == list(range(7))
    assert set(heat_map.columns) == set(intake.slots["slot_start"].dt.hour)
    assert ((heat_map > 0) & (heat_map < 1)).all(axis=None)
