"""The compiled steps of the filter of persons: dial after dial of every customer, by assumed-density filtering.

A dial changes what is believed of a span by that span's own covariance with the dialled one. So where only the dialled
spans are asked for, the covariance of those of twelve that a customer was ever dialled in is enough, two or three as a
rule, to the same bits. Customers are walked in fixed blocks, and sums are taken over arrays of all of them, so the
number of cores changes nothing.
"""

from typing import Any

import numba
import numpy as np

from features.threads import on_threads

_MACKAY = np.pi / 8
_N_BLOCKS = 64


@numba.njit(cache=True)
def learn(mean, cov, gain, n, at, is_contact, logit):  # type: ignore[no-untyped-def]
    """One dial in span ``at`` of ``n``: changes ``mean`` and ``cov``, returns the chance that it had of a contact.

    ``gain`` (n,) is only room to work in.
    """
    kappa = 1.0 / np.sqrt(1.0 + _MACKAY * cov[at, at])
    p = 1.0 / (1.0 + np.exp(-kappa * (logit + mean[at])))
    slope = kappa * ((1.0 if is_contact else 0.0) - p)
    curvature = kappa * kappa * p * (1.0 - p)
    for i in range(n):
        gain[i] = cov[i, at]
    for i in range(n):
        mean[i] += gain[i] * slope
        for j in range(n):
            cov[i, j] -= gain[i] * gain[j] * curvature
    return p


@numba.njit(cache=True)
def hear(never, p, is_contact, odds):  # type: ignore[no-untyped-def]
    """The new chance of never being reached after a dial, and the likelihood of what happened."""
    if is_contact:
        return 0.0, (1.0 - never) * p
    likelihood = (1.0 - never) * (1.0 - p) + never * odds
    return never * odds / likelihood, likelihood


@numba.njit(cache=True)
def _begin_all(prior, mean, cov):  # type: ignore[no-untyped-def]
    """Start a customer with the prior of every span."""
    for a in range(len(mean)):
        mean[a] = 0.0
        for b in range(len(mean)):
            cov[a, b] = prior[a, b]


@numba.njit(cache=True)
def _begin(span, first, last, prior, mean, cov, place):  # type: ignore[no-untyped-def]
    """Start a customer with the prior of the dialled spans: the ``place`` of each, and how many there are."""
    n = 0
    for a in range(len(place)):
        place[a] = -1
    for row in range(first, last):
        if place[span[row]] < 0:
            place[span[row]] = n
            n += 1
    for a in range(len(place)):
        if place[a] >= 0:
            mean[place[a]] = 0.0
            for b in range(len(place)):
                if place[b] >= 0:
                    cov[place[a], place[b]] = prior[a, b]
    return n


def foresee(begin: Any, end: Any, span: Any, is_contact: Any, logit: Any, prior: Any) -> Any:
    """Mean, variance and chance of a contact just before each dial; (n_rows,) each, zero outside the stretches."""
    n_rows = len(span)
    foreseen = np.zeros(n_rows, np.float32), np.zeros(n_rows, np.float32), np.zeros(n_rows)
    on_threads(_foresee, _N_BLOCKS, begin, end, span, is_contact, logit, prior, *foreseen)
    return foreseen


