"""Where models are kept: the only place that talks to MLflow.

A night's model is registered under the name of its source, because a champion belongs to the centre it learned from.
The alias ``challenger`` is always the newest version, ``champion`` the one that goes to work. A champion carries the
tag ``previous_champion``, so that it can be taken back. Beside every model lie its twin that has not seen the forward
fold and the fingerprint of its log, by which later nights are judged (``models.contact.gate``).
"""

import hashlib
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion as KeptVersion
from mlflow.exceptions import MlflowException
from mlflow.models.signature import ModelSignature
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.types.schema import ColSpec, Schema, TensorSpec

from configs.errors import NoModelError, UsageError
from models.contact.fitting import FittedNight
from models.contact.gate import Verdict
from models.contact.leads import read_leads
from models.contact.metrics import read_measures
from models.contact.model import BASE, ContactModel
from models.contact.past import Past
from models.contact.pictures import draw_pictures
from models.contact.tuned import TUNED_PARAMS, Tuned

CHAMPION, CHALLENGER = "champion", "challenger"
_PREVIOUS, _TAKEN_BACK = "previous_champion", "taken_back"
_MOST_TRIALS_SHOWN = 20
_REQUIREMENTS = ("lightgbm", "numpy", "pandas", "scikit-learn")


@dataclass(frozen=True)
class ModelStore:
    """A place that keeps models.

    Attributes
    ----------
    tracking_uri
        Of an MLflow server, or ``sqlite:///...``.
    artifact_folder
        Where a local store keeps files; None leaves it to the server.
    experiment
        Name that a centre's runs share.
    """

    tracking_uri: str
    artifact_folder: Path | None
    experiment: str = "kakedoki"


@dataclass(frozen=True)
class ModelVersion:
    """A registered model: its name and number, whether it is the champion, and the sentence that says why."""

    name: str
    version: str
    is_champion: bool
    verdict: str


@dataclass(frozen=True)
class Champion:
    """The model that goes to work, and what tonight's is held against.

    Attributes
    ----------
    held_out
        Its twin that has not learned from its own forward fold.
    run_date
        Of the night that fitted it, ISO 8601; "" if nobody said.
    past, past_version
        Fingerprint of the newest log that was sound while it was champion, and the version that brought it.
    """

    model: ContactModel
    held_out: ContactModel
    name: str
    version: str
    run_date: str
    past: Past
    past_version: str


@dataclass(frozen=True)
class LoggedNight:
    """What the store knows of one night.

    Attributes
    ----------
    rivals
        rival · fold · the measures of ``models.contact.metrics.judge``.
    leads
        ``models.contact.leads.LEAD_COLUMNS``.
    """

    version: str
    run_date: str
    is_champion: bool
    verdict: str
    rivals: pd.DataFrame
    leads: pd.DataFrame


@dataclass(frozen=True)
class Rollback:
    """A champion taken back: from which version to which, and what the gate had said of the one that it is now."""

    name: str
    left: str | None
    champion: str
    verdict: str


class _RowPredictor(PythonModel):
    """Lets MLflow's own loader predict: rows of the model's features in, P(keyman contact) out."""

    def load_context(self, context: PythonModelContext) -> None:
        self.model = ContactModel.from_json(Path(context.artifacts["contact_model"]).read_text(encoding="utf-8"))

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow passes both
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> np.ndarray:
        return self.model.predict_rows(model_input)


def name_model(source: str) -> str:
    """Name the model of a source: ``kakedoki-`` and eight hex digits of where the source is.

    >>> name_model("/data/centre")
    'kakedoki-dbc64efe'
    """
    return f"kakedoki-{hashlib.sha256(source.encode()).hexdigest()[:8]}"


def log_night(
    store: ModelStore,
    name: str,
    fitted: FittedNight,
    past: Past,
    verdict: Verdict,
    heat_map: pd.DataFrame,
    facts: Mapping[str, str | int | float],
) -> ModelVersion:
    """Log a fitted night and register its model as challenger, and as champion if it passed the gate.

    A champion that stays remembers tonight's past if that is sound, so that tomorrow's log is held against the newest.

    Parameters
    ----------
    heat_map
        Mean predicted probability: weekdays (0 = Monday) as index, hours as columns.
    facts
        What it was fitted on: run_date, counts of rows. Numbers become parameters, never personal data.

    Raises
    ------
    OSError
        The store cannot be reached or refuses.
    """
    run_date = str(facts.get("run_date", ""))
    with _talking_to(store) as client, mlflow.start_run(run_name=f"{run_date or 'night'} {name}") as run:
        mlflow.log_params({**fitted.params, **facts})
        mlflow.log_metrics(fitted.metrics)
        mlflow.log_table(fitted.rivals, "rivals.json")
        mlflow.log_table(fitted.calibration, "calibration.json")
        for file, figure in draw_pictures(fitted, heat_map).items():
            mlflow.log_figure(figure, file)
        number = _register(client, name, fitted, past, run.info.run_id)
        champion = _find_version(client, name)
        tags = {"verdict": verdict.sentence, "run_date": run_date, "past_version": number}
        mlflow.set_tags({"model": name, "version": number, "passed": str(verdict.passes), "verdict": verdict.sentence})
        for key, value in tags.items():
            client.set_model_version_tag(name, number, key, value)
        client.set_registered_model_alias(name, CHALLENGER, number)
        if verdict.passes:
            client.set_model_version_tag(name, number, _PREVIOUS, champion or "none")
            client.set_registered_model_alias(name, CHAMPION, number)
        elif champion is not None and verdict.is_past_sound:
            client.set_model_version_tag(name, champion, "past_version", number)
    return ModelVersion(name, number, verdict.passes, verdict.sentence)


