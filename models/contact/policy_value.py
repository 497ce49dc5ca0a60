"""What another way of choosing hours would have brought, from the outcomes of the hours that were chosen.

The other way is the logged one, tilted to the hours of higher p: target(slot) ∝ logged(slot) · exp((p − price) / heat),
with prices that keep the number of dials of every slot. At great heat it is the logged way; as heat falls it goes to
the best assignment of customers to the same places. Because it starts from the logged way it never asks for what was
never tried, and the weights depend on the propensities through one sum per customer only.

Sources: Dudík, Langford and Li, Doubly robust policy evaluation and learning (2011); Swaminathan and Joachims, The
self-normalized estimator for counterfactual learning (2015); Kennedy, Nonparametric causal effects based on
incremental propensity score interventions (2019); Kish, Survey Sampling (1965), for the effective sample.
"""

from dataclasses import dataclass

import numpy as np

from models.contact.propensity import rake

_HOTTEST, _COLDEST = 10.0, 1e-3
_SEARCH_STEPS = 14
_NORMAL_90 = 1.645
_MOST_SEARCHED = 5_000


@dataclass(frozen=True)
class Estimate:
    """Contacts under the target way per contact under the logged one; ``low`` and ``high`` bound 90 %."""

    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class PolicyValue:
    """The value of a way of choosing hours, and how far the log bears it.

    Attributes
    ----------
    snips
        Outcomes reweighted, weights normalised by their own sum.
    doubly_robust
        The outcome model's expectation, corrected by its reweighted errors: right if either the propensities or the
        outcome model are.
    effective_dials
        Kish: as many equally weighted dials would tell as much.
    mean_weight
        Near 1 where the logged way could have made every choice of the target and the propensities are right.
    largest_weight
        Of one dial, as a share of all weight.
    """

    snips: Estimate
    doubly_robust: Estimate
    effective_dials: float
    mean_weight: float
    largest_weight: float


def tilt_policy(base: np.ndarray, p: np.ndarray, places: np.ndarray, heat: float) -> np.ndarray:
    """Tilt a way of choosing hours towards those of higher ``p``, with the same number of dials in every slot.

    Parameters
    ----------
    base : (n, n_slots) float
        Chance of each slot, rows sum to 1.
    p : (n, n_slots) float
        What a dial is worth there.
    places : (n_slots,) float
        Dials of each slot, summing to n.
    heat
        In units of p; smaller is sharper.

    Examples
    --------
    Two customers, two places, each better in another: sharply, each gets the better one.

    >>> even, p = np.full((2, 2), 0.5), np.array([[0.1, 0.3], [0.2, 0.3]])
    >>> tilt_policy(even, p, np.ones(2), 0.01).round(2).tolist()
    [[0.01, 0.99], [0.99, 0.01]]
    >>> tilt_policy(even, p, np.ones(2), 100.0).round(2).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    relative = p - p.mean(axis=0)  # a slot that is better for everyone is not better: its places are as many
    return rake(base * np.exp((relative - relative.max(axis=1, keepdims=True)) / heat), places)


def soften(
    base: np.ndarray, p: np.ndarray, chosen: np.ndarray, propensity: np.ndarray, effective_share: float
) -> float:
    """The least heat at which the tilted way's effective sample is ``effective_share`` of the dials.

    Found by bisection on at most 5,000 dials, evenly taken. Inputs as of :func:`tilt_policy` and :func:`value_policy`.
    """
    some = np.arange(0, len(chosen), max(len(chosen) // _MOST_SEARCHED, 1))
    base, p, chosen, propensity = base[some], p[some], chosen[some], propensity[some]
    places = base.sum(axis=0)
    low, high = np.log(_COLDEST), np.log(_HOTTEST)
    for _ in range(_SEARCH_STEPS):
        middle = (low + high) / 2
        target = tilt_policy(base, p, places, float(np.exp(middle)))
        weight = target[np.arange(len(chosen)), chosen] / propensity
        low, high = (low, middle) if count_effective(weight) >= effective_share * len(weight) else (middle, high)
    return float(np.exp(high))


def count_effective(weight: np.ndarray) -> float:
    """Kish's effective sample size of weights (n,).

    >>> count_effective(np.array([1.0, 1.0, 0.0, 0.0]))
    2.0
    """
    return float(weight.sum() ** 2 / max(float((weight**2).sum()), 1e-300))


def value_policy(
    target: np.ndarray,
    p: np.ndarray,
    chosen: np.ndarray,
    propensity: np.ndarray,
    is_contact: np.ndarray,
    rng: np.random.Generator,
    n_resamples: int = 200,
) -> PolicyValue:
    """Estimate the value of a way of choosing hours from logged dials, one per customer.

    Parameters
    ----------
    target : (n, n_slots) float
        Chance of each slot under the way to be valued.
    p : (n, n_slots) float
        The outcome model, which has not learned from these dials.
    chosen : (n,) int
        The slot that the log chose.
    propensity : (n,) float
        The chance that it would, above 0.
    is_contact : (n,) bool
        At least one contact.

    Notes
    -----
    Intervals: 1.645 standard errors of a Poisson bootstrap over customers; percentiles of so few resamples would be
    less sure than their spread is. Where propensities are estimated their error is not drawn anew, which widens the
    interval of reweighting rather than narrowing it (Hirano, Imbens and Ridder 2003).
    """
    rows = np.arange(len(chosen))
    weight = target[rows, chosen] / propensity
    expected, error = (target * p).sum(axis=1), is_contact - p[rows, chosen]
    columns = np.column_stack([weight, weight * is_contact, weight * error, expected, is_contact, np.ones(len(rows))])
    drawn = rng.poisson(1.0, size=(n_resamples, len(rows))).astype("float32") @ columns.astype("float32")
    point, resampled = _ratios(columns.sum(axis=0)[None]), _ratios(drawn.astype("float64"))
    half = _NORMAL_90 * np.nanstd(resampled, axis=0)
    snips, robust = (
        Estimate(float(ratio), float(ratio - h), float(ratio + h)) for ratio, h in zip(point[0], half, strict=True)
    )
    largest = float(weight.max() / max(float(weight.sum()), 1e-300))
    return PolicyValue(snips, robust, count_effective(weight), float(weight.mean()), largest)


def _ratios(sums: np.ndarray) -> np.ndarray:
    """SNIPS and doubly robust ratios of sums (m, 6); (m, 2)."""
    weight, reached, error, expected, contacts, n = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        logged = contacts / n
        return np.column_stack([reached / weight / logged, (expected / n + error / weight) / logged])
