"""Where predictions keep their word: contacts expected and seen by week, by hour of the week and by segment."""

import numpy as np
import pandas as pd

from configs.settings import Settings
from features.levels import name_levels
from features.slots import PARTS
from features.table import DialLog

MIN_DIALS = 50
"""Hours and segments with fewer dials are too thin to be judged by themselves, and are pooled."""

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_Z_90 = 1.6448536269514722
_N_HOURS = 168


def compare_groups(group: np.ndarray, p: np.ndarray, is_contact: np.ndarray) -> pd.DataFrame:
    """Compare the contact rate of each group of dials with the mean prediction.

    Parameters
    ----------
    group : (n,)
        Any sortable key of each dial.
    p : (n,) float
        Predicted probability of contact.
    is_contact : (n,) bool

    Returns
    -------
    DataFrame
        group · n (dials) · p_mean · contact_rate · low · high, sorted by group. Were the predictions right, the
        contact rate would lie from ``low`` to ``high`` nine times in ten (normal approximation, clipped to [0, 1]).

    Examples
    --------
    >>> compare_groups(np.zeros(100), np.full(100, 0.5), np.arange(100) < 60).round(3)
       group    n  p_mean  contact_rate    low   high
    0    0.0  100     0.5           0.6  0.418  0.582
    """
    dials = pd.DataFrame({"group": group, "n": 1, "p": p, "hits": is_contact.astype("int64"), "variance": p * (1 - p)})
    sums = dials.groupby("group", sort=True, observed=True).sum().reset_index()
    p_mean = sums["p"] / sums["n"]
    spread = _Z_90 * np.sqrt(sums["variance"]) / sums["n"]
    return sums[["group", "n"]].assign(
        p_mean=p_mean,
        contact_rate=sums["hits"] / sums["n"],
        low=(p_mean - spread).clip(0, 1),
        high=(p_mean + spread).clip(0, 1),
    )


def mean_gap(groups: pd.DataFrame) -> tuple[float, float]:
    """Calibration error over groups, weighted by dials, and the one that chance alone would bring.

    Parameters
    ----------
    groups
        Of :func:`compare_groups`.

    Returns
    -------
    error, by_chance
        Mean absolute gap between prediction and contact rate, in [0, 1], and its mean were the predictions right: a
        group's gap is then about normal, and the mean of a normal's absolute value is √(2/π) of its deviation.

    Examples
    --------
    >>> tuple(round(gap, 3) for gap in mean_gap(compare_groups(np.zeros(100), np.full(100, 0.5), np.arange(100) < 60)))
    (0.1, 0.04)
    """
    if groups.empty:
        return float("nan"), float("nan")
    deviation = np.maximum(groups["high"] - groups["p_mean"], groups["p_mean"] - groups["low"]) / _Z_90
    weights = groups["n"].to_numpy("float64")
    gap = (groups["p_mean"] - groups["contact_rate"]).abs()
    return float(np.average(gap, weights=weights)), float(np.average(deviation, weights=weights) * np.sqrt(2 / np.pi))


def compare_weeks(
    weeks_ago: np.ndarray, as_of_day: np.datetime64, p: np.ndarray, is_contact: np.ndarray
) -> pd.DataFrame:
    """Compare expected and seen contact rates week by week, oldest first.

    Parameters
    ----------
    weeks_ago : (n,) int
        0 for the seven days before ``as_of_day`` (datetime64[D]).

    Returns
    -------
    DataFrame
        week_start (first day, Timestamp) · n · p_mean · contact_rate · low · high, as :func:`compare_groups`.
    """
    weeks = compare_groups(-weeks_ago, p, is_contact)
    starts = as_of_day + 7 * (weeks["group"].to_numpy() - 1)
    return weeks.drop(columns="group").assign(week_start=pd.DatetimeIndex(starts))[
        ["week_start", "n", "p_mean", "contact_rate", "low", "high"]
    ]


def compare_slots(dials: pd.DataFrame, p: np.ndarray, is_contact: np.ndarray) -> pd.DataFrame:
    """Compare hour by hour of the week; hours under ``MIN_DIALS`` count together with those of their part.

    Parameters
    ----------
    dials
        Slot features of the dials: hour_of_week · part.

    Returns
    -------
    DataFrame
        slot (name) · weekday (0 Monday) · hour · is_pooled, and the columns of :func:`compare_groups`. Every hour of
        the week has a row; those with ``is_pooled`` are counted again, as one, in the rows of parts, which have no
        weekday and no hour.
    """
    hour_of_week = dials["hour_of_week"].to_numpy("int64")
    is_thin = np.bincount(hour_of_week, minlength=_N_HOURS) < MIN_DIALS
    thin = is_thin[hour_of_week]
    hours = compare_groups(hour_of_week, p, is_contact)
    at = hours["group"].to_numpy()
    hours = hours.assign(
        slot=[f"{WEEKDAYS[hour // 24]} {hour % 24:02d}:00" for hour in at],
        weekday=pd.array(at // 24, dtype="Int64"),
        hour=pd.array(at % 24, dtype="Int64"),
        is_pooled=is_thin[at],
    )
    parts = compare_groups(dials["part"].to_numpy("int64")[thin], p[thin], is_contact[thin])
    named = [f"thin hours of {PARTS[part].replace('_', ' ')}" for part in parts["group"]]
    nowhere = pd.array([pd.NA] * len(parts), dtype="Int64")
    parts = parts.assign(slot=np.array(named, dtype=object), weekday=nowhere, hour=nowhere, is_pooled=False)
    columns = ["slot", "weekday", "hour", "is_pooled", "n", "p_mean", "contact_rate", "low", "high"]
    return pd.concat([hours, parts], ignore_index=True)[columns]


def compare_segments(
    log: DialLog, customer_rows: np.ndarray, p: np.ndarray, is_contact: np.ndarray, settings: Settings
) -> pd.DataFrame:
    """Compare segment by segment, most dialled first.

    Thin segments are pooled by leaving out the last columns of ``segment_by``, one at a time, until ``MIN_DIALS``
    dials are together; what is thin even then stands under "everyone else".

    Returns
    -------
    DataFrame
        segment (name) and the columns of :func:`compare_groups`; without ``segment_by`` one row, "everyone else".
    """
    named = [name_levels(log.customers, name).astype("str").to_numpy(dtype=object) for name in settings.segment_by]
    segment = np.full(len(customer_rows), "everyone else", dtype=object)
    is_open = np.ones(len(customer_rows), dtype=bool)
    for depth in range(len(named), 0, -1):
        rest = " · other" if depth < len(named) else ""
        key = np.array([" · ".join(parts) + rest for parts in zip(*named[:depth], strict=True)], dtype=object)
        codes, names = pd.factorize(key[customer_rows])
        n_open = np.bincount(codes[is_open], minlength=len(names))
        taken = is_open & (n_open[codes] >= MIN_DIALS)
        segment[taken] = key[customer_rows][taken]
        is_open &= ~taken
    compared = compare_groups(segment, p, is_contact).rename(columns={"group": "segment"})
    return compared.sort_values("n", ascending=False, kind="stable", ignore_index=True)
