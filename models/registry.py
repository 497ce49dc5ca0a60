"""Where models are kept: the only place that talks to MLflow.

A night's model is registered under the name of its source, because a champion belongs to the centre it learned from.
The alias ``challenger`` is always the newest version, ``champion`` the newest that passed the gate. A champion carries
the tag ``previous_champion``, so that it can be taken back.
"""

import hashlib
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from mlflow.exceptions import MlflowException
from mlflow.models.signature import ModelSignature
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.types.schema import ColSpec, Schema, TensorSpec

from models.contact.fitting import FittedNight
from models.contact.model import BASE, ContactModel

CHAMPION, CHALLENGER = "champion", "challenger"
MAX_CALIBRATION_ERROR = 0.05
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
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
    """The model that goes to work, and the version it was registered under."""

    model: ContactModel
    name: str
    version: str


class _RowPredictor(PythonModel):
    """Lets MLflow's own loader predict: rows of the model's features in, P(keyman contact) out."""

    def load_context(self, context: PythonModelContext) -> None:
        self.model = ContactModel.from_json(Path(context.artifacts["model"]).read_text(encoding="utf-8"))

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


def judge_challenger(fitted: FittedNight) -> tuple[bool, str]:
    """Decide whether a model may become champion: better than the overall rate on days it has not seen, and honest.

    Returns
    -------
    (passes, verdict)
        The verdict is a sentence with the numbers: log loss in nats a dial, calibration error as a share of dials.
    """
    forward = fitted.rivals[fitted.rivals["fold"] == "forward"].set_index("rival")
    losses, errors = forward["log_loss"].to_dict(), forward["calibration_error"].to_dict()
    if "LightGBM" not in losses:
        return False, "no dials in the forward fold to judge it on"
    own, overall, error = losses["LightGBM"], losses["overall rate"], errors["LightGBM"]
    numbers = f"log loss {own:.4f} against {overall:.4f} of the overall rate, calibration error {error:.3f}"
    if not own < overall:
        return False, f"no better than the overall rate: {numbers}"
    if not error < MAX_CALIBRATION_ERROR:
        return False, f"badly calibrated (limit {MAX_CALIBRATION_ERROR}): {numbers}"
    return True, f"passed: {numbers}"


def log_night(
    store: ModelStore,
    name: str,
    fitted: FittedNight,
    heat_map: pd.DataFrame,
    facts: Mapping[str, str | int | float],
) -> ModelVersion:
    """Log a fitted night and register its model as challenger, and as champion if it passes the gate.

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
    passes, verdict = judge_challenger(fitted)
    run_name = f"{facts.get('run_date', 'night')} {name}"
    with _talking_to(store) as client, mlflow.start_run(run_name=run_name) as run:
        mlflow.log_params({**fitted.params, **facts})
        mlflow.log_metrics(fitted.metrics)
        mlflow.log_table(fitted.rivals, "rivals.json")
        mlflow.log_table(fitted.calibration, "calibration.json")
        for file, figure in _draw_figures(fitted, heat_map).items():
            mlflow.log_figure(figure, file)
        number = _register(client, name, fitted.model, run.info.run_id)
        client.set_registered_model_alias(name, CHALLENGER, number)
        client.set_model_version_tag(name, number, "verdict", verdict)
        if passes:
            previous = _find_version(client, name)
            client.set_model_version_tag(name, number, "previous_champion", previous or "none")
            client.set_registered_model_alias(name, CHAMPION, number)
    return ModelVersion(name, number, passes, verdict)


def read_champion(store: ModelStore, name: str) -> Champion | None:
    """Read the champion of a source, or None if none of its models has passed yet.

    Raises
    ------
    OSError
        The store cannot be reached, or has lost the champion's file.
    """
    with _talking_to(store) as client:
        number = _find_version(client, name)
        if number is None:
            return None
        folder = Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{number}"))
        (file,) = folder.glob("artifacts/*.json")
        return Champion(ContactModel.from_json(file.read_text(encoding="utf-8")), name, number)


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


def _register(client: mlflow.MlflowClient, name: str, model: ContactModel, run_id: str) -> str:
    columns: list[ColSpec | TensorSpec] = [ColSpec("float", feature) for feature in (*model.feature_names, BASE)]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it asks for an input example, which takes seconds
        file = Path(folder, "contact_model.json")
        file.write_text(model.to_json(), encoding="utf-8")
        logged = mlflow.pyfunc.log_model(
            name="contact_model",
            python_model=_RowPredictor(),
            artifacts={"model": str(file)},
            signature=ModelSignature(Schema(columns), Schema([ColSpec("double")])),
            pip_requirements=[f"{package}=={version(package)}" for package in _REQUIREMENTS],
        )
    if not client.search_registered_models(filter_string=f"name = '{name}'"):
        client.create_registered_model(name)
    return str(client.create_model_version(name, logged.model_uri, run_id, model_id=logged.model_id).version)


def _draw_figures(fitted: FittedNight, heat_map: pd.DataFrame) -> dict[str, Figure]:
    return {
        "reliability.png": _draw_reliability(fitted.calibration),
        "heat_map.png": _draw_heat_map(heat_map),
        "importance.png": _draw_importance(fitted.importance),
    }


def _draw_reliability(calibration: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    top = float(np.nanmax([calibration["p_mean"].max(), calibration["contact_rate"].max(), 0.01]))
    axes.plot([0, top], [0, top], color="0.7", linestyle="--")
    for fold, bins in calibration.groupby("fold"):
        axes.plot(bins["p_mean"], bins["contact_rate"], marker="o", label=str(fold))
    axes.set(xlabel="predicted", ylabel="contact rate seen", title="Reliability")
    axes.legend()
    return figure


def _draw_heat_map(heat_map: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(heat_map.to_numpy(dtype=float), aspect="auto", cmap="viridis")
    axes.set_yticks(range(len(heat_map)), [WEEKDAYS[int(day)] for day in heat_map.index])
    axes.set_xticks(range(heat_map.shape[1]), [str(hour) for hour in heat_map.columns])
    axes.set(xlabel="hour", title="Mean p_keyman of the listed customers")
    figure.colorbar(image)
    return figure


def _draw_importance(importance: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    shown = importance.head(15).iloc[::-1]
    axes.barh(shown["feature"], shown["gain_share"])
    axes.set(xlabel="share of gain", title="Importance")
    return figure
