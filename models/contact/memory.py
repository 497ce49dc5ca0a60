"""Whether what has moved in the last weeks is to be believed: decided on days that the model has not seen.

The whole past teaches one set of effects, and the last weeks how habits have moved since (``hierarchy.add_move``). But
weeks may also differ and be as before a week later. So a move that was there before the forward fold must predict that
fold better, by more than a standard error; where it does not, moves are not learned that night. One that is newer than
the fold stands by its evidence alone.
"""

import numpy as np

from configs.settings import Settings
from features.table import DialLog
from models.contact.effects import slot_codes
from models.contact.hierarchy import Hierarchy, add_move, fit_hierarchy
from models.contact.model import gather_evidence

_STANDARD_ERRORS = 1.0


def fit_with_best_memory(
    log: DialLog, learn: np.ndarray, forward: np.ndarray, settings: Settings
) -> tuple[Hierarchy, bool]:
    """Fit the hierarchy, with how habits have moved where that predicts the forward fold better.

    Parameters
    ----------
    learn, forward : (n_dials,) bool
        Folds of the log.

    Returns
    -------
    hierarchy, with_move
        The latter for :func:`models.contact.hierarchy.fit_hierarchy`: whether moves are to be learned.
    """
    known, rows = log.subset(learn), np.flatnonzero(forward)
    still = fit_hierarchy(known, settings)
    moved = add_move(still, known, settings)
    if moved is still or _is_smaller(_losses(moved, log, rows), _losses(still, log, rows)):
        return moved, True
    return still, False


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
