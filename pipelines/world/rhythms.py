"""When people can be reached: six latent rhythms of the day, who follows which, and what the calendar adds."""

from datetime import date, timedelta
from typing import Any

import holidays
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.world.prefectures import PREFECTURES
from pipelines.world.sizes import Sizes

TIMEZONE = "Asia/Tokyo"
OPENING_HOUR = 9
CLOSING_HOUR = 21
PARTS = (
    "weekday_morning", "weekday_afternoon", "weekday_evening",
    "weekend_morning", "weekend_afternoon", "weekend_evening",
)  # fmt: skip
RHYTHMS = ("office", "homemaker", "retired", "shift", "student", "shop")

# Logits by opening hour 9..20, working days then days off; the level is taken out below.
_WORKING = np.array([
    [-.50, -.50, -.45, -.05, -.30, -.50, -.50, -.45, -.20, .35, .75, .70],
    [.10, .55, .50, -.10, .45, .50, .30, -.05, -.35, -.50, -.30, -.10],
    [.50, .65, .45, .00, .20, .30, .35, .25, .00, -.40, -.60, -.90],
    [-.70, -.35, .00, .25, .50, .50, .40, .25, .00, -.20, -.30, -.40],
    [-.80, -.60, -.45, .15, -.30, -.20, .00, .15, .30, .40, .50, .60],
    [.55, .70, .45, .00, -.20, -.30, -.30, -.30, -.35, -.40, -.25, .20],
])  # fmt: skip
_OFF = np.array([
    [-.05, .20, .35, .20, .10, .10, .10, .20, .30, .45, .50, .40],
    [-.30, -.10, -.10, -.30, -.20, -.20, -.20, -.30, -.40, -.50, -.40, -.30],
    [.40, .50, .30, .00, .10, .15, .15, .10, -.10, -.40, -.60, -.90],
    [-.50, -.20, .05, .20, .30, .30, .20, .10, .00, -.20, -.30, -.40],
    [-1.0, -.60, -.20, .20, .20, .20, .10, .10, .20, .30, .50, .60],
    [-.20, -.40, -.60, -.60, -.60, -.60, -.60, -.55, -.45, -.20, .20, .45],
])  # fmt: skip
_WEEKDAY = np.array([0.0, 0.05, 0.03, 0.0, -0.05, 0.0, 0.0])
_WEEK_OF_MONTH = np.array([
    [.06, .02, .00, -.08, -.12],
    [.02, .04, .02, -.04, -.06],
    [-.02, .06, .08, .00, -.08],
    [.00, .00, .00, .00, .00],
    [-.10, -.02, .02, .08, .10],
    [.08, .04, .00, -.06, -.10],
])  # fmt: skip
_HOLIDAY = np.array([-0.15, -0.10, 0.10, 0.0, 0.15, -0.20])
_MOVED_TO = np.array([1, 0, 5, 4, 3, 2])  # drift: whose curve each rhythm ends on (offices work from home, …)

# Share of rhythms by age band (to 29, 30-44, 45-59, 60-69, 70+) for men, then women.
_SHARES = np.array([
    [[.42, .02, .00, .14, .28, .14], [.66, .03, .00, .14, .02, .15], [.66, .03, .01, .14, .00, .16],
     [.38, .07, .28, .13, .00, .14], [.05, .10, .75, .05, .00, .05]],
    [[.36, .08, .00, .12, .26, .18], [.36, .32, .00, .10, .02, .20], [.32, .36, .02, .10, .00, .20],
     [.14, .42, .26, .06, .00, .12], [.02, .32, .60, .02, .00, .04]],
])  # fmt: skip
_URBAN = np.array([1.30, 0.85, 0.90, 1.0, 1.30, 1.0])
_RURAL = np.array([0.80, 1.15, 1.15, 1.15, 0.80, 1.0])


def is_day_off(days: pd.DatetimeIndex) -> NDArray[np.bool_]:
    """True on Saturdays, Sundays and public holidays of Japan.

    Examples
    --------
    >>> is_day_off(pd.DatetimeIndex(["2026-11-02", "2026-11-03", "2026-11-07"])).tolist()
    [False, True, True]
    """
    return np.asarray(days.day_of_week >= 5) | is_holiday(days)


