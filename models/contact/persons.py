"""How easily, and in which part of the week, each person answers: an online Bayesian filter of person effects.

Every customer has one effect per part of the week on the logit scale, drawn from N(0, ``prior``). Each dial updates the
customer's mean and covariance by moment matching (assumed-density filtering), failures as much as contacts, and dials
in one part teach about the others through the covariance. Because the likelihood is taken dial by dial given all that
came before, it does not matter that contacts end a series or that supervisors chose who was called when.

Source: Opper, A Bayesian approach to on-line learning (1998); MacKay's probit approximation of the logistic (1992).
"""

from dataclasses import astuple, dataclass
from typing import Any

import numba
import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from features.history import History
from features.slots import PARTS

N_PARTS = len(PARTS)
_MACKAY = np.pi / 8
_MOST_SEARCH_STEPS, _MOST_SEARCH_CUSTOMERS, _SEARCH_STEP = 20, 50_000, 0.05
_SHIFT_SCALE = 0.1  # so that the search sees shift and variances as about equally steep


@dataclass(frozen=True)
class PriorVariances:
    """How much persons differ, in squared logits; the covariance is the sum of the four kinds.

    Attributes
    ----------
    level
        In everything alike: easy and hard people.
    time_of_day
        In mornings against evenings, the same on working and free days; neighbouring parts are alike.
    week
        In working days against free days.
    own
        In each part of the week by itself.
    """

    level: float = 0.4
    time_of_day: float = 0.15
    week: float = 0.05
    own: float = 0.05

    def covariance(self) -> np.ndarray:
        """(n_parts, n_parts) covariance of person effects.

        >>> float(PriorVariances(1.0, 0.0, 0.0, 0.5).covariance()[0, 0])
        1.5
        """
        part = np.arange(N_PARTS)
        hours_apart = np.abs(part[:, None] % 4 - part % 4)
        same_week = part[:, None] // 4 == part // 4
        kinds = (np.ones((N_PARTS, N_PARTS)), np.exp(-0.7 * hours_apart), same_week, np.eye(N_PARTS))
        return np.asarray(sum(v * kind for v, kind in zip(astuple(self), kinds, strict=True)))


def attenuate(variance: np.ndarray) -> np.ndarray:
    """Factor by which a logit shrinks when its variance is integrated out; same shape, in (0, 1].

    >>> float(attenuate(np.array([0.0]))[0])
    1.0
    """
    return np.asarray(1.0 / np.sqrt(1.0 + _MACKAY * variance), dtype="float32")


def expect_failures(
    logit: np.ndarray, variance: np.ndarray, n_failed: np.ndarray, variances: PriorVariances
) -> np.ndarray:
    """Log-odds of a dial before which ``n_failed`` planned dials will have failed, the person integrated out.

    A planned dial is only made if the earlier ones fail, and each failure tells that the person is harder to reach: the
    filter's own step, with the mean share of the variance that two parts of the week have in common, since it is not
    known here which parts those dials are in.

    Parameters
    ----------
    logit, variance : array, same shape
        Of the dial, person included, and the variance of the person effect.
    n_failed : array
        Of a shape that broadcasts to it.

    Returns
    -------
    array
        Log-odds, same shape as ``logit``.

    Examples
    --------
    >>> apart = expect_failures(np.zeros(2), np.ones(2), np.array([0, 2]), PriorVariances())
    >>> bool(apart[1] < apart[0])
    True
    """
    kappa = attenuate(variance)
    if np.any(n_failed):
        covariance = variances.covariance()
        in_common = (covariance.sum() / np.trace(covariance) - 1) / (N_PARTS - 1)
        logit = logit - n_failed * np.float32(in_common) * variance * kappa * expit(kappa * logit)
    return np.asarray(kappa * logit)


