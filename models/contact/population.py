"""How customers differ from each other and wear out: the laws behind the filter of persons, learned from the log."""

from dataclasses import astuple

import numpy as np
from scipy.optimize import minimize

from features.history import History
from models.contact.fatigue import N_WEIGHTS
from models.contact.persons import NeverReached, PriorVariances, foresee_dials, tell_last, trace_never

_MOST_STEPS, _MOST_CUSTOMERS, _STEP = 15, 25_000, 0.02
_FATIGUE_SCALE = 0.05
_SD_OF_LOG_VARIANCE, _SD_OF_FATIGUE, _SD_IN_PART = 1.5, 0.05, 0.15
_SHIFT_SCALE = 0.1  # so that the search sees shift and variances as about equally steep
_LEAST_SHARE = 1e-4


def learn_persons(
    history: History,
    logit: np.ndarray,
    columns: np.ndarray,
    start: tuple[PriorVariances, np.ndarray],
    never: NeverReached,
) -> tuple[PriorVariances, np.ndarray, float]:
    """The variances and weights of fatigue under which the log, dial by dial, was most likely.

    Type II maximum likelihood. They are searched together, because hard and worn people look alike at first sight.

    Parameters
    ----------
    history, never
        As in :func:`filter_persons`.
    logit : (n,)
        What segment and slot say of each sorted dial.
    columns : (n, N_WEIGHTS)
        Of ``models.contact.fatigue.fatigue_columns``.
    start
        Variances and weights from which the search begins.

    Returns
    -------
    variances, weights, shift
        The shift (logits) goes to the overall rate: more variance pulls every probability towards a half, and without
        it the search would rather keep the rate than find how persons differ.
    """
    every = max(len(history.first) // _MOST_CUSTOMERS, 1)
    sample, rows = _take_every(history, every)
    logit, columns = logit[rows].astype("float64"), columns[rows].astype("float64")
    n = len(astuple(start[0]))
    first = np.concatenate([np.log(astuple(start[0])), start[1] / _FATIGUE_SCALE, [0.0]])
    # Of series that end with the first contact, hard people and worn people look the same: then published sizes decide.
    half = N_WEIGHTS // 2
    sds = [_SD_OF_LOG_VARIANCE] * n + [_SD_OF_FATIGUE / _FATIGUE_SCALE] * half + [_SD_IN_PART / _FATIGUE_SCALE] * half
    pull = np.append(0.5 / np.array(sds) ** 2, 0.0)
    target = np.append(np.log(astuple(PriorVariances())), np.zeros(N_WEIGHTS + 1))

    def loss(at: np.ndarray) -> float:
        prior = PriorVariances(*np.exp(at[:n])).covariance()
        offset = columns @ (_FATIGUE_SCALE * at[n:-1]) + _SHIFT_SCALE * at[-1]
        p_reached = foresee_dials(sample, logit + offset, prior).p_reached
        return float(pull @ (at - target) ** 2) - trace_never(sample, p_reached, never)[2]

    def slope(at: np.ndarray) -> np.ndarray:
        here = loss(at)
        return np.array([loss(at + step) - here for step in _STEP * np.eye(len(at))]) / _STEP

    options = {"maxiter": _MOST_STEPS, "ftol": 1e-6}
    bounds = [(-9.0, 2.0)] * n + [(-20.0, 20.0)] * (len(first) - n)
    at = minimize(loss, first, jac=slope, method="L-BFGS-B", bounds=bounds, options=options).x
    return PriorVariances(*map(float, np.exp(at[:n]))), _FATIGUE_SCALE * at[n:-1], float(_SHIFT_SCALE * at[-1])


def _take_every(history: History, every: int) -> tuple[History, np.ndarray]:
    """The dials of every n-th customer as a history of its own, and their rows."""
    begin, end = history.first[:-1:every], history.first[1::every]
    first = np.append(0, np.cumsum(end - begin))
    rows = np.repeat(begin - first[:-1], end - begin) + np.arange(first[-1])
    names = ("order", "seconds", "part", "span", "is_contact", "outcome")
    taken = {name: getattr(history, name)[rows] for name in names}
    who = np.repeat(np.arange(len(begin)), end - begin)
    return History(customer_row=who, first=first, **taken), rows


def learn_never(history: History, p_reached: np.ndarray, start: NeverReached, n_steps: int) -> NeverReached:
    """Share of who is never reached and how often that is told, from what the filter believes in the end (EM steps).

    Of what is heard on a failed dial only "wrong number" is used: other outcomes differ between persons for reasons of
    their own (voicemail is on or off), which would pass for a kind of person. What is believed of those who can be
    reached, ``p_reached`` (n,) of each dial, does not depend on it.
    """
    if len(p_reached) == 0:
        return NeverReached()
    never, told = start, float(history.is_wrong_number.sum())
    last = history.first[1:][np.diff(history.first) > 0] - 1
    for _ in range(n_steps):
        _, after, _ = trace_never(history, p_reached, never)
        dials_to_them = float(tell_last(history, after)[~history.is_contact].sum())
        share = float(np.clip(after[last].mean(), _LEAST_SHARE, 0.5))
        never = NeverReached(share, min(told / max(dials_to_them, told, 1.0), 0.95))
    return never
