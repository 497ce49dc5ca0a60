"""Slots: the hours of a week in which a customer can be dialled, and the part of the week each belongs to."""

import numpy as np
import pandas as pd

from configs.settings import Settings
from features.calendar import add_calendar, seconds_of

PARTS = (
    "weekday_morning",
    "weekday_noon",
    "weekday_afternoon",
    "weekday_evening",
    "weekend_morning",
    "weekend_noon",
    "weekend_afternoon",
    "weekend_evening",
)
"""Parts of the week: morning to 12, noon to 15, afternoon to 18, evening after; holidays count as weekend."""

N_SPANS = 12
"""Two-hour spans of the day (to 11, 13, 15, 17, 19, and after), on working days, then on weekends and holidays."""

_SPAN_ENDS = (11, 13, 15, 17, 19)
_PART_ENDS = (12, 15, 18)

SLOT_FEATURES = ("hour", "weekday", "is_off_day", "week_of_month", "is_holiday", "days_to_payday", "is_gotobi")
"""Columns of a slot that the contact model may split on."""


def add_slot_features(frame: pd.DataFrame, column: str, settings: Settings) -> pd.DataFrame:
    """Return the frame with calendar, ``is_off_day``, ``part``, ``span``, ``hour_of_week``, ``seconds`` of ``column``.

    ``part`` indexes ``PARTS``; ``span`` is 0 to ``N_SPANS`` - 1; ``hour_of_week`` is 0 (Monday 0:00) to 167, a holiday
    keeping its own weekday;
    ``seconds`` counts from 1970.

    Examples
    --------
    >>> frame = pd.DataFrame({"at": pd.to_datetime(["2026-11-24 18:30"]).tz_localize("Asia/Tokyo")})
    >>> PARTS[add_slot_features(frame, "at", Settings())["part"].iloc[0]]
    'weekday_evening'
    """
    dated = add_calendar(frame, column, settings.country, settings.payday)
    off_day = (dated["weekday"] >= 5) | dated["is_holiday"]
    hour = dated["hour"].to_numpy()
    return dated.assign(
        is_off_day=off_day,
        part=(np.digitize(hour, _PART_ENDS) + 4 * off_day.to_numpy()).astype("int8"),
        span=(np.digitize(hour, _SPAN_ENDS) + 6 * off_day.to_numpy()).astype("int8"),
        hour_of_week=(dated["weekday"].to_numpy().astype("int16") * 24 + hour).astype("int16"),
        seconds=seconds_of(frame[column]),
    )


def part_of_day(hour: np.ndarray) -> np.ndarray:
    """Part of the day of each hour: 0 morning (to 12), 1 noon (to 15), 2 afternoon (to 18), 3 evening.

    >>> part_of_day(np.array([9, 12, 17, 18])).tolist()
    [0, 1, 2, 3]
    """
    part: np.ndarray = np.digitize(hour, _PART_ENDS).astype("int64")
    return part


def build_slots(slot_starts: pd.DatetimeIndex, settings: Settings) -> pd.DataFrame:
    """One row per slot, sorted by start, with its calendar and part of the week.

    Parameters
    ----------
    slot_starts
        Starts of the slots, tz-aware; converted to the centre's zone. Duplicates are dropped.

    Returns
    -------
    DataFrame
        slot_start · SLOT_FEATURES · part (index into PARTS) · span · hour_of_week · seconds, RangeIndex. A slot's
        position in this frame is its ``slot_row`` everywhere else.

    Examples
    --------
    >>> starts = pd.date_range("2026-11-24 09:00", periods=2, freq="h", tz="Asia/Tokyo")
    >>> build_slots(starts, Settings())[["hour", "part"]].to_numpy().tolist()
    [[9, 0], [10, 0]]
    """
    starts = pd.DatetimeIndex(slot_starts).tz_convert(settings.timezone).as_unit("us").unique().sort_values()
    return add_slot_features(pd.DataFrame({"slot_start": starts}), "slot_start", settings)


def hours_of_parts() -> np.ndarray:
    """Share of each span among the hours 8 to 22 of each part of the week; (n_parts, N_SPANS), rows sum to 1.

    >>> hours_of_parts()[0, :3].round(2).tolist()
    [0.75, 0.25, 0.0]
    """
    hour, kind = np.tile(np.arange(8, 23), 2), np.repeat([0, 1], 15)
    counts = np.zeros((len(PARTS), N_SPANS))
    np.add.at(counts, (np.digitize(hour, _PART_ENDS) + 4 * kind, np.digitize(hour, _SPAN_ENDS) + 6 * kind), 1.0)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))
