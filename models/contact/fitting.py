"""The night's model and its rivals: fitted on the same folds, judged by the same measures."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from configs.errors import NoModelError
from configs.settings import Settings
from features.contracts import Tables
from features.table import DialLog, build_dial_log
from models.contact.boosting import Grow, fit_boosting
from models.contact.calibration import build_reliability
from models.contact.cross_fitting import measure_trust
from models.contact.drift import Drift, measure_drift
from models.contact.folds import Folds, split_folds, split_production
from models.contact.hierarchy import Hierarchy, fit_hierarchy
from models.contact.leads import compare_on_forward, flatten_leads
from models.contact.memory import fit_with_best_memory
from models.contact.metrics import judge
from models.contact.model import ContactModel
from models.contact.off_policy import OffPolicy, measure_off_policy
from models.contact.rivals import RIVALS, Judged, build_training_rows, judge_rivals
from models.contact.trust import Trust

_MORE_TREES = 2  # for work, of those that were worth keeping on the folds that judge


@dataclass(frozen=True)
class FittedNight:
    """The contact model of a night and how it and its rivals did on dials they had not seen.

    Attributes
    ----------
    model
        Fitted on every recent dial, for tonight's plan.
    held_out
        Its twin, fitted on the days before the forward fold: what later nights compare themselves with.
    rivals
        rival · fold (forward, unseen customers) and the columns of ``models.contact.metrics.judge``.
    leads
        Over each rival and the champion's twin on the forward fold: ``models.contact.leads.LEAD_COLUMNS``.
    calibration
        fold · n · p_mean · contact_rate, ten bins of the contact model on each fold.
    importance
        feature · gain_share, largest first, summing to 1.
    params, metrics, seconds
        Flat, ready to be logged.
    off_policy
        What the held-out days' outcomes say of the hours that the model would have chosen.
    drift
        What has moved in the forward fold; None when there is none.
    """

    model: ContactModel
    held_out: ContactModel
    rivals: pd.DataFrame
    leads: pd.DataFrame
    calibration: pd.DataFrame
    importance: pd.DataFrame
    params: dict[str, float | int | str]
    metrics: dict[str, float]
    seconds: dict[str, float] = field(default_factory=dict)
    off_policy: OffPolicy | None = None
    drift: Drift | None = None


def fit_night(
    tables: Tables,
    as_of: pd.Timestamp,
    settings: Settings,
    rng: np.random.Generator,
    params: Mapping[str, float | int] | None = None,
    progress: Callable[[float], None] = lambda _: None,
    champion: ContactModel | None = None,
    grow: Grow | None = None,
) -> FittedNight:
    """Judge the contact model and its rivals on held-out dials, then fit the contact model on everything recent.

    Parameters
    ----------
    tables
        Checked tables; attempts at or after ``as_of`` are not among them.
    as_of
        00:00 of the run date, tz-aware.
    rng
        Draws the nights at which training dials are cut.
    params
        LightGBM parameters from tuning, over the settings.
    progress
        Called with the finished share, 0 to 1.
    champion
        The champion's own ``held_out`` twin, judged on the same dials.
    grow
        Grows the trees, by default in this process.

    Raises
    ------
    NoModelError
        Too few dials or contacts to learn from; the message says how many there are and are needed.
    """
    seconds: dict[str, float] = {}
    log = build_dial_log(tables.call_attempts, tables.customers, settings)
    refuse_thin_log(log, settings)
    day = np.datetime64(as_of.tz_localize(None).date(), "D")
    with _timed(seconds, "rivals"):
        folds, production = split_folds(log, day, settings), split_production(log, day, settings)
        refuse_thin_folds(log, folds, production)
        hierarchy, with_move = fit_with_best_memory(log, folds.learn, folds.forward, settings)
        held_out = fit_trees(hierarchy, log, folds.learn, folds.calibrate, settings, rng, params, grow)
        judged = judge_rivals(log, folds, held_out, settings, rng)
        leads = compare_on_forward(judged, log, folds.forward, held_out, champion, settings)
        recent = production[0] | production[1]
        trust = measure_trust(held_out, log, folds, recent, with_move, settings, rng.spawn(1)[0])
    with _timed(seconds, "off_policy"):  # a stream of its own: the model must not depend on what judges it
        off_policy = measure_off_policy(held_out, log, folds.forward, settings, rng.spawn(1)[0])
    with _timed(seconds, "drift"):
        drift = measure_drift(held_out, log, folds, day, settings, rng.spawn(1)[0])
    progress(0.5)
    with _timed(seconds, "model"):
        hierarchy = fit_hierarchy(log.subset(production[0]), settings, hierarchy, with_move=with_move)
        most = min((params or {}).get("n_trees", settings.model.n_trees), _MORE_TREES * held_out.booster.num_trees())
        model = fit_trees(hierarchy, log, *production, settings, rng, {**(params or {}), "n_trees": most}, grow)
    progress(1.0)
    rivals = pd.DataFrame([{"rival": j.rival, "fold": j.fold, **judge(j.p, j.is_contact)} for j in judged])
    found = off_policy.metrics | (drift.metrics if drift else {}) | _tell_trust(trust)
    return FittedNight(
        model=replace(model, trust=trust),
        held_out=held_out,
        rivals=rivals,
        leads=leads,
        calibration=_collect_reliability(judged),
        importance=_importance(model),
        params={**settings.model.model_dump(), **(params or {}), **_tell_kept(model)},
        metrics=_flatten(rivals) | flatten_leads(leads) | found,
        seconds=seconds,
        off_policy=off_policy,
        drift=drift,
    )


def _tell_trust(trust: Trust) -> dict[str, float]:
    return {"trust.list_slope": trust.list_slope, "trust.timing_slope": trust.timing_slope}


def _tell_kept(model: ContactModel) -> dict[str, int | str]:
    """What the fit has decided for itself."""
    moved = model.hierarchy.moved_since
    since = str(np.datetime64(moved, "s").astype("datetime64[D]")) if moved else "never"
    return {"n_trees_kept": model.booster.num_trees(), "habits_moved_since": since}


def fit_trees(
    hierarchy: Hierarchy,
    log: DialLog,
    learn: np.ndarray,
    calibrate: np.ndarray,
    settings: Settings,
    rng: np.random.Generator,
    params: Mapping[str, float | int] | None = None,
    grow: Grow | None = None,
) -> ContactModel:
    """Fit trees and calibration upon a hierarchy; ``learn`` and ``calibrate`` are (n_dials,) bool over the log."""
    rows = [build_training_rows(log, np.flatnonzero(mask), hierarchy, settings, rng) for mask in (learn, calibrate)]
    known, kept_apart = ((r.features, r.is_contact) for r in rows)
    chosen = (settings.model, settings.seed, params)
    return fit_boosting(hierarchy, settings.attributes, known, kept_apart, *chosen, grow=grow)


def refuse_thin_log(log: DialLog, settings: Settings) -> None:
    """Raise NoModelError when there are too few dials or contacts."""
    n_dials, n_contacts = len(log.dials), int(log.is_contact.sum())
    needed, needed_contacts = settings.model.min_rows, settings.model.min_contacts
    if n_dials < needed or not needed_contacts <= n_contacts < n_dials:
        raise NoModelError(
            f"call_attempts: {n_dials} dials with {n_contacts} keyman contacts cannot teach a model, "
            f"which needs {needed} dials and {needed_contacts} contacts: give a longer log"
        )


def refuse_thin_folds(log: DialLog, folds: Folds, production: tuple[np.ndarray, np.ndarray]) -> None:
    """Raise NoModelError when too few days or customers leave nothing to learn from or to calibrate on."""
    for mask, purpose in (
        (folds.learn, "learn from"),
        (folds.calibrate, "calibrate on"),
        (production[0], "learn from"),
        (production[1], "calibrate on"),
    ):
        n_dials, n_contacts = int(mask.sum()), int(log.is_contact[mask].sum())
        if n_dials == 0 or (purpose == "learn from" and not 0 < n_contacts < n_dials):
            n_days, n_customers = log.dials["day"].nunique(), log.dials["customer_row"].nunique()
            raise NoModelError(
                f"call_attempts: of {len(log.dials)} dials to {n_customers} customers on {n_days} days, {n_dials} with "
                f"{n_contacts} keyman contacts are left to {purpose}: give a log of more days and customers"
            )


def _importance(model: ContactModel) -> pd.DataFrame:
    gain = model.booster.feature_importance("gain").astype("float64")
    share = gain / gain.sum() if gain.sum() else gain
    shown = pd.DataFrame({"feature": model.feature_names, "gain_share": share})
    return shown.sort_values(["gain_share", "feature"], ascending=[False, True], ignore_index=True)


def _collect_reliability(judged: list[Judged]) -> pd.DataFrame:
    own = [j for j in judged if j.rival == RIVALS[-1]]
    bins = pd.concat([build_reliability(j.p, j.is_contact).assign(fold=j.fold) for j in own], ignore_index=True)
    return bins[["fold", "n", "p_mean", "contact_rate"]]


def _flatten(rivals: pd.DataFrame) -> dict[str, float]:
    long = rivals.melt(id_vars=["rival", "fold"], var_name="metric")
    names = (long["rival"] + "." + long["fold"] + "." + long["metric"]).str.replace(" ", "_")
    return {name: float(value) for name, value in zip(names, long["value"], strict=True) if pd.notna(value)}


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[stage] = round(time.perf_counter() - began, 3)
