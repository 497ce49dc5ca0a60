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
from features.table import DialLog, build_dial_log, cut_nights
from models.contact.baseline import build_design, fit_logistic_regression, predict_overall_rate
from models.contact.boosting import fit_boosting
from models.contact.calibration import build_reliability
from models.contact.effects import slot_codes
from models.contact.folds import Folds, customer_draws, is_recent, split_folds, split_production
from models.contact.hierarchy import Hierarchy, fit_hierarchy
from models.contact.metrics import judge
from models.contact.model import ContactModel, build_rows, gather_evidence
from models.contact.segment_table import fit_segment_table

RIVALS = ("overall rate", "segment table", "logistic regression", "person filter", "LightGBM")
"""Who is judged every night; ``LightGBM`` is the contact model itself, ``person filter`` the part before its trees."""


_HALF_CALIBRATION_SHARE = 0.15


@dataclass(frozen=True)
class FittedNight:
    """The contact model of a night and how it and its rivals did on dials they had not seen.

    Attributes
    ----------
    model
        Fitted on every recent dial, for tonight's plan.
    rivals
        rival · fold (forward, unseen customers) and the columns of ``models.contact.metrics.judge``.
    calibration
        fold · n · p_mean · contact_rate, ten bins of the contact model on each fold.
    importance
        feature · gain_share, largest first, summing to 1.
    params, metrics, seconds
        Flat, ready to be logged.
    """

    model: ContactModel
    rivals: pd.DataFrame
    calibration: pd.DataFrame
    importance: pd.DataFrame
    params: dict[str, float | int | str]
    metrics: dict[str, float]
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Rows:
    """Rows of some dials as all rivals see them."""

    features: pd.DataFrame
    codes: dict[str, np.ndarray]
    slots: dict[str, np.ndarray]
    is_contact: np.ndarray