def is_holiday(days: pd.DatetimeIndex) -> NDArray[np.bool_]:
    """True on public holidays of Japan, whatever the weekday."""
    calendar: Any = holidays.country_holidays("JP", years=sorted(set(days.year.tolist())))
    unique, codes = np.unique(days.year * 10000 + days.month * 100 + days.day, return_inverse=True)
    known = np.array([date(day // 10000, day // 100 % 100, day % 100) in calendar for day in unique.tolist()], bool)
    return known[codes]


def assign_parts(slots: pd.DatetimeIndex) -> NDArray[np.int8]:
    """Part of the week of each slot as an index of ``PARTS``: mornings end at 12, afternoons at 17.

    Examples
    --------
    >>> assign_parts(pd.DatetimeIndex(["2026-11-02 09:00", "2026-11-03 18:00"])).tolist()
    [0, 5]
    """
    part_of_day = np.digitize(slots.hour, [12, 17])
    return (part_of_day + 3 * is_day_off(slots)).astype(np.int8)


def rhythm_shares(
    age: NDArray[np.integer],
    gender: NDArray[np.int8],
    region: NDArray[np.int8],
    tilt: NDArray[np.floating],
    sizes: Sizes,
) -> NDArray[np.float64]:
    """Probability of each rhythm for each person, shape (n, 6), rows sum to one.

    ``tilt`` (47, 6) multiplies the shares by prefecture; ``gender`` is 0 male, 1 female, 2 other (mean of both).
    """
    band = np.digitize(age, [30, 45, 60, 70])
    by_gender = np.stack([*_SHARES, _SHARES.mean(axis=0)])
    urban = np.array([place.is_urban for place in PREFECTURES])
    by_region = np.where(urban[:, None], _URBAN, _RURAL) * tilt
    shares = np.maximum(by_gender[gender, band] * by_region[region], 1e-3) ** sizes.segment_strength
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _curves() -> NDArray[np.float64]:
    """Curves (6 rhythms, 2 kinds of day, 12 hours), each rhythm centred over a week of 5 + 2 days."""
    curves = np.stack([_WORKING, _OFF], axis=1)
    mean = (5 * _WORKING.mean(axis=1) + 2 * _OFF.mean(axis=1)) / 7
    return np.asarray(curves - mean[:, None, None])


def rhythm_effects(slots: pd.DatetimeIndex, sizes: Sizes, end: date) -> NDArray[np.float32]:
    """Logits that each rhythm adds in each slot, shape (6, S).

    Hours before opening count as the first, after closing as the last opening hour. With ``drift_days`` the curve of a
    rhythm slides towards another one's, from ``end - drift_days`` on, and has arrived half of those days later.

    Examples
    --------
    >>> slots = pd.DatetimeIndex(["2026-11-04 20:00", "2026-11-04 15:00"])
    >>> evening, noon = rhythm_effects(slots, Sizes(), date(2026, 11, 2))[0]
    >>> bool(evening > noon)
    True
    """
    hour = np.clip(np.asarray(slots.hour), OPENING_HOUR, CLOSING_HOUR - 1) - OPENING_HOUR
    curves = _curves()[:, is_day_off(slots).astype(int), hour]
    moved = _drift_share(slots, sizes, end)
    calendar = (
        _WEEKDAY[slots.day_of_week] + _WEEK_OF_MONTH[:, (slots.day - 1) // 7] + _HOLIDAY[:, None] * is_holiday(slots)
    )
    effects = (1 - moved) * curves + moved * curves[_MOVED_TO] + calendar
    return np.asarray(sizes.rhythm_strength * effects, dtype=np.float32)


def _drift_share(slots: pd.DatetimeIndex, sizes: Sizes, end: date) -> NDArray[np.float64]:
    if not sizes.drift_days:
        return np.zeros(len(slots))
    first = pd.Timestamp(end - timedelta(days=sizes.drift_days))
    days = (slots.tz_localize(None).normalize() - first) / pd.Timedelta(days=1)
    return np.clip(np.asarray(days) / (sizes.drift_days / 2), 0.0, 1.0)
