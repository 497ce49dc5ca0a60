"""The contact model beside its rivals: the same folds, the same measures."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import expit

from configs.settings import Settings
from features.table import DialLog, cut_nights
from models.contact.baseline import build_design, fit_logistic_regression, predict_overall_rate
from models.contact.effects import slot_codes
from models.contact.folds import Folds
from models.contact.hierarchy import Hierarchy, codes_of_dials
from models.contact.model import BASE, ContactModel, build_rows, gather_evidence_of_dials
from models.contact.segment_table import fit_segment_table

RIVALS = ("overall rate", "segment table", "logistic regression", "person filter", "LightGBM")
"""Who is judged every night; ``LightGBM`` is the contact model itself, ``person filter`` the part before its trees."""

_MOST_LOGISTIC_ROWS = 150_000


@dataclass(frozen=True)
class Rows:
    """Dials as models see them: features and the hierarchy's logit, levels of customer and slot keys, the outcome."""

    features: pd.DataFrame
    codes: dict[str, np.ndarray]
    slots: dict[str, np.ndarray]
    is_contact: np.ndarray


@dataclass(frozen=True)
class Judged:
    """Predictions of one rival for the dials of one fold; ``p`` and ``is_contact`` are (n,)."""

    rival: str
    fold: str
    p: np.ndarray
    is_contact: np.ndarray


def judge_rivals(
    log: DialLog, folds: Folds, model: ContactModel, settings: Settings, rng: np.random.Generator
) -> list[Judged]:
    """Fit the simple rivals on what the contact model learned from, and predict both held-out folds with all.

    Parameters
    ----------
    model
        Fitted on ``folds.learn`` and ``folds.calibrate``.

    Returns
    -------
    list of Judged
        Every rival on ``forward``, then on ``unseen customers``; a fold without dials is left out.
    """
    predict_table = _fit_table(log, folds, model.hierarchy, settings)
    learned = np.flatnonzero(folds.learn)
    if len(learned) > _MOST_LOGISTIC_ROWS:  # more change nothing in so few coefficients
        learned = np.sort(rng.choice(learned, _MOST_LOGISTIC_ROWS, replace=False))
    sample = build_training_rows(log, learned, model.hierarchy, settings, rng)
    logistic = fit_logistic_regression(_design(sample, settings), sample.is_contact)
    judged = []
    for fold, mask in (("forward", folds.forward), ("unseen customers", folds.unseen)):
        if not mask.any():
            continue
        rows = build_training_rows(log, np.flatnonzero(mask), model.hierarchy, settings, rng)
        predictions = (
            predict_overall_rate(log.is_contact[folds.learn], len(rows.is_contact)),
            predict_table(rows),
            logistic.predict_proba(_design(rows, settings))[:, 1],
            expit(rows.features[BASE].to_numpy("float64")),
            model.predict_rows(rows.features),
        )
        judged += [Judged(rival, fold, p, rows.is_contact) for rival, p in zip(RIVALS, predictions, strict=True)]
    return judged


def build_training_rows(
    log: DialLog, rows: np.ndarray, hierarchy: Hierarchy, settings: Settings, rng: np.random.Generator
) -> Rows:
    """Rows of dials, sorted rows (m,) int of the log, each known up to a night zero to six days before it."""
    cutoff, n_between = cut_nights(log, rows, rng)
    evidence = gather_evidence_of_dials(hierarchy, log, rows, cutoff, n_between)
    slots = log.dials.take(rows)
    features = build_rows(evidence, slots, settings.attributes)
    return Rows(features, evidence.codes, slot_codes(slots), log.is_contact[rows])


def _fit_table(log: DialLog, folds: Folds, hierarchy: Hierarchy, settings: Settings) -> Callable[[Rows], np.ndarray]:
    segment = "×".join(settings.segment_by)
    codes = codes_of_dials(hierarchy.encoding, log)[segment][folds.learn]
    slots = {key: levels[folds.learn] for key, levels in slot_codes(log.dials).items()}
    table = fit_segment_table(codes, slots, log.is_contact[folds.learn])
    return lambda rows: table.predict(rows.codes[segment], rows.slots)


def _design(rows: Rows, settings: Settings) -> sparse.csr_matrix:
    return build_design(rows.features, rows.codes, rows.slots, settings.attributes)
