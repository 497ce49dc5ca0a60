"""How the centre of the sample world works: seats by hour, agents, and the habits of its supervisors."""

from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.world.people import People
from pipelines.world.prefectures import PREFECTURES
from pipelines.world.rhythms import CLOSING_HOUR, OPENING_HOUR, TIMEZONE, is_holiday

# The reference case: 600,000 dials to 150,000 customers in three months, 4/3 a month, holidays taken off.
DIALS_PER_CUSTOMER_MONTH = 1.37
CAPACITY_DAYS = 14
SKILL_FACTORS = {"trainee": 0.6, "standard": 1.0, "skilled": 1.5}  # on conversion, never on contact
_SKILLS = ("standard", "trainee", "standard", "skilled", "standard")  # in turn, so that few agents are mixed too
_DIALS_PER_AGENT_WEEK = 400.0  # 12 dials an hour, some 33 hours a week

# Seats by opening hour 9..20 and by weekday (Monday first): by day and on working days, as if people were at home.
_HOURS = np.array([0.8, 1.15, 1.2, 0.75, 1.1, 1.2, 1.2, 1.15, 1.05, 0.7, 0.55, 0.4])
_WEEKDAYS = np.array([1.0, 1.0, 1.0, 1.0, 0.95, 0.6, 0.45])

# Habitual weight of a part of the week for men, then women, aged to 29, 30-44, 45-59, 60 and over.
_HABITS = np.array([
    [[1.2, 1.3, .7, .8, .9, .8], [1.1, 1.1, 1.0, 1.1, 1.2, 1.0],
     [1.0, 1.2, 1.0, 1.1, 1.1, 1.0], [1.4, .9, .8, 1.1, .9, .6]],
    [[1.1, 1.2, .8, .9, .9, .9], [1.1, 1.3, .9, .8, .9, .7],
     [1.2, 1.2, .8, .8, .9, .7], [1.3, 1.0, .7, 1.1, .9, .6]],
])  # fmt: skip
_BLOCK_WEEKDAY = np.array([0, 0, 3, 1, 4, 2, 2, 1])  # the weekday on which each block of prefectures is the theme
_THEME_WEIGHT = 1.8


def opening_slots(first: date, n_days: int) -> pd.DatetimeIndex:
    """Hourly slots of the opening hours of ``n_days`` days from ``first``, in the centre's zone.

    Examples
    --------
    >>> len(opening_slots(date(2026, 11, 2), 7))
    84
    """
    hours = [pd.Timestamp(first) + pd.Timedelta(days=day, hours=hour)
             for day in range(n_days) for hour in range(OPENING_HOUR, CLOSING_HOUR)]  # fmt: skip
    return pd.DatetimeIndex(hours).as_unit("us").tz_localize(TIMEZONE)


def slot_dials(slots: pd.DatetimeIndex, n_customers: int) -> NDArray[np.float64]:
    """Dials that the roster has room for in each slot, not rounded; holidays are staffed like Sundays."""
    weekday = np.where(is_holiday(slots), 6, slots.day_of_week)
    weights = _HOURS[slots.hour - OPENING_HOUR] * _WEEKDAYS[weekday]
    return np.asarray(weights * _dials_per_week(n_customers) / (_HOURS.sum() * _WEEKDAYS.sum()))


def _dials_per_week(n_customers: int) -> float:
    return n_customers * DIALS_PER_CUSTOMER_MONTH * 12 * 7 / 365.25


def round_dials(dials: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole dials whose running sums stay within one of the given ones.

    Examples
    --------
    >>> round_dials(np.array([0.4, 0.4, 0.4])).tolist()
    [0, 1, 0]
    """
    return np.diff(np.rint(np.cumsum(dials)), prepend=0).astype(np.int64)


def build_capacity(end: date, n_customers: int) -> pd.DataFrame:
    """Capacity table of the two weeks from the run date: slot_start · dials."""
    slots = opening_slots(end, CAPACITY_DAYS)
    return pd.DataFrame({"slot_start": slots, "dials": round_dials(slot_dials(slots, n_customers))})


def draw_agents(n_customers: int, rng: np.random.Generator) -> pd.DataFrame:
    """Agents table: agent_id · age · gender · skill (trainee, standard, skilled) · team (early, late)."""
    n = max(4, round(_dials_per_week(n_customers) / _DIALS_PER_AGENT_WEEK))
    return pd.DataFrame({
        "agent_id": [f"G{number:04d}" for number in range(1, n + 1)],
        "age": rng.integers(20, 61, n),
        "gender": np.array(["female", "male"])[(rng.random(n) < 0.4).astype(int)],
        "skill": np.array(_SKILLS)[np.arange(n) % len(_SKILLS)],
        "team": np.where(np.arange(n) % 3 < 2, "early", "late"),
    })  # fmt: skip


def assign_agents(hours: NDArray[np.int64], agents: pd.DataFrame, rng: np.random.Generator) -> NDArray[np.int64]:
    """Row of the agent who takes each dial: the early team until 17:00, the late team from 13:00."""
    is_late = (agents["team"] == "late").to_numpy()
    early, late, everyone = np.flatnonzero(~is_late), np.flatnonzero(is_late), np.arange(len(agents))
    draw = rng.random(len(hours))
    on_shift = [pool[(draw * len(pool)).astype(np.int64)] for pool in (early, everyone, late)]
    return np.choose(np.digitize(hours, [13, 17]), on_shift)


def habit_weights(people: People) -> NDArray[np.float32]:
    """How strongly supervisors are drawn to each person in each part of the week (n, 6), before the theme."""
    band = np.digitize(people.age, [30, 45, 60])
    by_segment = _HABITS[np.minimum(people.gender, 1), band] ** 1.5
    return np.asarray(by_segment * people.list_heat[:, None], dtype=np.float32)


def theme_weights(people: People, weekday: int) -> NDArray[np.float32]:
    """Weight (n,) of the day's theme: on its weekday a block of prefectures is called more."""
    themed = np.where(weekday == _BLOCK_WEEKDAY, _THEME_WEIGHT, 1.0)
    block = np.array([place.block for place in PREFECTURES])
    return np.asarray(themed[block[people.region]], dtype=np.float32)


def retry_weights(days_since_dial: NDArray[np.int64]) -> NDArray[np.float32]:
    """Weight by days since the last dial of this listing (never: a large number): retries after two to five days.

    Examples
    --------
    >>> retry_weights(np.array([1, 3, 999])).tolist()
    [0.5, 2.0, 1.0]
    """
    return np.choose(np.digitize(days_since_dial, [2, 6]), [0.5, 2.0, 1.0]).astype(np.float32)
