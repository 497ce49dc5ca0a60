"""How long the past counts: whether recent weeks should weigh more, decided on days that the model has not seen.

Habits move. A dial that is older by one half-life then weighs half as much in the effects of segment and slot. But a
short memory is a small sample, so the whole past counts alike until the forward fold shows, beyond noise, that it
should not.
"""

import numpy as np

from configs.settings import Settings
from features.table import DialLog
from models.contact.effects import slot_codes
from models.contact.hierarchy import Hierarchy, fit_hierarchy
from models.contact.model import gather_evidence

HALF_LIVES_DAYS = (28.0, 14.0)
_STANDARD_ERRORS = 2.0


def fit_with_best_memory(
    log: DialLog, learn: np.ndarray, forward: np.ndarray, settings: Settings
) -> tuple[Hierarchy, float | None]:
    """Fit the hierarchy with the memory that predicts the forward fold best.

    Parameters
    ----------
    learn, forward : (n_dials,) bool
        Folds of the log. Each shorter memory is only tried when the one before was better.

    Returns
    -------
    hierarchy, half_life_days
        None: all days weigh the same.
    """
    known, rows = log.subset(learn), np.flatnonzero(forward)
    best, memory = fit_hierarchy(known, settings), None
    loss = _losses(best, log, rows)
    for half_life in HALF_LIVES_DAYS:
        tried = fit_hierarchy(known, settings, best, half_life)
        tried_loss = _losses(tried, log, rows)
        if not _is_smaller(tried_loss, loss):
            break
        best, memory, loss = tried, half_life, tried_loss
    return best, memory


def _losses(hierarchy: Hierarchy, log: DialLog, rows: np.ndarray) -> np.ndarray:
    """Log loss of each dial (sorted rows, (m,)), nats, as of just before it."""
    customers, seconds = log.history.customer_row[rows], log.history.seconds[rows]
    evidence = gather_evidence(hierarchy, log, customers, seconds, np.zeros(len(rows), dtype="int64"))
    dials = log.dials.take(rows)
    when = (dials[name].to_numpy("int64") for name in ("part", "span", "seconds"))
    logit = hierarchy.base_logit(evidence.codes, slot_codes(dials), evidence.beliefs, *when)
    return np.asarray(np.logaddexp(0.0, logit) - log.is_contact[rows] * logit, dtype="float64")


def _is_smaller(loss: np.ndarray, other: np.ndarray) -> bool:
    gain = other - loss
    if len(gain) < 2:
        return False
    return bool(gain.mean() > _STANDARD_ERRORS * gain.std(ddof=1) / np.sqrt(len(gain)))