@dataclass(frozen=True)
class PersonStates:
    """Filtered person effects around every dial of the sorted log.

    Attributes
    ----------
    mean_before, variance_before : (n,) float32
        Of the dialled part just before the dial: what the next night would have believed.
    mean_after, variance_after : (n, n_parts) float32
        Of all parts just after it.
    prior_variance : (n_parts,) float32
        Before anything is known.
    log_likelihood
        Of all dials, each given those before it; nats.
    """

    mean_before: np.ndarray
    variance_before: np.ndarray
    mean_after: np.ndarray
    variance_after: np.ndarray
    prior_variance: np.ndarray
    log_likelihood: float

    def at(self, position: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of all parts at sorted positions of customers whose dials begin at ``first``; (m, parts).

        ``position`` is what :meth:`features.history.History.position` returns.
        """
        known = position > first
        if len(self.mean_after) == 0:
            empty = np.zeros((len(position), N_PARTS), dtype="float32")
            return empty, empty + self.prior_variance
        row = np.clip(position - 1, 0, None)
        mean = np.where(known[:, None], self.mean_after[row], np.float32(0.0))
        return mean, np.where(known[:, None], self.variance_after[row], self.prior_variance)


def learn_variances(history: History, logit: np.ndarray, start: PriorVariances) -> tuple[PriorVariances, float]:
    """The variances under which the log, dial by dial, was most likely (type II maximum likelihood).

    Parameters
    ----------
    history, logit
        As in :func:`filter_persons`.
    start
        Where the search begins.

    Returns
    -------
    variances, shift
        The shift (logits) goes to the overall rate: more variance pulls every probability towards a half, and without
        it the search would rather keep the rate than find how persons differ.
    """
    every = max(len(history.first) // _MOST_SEARCH_CUSTOMERS, 1)
    begin, end = history.first[:-1:every], history.first[1::every]
    first = np.append(np.log(astuple(start)), 0.0)

    def loss(at: np.ndarray) -> float:
        prior = PriorVariances(*np.exp(at[:-1])).covariance()
        # a weak pull to the start keeps a kind that the log says nothing about where it was
        return 0.05 * float(np.sum((at - first) ** 2)) - float(
            _run(history, logit + _SHIFT_SCALE * at[-1], prior, begin, end)[4]
        )

    def slope(at: np.ndarray) -> np.ndarray:
        steps = _SEARCH_STEP * np.eye(len(at))
        return np.array([loss(at + step) - loss(at - step) for step in steps]) / (2 * _SEARCH_STEP)

    options = {"maxiter": _MOST_SEARCH_STEPS, "ftol": 1e-6}
    bounds = [(-9.0, 2.0)] * (len(first) - 1) + [(-10.0, 10.0)]
    found = minimize(loss, first, jac=slope, method="L-BFGS-B", bounds=bounds, options=options)
    return PriorVariances(*map(float, np.exp(found.x[:-1]))), float(_SHIFT_SCALE * found.x[-1])


def filter_persons(history: History, logit: np.ndarray, prior: np.ndarray) -> PersonStates:
    """Run the filter over the whole log.

    Parameters
    ----------
    history
        The sorted log.
    logit : (n,) float
        Of each sorted dial, without the person: what segment and slot say.
    prior : (n_parts, n_parts)
        Covariance of person effects, squared logits.

    Returns
    -------
    PersonStates

    Examples
    --------
    One customer who failed once is believed a little harder to reach, in every part of the week:

    >>> import pandas as pd
    >>> from features.history import build_history
    >>> log = pd.DataFrame({"customer_row": [0], "outcome": ["busy"], "part": [3],
    ...     "attempted_at": pd.to_datetime(["2026-11-02 19:00"]).tz_localize("Asia/Tokyo")})
    >>> states = filter_persons(build_history(log, 1), np.array([-1.0]), PriorVariances().covariance())
    >>> bool((states.mean_after < 0).all())
    True
    """
    before, before_variance, after, after_variance, total = _run(
        history, logit, prior, history.first[:-1], history.first[1:]
    )
    return PersonStates(before, before_variance, after, after_variance, np.diag(prior).astype("float32"), float(total))


def _run(history: History, logit: np.ndarray, prior: np.ndarray, begin: np.ndarray, end: np.ndarray) -> Any:
    return _filter(
        begin.astype("int64"),
        end.astype("int64"),
        history.part,
        history.is_contact,
        np.ascontiguousarray(logit, dtype="float64"),
        np.ascontiguousarray(prior, dtype="float64"),
    )


@numba.njit(cache=True)
def _filter(begin, end, part, is_contact, logit, prior):  # type: ignore[no-untyped-def]
    n_rows, n_parts = len(part), prior.shape[0]
    mean_before = np.zeros(n_rows, np.float32)
    variance_before = np.zeros(n_rows, np.float32)
    mean_after = np.zeros((n_rows, n_parts), np.float32)
    variance_after = np.zeros((n_rows, n_parts), np.float32)
    log_likelihood = 0.0
    for customer in range(len(begin)):
        mean, cov = np.zeros(n_parts), prior.copy()
        for row in range(begin[customer], end[customer]):
            b = part[row]
            mean_before[row], variance_before[row] = mean[b], cov[b, b]
            kappa = 1.0 / np.sqrt(1.0 + _MACKAY * cov[b, b])
            p = 1.0 / (1.0 + np.exp(-kappa * (logit[row] + mean[b])))
            log_likelihood += np.log(p if is_contact[row] else 1.0 - p)
            slope = kappa * ((1.0 if is_contact[row] else 0.0) - p)
            curvature = kappa * kappa * p * (1.0 - p)
            gain = cov[:, b].copy()
            for i in range(n_parts):
                mean[i] += gain[i] * slope
                for j in range(n_parts):
                    cov[i, j] -= gain[i] * gain[j] * curvature
            for i in range(n_parts):
                mean_after[row, i], variance_after[row, i] = mean[i], cov[i, i]
    return mean_before, variance_before, mean_after, variance_after, log_likelihood
