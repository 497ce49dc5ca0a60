"""Calibration: two numbers that make predicted probabilities mean what they say, and how far they still do not."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit

_INTERCEPT_SCALE, _SLOPE_SD = 0.03, 0.1


@dataclass(frozen=True)
class Calibration:
    """p = expit(intercept + slope · logit), after Platt (1999).

    >>> Calibration(0.0, 1.0).apply(np.array([0.0])).tolist()
    [0.5]
    """

    intercept: float
    slope: float

    def apply(self, logit: np.ndarray) -> np.ndarray:
        """Calibrated probability of each logit; same shape and dtype."""
        return np.asarray(expit(np.asarray(logit) * np.float32(self.slope) + np.float32(self.intercept)))


def fit_calibration(logit: np.ndarray, is_contact: np.ndarray) -> Calibration:
    """Fit on dials that the model has not learned from; (n,) each.

    The slope is drawn to 1 with standard deviation .1, the intercept to 0 by a Cauchy prior of scale .03: what comes in
    is nearly calibrated already, and the luck of a few hundred contacts would otherwise shift or stretch every
    prediction. A shift that is plainly there is let through: the tails of that prior are heavy.

    Examples
    --------
    >>> fit = fit_calibration(np.repeat([-1.0, 1.0], 5_000), np.tile([True, False], 5_000))
    >>> abs(fit.slope) < 0.2
    True
    """
    logit = np.asarray(logit, dtype="float64")

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        z = parameters[0] + parameters[1] * logit
        error = expit(z) - is_contact
        shift, stretch = parameters[0] / _INTERCEPT_SCALE, (parameters[1] - 1.0) / _SLOPE_SD
        value = float(np.sum(np.logaddexp(0.0, z) - is_contact * z)) + np.log1p(shift**2) + 0.5 * stretch**2
        pull = np.array([2.0 * shift / (1.0 + shift**2) / _INTERCEPT_SCALE, stretch / _SLOPE_SD])
        return value, np.array([error.sum(), error @ logit]) + pull

    found = minimize(loss, np.array([0.0, 1.0]), jac=True, method="L-BFGS-B")
    return Calibration(float(found.x[0]), float(found.x[1]))


def build_reliability(p: np.ndarray, is_contact: np.ndarray, n_bins: int = 10) -> pd.DataFrame:
    """Predicted against observed in bins of equally many dials.

    Returns
    -------
    DataFrame
        n · p_mean · contact_rate, one row per bin, smallest probabilities first.

    Examples
    --------
    >>> build_reliability(np.array([0.1, 0.9]), np.array([False, True]), 2)["contact_rate"].tolist()
    [0.0, 1.0]
    """
    ranked = np.argsort(p, kind="stable")
    bins = [part for part in np.array_split(ranked, n_bins) if part.size]
    return pd.DataFrame(
        {
            "n": [len(part) for part in bins],
            "p_mean": [float(p[part].mean()) for part in bins],
            "contact_rate": [float(is_contact[part].mean()) for part in bins],
        }
    )