def fit_night(
    tables: Tables,
    as_of: pd.Timestamp,
    settings: Settings,
    rng: np.random.Generator,
    params: Mapping[str, float | int] | None = None,
    progress: Callable[[float], None] = lambda _: None,
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
        folds = split_folds(log, day, settings)
        judged, hierarchy = judge_rivals(log, folds, settings, rng, params)
    progress(0.5)
    with _timed(seconds, "model"):
        model = fit_contact_model(log, *split_production(log, day, settings), settings, rng, params, hierarchy)
    progress(1.0)
    rivals = pd.DataFrame([{"rival": rival, "fold": fold, **judge(p, y)} for rival, fold, p, y in judged])
    own = [(fold, p, y) for rival, fold, p, y in judged if rival == "LightGBM"]
    reliability = pd.concat([build_reliability(p, y).assign(fold=fold) for fold, p, y in own], ignore_index=True)
    return FittedNight(
        model=model,
        rivals=rivals,
        calibration=reliability[["fold", "n", "p_mean", "contact_rate"]],
        importance=_importance(model),
        params={**settings.model.model_dump(), **(params or {}), "n_trees_kept": model.booster.num_trees()},
        metrics=_flatten(rivals),
        seconds=seconds,
    )


def fit_contact_model(
    log: DialLog,
    learn: np.ndarray,
    calibrate: np.ndarray,
    settings: Settings,
    rng: np.random.Generator,
    params: Mapping[str, float | int] | None = None,
    start: Hierarchy | None = None,
) -> ContactModel:
    """Fit hierarchy, trees and calibration; ``learn`` and ``calibrate`` are (n_dials,) bool over the log."""
    hierarchy = fit_hierarchy(log.subset(learn), settings, start)
    rows = {name: build_training_rows(log, mask, hierarchy, settings, rng) for name, mask in _both(learn, calibrate)}
    pairs = [(rows[name].features, rows[name].is_contact) for name in ("learn", "calibrate")]
    return fit_boosting(hierarchy, settings.attributes, pairs[0], pairs[1], settings.model, settings.seed, params)


def fit_halves(
    log: DialLog,
    as_of: pd.Timestamp,
    settings: Settings,
    rng: np.random.Generator,
    start: Hierarchy,
    params: Mapping[str, float | int] | None = None,
) -> tuple[ContactModel, ContactModel]:
    """Two contact models that learned from different customers, so that one can value what the other chose.

    Parameters
    ----------
    start
        Tonight's hierarchy, whose encoding both keep; effects and variances are learned anew from each half.
    """
    day = np.datetime64(as_of.tz_localize(None).date(), "D")
    recent = is_recent(log, day, settings)
    draw = customer_draws(log)[log.history.customer_row]
    blank = Hierarchy(
        start.encoding, [replace(t, values=np.zeros_like(t.values)) for t in start.tables], start.variances
    )
    kept = (draw * 1000) % 1 < _HALF_CALIBRATION_SHARE
    models = [
        fit_contact_model(log, half & ~kept, half & kept, settings, rng, params, blank)
        for half in (recent & (draw < 0.5), recent & (draw >= 0.5))
    ]
    return models[0], models[1]


def judge_rivals(
    log: DialLog,
    folds: Folds,
    settings: Settings,
    rng: np.random.Generator,
    params: Mapping[str, float | int] | None = None,
) -> tuple[list[tuple[str, str, np.ndarray, np.ndarray]], Hierarchy]:
    """(rival, fold, p, is_contact) for every rival on both held-out folds, and the hierarchy fitted on the way."""
    hierarchy = fit_hierarchy(log.subset(folds.learn), settings)
    masks = {"learn": folds.learn, "calibrate": folds.calibrate, "forward": folds.forward, "unseen": folds.unseen}
    rows = {name: build_training_rows(log, mask, hierarchy, settings, rng) for name, mask in masks.items()}
    learn = rows["learn"]
    attributes = settings.attributes
    boosted = fit_boosting(
        hierarchy,
        attributes,
        (learn.features, learn.is_contact),
        (rows["calibrate"].features, rows["calibrate"].is_contact),
        settings.model,
        settings.seed,
        params,
    )
    segment = "×".join(settings.segment_by)
    table = fit_segment_table(learn.codes[segment], learn.slots, learn.is_contact)
    design = [build_design(r.features, r.codes, r.slots, attributes) for r in rows.values()]
    logistic = fit_logistic_regression(design[0], learn.is_contact, rng)
    judged = []
    for (fold, fold_rows), columns in zip(rows.items(), design, strict=True):
        if fold in ("learn", "calibrate") or len(fold_rows.is_contact) == 0:
            continue
        predictions = (
            predict_overall_rate(learn.is_contact, len(fold_rows.is_contact)),
            table.predict(fold_rows.codes[segment], fold_rows.slots),
            logistic.predict_proba(columns)[:, 1],
            1 / (1 + np.exp(-fold_rows.features["base_logit"].to_numpy("float64"))),
            boosted.predict_rows(fold_rows.features),
        )
        name = "unseen customers" if fold == "unseen" else fold
        judged += [(rival, name, p, fold_rows.is_contact) for rival, p in zip(RIVALS, predictions, strict=True)]
    return judged, hierarchy


def build_training_rows(
    log: DialLog, mask: np.ndarray, hierarchy: Hierarchy, settings: Settings, rng: np.random.Generator
) -> _Rows:
    """Rows of the dials in ``mask``, each known up to a night zero to six days before it."""
    rows = np.flatnonzero(mask)
    cutoff, n_between = cut_nights(log, rows, rng)
    evidence = gather_evidence(hierarchy, log, log.history.customer_row[rows], cutoff, n_between)
    slots = log.dials.take(rows)
    features = build_rows(evidence, slots, settings.attributes)
    return _Rows(features, evidence.codes, slot_codes(slots), log.is_contact[rows])


def refuse_thin_log(log: DialLog, settings: Settings) -> None:
    """Raise NoModelError when there are too few dials or contacts."""
    n_dials, n_contacts = len(log.dials), int(log.is_contact.sum())
    needed, needed_contacts = settings.model.min_rows, settings.model.min_contacts
    if n_dials < needed or not needed_contacts <= n_contacts < n_dials:
        raise NoModelError(
            f"call_attempts: {n_dials} dials with {n_contacts} keyman contacts cannot teach a model, "
            f"which needs {needed} dials and {needed_contacts} contacts: give a longer log"
        )


def _both(learn: np.ndarray, calibrate: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield "learn", learn
    yield "calibrate", calibrate


def _importance(model: ContactModel) -> pd.DataFrame:
    gain = model.booster.feature_importance("gain").astype("float64")
    share = gain / gain.sum() if gain.sum() else gain
    shown = pd.DataFrame({"feature": model.feature_names, "gain_share": share})
    return shown.sort_values(["gain_share", "feature"], ascending=[False, True], ignore_index=True)


def _flatten(rivals: pd.DataFrame) -> dict[str, float]:
    long = rivals.melt(id_vars=["rival", "fold"], var_name="metric")
    names = (long["rival"] + "." + long["fold"] + "." + long["metric"]).str.replace(" ", "_")
    return {name: float(value) for name, value in zip(names, long["value"], strict=True) if pd.notna(value)}


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[stage] = round(time.perf_counter() - began, 3)