def read_champion(store: ModelStore, name: str) -> Champion | None:
    """Read the champion of a source, or None if none of its models has passed yet.

    Raises
    ------
    OSError
        The store cannot be reached, or has lost the champion's file.
    NoModelError
        The champion was written by a kakedoki whose models this one cannot read.
    """
    with _talking_to(store) as client, tempfile.TemporaryDirectory() as folder:
        number = _find_version(client, name)
        if number is None:
            return None
        tags = client.get_model_version(name, number).tags
        past_version = tags.get("past_version", number)
        files = _download(name, number, Path(folder, "champion"))
        its_past = files if past_version == number else _download(name, past_version, Path(folder, "past"))
        try:
            model, held_out = (ContactModel.from_json(files[file]) for file in ("contact_model", "held_out"))
            past = Past.from_json(its_past["past"])
        except (KeyError, TypeError, ValueError) as error:
            raise NoModelError(
                f"the champion, {name} version {number}, was written by another kakedoki and cannot be read: "
                "run kakedoki train or nightly"
            ) from error
        return Champion(model, held_out, name, number, tags.get("run_date", ""), past, past_version)


def read_model(store: ModelStore, name: str, number: str) -> ContactModel:
    """Read the model of one version; OSError if the store has none, KeyError or ValueError if nobody can read it."""
    with _talking_to(store), tempfile.TemporaryDirectory() as folder:
        return ContactModel.from_json(_download(name, number, Path(folder, "version"))["contact_model"])


def read_nights(store: ModelStore, name: str, n_nights: int) -> list[LoggedNight]:
    """Read the newest nights of a source, newest first.

    Raises
    ------
    OSError
        The store cannot be reached.
    """
    with _talking_to(store) as client:
        champion = _find_version(client, name)
        newest = client.search_model_versions(f"name = '{name}'", n_nights, order_by=["version_number DESC"])
        return [_read_night(client, kept, champion) for kept in newest]


def roll_back(store: ModelStore, name: str, to: str | None = None) -> Rollback:
    """Make an earlier version champion again: the one that the champion replaced, or the version that is named.

    Raises
    ------
    NoModelError
        The source has no champion, and no version was named.
    UsageError
        There is no such version, or the champion is the first that this source has had.
    OSError
        The store cannot be reached.
    """
    with _talking_to(store) as client:
        versions = {str(kept.version): kept.tags for kept in client.search_model_versions(f"name = '{name}'")}
        champion = _find_version(client, name)
        if champion is None and (to is None or not versions):
            raise NoModelError(
                f"model {name}: no version of this source is champion: run kakedoki train or nightly first"
            )
        target = to or versions[str(champion)].get(_PREVIOUS, "none")
        known = ", ".join(sorted(versions, key=int))
        if target == "none":
            raise UsageError(
                f"model {name}: version {champion} is the first champion: name another with --to (there are {known})"
            )
        if target not in versions:
            raise UsageError(f"--to {target}: model {name} has no such version, it has {known}")
        if champion is not None and champion != target:
            client.set_model_version_tag(name, champion, _TAKEN_BACK, "true")
        if _PREVIOUS not in versions[target]:
            client.set_model_version_tag(name, target, _PREVIOUS, champion or "none")
        if _TAKEN_BACK in versions[target]:
            client.delete_model_version_tag(name, target, _TAKEN_BACK)
        client.set_registered_model_alias(name, CHAMPION, target)
        return Rollback(name, champion, target, versions[target].get("verdict", ""))


