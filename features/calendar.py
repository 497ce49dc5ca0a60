"""What the calendar says about an instant: weekday, hour, week of the month, holidays, days to payday, 5-10 days."""

from functools import lru_cache

import holidays
import numpy as np
import pandas as pd

GOTOBI_DAYS = (5, 10, 15, 20, 25, 30)


def add_calendar(instants: pd.DataFrame, column: str, country: str, payday: int) -> pd.DataFrame:
    """Return the frame with the calendar of ``column`` beside it.

    Parameters
    ----------
    instants
        Any frame with a tz-aware datetime ``column`` in the centre's zone.
    country
        Country of the public holidays, ISO 3166 (``JP``).
    payday
        Day of the month on which wages arrive, 1 to 31; on a weekend or holiday it moves to the working day before.

    Returns
    -------
    DataFrame
        A new frame with weekday (Monday 0) · hour (0-23) · week_of_month (1-5) · is_holiday ·
        days_to_payday (0 to about 35) · is_gotobi (the 5-10 days, 五十日, on which Japanese firms settle).

    Examples
    --------
    >>> times = pd.DataFrame({"at": pd.to_datetime(["2026-11-23 18:30"]).tz_localize("Asia/Tokyo")})
    >>> add_calendar(times, "at", "JP", 25).drop(columns="at").iloc[0].to_dict()
    {'weekday': 0, 'hour': 18, 'week_of_month': 4, 'is_holiday': True, 'days_to_payday': 2, 'is_gotobi': False}
    """
    at = instants[column]
    dates = at.dt.tz_localize(None).dt.floor("D")
    days, day_of_row = np.unique(dates.to_numpy("datetime64[D]"), return_inverse=True)
    calendar = _calendar_of_days(days, country, payday)
    by_row = calendar.take(day_of_row).set_index(instants.index)
    return instants.assign(
        weekday=by_row["weekday"],
        hour=at.dt.hour.astype("int8"),
        **{name: by_row[name] for name in ("week_of_month", "is_holiday", "days_to_payday", "is_gotobi")},
    )


def _calendar_of_days(days: np.ndarray, country: str, payday: int) -> pd.DataFrame:
    stamps = pd.DatetimeIndex(days)
    closed = _public_holidays(country, tuple(sorted({int(year) for year in stamps.year})))
    return pd.DataFrame(
        {
            "weekday": stamps.day_of_week.astype("int8"),
            "week_of_month": ((stamps.day - 1) // 7 + 1).astype("int8"),
            "is_holiday": np.isin(days, closed),
            "days_to_payday": _days_to_payday(days, payday, closed),
            "is_gotobi": np.isin(stamps.day, GOTOBI_DAYS),
        }
    )


@lru_cache(maxsize=32)
def _public_holidays(country: str, years: tuple[int, ...]) -> np.ndarray:
    around = range(years[0] - 1, years[-1] + 2) if years else ()
    named = holidays.country_holidays(country, years=around)
    return np.array(sorted(named), dtype="datetime64[D]")


def _days_to_payday(days: np.ndarray, payday: int, closed: np.ndarray) -> np.ndarray:
    if days.size == 0:
        return np.zeros(0, dtype="int8")
    months = np.arange(days.min().astype("datetime64[M]"), days.max().astype("datetime64[M]") + 3)
    month_ends = (months + 1).astype("datetime64[D]") - 1
    nominal = np.minimum(months.astype("datetime64[D]") + (payday - 1), month_ends)
    paid = np.busday_offset(nominal, 0, roll="preceding", holidays=closed)
    upcoming = paid[np.searchsorted(paid, days, side="left")]
    return np.asarray(upcoming - days).astype("int64").astype("int8")


def seconds_of(instants: pd.Series) -> np.ndarray:
    """Whole seconds since 1970 of tz-aware instants; (n,) int64.

    >>> seconds_of(pd.Series(pd.to_datetime(["1970-01-01 09:00:07"]).tz_localize("Asia/Tokyo"))).tolist()
    [7]
    """
    return np.asarray(instants.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[s]").astype("int64"))
