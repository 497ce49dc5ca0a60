"""The stage that fits, judges and registers a model, and the command that does only that."""

import json
import logging
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from prefect import flow

from configs.errors import NoModelError
from models.contact.drift import Drift
from models.contact.fitting import FittedNight, fit_night
from models.contact.model import ContactModel
from models.contact.scorer import build_scorer
from models.registry import ModelStore, ModelVersion, log_night, name_model, read_champion
from pipelines.intake import Intake, check, read
from pipelines.order import Order, read_order
from pipelines.runs import hold_lock
from pipelines.servers import find_tracking_uri
from pipelines.stages import record_stages, stage

N_CUSTOMERS_SHOWN = 2000


@dataclass(frozen=True)
class NightModel:
    """The model that plans tonight.

    Attributes
    ----------
    fitted
        None when an earlier night's champion plans.
    name, version
        In the registry; version "unregistered" when the registry could not be reached.
    note
        Why it is not simply tonight's champion; empty when it is.
    drift
        What tonight's fit found to have moved, whichever model plans; None when nothing could be fitted.
    """

    model: ContactModel
    name: str
    version: str
    fitted: FittedNight | None
    note: str = ""
    drift: Drift | None = None


@flow(name="train")
def train(source: str, run_date: date | None = None, config: list[str] | None = None) -> NightModel:
    """Fit, judge and register a model; plan nothing."""
    order = read_order(source, None, run_date, config=config)
    with hold_lock(order.var), record_stages(3):
        return fit(order, check(order, read(order)))


@stage("fit", tell=lambda chosen: f"{chosen.name} version {chosen.version}{chosen.note and ': '}{chosen.note}")
def fit(order: Order, intake: Intake) -> NightModel:
    """Fit tonight's model and register it; the champion plans, tonight's own if it passed the gate.

    A registry that cannot be reached does not stop the night: tonight's model plans, and a note says so.

    Raises
    ------
    NoModelError
        No model can be fitted and there is no champion to fall back on.
    """
    store, name = open_store(order), name_of_source(order)
    try:
        fitted = _fit(order, intake)
    except NoModelError as error:
        return _fall_back(store, name, error)
    try:
        registered = log_night(
            store, name, fitted, draw_heat_map(order, intake, fitted.model), _tell_facts(order, intake)
        )
        return replace(_choose(store, fitted, registered), drift=fitted.drift)
    except OSError as error:
        logging.getLogger("kakedoki").warning("the model was not registered: %s", error)
        note = "the model registry could not be reached"
        return NightModel(fitted.model, name, "unregistered", fitted, note, fitted.drift)


def open_store(order: Order) -> ModelStore:
    """Return the registry that the settings name, else the server on loopback if up, else SQLite under ``var/``."""
    mlflow = order.settings.mlflow
    uri, is_ours = find_tracking_uri(mlflow.tracking_uri, order.var)
    return ModelStore(uri, order.var / "mlflow" / "artifacts" if is_ours else None, mlflow.experiment)


def name_of_source(order: Order) -> str:
    """Name the order's models after where its source is."""
    return name_model(order.source if "://" in order.source else str(Path(order.source).expanduser().resolve()))


def find_tuned_params(order: Order) -> Path:
    """Return the file that ``kakedoki tune`` writes for this source, whether it exists or not."""
    return order.var / "tuning" / f"{name_of_source(order)}.json"


def read_tuned_params(order: Order) -> dict[str, float | int] | None:
    """Return the parameters that tuning found for this source, None if it has not been tuned."""
    tuned = find_tuned_params(order)
    if not tuned.exists():
        return None
    params: dict[str, float | int] = json.loads(tuned.read_text(encoding="utf-8"))["params"]
    return params


def draw_heat_map(order: Order, intake: Intake, model: ContactModel) -> pd.DataFrame:
    """Mean predicted probability of listed customers, a sample of them, by weekday (rows) and hour (columns)."""
    tables = intake.tables
    listed = np.flatnonzero(tables.customers["listed"].to_numpy())
    shown = listed[:: max(len(listed) // N_CUSTOMERS_SHOWN, 1)][:N_CUSTOMERS_SHOWN]
    scorer = build_scorer(model, tables.call_attempts, tables.customers, order.as_of, intake.slots, order.settings)
    starts = intake.slots["slot_start"]
    mean = pd.DataFrame({"weekday": starts.dt.day_of_week, "hour": starts.dt.hour, "p": scorer(shown, 0).mean(axis=0)})
    return mean.pivot_table(index="weekday", columns="hour", values="p")


def _fit(order: Order, intake: Intake) -> FittedNight:
    rng = np.random.default_rng(order.settings.seed)
    return fit_night(intake.tables, order.as_of, order.settings, rng, read_tuned_params(order))


def _fall_back(store: ModelStore, name: str, error: NoModelError) -> NightModel:
    try:
        champion = read_champion(store, name)
    except OSError:
        champion = None
    if champion is None:
        raise error
    return NightModel(champion.model, name, champion.version, None, f"the champion plans, because {error}")


def _choose(store: ModelStore, fitted: FittedNight, registered: ModelVersion) -> NightModel:
    name, version = registered.name, registered.version
    if registered.is_champion:
        return NightModel(fitted.model, name, version, fitted)
    champion = read_champion(store, name)
    if champion is None:
        note = (
            f"no model of this source has passed the gate yet, so tonight's plans all the same ({registered.verdict})"
        )
        return NightModel(fitted.model, name, version, fitted, note)
    note = f"version {version} did not pass the gate ({registered.verdict}): the champion plans"
    return NightModel(champion.model, name, champion.version, None, note)


def _tell_facts(order: Order, intake: Intake) -> dict[str, str | int | float]:
    return {"run_date": str(order.run_date), "is_simulated": str(order.settings.simulated), **intake.report.counts}
