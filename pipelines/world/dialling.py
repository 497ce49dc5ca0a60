"""Months of dialling in the sample world, day by day and slot by slot, as a biased centre would do it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.world.answers import draw_answers
from pipelines.world.book import Book
from pipelines.world.centre import (
    SKILL_FACTORS,
    assign_agents,
    habit_weights,
    opening_slots,
    retry_weights,
    round_dials,
    slot_dials,
    theme_weights,
)
from pipelines.world.people import People
from pipelines.world.rhythms import CLOSING_HOUR, OPENING_HOUR, assign_parts, rhythm_effects
from pipelines.world.sizes import Sizes
from pipelines.world.truth import daily_decay, dial_p, weigh_fatigue

_HOURS_A_DAY = CLOSING_HOUR - OPENING_HOUR


@dataclass(frozen=True)
class Floor:
    """All that does not change while the centre dials: people, agents, and the hourly slots from ``first`` on.

    ``skill_factors`` of each agent on conversion · ``parts`` (S,) · ``effects`` (6, S) rhythm effects · ``n_dials``
    (S,) seats used · ``habits`` (n, 6).
    """

    people: People
    sizes: Sizes
    agents: pd.DataFrame
    skill_factors: NDArray[np.floating]
    slots: pd.DatetimeIndex
    parts: NDArray[np.int8]
    effects: NDArray[np.float32]
    n_dials: NDArray[np.int64]
    habits: NDArray[np.float32]


def open_floor(
    people: People, agents: pd.DataFrame, first: date, end: date, sizes: Sizes, rng: np.random.Generator
) -> Floor:
    """Set the roster from ``first`` to the day before ``end``; on a day some five per cent more or fewer turn up."""
    n_days = (end - first).days
    slots = opening_slots(first, n_days)
    attendance = np.repeat(np.exp(0.05 * rng.standard_normal(n_days)), _HOURS_A_DAY)
    return Floor(
        people=people,
        sizes=sizes,
        agents=agents,
        skill_factors=agents["skill"].map(SKILL_FACTORS).to_numpy(float),
        slots=slots,
        parts=assign_parts(slots),
        effects=rhythm_effects(slots, sizes, end),
        n_dials=round_dials(slot_dials(slots, len(people.level)) * attendance),
        habits=habit_weights(people),
    )


def simulate_dialling(
    floor: Floor, book: Book, rng: np.random.Generator, progress: Callable[[float], None]
) -> pd.DataFrame:
    """Dial every slot of the floor, writing into the book, and return one row per dial in order of slot.

    Who is dialled in a slot is drawn without replacement, with weights of habit, theme, retry and list heat, never of
    the truth; nobody twice a day. Afterwards the book stands on the morning after the last day.

    Returns
    -------
    pandas.DataFrame
        row · slot · agent · p · attempt_number · listing_number · outcome · refused · converted.
    """
    n_days, decay = len(floor.slots) // _HOURS_A_DAY, daily_decay(floor.sizes)
    batches: list[dict[str, NDArray[Any]]] = []
    for day in range(n_days):
        progress(day / n_days)
        book.begin_day(day, decay, rng)
        rows = book.callable_rows(day)
        weekday = int(floor.slots[day * _HOURS_A_DAY].weekday())
        weights = (theme_weights(floor.people, weekday) * retry_weights(day - book.last_day))[rows]
        for slot in range(day * _HOURS_A_DAY, (day + 1) * _HOURS_A_DAY):
            chosen = _choose(weights * floor.habits[rows, floor.parts[slot]], int(floor.n_dials[slot]), rng)
            batches.append(_dial_slot(floor, book, rows[chosen], slot, rng))
            rows, weights = np.delete(rows, chosen), np.delete(weights, chosen)
    book.begin_day(n_days, decay, rng)
    progress(1.0)
    return pd.DataFrame({name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]})


def _choose(weights: NDArray[np.float32], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw ``n`` positions without replacement (fewer if there are fewer): the earliest of exponential clocks."""
    clocks = rng.standard_exponential(len(weights), dtype=np.float32) / weights
    if n >= len(weights):
        return np.arange(len(weights))
    return np.sort(np.argpartition(clocks, n)[:n])


def _dial_slot(
    floor: Floor, book: Book, rows: NDArray[np.int64], slot: int, rng: np.random.Generator
) -> dict[str, NDArray[Any]]:
    part, hour, day = int(floor.parts[slot]), slot % _HOURS_A_DAY + OPENING_HOUR, slot // _HOURS_A_DAY
    fatigue = weigh_fatigue(book.overall[rows], book.by_part[rows, part], floor.sizes)
    effects = floor.effects[floor.people.rhythm[rows], slot]
    p = dial_p(floor.people, rows, effects, np.int8(part), fatigue, floor.sizes)
    agent = assign_agents(np.full(len(rows), hour), floor.agents, rng)
    answers = draw_answers(p, rows, hour, floor.skill_factors[agent], floor.people, floor.sizes, rng)
    book.note_answers(rows, part, day, answers)
    return {
        "row": rows,
        "slot": np.full(len(rows), slot),
        "agent": agent,
        "p": p,
        "attempt_number": book.n_attempts[rows],
        "listing_number": book.listing[rows],
        "outcome": answers.outcome,
        "refused": answers.refused,
        "converted": answers.converted,
    }
