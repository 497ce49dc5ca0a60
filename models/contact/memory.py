"""Whether the last weeks have changed anything: decided on days that the model has not seen.

Habits move. The whole past teaches one set of effects, and the last four and two weeks what has changed since
(``hierarchy.add_lately``). These are shrunk to next to nothing where nothing moved; still they only stay if the forward
fold is predicted better with them by more than a standard error.
"""

import numpy as np

from configs.settings import Settings
from features.table import DialLog
from models.contact.effects import slot_codes
from models.contact.hierarchy import Hierarchy, add_lately, fit_hierarchy
from models.contact.model import gather_evidence

LATELY_DAYS = (28, 14)
_STANDARD_ERRORS = 1.0  # most nights nothing has moved, and luck would let half of such changes in


def fit_with_best_memory(
    log: DialLog, learn: np.ndarray, forward: np.ndarray, settings: Settings
) -> tuple[Hierarchy, tuple[int, ...]]:
    """Fit the hierarchy, with what the last weeks have changed where that predicts the forward fold better.

    Parameters
    ----------
    learn, forward : (n_dials,) bool
        Folds of the log.

    Returns
    -------
    hierarchy, lately_days
        Of :func:`models.contact.hierarchy.fit_hierarchy`; none: the whole past alike.
    """
    known, rows = log.subset(learn), np.flatnonzero(forward)
    best = tried = fit_hierarchy(known, settings)
    loss, kept = _losses(best, log, rows), 0
    for n_added, days in enumerate(LATELY_DAYS, start=1):
        tried = add_lately(tried, known, settings, days)
        tried_loss = _losses(tried, log, rows)
        if _is_smaller(tried_loss, loss):
            best, loss, kept = tried, tried_loss, n_added
    return best, LATELY_DAYS[:kept]


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
