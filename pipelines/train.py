"""The stage that fits, judges and registers a model, and the command that does only that."""

import json
import logging
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from prefect import flow
from threadpoolctl import threadpool_limits

from configs.errors import NoModelError
from models.contact.drift import Drift
from models.contact.fitting import FittedNight, fit_night
from models.contact.gate import Verdict, judge_challenger
from models.contact.model import ContactModel
from models.contact.past import Past, fingerprint_log, measure_change, object_to_change, object_to_newest_week
from models.contact.scorer import build_scorer
from models.registry import Champion, ModelStore, ModelVersion, log_night, name_model, read_champion
from pipelines.cluster import Cluster
from pipelines.forests import grow_on
from pipelines.intake import Intake, check, read
from pipelines.order import Order, read_order
from pipelines.runs import hold_lock, open_spool
from pipelines.sampled import is_large, keep, take_sample
from pipelines.servers import find_tracking_uri
from pipelines.stages import record_stages, stage

N_CUSTOMERS_SHOWN = 2000


@dataclass(frozen=True)
class NightModel:
    """The model that plans tonight.

    Attributes
    ----------
    name, version
        In the registry; version "unregistered" when the registry could not be reached.
    fitted
        Tonight's fit, whether it plans or not; None when nothing was fitted.
    note
        Why it is not simply tonight's champion; empty when it is.
    challenger
        Version of tonight's fit when the champion of an earlier night plans; None when tonight's plans.
    verdict
        What the gate said of tonight's fit.
    """

    model: ContactModel
    name: str
    version: str
    fitted: FittedNight | None
    note: str = ""
    challenger: str | None = None
    verdict: str = ""

    @property
    def drift(self) -> Drift | None:
        """What tonight's fit found to have moved, whichever model plans; None when nothing was fitted."""
        return self.fitted.drift if self.fitted else None


@flow(name="train")
def train(
    source: str, run_date: date | None = None, config: list[str] | None = None, accept_changed_past: bool = False
) -> NightModel:
    """Fit, judge and register a model; plan nothing."""
    order = read_order(source, None, run_date, config=config)
    with hold_lock(order.var), record_stages(3, order.var):
        if not is_large(order):
            return fit(order, check(order, read(order)), accept_changed_past)
        with open_spool(order.var) as room:
            return fit(order, take_sample(order, keep(order, room)), accept_changed_past)


@stage("fit", tell=lambda chosen: f"{chosen.name} version {chosen.version}{chosen.note and ': '}{chosen.note}")
def fit(order: Order, intake: Intake, accept_changed_past: bool = False, cluster: Cluster | None = None) -> NightModel:
    """Fit tonight's model and register it; the champion plans, tonight's own if it passed the gate.

    A registry that cannot be reached does not stop the night: tonight's model plans, and a note says so.

    Parameters
    ----------
    accept_changed_past
        Do not ask whether the log still says what it said; for a change that is meant, such as a new code map.
    cluster
        Its workers grow the trees.

    Raises
    ------
    NoModelError
        No model can be fitted and there is no champion to fall back on.
    """
    store, name = open_store(order), name_of_source(order)
    try:
        champion = find_champion(store, name, intake)
    except OSError as error:
        return _go_unregistered(name, _fit(order, intake, None, cluster), error)
    try:
        fitted = _fit(order, intake, champion, cluster)
    except NoModelError as error:
        return _fall_back(champion, error)
    tables, facts = intake.tables, _tell_facts(order, intake)
    past = fingerprint_log(tables.call_attempts, tables.customers)
    objections = list_objections(order, intake, past, champion, accept_changed_past)
    limit, version = order.settings.model.max_calibration_error, None if champion is None else champion.version
    verdict = judge_challenger(fitted.rivals, fitted.leads, limit, version, objections)
    try:
        heat_map = draw_heat_map(order, intake, fitted.model)
        registered = log_night(store, name, fitted, past, verdict, heat_map, facts)
    except OSError as error:
        return _go_unregistered(name, fitted, error, champion, verdict)
    return _choose(fitted, registered, champion)


