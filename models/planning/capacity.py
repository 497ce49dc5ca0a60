"""How many places, dials or agent-seconds, each slot of the horizon holds."""

import numpy as np
import pandas as pd

from configs.errors import ContractError, NoCapacityError
from configs.settings import Settings
from models.planning.handling import Effort, count_in_dials

PAST_WEEKS = 4


def build_capacity(
    capacity: pd.DataFrame | None,
    attempts: pd.DataFrame,
    as_of: pd.Timestamp,
    settings: Settings,
    effort: Effort | None = None,
) -> pd.DataFrame:
    """Count the places of every slot in [as_of, as_of + horizon).

    Parameters
    ----------
    capacity
        The checked table: slot_start · dials, or agents, or None. Rows of the same slot (two teams) add up; fractions
        of a place are cut off; nothing is below zero.
    attempts
        The checked log, used only without a table: the mean of the last four weeks per weekday and slot of the day,
        rounded to the nearest (a half to the even number). Days without attempts count as zero; days before the
        first attempt of the log do not count at all.
    as_of
        00:00 of the run date in the centre's zone.
    effort
        Turns agents into places (``models.planning.handling.find_effort``); by default into dials, by
        ``dials_per_agent_hour``.

    Returns
    -------
    DataFrame
        slot_start · dials · places (int64), sorted, one row per slot: ``places`` is what a plan obeys, dials or
        agent-seconds, ``dials`` how many of them are usual in it. Slots of the table with no place stay, with 0.

    Raises
    ------
    NoCapacityError
        There is no place in the horizon.
    ContractError
        A slot does not start on the grid of ``slot_minutes``.

    Examples
    --------
    >>> as_of = pd.Timestamp("2026-11-02", tz="Asia/Tokyo")
    >>> seats = pd.DataFrame({"slot_start": [as_of + pd.Timedelta(hours=9)], "agents": [2.5]})
    >>> build_capacity(seats, pd.DataFrame(), as_of, Settings())["dials"].tolist()
    [30]
    """
    effort = effort or count_in_dials(settings)
    end = as_of + pd.DateOffset(days=settings.horizon_days)
    if capacity is None:
        places = _mean_of_past_weeks(attempts, as_of, end, settings)
    else:
        places = _count_places(capacity, settings, effort)
    places = places[(places["slot_start"] >= as_of) & (places["slot_start"] < end)]
    if places["places"].sum() == 0:
        source = "the capacity table" if capacity is not None else f"the last {PAST_WEEKS} weeks of the log"
        raise NoCapacityError(
            f"no place to dial from {as_of:%Y-%m-%d} for {settings.horizon_days} days in {source}: "
            "add rows slot_start, dials to the table capacity for these days"
        )
    _check_grid(places["slot_start"], settings.slot_minutes)
    summed = places.astype({"places": "int64"}).groupby("slot_start")["places"].sum().reset_index()
    summed.insert(1, "dials", effort.count_usual_dials(summed["places"]))
    return summed


def _count_places(capacity: pd.DataFrame, settings: Settings, effort: Effort) -> pd.DataFrame:
    if "dials" in capacity:
        places = capacity["dials"]
    else:
        places = capacity["agents"] * effort.per_agent_hour * settings.slot_minutes / 60
    whole = np.floor(places.fillna(0).clip(lower=0).to_numpy(dtype=float) + 1e-9)
    return pd.DataFrame({"slot_start": capacity["slot_start"], "places": whole})


def _check_grid(slot_starts: pd.Series, slot_minutes: int) -> None:
    into_slot = (slot_starts.dt.hour * 60 + slot_starts.dt.minute) % slot_minutes * 60 + slot_starts.dt.second
    off = slot_starts[into_slot != 0]
    if len(off):
        raise ContractError(
            f"capacity.slot_start: {len(off)} slots do not start on the {slot_minutes}-minute grid, "
            f"first {off.iloc[0]}: correct them or set slot_minutes"
        )


def _mean_of_past_weeks(
    attempts: pd.DataFrame, as_of: pd.Timestamp, end: pd.Timestamp, settings: Settings
) -> pd.DataFrame:
    past = attempts.loc[attempts["attempted_at"] < as_of, "attempted_at"]
    start = as_of - pd.DateOffset(weeks=PAST_WEEKS)
    if len(past) == 0:
        return pd.DataFrame({"slot_start": pd.DatetimeIndex([], tz=as_of.tz), "places": np.zeros(0)})
    start = max(start, past.min().normalize())
    recent = past[past >= start]
    n_days = np.bincount(pd.date_range(start, as_of, inclusive="left").day_of_week, minlength=7)
    slots_a_day = 24 * 60 // settings.slot_minutes
    part = (recent.dt.hour * 60 + recent.dt.minute) // settings.slot_minutes
    counts = np.bincount(recent.dt.day_of_week * slots_a_day + part, minlength=7 * slots_a_day).reshape(7, slots_a_day)
    places = np.rint(counts / np.maximum(n_days, 1)[:, None])
    slot_starts = pd.date_range(as_of, end, freq=f"{settings.slot_minutes}min", inclusive="left")
    minute = slot_starts.hour * 60 + slot_starts.minute
    here = places[slot_starts.day_of_week, minute // settings.slot_minutes]
    return pd.DataFrame({"slot_start": slot_starts, "places": here})[here > 0]
