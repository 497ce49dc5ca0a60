"""The chance that the past way of calling chose the hour it did: propensities, estimated from the log.

P(slot | customer, dialled in this week) = P(day | what was known) · P(hour | what was known, working day or not), two
multinomial regressions, raked so that every slot keeps its number of dials. Each half of the dials is predicted by
what the other half did: a propensity that has seen its own dial finds it more likely than it was. Among what was known
is how easily the model expects the customer to answer: supervisors who call hard people in the evening leave a trace
here, not a bias.
"""

import warnings

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from features.slots import PARTS
from models.contact.model import Evidence

_PRIOR_VARIANCES = (0.01, 0.1, 1.0)  # of a habit, logits; .01 on the sample worlds
_MOST_SEARCHED = 6_000  # dials on which the variance is chosen
_WITHOUT_HABIT = 0.02  # share of dials that follow none, so that no chance is zero
_MOST_LEVELS = 100  # crossings of attributes with more levels say more noise than habit
_MOST_ROUNDS = 60
_NEVER = 1e6
_RECENT_DAYS = (1.5, 5.5, 13.5, 27.5, _NEVER)
_MOST_FAILURES = 5
_N_LEVELS_OF_EASE = 10


def describe_known(evidence: Evidence, usual: np.ndarray) -> sparse.csr_matrix:
    """What supervisors may have gone by, as columns of a regression; (m, n_columns) sparse.

    Attributes and their pairs, days since the last dial, failures since a contact, in which parts of the week the
    customer was dialled and is believed to answer, and tenths of ``usual`` (m,), the log-odds that the model gives the
    customer over all slots.
    """
    counted = evidence.history
    days = np.nan_to_num(counted["days_since_attempt"], nan=_NEVER)
    ease = np.unique(np.quantile(usual, np.linspace(0, 1, _N_LEVELS_OF_EASE + 1)[1:-1]))
    failures = np.minimum(counted["n_since_contact"], _MOST_FAILURES).astype("int64")
    levels = [codes for key, codes in evidence.codes.items() if "×" not in key or codes.max() < _MOST_LEVELS]
    blocks = [
        _one_hot(level) for level in (*levels, np.digitize(days, _RECENT_DAYS), np.digitize(usual, ease), failures)
    ]
    dialled = np.column_stack([_dials_in_part(evidence, part) for part in range(len(PARTS))])
    own = evidence.mean - evidence.mean.mean(axis=1, keepdims=True)
    return sparse.hstack([*blocks, sparse.csr_matrix(np.log1p(dialled)), sparse.csr_matrix(own)], format="csr")


def estimate_propensity(known: sparse.csr_matrix, slots: pd.DataFrame, chosen: np.ndarray) -> np.ndarray:
    """The chance of every slot for every dial, from the dials themselves.

    Parameters
    ----------
    known : (n, n_columns) sparse
        Of :func:`describe_known`.
    slots
        Of ``features.slots.build_slots``; every slot was chosen at least once.
    chosen : (n,) int
        Slot row of each dial.

    Returns
    -------
    (n, n_slots) float64
        Rows sum to 1; columns to the dials of the slot.

    Examples
    --------
    >>> from configs.settings import Settings
    >>> from features.slots import build_slots
    >>> slots = build_slots(pd.date_range("2026-11-24 09:00", periods=2, freq="h", tz="Asia/Tokyo"), Settings())
    >>> p = estimate_propensity(sparse.csr_matrix((8, 1)), slots, np.array([0, 0, 0, 0, 0, 0, 1, 1]))
    >>> p[0].round(2).tolist()
    [0.75, 0.25]
    """
    day = pd.factorize(slots["slot_start"].dt.date)[0]
    hour, is_off = slots["hour"].to_numpy("int64"), slots["is_off_day"].to_numpy(bool)
    p = _predict_level(known, day[chosen], np.ones(len(chosen), dtype=bool))[:, day]
    for off in np.unique(is_off):
        among = is_off == off
        p[:, among] *= _predict_level(known, hour[chosen], is_off[chosen] == off)[:, hour[among]]
    return rake(p, np.bincount(chosen, minlength=len(slots)).astype("float64"))