def find_champion(store: ModelStore, name: str, intake: Intake) -> Champion | None:
    """Read the champion if there is one that tonight's tables can feed; why another cannot be used goes to the log.

    Raises
    ------
    OSError
        The registry cannot be reached.
    """
    try:
        champion = read_champion(store, name)
    except NoModelError as error:
        logging.getLogger("kakedoki").warning("%s", error)
        return None
    if champion is None:
        return None
    needed = {*champion.model.attributes, *champion.model.hierarchy.encoding.segment_by}
    missing = sorted(needed - set(intake.tables.customers.columns))
    if not missing:
        return champion
    logging.getLogger("kakedoki").warning(
        "the champion, version %s, needs %s, which the customers no longer have", champion.version, ", ".join(missing)
    )
    return None


def list_objections(
    order: Order, intake: Intake, past: Past, champion: Champion | None, accept_changed_past: bool
) -> list[str]:
    """Say what speaks against tonight's log, so that no model of it may become champion: nothing, as a rule."""
    found: list[str | None] = []
    if champion is not None and champion.run_date > str(order.run_date):
        found.append(
            f"the champion, version {champion.version}, is of a later night, {champion.run_date}, and knows the days "
            f"that judge the model of {order.run_date}: to go back on purpose, run kakedoki rollback first"
        )
    if champion is not None and not accept_changed_past:
        found.append(object_to_change(measure_change(champion.past, past), champion.past_version))
    if not accept_changed_past:
        found.append(object_to_newest_week(intake.tables.call_attempts))
    return [said for said in found if said is not None]


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
    attempts = tables.call_attempts
    theirs = attempts[np.isin(attempts["customer_row"].to_numpy(), shown)]  # others' dials say nothing of them
    scorer = build_scorer(model, theirs, tables.customers, order.as_of, intake.slots, order.settings)
    starts = intake.slots["slot_start"]
    mean = pd.DataFrame({"weekday": starts.dt.day_of_week, "hour": starts.dt.hour, "p": scorer(shown, 0).mean(axis=0)})
    return mean.pivot_table(index="weekday", columns="hour", values="p")


def _fit(order: Order, intake: Intake, champion: Champion | None, cluster: Cluster | None) -> FittedNight:
    rng, twin = np.random.default_rng(order.settings.seed), None if champion is None else champion.held_out
    grow, params = None if cluster is None else grow_on(cluster), read_tuned_params(order)
    with threadpool_limits(1, "blas"):  # matrices of hundreds: threads wait for each other longer than they work
        return fit_night(intake.tables, order.as_of, order.settings, rng, params, champion=twin, grow=grow)


def _fall_back(champion: Champion | None, error: NoModelError) -> NightModel:
    if champion is None:
        raise error
    note = f"the champion plans, because {error}"
    return NightModel(champion.model, champion.name, champion.version, None, note)


def _go_unregistered(
    name: str, fitted: FittedNight, error: OSError, champion: Champion | None = None, verdict: Verdict | None = None
) -> NightModel:
    """Without a registry tonight's model plans, unless the champion is known already and tonight's is refused."""
    logging.getLogger("kakedoki").warning("the model was not registered: %s", error)
    note = "the model registry could not be reached"
    if champion is None or verdict is None or verdict.passes:
        return NightModel(fitted.model, name, "unregistered", fitted, note)
    said = f"{note}, and tonight's model did not pass the gate ({verdict.sentence}): the champion plans"
    return NightModel(champion.model, name, champion.version, fitted, said, "unregistered", verdict.sentence)


def _choose(fitted: FittedNight, registered: ModelVersion, champion: Champion | None) -> NightModel:
    name, version, verdict = registered.name, registered.version, registered.verdict
    if registered.is_champion:
        return NightModel(fitted.model, name, version, fitted, verdict=verdict)
    if champion is None:
        note = f"no model of this source has passed the gate yet, so tonight's plans all the same ({verdict})"
        return NightModel(fitted.model, name, version, fitted, note, verdict=verdict)
    note = f"version {version} did not pass the gate ({verdict}): the champion plans"
    return NightModel(champion.model, name, champion.version, fitted, note, version, verdict)


def _tell_facts(order: Order, intake: Intake) -> dict[str, str | int | float]:
    return {"run_date": str(order.run_date), "is_simulated": str(order.settings.simulated), **intake.report.counts}
