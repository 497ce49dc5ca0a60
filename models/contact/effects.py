"""What segment and slot say: additive tables of shrunk effects on the logit, from the overall rate to the segment.

logit = Σ tables[customer level, slot level]. Each table is a random effect: its cells are shrunk towards zero by as
much as the table's own variance, learned from the log, says they are noise. A cell nobody has seen adds nothing, so a
prediction falls back from segment × hour to segment × part, to age, to the hour, to the overall rate.

Source: Gelman & Hill, Data Analysis Using Regression and Multilevel Models (2007), ch. 14; fitted by block Newton
steps; variances after MacKay, Bayesian interpolation (1992).
"""

from dataclasses import dataclass
from itertools import combinations

import numba
import numpy as np
import pandas as pd

SLOT_KEYS = {"": 1, "part": 8, "day_hour": 48, "hour_of_week": 168, "week_of_month": 6, "is_holiday": 2, "is_gotobi": 2}
"""Slot keys of tables and their numbers of levels."""

_FIRST_VARIANCE = 0.02
_LEAST_VARIANCE = 1e-5
_INTERCEPT_VARIANCE = 1e4


@dataclass(frozen=True)
class EffectTable:
    """One table of effects.

    Attributes
    ----------
    customer_key, slot_key
        Names of the keys, "" for "all".
    values : (n_customer_levels, n_slot_levels) float32
        Logits.
    variance
        Learned variance of the cells.
    """

    customer_key: str
    slot_key: str
    values: np.ndarray
    variance: float


def slot_codes(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Level of every row of a frame with slot features, for each of ``SLOT_KEYS``; (n,) int32 each.

    >>> from configs.settings import Settings
    >>> from features.slots import build_slots
    >>> starts = pd.date_range("2026-11-24 09:00", periods=1, freq="h", tz="Asia/Tokyo")
    >>> slot_codes(build_slots(starts, Settings()))["day_hour"].tolist()
    [9]
    """
    codes = {
        "": np.zeros(len(frame)),
        "day_hour": frame["is_off_day"].to_numpy() * 24 + frame["hour"].to_numpy(),
        **{key: frame[key].to_numpy() for key in SLOT_KEYS if key not in ("", "day_hour")},
    }
    return {key: level.astype("int32") for key, level in codes.items()}


def list_tables(attributes: tuple[str, ...], segment_by: tuple[str, ...]) -> list[tuple[str, str]]:
    """(customer key, slot key) of every table: overall, each attribute, each pair and the whole segment.

    >>> list_tables(("age",), ("age",))[-1]
    ('age', 'day_hour')
    """
    pairs = ["×".join(pair) for pair in combinations(segment_by, 2)]
    crossed = dict.fromkeys([*attributes, *segment_by, *pairs, "×".join(segment_by)])
    overall = [("", key) for key in SLOT_KEYS]
    by_key = [(key, slot) for key in crossed if key for slot in ("", "part", "day_hour")]
    return [*overall, *by_key]


def start_tables(keys: list[tuple[str, str]], n_levels: dict[str, int]) -> list[EffectTable]:
    """Tables of zeros for the given keys and numbers of customer levels.

    >>> start_tables([("age", "part")], {"age": 3})[0].values.shape
    (3, 8)
    """
    return [
        EffectTable(
            customer,
            slot,
            np.zeros((n_levels[customer], SLOT_KEYS[slot]), dtype="float32"),
            _INTERCEPT_VARIANCE if (customer, slot) == ("", "") else _FIRST_VARIANCE,
        )
        for customer, slot in keys
    ]


def fit_effects(
    tables: list[EffectTable],
    customer_codes: dict[str, np.ndarray],
    slot_code: dict[str, np.ndarray],
    is_contact: np.ndarray,
    person_mean: np.ndarray,
    person_variance: np.ndarray,
    n_sweeps: int,
) -> list[EffectTable]:
    """Sweep over the tables, each taking one shrunk Newton step given the others and the persons.

    Parameters
    ----------
    tables
        Where to start.
    customer_codes, slot_code
        Level of every row per key, (n,) int32 each.
    is_contact : (n,) bool
    person_mean, person_variance : (n,) float
        What was believed of the person before the dial, see ``models.contact.persons``.
    n_sweeps
        Passes over all tables; the first fit wants about ten, a refit two.

    Returns
    -------
    list of EffectTable
        New tables; the given ones are untouched.
    """
    kappa = 1.0 / np.sqrt(1.0 + np.pi / 8 * person_variance.astype("float64"))
    cells = [customer_codes[t.customer_key] * t.values.shape[1] + slot_code[t.slot_key] for t in tables]
    values = [t.values.astype("float64").ravel() for t in tables]
    variances = [t.variance for t in tables]
    logit = person_mean.astype("float64") + sum(v[c] for v, c in zip(values, cells, strict=True))
    for _ in range(n_sweeps):
        for k, (value, cell) in enumerate(zip(values, cells, strict=True)):
            slope, curvature, n_rows = _sum_slopes(logit, kappa, is_contact, cell, len(value))
            seen = n_rows > 0
            precision = curvature + 1.0 / variances[k]
            step = np.clip(np.where(seen, (slope - value / variances[k]) / precision, 0.0), -2.0, 2.0)
            value += step
            _add_step(logit, step, cell)
            if tables[k].customer_key or tables[k].slot_key:
                variances[k] = _learn_variance(value[seen], curvature[seen], variances[k])
    return [
        EffectTable(t.customer_key, t.slot_key, value.reshape(t.values.shape).astype("float32"), variance)
        for t, value, variance in zip(tables, values, variances, strict=True)
    ]


def sum_effects(
    tables: list[EffectTable], customer_codes: dict[str, np.ndarray], slot_code: dict[str, np.ndarray]
) -> np.ndarray:
    """Logit of each row from the tables alone; (n,) float32."""
    logit = np.zeros(len(next(iter(slot_code.values()))), dtype="float32")
    for table in tables:
        logit += table.values[customer_codes[table.customer_key], slot_code[table.slot_key]]
    return logit


def _learn_variance(value: np.ndarray, curvature: np.ndarray, variance: float) -> float:
    """MacKay's fixed point: squares of the effects over the number of effects that the data determine."""
    determined = float(np.sum(curvature / (curvature + 1.0 / variance)))
    return float(np.clip(np.sum(value**2) / max(determined, 1e-9), _LEAST_VARIANCE, 4.0))


@numba.njit(cache=True)
def _sum_slopes(logit, kappa, is_contact, cell, n_cells):  # type: ignore[no-untyped-def]
    slope, curvature, n_rows = np.zeros(n_cells), np.zeros(n_cells), np.zeros(n_cells, np.int64)
    for row in range(len(logit)):
        p = 1.0 / (1.0 + np.exp(-kappa[row] * logit[row]))
        slope[cell[row]] += kappa[row] * ((1.0 if is_contact[row] else 0.0) - p)
        curvature[cell[row]] += kappa[row] * kappa[row] * p * (1.0 - p)
        n_rows[cell[row]] += 1
    return slope, curvature, n_rows


@numba.njit(cache=True)
def _add_step(logit, step, cell):  # type: ignore[no-untyped-def]
    for row in range(len(logit)):
        logit[row] += step[cell[row]]