def rake(weight: np.ndarray, places: np.ndarray, n_rounds: int = 200, tolerance: float = 1e-4) -> np.ndarray:
    """Scale rows and columns of (n, n_slots) so that rows sum to 1 and columns to ``places``, which sum to n.

    Iterative proportional fitting (Deming and Stephan 1940); columns may be off by ``tolerance`` dials per dial.

    >>> rake(np.array([[1.0, 1.0], [3.0, 1.0]]), np.array([1.0, 1.0])).round(2).tolist()
    [[0.37, 0.63], [0.63, 0.37]]
    """
    scale = np.ones(len(places))
    for _ in range(n_rounds):
        row = 1.0 / np.maximum(weight @ scale, 1e-300)
        held = scale * (row @ weight)
        if np.abs(held - places).sum() <= tolerance * places.sum():
            break
        scale *= places / np.maximum(held, 1e-300)
    p = weight * scale
    return np.asarray(p / np.maximum(p.sum(axis=1, keepdims=True), 1e-300))


def _predict_level(known: sparse.csr_matrix, level: np.ndarray, among: np.ndarray) -> np.ndarray:
    """P(level) of every row, learned from the rows ``among`` of the other half; (n, largest level + 1)."""
    share = np.bincount(level[among], minlength=int(level.max()) + 1) / among.sum()
    variance, half = _choose_variance(known, level, among, share), np.arange(len(level)) % 2
    p = np.empty((len(level), len(share)))
    for other in (0, 1):
        learn, asked = np.flatnonzero(among & (half == other)), np.flatnonzero(half != other)
        p[asked] = _fit_habits(known, level, learn, asked, share, variance)
    return p


def _choose_variance(known: sparse.csr_matrix, level: np.ndarray, among: np.ndarray, share: np.ndarray) -> float:
    """The prior variance under which half of the rows make the other half likeliest."""
    rows = np.flatnonzero(among)
    rows = rows[:: max(len(rows) // _MOST_SEARCHED, 1)]
    learn, asked = rows[::2], rows[1::2]
    own = (np.arange(len(asked)), level[asked])
    fits = [_fit_habits(known, level, learn, asked, share, variance)[own] for variance in _PRIOR_VARIANCES]
    return _PRIOR_VARIANCES[int(np.argmax([np.log(p).sum() for p in fits]))]


def _fit_habits(
    known: sparse.csr_matrix,
    level: np.ndarray,
    learn: np.ndarray,
    asked: np.ndarray,
    share: np.ndarray,
    variance: float,
) -> np.ndarray:
    """P(level) of the rows ``asked``; the shares of all where there is nothing to learn from."""
    habits = np.tile(share, (len(asked), 1))
    if len(np.unique(level[learn])) > 1:
        regression = LogisticRegression(C=variance, max_iter=_MOST_ROUNDS, tol=1e-3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of a habit change no weight
            regression.fit(known[learn], level[learn])
        habits[:] = 0.0
        habits[:, regression.classes_] = regression.predict_proba(known[asked])
    return np.asarray(_WITHOUT_HABIT * share + (1 - _WITHOUT_HABIT) * habits)


def _dials_in_part(evidence: Evidence, part: int) -> np.ndarray:
    at = (evidence.customer_rows, evidence.cutoff_seconds, np.full(len(evidence.customer_rows), part))
    counted = evidence.log.history.part_features_at(*at)
    return np.asarray(counted["n_failed_in_part"] + counted["n_contacts_in_part"])


def _one_hot(levels: np.ndarray) -> sparse.csr_matrix:
    n = len(levels)
    return sparse.csr_matrix((np.ones(n), (np.arange(n), levels)), shape=(n, int(levels.max(initial=0)) + 1))
