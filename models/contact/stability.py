"""Population stability: whether the newest dials are of the same customers, hours and outcomes as those before."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import chi2

from configs.settings import Settings
from features.levels import name_levels
from features.slots import PARTS
from features.table import DialLog

WATCH, MOVED = 0.1, 0.25
_N_BINS = 10
_NOISE_SHARE = 0.95


def measure_stability(log: DialLog, new: np.ndarray, before: np.ndarray, settings: Settings) -> pd.DataFrame:
    """Measure how far each input of the newest dials has moved from the dials before.

    Parameters
    ----------
    new, before : (m,) int
        Sorted rows of the log.

    Returns
    -------
    DataFrame
        One row per input, most moved first, with the columns of :func:`compare_shares`. Inputs are the settings'
        attributes, hour of the week, part of the week, outcome, attempt number since the last contact, and days since
        the last attempt (missing for a first one).
    """
    rows = [
        {"input": name, **compare_shares(*_bin_both(values.iloc[: len(new)], values.iloc[len(new) :]))}
        for name, values in _list_inputs(log, np.concatenate([new, before]), settings).items()
    ]
    return pd.DataFrame(rows).sort_values("excess", ascending=False, kind="stable", ignore_index=True)


def compare_shares(new: np.ndarray, before: np.ndarray) -> dict[str, float | int | str]:
    """Compare two histograms over the same bins by the population stability index.

    PSI = Σ (a − b) ln(a / b) over the bins' shares a and b. Half a dial is added to every bin, so that an empty one
    does not make it infinite. When nothing has moved, PSI / (1/n + 1/m) follows about a chi-square of bins − 1 degrees
    of freedom, so noise alone brings (bins − 1) · (1/n + 1/m): that is taken off before the usual limits are applied,
    and an excess that noise brings one time in twenty is none.

    Parameters
    ----------
    new, before : (n_bins,) float
        Counts of dials.

    Returns
    -------
    dict
        psi · expected (under no change) · excess = psi − expected · verdict ("steady", "watch" from an excess of 0.1,
        "moved" from 0.25) · n_bins (that hold a dial) · n_new · n_before.

    References
    ----------
    Siddiqi (2006), Credit Risk Scorecards, ch. 8 (the index and its limits); Yurdakul & Naranjo (2020), "Statistical
    properties of the population stability index", Journal of Risk Model Validation 14 (its distribution).

    Examples
    --------
    >>> moved = compare_shares(np.array([200.0, 800.0]), np.array([500.0, 500.0]))
    >>> round(moved["psi"], 2), round(moved["expected"], 3), moved["verdict"]
    (0.41, 0.002, 'moved')
    >>> compare_shares(np.array([3.0, 7.0]), np.array([5.0, 5.0]))["verdict"]
    'steady'
    """
    held = (new + before) > 0
    n_bins, n, m = int(held.sum()), float(new.sum()), float(before.sum())
    a, b = ((counts[held] + 0.5) / (counts.sum() + 0.5 * n_bins) for counts in (new, before))
    psi = float(np.sum((a - b) * np.log(a / b)))
    scale = 1 / max(n, 1.0) + 1 / max(m, 1.0)
    excess = psi - (n_bins - 1) * scale
    is_noise = n_bins < 2 or psi <= chi2.ppf(_NOISE_SHARE, n_bins - 1) * scale
    verdict = "steady" if is_noise or excess < WATCH else "watch" if excess < MOVED else "moved"
    counted = {"n_bins": n_bins, "n_new": int(n), "n_before": int(m)}
    return {"psi": psi, "expected": psi - excess, "excess": excess, "verdict": verdict, **counted}


def _list_inputs(log: DialLog, rows: np.ndarray, settings: Settings) -> Mapping[str, pd.Series]:
    """Every input at the chosen dials, RangeIndex."""
    dials, customer = log.dials.take(rows), log.history.customer_row[rows]
    history = log.history.features_at(customer, log.history.seconds[rows])
    named = {
        name: log.customers[name] if _is_number(log.customers[name]) else name_levels(log.customers, name)
        for name in settings.attributes
    }
    return {
        **{name: values.take(customer).reset_index(drop=True) for name, values in named.items()},
        "hour_of_week": pd.Series(dials["hour_of_week"].to_numpy().astype("str")),
        "part_of_week": pd.Series(np.array(PARTS)[dials["part"].to_numpy()]),
        "outcome": dials["outcome"].astype("str").reset_index(drop=True),
        "attempt_number": pd.Series(history["n_since_contact"] + 1),
        "days_since_attempt": pd.Series(history["days_since_attempt"]),
    }


def _bin_both(new: pd.Series, before: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Counts per bin: tenths of the earlier numbers and a bin of missing ones, or the levels of a text."""
    if not _is_number(new):
        levels = pd.Categorical(pd.concat([new, before]).astype("str"))
        codes, n_bins = levels.codes.astype("int64"), len(levels.categories)
        at_new, at_before = codes[: len(new)], codes[len(new) :]
        return np.bincount(at_new, minlength=n_bins) * 1.0, np.bincount(at_before, minlength=n_bins) * 1.0
    known = before.dropna().to_numpy("float64")
    edges = np.unique(np.quantile(known, np.linspace(0, 1, _N_BINS + 1)[1:-1])) if known.size else np.zeros(0)
    counted = []
    for values in (new, before):
        number = values.to_numpy("float64", na_value=np.nan)
        codes = np.where(np.isnan(number), len(edges) + 1, np.searchsorted(edges, number, side="left"))
        counted.append(np.bincount(codes, minlength=len(edges) + 2).astype("float64"))
    return counted[0], counted[1]


def _is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