@numba.njit(cache=True, nogil=True)
def _foresee(  # type: ignore[no-untyped-def]
    first_block, last_block, begin, end, span, is_contact, logit, prior, before, variance, p
):  # fmt: skip
    n_spans = len(prior)
    mean, cov, gain = np.empty(n_spans), np.empty((n_spans, n_spans)), np.empty(n_spans)
    place = np.empty(n_spans, np.int64)
    for block in range(first_block, last_block):
        for customer in range(block * len(begin) // _N_BLOCKS, (block + 1) * len(begin) // _N_BLOCKS):
            first, last = begin[customer], end[customer]
            n = _begin(span, first, last, prior, mean, cov, place)
            for row in range(first, last):
                at = place[span[row]]
                before[row], variance[row] = mean[at], cov[at, at]
                p[row] = learn(mean, cov, gain, n, at, is_contact[row], logit[row])


def filter_all(begin: Any, end: Any, span: Any, is_contact: Any, logit: Any, prior: Any) -> Any:
    """The same, and mean and variance of every span just after each dial, (n_rows, n_spans) each."""
    n_rows, n_spans = len(span), len(prior)
    found = np.zeros(n_rows, np.float32), np.zeros(n_rows, np.float32), np.zeros(n_rows)
    after = np.zeros((n_rows, n_spans), np.float32), np.zeros((n_rows, n_spans), np.float32)
    on_threads(_filter_all, _N_BLOCKS, begin, end, span, is_contact, logit, prior, *found, *after)
    return *found, *after


@numba.njit(cache=True, nogil=True)
def _filter_all(  # type: ignore[no-untyped-def]
    first_block, last_block, begin, end, span, is_contact, logit, prior, before, variance, p, means, variances
):  # fmt: skip
    n_spans = len(prior)
    mean, cov, gain = np.empty(n_spans), np.empty((n_spans, n_spans)), np.empty(n_spans)
    for block in range(first_block, last_block):
        for customer in range(block * len(begin) // _N_BLOCKS, (block + 1) * len(begin) // _N_BLOCKS):
            _begin_all(prior, mean, cov)
            for row in range(begin[customer], end[customer]):
                b = np.int64(span[row])
                before[row], variance[row] = mean[b], cov[b, b]
                p[row] = learn(mean, cov, gain, n_spans, b, is_contact[row], logit[row])
                for i in range(n_spans):
                    means[row, i], variances[row, i] = mean[i], cov[i, i]


def follow_never(begin: Any, end: Any, is_contact: Any, odds: Any, p: Any, share: Any) -> Any:
    """Chance of never being reached before and after each dial, (n_rows,) each; nats of each customer's dials."""
    followed = np.zeros(len(p), np.float32), np.zeros(len(p), np.float32), np.zeros(len(begin))
    on_threads(_follow_never, _N_BLOCKS, begin, end, is_contact, odds, p, share, *followed)
    return followed


@numba.njit(cache=True, nogil=True)
def _follow_never(  # type: ignore[no-untyped-def]
    first_block, last_block, begin, end, is_contact, odds, p, share, before, after, nats
):  # fmt: skip
    for block in range(first_block, last_block):
        for customer in range(block * len(begin) // _N_BLOCKS, (block + 1) * len(begin) // _N_BLOCKS):
            never = share
            for row in range(begin[customer], end[customer]):
                before[row] = never
                never, likelihood = hear(never, p[row], is_contact[row], odds[row])
                nats[customer] += np.log(likelihood)
                after[row] = never


def advance(
    first: Any,
    known: Any,
    span: Any,
    is_contact: Any,
    odds: Any,
    logit: Any,
    begin: Any,
    end: Any,
    path_part: Any,
    path_span: Any,
    path_seconds: Any,
    path_logit: Any,
    prior: Any,
    share: Any,
    odds_going_on: Any,
    fatigue: Any,
    start_faded: Any,
    start_seconds: Any,
    half_lives: Any,
) -> Any:
    """Filter each customer's known dials, then those of a path, all taken to have failed."""
    n, n_spans = len(first), len(prior)
    means, variances = np.zeros((n, n_spans), np.float32), np.zeros((n, n_spans), np.float32)
    advanced = means, variances, np.zeros(n, np.float32), start_faded.copy(), start_seconds.copy()
    on_threads(
        _advance, _N_BLOCKS, first, known, span, is_contact, odds, logit, begin, end, path_part, path_span,
        path_seconds, path_logit, prior, share, odds_going_on, fatigue, half_lives, *advanced,
    )  # fmt: skip
    return advanced


@numba.njit(cache=True, nogil=True)
def _advance(  # type: ignore[no-untyped-def]
    first_block, last_block, first, known, span, is_contact, odds, logit, begin, end, path_part, path_span,
    path_seconds, path_logit, prior, share, odds_going_on, fatigue, half_lives, means, variances, nevers, faded,
    seconds,
):  # fmt: skip
    n, n_spans = len(first), len(prior)
    mean, cov, gain = np.empty(n_spans), np.empty((n_spans, n_spans)), np.empty(n_spans)
    for block in range(first_block, last_block):
        for q in range(block * n // _N_BLOCKS, (block + 1) * n // _N_BLOCKS):
            _begin_all(prior, mean, cov)
            never = share
            for row in range(first[q], known[q]):
                p = learn(mean, cov, gain, n_spans, np.int64(span[row]), is_contact[row], logit[row])
                never, _ = hear(never, p, is_contact[row], odds[row])
            for row in range(begin[q], end[q]):
                tired = _tire(faded[q], path_seconds[row] - seconds[q], path_part[row], fatigue, half_lives)
                at, is_reached = np.int64(path_span[row]), np.bool_(False)
                p = learn(mean, cov, gain, n_spans, at, is_reached, path_logit[row] + tired)
                never, _ = hear(never, p, is_reached, odds_going_on)
                seconds[q] = path_seconds[row]
            nevers[q] = never
            for i in range(n_spans):
                means[q, i], variances[q, i] = mean[i], cov[i, i]


@numba.njit(cache=True)
def _tire(faded, passed, part, fatigue, half_lives):  # type: ignore[no-untyped-def]
    """What earlier failures take off the logit of a dial ``passed`` seconds after the last, which then fails too."""
    tired, n_lives = 0.0, len(half_lives)
    for h in range(n_lives):
        share, overall = np.float32(0.5 ** (passed / half_lives[h])), np.float32(0)
        for b in range(faded.shape[1]):
            faded[h, b] *= share
            overall += faded[h, b]
        tired += fatigue[h] * overall + fatigue[n_lives + h] * faded[h, part]
        faded[h, part] += np.float32(1.0)
    return tired
