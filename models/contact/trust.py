"""How far the model's own differences can be believed, measured on dials it has not seen.

A plan picks the largest of many predictions, so differences that are partly noise flatter it (the winner's curse). On
held-out dials the outcome is regressed on two parts of the predicted log-odds: how this customer differs from others
(list) and how this slot differs from the customer's usual one (timing). A slope of 1 says that such differences are
real in full, 0 that they are noise. Gains are valued with these slopes, and their error is carried into the intervals.
See docs/decisions/0005-honest-gains.md.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

_PRIOR_TIMING, _PRIOR_SD = 0.5, 0.5


@dataclass(frozen=True)
class Trust:
    """Slopes of the truth on the model's differences.

    Attributes
    ----------
    list_slope, timing_slope
        1: real in full; 0: noise.
    covariance
        (2, 2) of the two slopes, as nested tuples.

    Examples
    --------
    >>> Trust().correct(np.array([-2.0]), np.array([0.5]), -2.0, np.array([1.0, 0.0])).round(2).tolist()
    [0.12]
    """

    list_slope: float = 1.0
    timing_slope: float = _PRIOR_TIMING
    covariance: tuple[tuple[float, float], tuple[float, float]] = ((_PRIOR_SD**2, 0.0), (0.0, _PRIOR_SD**2))

    @property
    def slopes(self) -> np.ndarray:
        """(2,) list and timing slope."""
        return np.array([self.list_slope, self.timing_slope])

    def widen(self, variances: tuple[float, float]) -> "Trust":
        """The same slopes, less sure by variances of their own.

        >>> Trust().widen((0.0, 0.25)).covariance
        ((0.25, 0.0), (0.0, 0.5))
        """
        (of_list, across), (_, of_timing) = self.covariance
        more = (of_list + variances[0], across), (across, of_timing + variances[1])
        return replace(self, covariance=more)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Slopes as they might as well be, (2,): also above 1, for a timid model may be beaten, and below 0."""
        return np.clip(rng.multivariate_normal(self.slopes, np.array(self.covariance)), -1.0, 2.0)

    @staticmethod
    def correct(usual: np.ndarray, difference: np.ndarray, everyone: float, slopes: np.ndarray) -> np.ndarray:
        """Believable probability of dials: usual log-odds of the customer and the slot's difference, each (n,)."""
        return np.asarray(expit(everyone + slopes[0] * (usual - everyone) + slopes[1] * difference))


def fit_trust(usual: np.ndarray, difference: np.ndarray, is_contact: np.ndarray) -> Trust:
    """Logistic regression of the outcome on both parts, by a prior of sd 0.5 drawn to 1 and, for timing, 0.5.

    Timing starts half believed because published logs show so little of it (best hour 1.07 to 1.15 times the mean).
    Inputs are (n,) each.

    Examples
    --------
    >>> rng = np.random.default_rng(7)
    >>> usual, difference = rng.normal(-2, 0.5, 50_000), rng.normal(0, 0.5, 50_000)
    >>> noise = fit_trust(usual, difference, rng.random(50_000) < expit(usual))
    >>> noise.list_slope > 0.9, noise.timing_slope < 0.1
    (True, True)
    """
    columns = np.column_stack([np.ones(len(usual)), usual - usual.mean(), difference]).astype("float64")
    prior_mean, prior_weight = np.array([0.0, 1.0, _PRIOR_TIMING]), np.array([1e-9, 1.0, 1.0]) / _PRIOR_SD**2

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        z, off = columns @ parameters, parameters - prior_mean
        value = float(np.sum(np.logaddexp(0.0, z) - is_contact * z)) + 0.5 * float(prior_weight @ off**2)
        return value, columns.T @ (expit(z) - is_contact) + prior_weight * off

    start = np.array([float(usual.mean()), 1.0, 1.0])
    found = minimize(loss, start, jac=True, method="L-BFGS-B").x
    p = expit(columns @ found)
    covariance = np.linalg.inv((columns * (p * (1 - p))[:, None]).T @ columns + np.diag(prior_weight))[1:, 1:]
    slopes = np.clip(found[1:], 0.0, 1.0)  # a model that is too timid is given no credit for it
    (a, b), (c, d) = covariance.tolist()
    return Trust(float(slopes[0]), float(slopes[1]), ((a, b), (c, d)))
