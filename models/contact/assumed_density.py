"""The compiled steps of the filter of persons: dial after dial of every customer, by assumed-density filtering.

A dial changes what is believed of a span by that span's own covariance with the dialled one. So where only the dialled
spans are asked for, the covariance of those of twelve that a customer was ever dialled in is enough, two or three as a
rule, to the same bits. Customers are walked in fixed blocks, and sums are taken over arrays of all of them, so the
number of cores changes nothing.
"""

import numba
import numpy as np

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


@numba.njit(cache=True, parallel=True)
def foresee(begin, end, span, is_contact, logit, prior):  # type: ignore[no-untyped-def]
    """Mean, variance and chance of a contact just before each dial; (n_rows,) each, zero outside the stretches."""
    n_rows, n_spans = len(span), len(prior)
    before, variance, p = np.zeros(n_rows, np.float32), np.zeros(n_rows, np.float32), np.zeros(n_rows)
    for block in numba.prange(_N_BLOCKS):
        mean, cov, gain = np.zeros(n_spans), np.zeros((n_spans, n_spans)), np.zeros(n_spans)
        place = np.zeros(n_spans, np.int64)
        for customer in range(block * len(begin) // _N_BLOCKS, (block + 1) * len(begin) // _N_BLOCKS):
            first, last = begin[customer], end[customer]
            n = _begin(span, first, last, prior, mean, cov, place)
            for row in range(first, last):
                at = place[span[row]]
                before[row], variance[row] = mean[at], cov[at, at]
                p[row] = learn(mean, cov, gain, n, at, is_contact[row], logit[row])
    return before, variance, p


@numba.njit(cache=True, parallel=True)
def filter_all(begin, end, span, is_contact, logit, prior):  # type: ignore[no-untyped-def]
    """The same, and mean and variance of every span just after each dial, (n_rows, n_spans) each."""
    n_rows, n_spans = len(span), len(prior)
    before, variance, p = np.zeros(n_rows, np.float32), np.zeros(n_rows, np.float32), np.zeros(n_rows)
    means, variances = np.zeros((n_rows, n_spans), np.float32), np.zeros((n_rows, n_spans), np.float32)
    for block in numba.prange(_N_BLOCKS):
        mean, cov, gain = np.zeros(n_spans), np.zeros((n_spans, n_spans)), np.zeros(n_spans)
        for customer in range(block * len(begin) // _N_BLOCKS, (block + 1) * len(begin) // _N_BLOCKS):
            _begin_all(prior, mean, cov)
            for row in range(begin[customer], end[customer]):
                b = span[row]
                before[row], variance[row] = mean[b], cov[b, b]
                p[row] = learn(mean, cov, gain, n_spans, b, is_contact[row], logit[row])
                for i in range(n_spans):
                    means[row, i], variances[row, i] = mean[i], cov[i, i]
    return before, variance, p, means, variances


@numba.njit(cache=True, parallel=True)
def follow_never(begin, end, is_contact, odds, p, share):  # type: ignore[no-untyped-def]
    """Chance of never being reached before and after each dial, (n_rows,) each; nats of each customer's dials."""
    before, after, nats = np.zeros(len(p), np.float32), np.zeros(len(p), np.float32), np.zeros(len(begin))
    for block in numba.prange(_N_BLOCKS):
        for customer in range(block * len(begin) // _N_BLOCKS, (block + 1) * len(begin) // _N_BLOCKS):
            never = share
            for row in range(begin[customer], end[customer]):
                before[row] = never
                never, likelihood = hear(never, p[row], is_contact[row], odds[row])
                nats[customer] += np.log(likelihood)
                after[row] = never
    return before, after, nats


@numba.njit(cache=True, parallel=True)
def advance(  # type: ignore[no-untyped-def]
    first, known, span, is_contact, odds, logit, begin, end, path_part, path_span, path_seconds, path_logit,
    prior, share, odds_going_on, fatigue, start_faded, start_seconds, half_lives,
):  # fmt: skip
    """Filter each customer's known dials, then those of a path, all taken to have failed."""
    n, n_spans, n_lives = len(first), prior.shape[0], len(half_lives)
    means, variances = np.zeros((n, n_spans), np.float32), np.zeros((n, n_spans), np.float32)
    nevers, faded, seconds = np.zeros(n, np.float32), start_faded.copy(), start_seconds.copy()
    for block in numba.prange(_N_BLOCKS):
        mean, cov, gain = np.zeros(n_spans), np.zeros((n_spans, n_spans)), np.zeros(n_spans)
        for q in range(block * n // _N_BLOCKS, (block + 1) * n // _N_BLOCKS):
            _begin_all(prior, mean, cov)
            never = share
            for row in range(first[q], known[q]):
                p = learn(mean, cov, gain, n_spans, span[row], is_contact[row], logit[row])
                never, _ = hear(never, p, is_contact[row], odds[row])
            for row in range(begin[q], end[q]):
                b, tired = path_part[row], 0.0
                for h in range(n_lives):
                    faded[q, h] *= np.float32(0.5 ** ((path_seconds[row] - seconds[q]) / half_lives[h]))
                    tired += fatigue[h] * faded[q, h].sum() + fatigue[n_lives + h] * faded[q, h, b]
                p = learn(mean, cov, gain, n_spans, path_span[row], False, path_logit[row] + tired)
                never, _ = hear(never, p, False, odds_going_on)
                seconds[q] = path_seconds[row]
                for h in range(n_lives):
                    faded[q, h, b] += np.float32(1.0)
            nevers[q] = never
            for i in range(n_spans):
                means[q, i], variances[q, i] = mean[i], cov[i, i]
    return means, variances, nevers, faded, seconds
