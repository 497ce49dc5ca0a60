"""Whether the last weeks have changed anything: decided on days that the model has not seen.

Habits move. The whole past teaches one set of effects, and the last four and two weeks what has changed since
(``hierarchy.add_lately``). These are shrunk to next to nothing where nothing moved; still they only stay if the forward
fold is predicted better with them.
"""

import numpy as np

from configs.settings import Settings
from features.table import DialLog
from models.contact.effects import slot_codes
from models.contact.hierarchy import Hierarchy, add_lately, fit_hierarchy
from models.contact.model import gather_evidence

LATELY_DAYS = (28, 14)


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
    loss, kept = _mean_loss(best, log, rows), 0
    for n_added, days in enumerate(LATELY_DAYS, start=1):
        tried = add_lately(tried, known, settings, days)
        tried_loss = _mean_loss(tried, log, rows)
        if tried_loss < loss:
            best, loss, kept = tried, tried_loss, n_added
    return best, LATELY_DAYS[:kept]


def _mean_loss(hierarchy: Hierarchy, log: DialLog, rows: np.ndarray) -> float:
    """Mean log loss of dials (sorted rows, (m,)), nats, as of just before each."""
    customers, seconds = log.history.customer_row[rows], log.history.seconds[rows]
    evidence = gather_evidence(hierarchy, log, customers, seconds, np.zeros(len(rows), dtype="int64"))
    dials = log.dials.take(rows)
    when = (dials[name].to_numpy("int64") for name in ("part", "span", "seconds"))
    logit = hierarchy.base_logit(evidence.codes, slot_codes(dials), evidence.beliefs, *when)
    return float(np.mean(np.logaddexp(0.0, logit) - log.is_contact[rows] * logit)) if len(rows) else 0.0