def log_search(store: ModelStore, name: str, found: Tuned) -> str:
    """Log a search for better settings in an experiment of its own, so that MLflow's page shows its trials abreast.

    One run for the search, with its verdict, its lead over the default and ``trials.json``, all trials as a table; in
    it one run each for the default and the best twenty.

    Returns
    -------
    str
        Name of the experiment: the store's own and ``-tuning``.

    Raises
    ------
    OSError
        The store cannot be reached or refuses.
    """
    searches = replace(store, experiment=f"{store.experiment}-tuning")
    table = found.table
    counts = {"n_trials": found.n_trials, "n_pruned": found.n_pruned, "default.log_loss": found.default_log_loss}
    with _talking_to(searches), mlflow.start_run(run_name=found.study):
        mlflow.set_tags({"model": name, "verdict": found.verdict})
        mlflow.log_params(found.best or found.default)
        mlflow.log_metrics(
            {"log_loss": found.log_loss} | counts | {f"newest_week.{k}": v for k, v in found.lead.items()}
        )
        mlflow.log_table(table, "trials.json")
        for row, trial in enumerate(table.to_dict("records")):
            if row < _MOST_TRIALS_SHOWN or trial["is_default"]:
                _log_trial({str(key): value for key, value in trial.items()}, row == 0, found.lead)
    return searches.experiment


def _log_trial(trial: Mapping[str, Any], is_best: bool, lead: Mapping[str, float]) -> None:
    """A run in the run of its search; the default and the best also say how they did on the newest week."""
    called = "default" if trial["is_default"] else f"trial {trial['trial']}{' (best)' if is_best else ''}"
    newest = lead.get("default_log_loss" if trial["is_default"] else "log_loss")
    with mlflow.start_run(run_name=called, nested=True):
        mlflow.set_tag("state", trial["state"])
        mlflow.log_params({key: trial[key] for key in TUNED_PARAMS})
        mlflow.log_metrics({key: trial[key] for key in ("log_loss", "seconds") if pd.notna(trial[key])})
        if newest is not None and (is_best or trial["is_default"]):
            mlflow.log_metric("newest_week.log_loss", newest)


@contextmanager
def _talking_to(store: ModelStore) -> Iterator[mlflow.MlflowClient]:
    """Point MLflow at the store; its failures become OSError, so that callers need not know MLflow."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if store.artifact_folder is not None:
        store.artifact_folder.mkdir(parents=True, exist_ok=True)
    try:
        mlflow.set_tracking_uri(store.tracking_uri)
        mlflow.set_registry_uri(store.tracking_uri)
        client = mlflow.MlflowClient()
        if client.get_experiment_by_name(store.experiment) is None:
            folder = store.artifact_folder
            client.create_experiment(store.experiment, artifact_location=folder.as_uri() if folder else None)
        mlflow.set_experiment(store.experiment)
        yield client
    except MlflowException as error:
        raise OSError(f"MLflow at {store.tracking_uri.rpartition('@')[2]}: {error.message}") from error


def _find_version(client: mlflow.MlflowClient, name: str) -> str | None:
    """Number of the champion, None if there is none."""
    try:
        return str(client.get_model_version_by_alias(name, CHAMPION).version)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _read_night(client: mlflow.MlflowClient, kept: KeptVersion, champion: str | None) -> LoggedNight:
    number = str(kept.version)
    metrics = client.get_run(str(kept.run_id)).data.metrics
    taken_back = "taken back; it had " if _TAKEN_BACK in kept.tags else ""
    return LoggedNight(
        number,
        kept.tags.get("run_date", ""),
        number == champion,
        taken_back + kept.tags.get("verdict", ""),
        read_measures(metrics),
        read_leads(metrics),
    )


def _register(client: mlflow.MlflowClient, name: str, fitted: FittedNight, past: Past, run_id: str) -> str:
    model = fitted.model
    columns: list[ColSpec | TensorSpec] = [ColSpec("float", feature) for feature in (*model.feature_names, BASE)]
    kept = {"contact_model": model.to_json(), "held_out": fitted.held_out.to_json(), "past": past.to_json()}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it asks for an input example, which takes seconds
        files = {key: Path(folder, f"{key}.json") for key in kept}
        for key, file in files.items():
            file.write_text(kept[key], encoding="utf-8")
        logged = mlflow.pyfunc.log_model(
            name="contact_model",
            python_model=_RowPredictor(),
            artifacts={key: str(file) for key, file in files.items()},
            signature=ModelSignature(Schema(columns), Schema([ColSpec("double")])),
            pip_requirements=[f"{package}=={version(package)}" for package in _REQUIREMENTS],
        )
    if not client.search_registered_models(filter_string=f"name = '{name}'"):
        client.create_registered_model(name)
    return str(client.create_model_version(name, logged.model_uri, run_id, model_id=logged.model_id).version)


def _download(name: str, number: str, folder: Path) -> dict[str, str]:
    """Text of every JSON file of a version, by its name without the ending."""
    folder.mkdir()
    held = Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{number}", dst_path=str(folder)))
    return {file.stem: file.read_text(encoding="utf-8") for file in held.glob("artifacts/*.json")}
