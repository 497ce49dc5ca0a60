"""Shift templates laid on the slots of the horizon: when an agent on a shift is there, and when a break can begin."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from configs.settings import WEEKDAYS, Settings, ShiftTemplate
from models.planning.sequences import FloatArray, IntArray

EDGE_HOURS = 1.0  # a break keeps so far from the ends of its shift, unless the template says otherwise


@dataclass(frozen=True)
class Duty:
    """One shift on one day, for one agent; its hours are parted at the slots it touches, open or closed.

    Attributes
    ----------
    touched : DatetimeIndex of shape (n,)
        Starts of the slots touched, in the centre's zone.
    starts : DatetimeIndex of shape (n,)
        The same, the first not before the shift itself starts.
    slot_row : int64 array of shape (n,)
        Their rows in the plan; -1 where the centre does not dial.
    present : float64 array of shape (n,)
        Hours of the shift in each.
    break_at : int64 array of shape (n_choices,)
        Positions in ``touched`` at which the break can begin; empty without a break.
    break_hours : float64 array of shape (n_choices, n)
        Hours that a break begun there takes in each slot touched.
    """

    shift: ShiftTemplate
    day: date
    touched: pd.DatetimeIndex
    starts: pd.DatetimeIndex
    slot_row: IntArray
    present: FloatArray
    break_at: IntArray
    break_hours: FloatArray


def lay_duties(slot_starts: pd.DatetimeIndex, days: Sequence[date], settings: Settings) -> tuple[Duty, ...]:
    """Lay every shift template on every day of ``days`` on which it is worked.

    Parameters
    ----------
    slot_starts
        Starts of the plan's slots, in the centre's zone, sorted.

    Examples
    --------
    A shift with a paid break on two days; a slot before it and one after it are none of its business.

    >>> shifts = [{"name": "day", "start": "10:00", "hours": 4, "break_minutes": 30}]
    >>> settings = Settings.model_validate({"staffing": {"shifts": shifts, "agents_per_day": 3}})
    >>> slots = pd.date_range("2026-11-02 09:00", periods=6, freq="h", tz="Asia/Tokyo")
    >>> duty = lay_duties(slots, [date(2026, 11, 2)], settings)[0]
    >>> duty.slot_row.tolist(), duty.present.tolist(), duty.starts[duty.break_at].hour.tolist()
    ([1, 2, 3, 4], [1.0, 1.0, 1.0, 1.0], [11, 12])
    """
    return tuple(
        _lay_duty(shift, day, slot_starts, settings)
        for day in days
        for shift in settings.staffing.shifts
        if _is_worked(shift, day)
    )


def _is_worked(shift: ShiftTemplate, day: date) -> bool:
    return WEEKDAYS[day.weekday()] in shift.weekdays


def _lay_duty(shift: ShiftTemplate, day: date, slot_starts: pd.DatetimeIndex, settings: Settings) -> Duty:
    begin = _at(day, shift.start, settings)
    end = begin + pd.Timedelta(hours=shift.hours)
    touched = _touched(begin, end, settings)
    starts = touched.where(touched >= begin, begin)
    at = _find_break_starts(shift, day, begin, end, starts, settings)
    length = pd.Timedelta(minutes=shift.break_minutes)
    hours = [_overlap(touched, starts[k], starts[k] + length, settings) for k in at]
    return Duty(
        shift=shift,
        day=day,
        touched=touched,
        starts=starts,
        slot_row=slot_starts.get_indexer(touched).astype(np.int64),
        present=_overlap(touched, begin, end, settings),
        break_at=at,
        break_hours=np.array(hours, dtype=np.float64).reshape(len(at), len(starts)),
    )


def _at(day: date, time: str, settings: Settings) -> pd.Timestamp:
    wall = pd.Timestamp(f"{day.isoformat()} {time}")
    return wall.tz_localize(settings.timezone, ambiguous=True, nonexistent="shift_forward").as_unit("us")


def _touched(begin: pd.Timestamp, end: pd.Timestamp, settings: Settings) -> pd.DatetimeIndex:
    into_slot = pd.Timedelta(minutes=(begin.hour * 60 + begin.minute) % settings.slot_minutes)
    starts = pd.date_range(begin - into_slot, end, freq=f"{settings.slot_minutes}min", inclusive="left")
    return starts.as_unit("us")


def _overlap(starts: pd.DatetimeIndex, begin: Any, end: Any, settings: Settings) -> FloatArray:
    """Hours of [begin, end) in each slot that starts at ``starts``."""
    into = (begin - starts) / pd.Timedelta(hours=1)
    until = (end - starts) / pd.Timedelta(hours=1)
    length = settings.slot_minutes / 60
    hours: npt.NDArray[np.float64] = np.clip(until, 0, length) - np.clip(into, 0, length)
    return np.asarray(hours, dtype=np.float64)


def _find_break_starts(
    shift: ShiftTemplate,
    day: date,
    begin: pd.Timestamp,
    end: pd.Timestamp,
    starts: pd.DatetimeIndex,
    settings: Settings,
) -> IntArray:
    """Where the break can begin: within its window, or anywhere in the shift if no slot starts within the window."""
    if shift.break_minutes == 0:
        return np.zeros(0, dtype=np.int64)
    edge = pd.Timedelta(hours=EDGE_HOURS)
    last = end - pd.Timedelta(minutes=shift.break_minutes)
    earliest = _after(begin, day, shift.earliest_break, settings) if shift.earliest_break else begin + edge
    latest = _after(begin, day, shift.latest_break, settings) if shift.latest_break else last - edge
    fits = np.asarray(starts <= last)
    in_window = fits & (starts >= earliest) & (starts <= latest)
    return np.flatnonzero(in_window if in_window.any() else fits).astype(np.int64)


def _after(begin: pd.Timestamp, day: date, time: str, settings: Settings) -> pd.Timestamp:
    """A time of day within the shift: past midnight where it would lie before its start."""
    at = _at(day, time, settings)
    return at if at >= begin else at + pd.Timedelta(days=1)
