"""Time zones, days and parts of the day of a plan's slots: what decides whether one more dial fits beside others."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from configs.settings import ANY_REGION, Settings
from features.slots import part_of_day
from models.planning.rules import Rules

HOUR_US = 3_600_000_000
BETWEEN = "|"  # candidates of an unsure zone, joined to one name

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class DialLimits:
    """What decides whether one more dial fits beside the dials already made or planned to the same phone.

    Attributes
    ----------
    zone_names : tuple of str
        Time zones in use, the centre's first; the candidates of an unsure zone follow one another.
    zone_row : int64 array of shape (n_eligible,)
        First row of ``local_day`` that holds for the customer.
    n_candidates : int64 array of shape (n_zones,)
        Rows that must agree from this one on: 1, more where the customer's zone is unsure.
    local_day, local_part : int64 arrays of shape (n_zones, n_slots)
        Calendar day of each slot in each zone, counted from 1970-01-01, and part of the day (0 morning to 3 evening);
        row 0 is the centre's zone.
    slot_start_us : int64 array of shape (n_slots,)
        Starts of the slots, microseconds since 1970-01-01 UTC.
    slot_us : int
        Length of a slot in microseconds.
    gap_us, part_gap_us : int
        Least time between two planned dials, and between two in the same part of the day: a planned dial is taken to
        be a ``no_answer``; what it was is known before the next day is planned.
    rolling_us, rolling_max : int64 arrays of shape (n_rolling,)
        Length of each rolling window and most dials in it; empty when no pack has one.
    past_start : int64 array of shape (n_phones + 1,)
        ``past_us[past_start[g]:past_start[g + 1]]`` are the past dials of phone ``g`` that a window can still see.
    past_us : int64 array
        Times of those dials, each phone's in rising order.
    """

    zone_names: tuple[str, ...]
    zone_row: IntArray
    n_candidates: IntArray
    local_day: IntArray
    local_part: IntArray
    slot_start_us: IntArray
    slot_us: int
    gap_us: int
    part_gap_us: int
    rolling_us: IntArray
    rolling_max: IntArray
    past_start: IntArray
    past_us: IntArray


def list_zones(customers: pd.DataFrame, settings: Settings) -> pd.Series:
    """Name each customer's time zone; where it is unknown, the candidates of the settings, else the centre's.

    Examples
    --------
    >>> settings = Settings(timezone_candidates={"Florida": ("America/New_York", "America/Chicago")})
    >>> list_zones(pd.DataFrame({"timezone": [None, None], "region": ["Florida", "Kyoto"]}), settings).tolist()
    ['America/New_York|America/Chicago', 'Asia/Tokyo']
    """
    names = customers["timezone"].fillna("").astype("str").str.strip()
    candidates = {region: BETWEEN.join(zones) for region, zones in settings.timezone_candidates.items()}
    unsure = pd.Series(candidates.get(ANY_REGION, settings.timezone), index=names.index, dtype="str")
    if candidates and "region" in customers:
        unsure = customers["region"].map(candidates).fillna(unsure).astype("str")
    return names.mask(names == "", unsure)


def describe_limits(
    zones: pd.Series, slots: pd.DataFrame, rules: Rules, settings: Settings
) -> tuple[DialLimits, BoolArray]:
    """Days, parts of the day and windows of every zone in use, the centre's first.

    Parameters
    ----------
    zones
        Of :func:`list_zones`, for every customer who may be called.

    Returns
    -------
    limits, windows
        ``windows[zone_row]`` is bool (n_slots,): whether the slot lies in the calling window, in every candidate zone;
        nowhere in a zone that nobody knows. Past dials are still to be added to the limits.
    """
    codes, unique = pd.factorize(pd.concat([pd.Series([settings.timezone]), zones]))
    sets = [str(name).split(BETWEEN) for name in unique]
    names = [name for candidates in sets for name in candidates]
    first = np.cumsum([0, *(len(candidates) for candidates in sets)])[:-1]
    starts = pd.DatetimeIndex(slots["slot_start"])
    length = pd.Timedelta(minutes=settings.slot_minutes)
    windows = np.zeros((len(names), len(starts)), dtype=bool)
    local = [starts.tz_convert(find_zone(name) or settings.timezone) for name in names]
    for row, name in enumerate(names):
        windows[row] = find_zone(name) is not None and _lies_inside(local[row], length, rules.window)
    n_candidates = np.ones(len(names), dtype=np.int64)
    for row, candidates in zip(first, sets, strict=True):
        n_candidates[row] = len(candidates)
        windows[row] = windows[row : row + len(candidates)].all(axis=0)
    between = [gap for outcome, gap in rules.gaps if outcome == "no_answer"]
    limits = DialLimits(
        zone_names=tuple(names),
        zone_row=first[codes[1:]].astype(np.int64),
        n_candidates=n_candidates,
        local_day=np.stack([days_of(clock) for clock in local]),
        local_part=np.stack([parts_of(clock) for clock in local]),
        slot_start_us=starts.as_unit("us").asi8,
        slot_us=settings.slot_minutes * HOUR_US // 60,
        gap_us=max((gap.hours for gap in between if not gap.or_other_part), default=0) * HOUR_US,
        part_gap_us=max((gap.hours for gap in between if gap.or_other_part), default=0) * HOUR_US,
        rolling_us=np.array([cap.hours * HOUR_US for cap in rules.rolling], dtype=np.int64),
        rolling_max=np.array([cap.max_attempts for cap in rules.rolling], dtype=np.int64),
        past_start=np.zeros(1, dtype=np.int64),
        past_us=np.zeros(0, dtype=np.int64),
    )
    return limits, windows


def find_zone(name: str) -> ZoneInfo | None:
    """Return the time zone of that name, None if there is none.

    >>> find_zone("Mars/Olympus") is None
    True
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


def days_of(local: pd.DatetimeIndex) -> IntArray:
    """Calendar days since 1970-01-01 on the clocks of the index; (n,)."""
    return local.tz_localize(None).normalize().as_unit("us").asi8 // (24 * HOUR_US)


def parts_of(local: pd.DatetimeIndex) -> IntArray:
    """Parts of the day on the clocks of the index, 0 morning to 3 evening; (n,)."""
    return part_of_day(local.hour.to_numpy())


def _lies_inside(local: pd.DatetimeIndex, length: pd.Timedelta, window: tuple[int, int]) -> BoolArray:
    """Whether the whole slot lies in the window; clocks that jump inside a slot are read at both ends."""
    opens = local.hour * 60 + local.minute
    ends = local + length
    next_day = ends.tz_localize(None).normalize() != local.tz_localize(None).normalize()
    closes = ends.hour * 60 + ends.minute + 24 * 60 * next_day
    return np.asarray((opens >= window[0]) & (closes <= window[1]), dtype=bool)
