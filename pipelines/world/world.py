"""The sample world as a whole: the four tables that a centre would hand over, and the truth behind them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from configs.errors import UsageError
from pipelines.world.book import open_book
from pipelines.world.centre import build_capacity, draw_agents
from pipelines.world.dialling import open_floor, simulate_dialling
from pipelines.world.people import draw_people
from pipelines.world.sizes import read_sizes
from pipelines.world.tables import build_attempts, build_customers
from pipelines.world.truth import Truth

DEFAULT_END = date(2026, 11, 2)

_DO_NOT_CALL_SHARE = 0.015


@dataclass(frozen=True)
class World:
    """A simulated centre. None of its people exist.

    Attributes
    ----------
    customers, call_attempts, agents, capacity
        Tables as DESIGN.md section 3 has them, times in Asia/Tokyo. Customers are in order of customer_id, attempts of
        attempted_at; capacity covers the two weeks from the run date.
    truth
        What no centre knows; never written into the folder.
    kind
        carrier, persons, drift or no_time.
    """

    kind: str
    customers: pd.DataFrame
    call_attempts: pd.DataFrame
    agents: pd.DataFrame
    capacity: pd.DataFrame
    truth: Truth

    def true_p(
        self, customer_rows: Sequence[int] | NDArray[Any], slot_starts: Any, n_failed: int = 0
    ) -> NDArray[np.float32]:
        """P(keyman contact) of one dial to each customer in each slot, (n, S); see ``Truth.true_p``."""
        return self.truth.true_p(customer_rows, slot_starts, n_failed)

    def true_plan_p(self, customer_rows: Sequence[int] | NDArray[Any], slot_starts: Any) -> NDArray[np.float32]:
        """P(keyman contact) of each planned dial given that earlier ones failed, (m,); see ``Truth.true_plan_p``."""
        return self.truth.true_plan_p(customer_rows, slot_starts)


def build_world(
    n_customers: int,
    n_months: int,
    rng: np.random.Generator,
    end: date = DEFAULT_END,
    kind: str = "carrier",
    progress: Callable[[float], None] = lambda _share: None,
) -> World:
    """Simulate a centre up to the day before ``end``, its run date.

    Parameters
    ----------
    n_customers, n_months
        Sizes, at least 1; some four dials per customer in three months.
    kind
        ``carrier``; ``persons`` (strong persons, weak segments); ``drift`` (habits move in the last four weeks);
        ``no_time`` (no effect of time at all).
    progress
        Told the share of days simulated, 0 to 1.

    Raises
    ------
    UsageError
        Unknown kind, or a size below 1.

    Examples
    --------
    >>> world = build_world(200, 1, np.random.default_rng(7))
    >>> world.true_p([0, 1], world.capacity["slot_start"][:3]).shape
    (2, 3)
    """
    if n_customers < 1 or n_months < 1:
        raise UsageError(f"a world of {n_customers} customers and {n_months} months: both must be at least 1")
    sizes = read_sizes(kind)
    first = (pd.Timestamp(end) - pd.DateOffset(months=n_months)).date()
    people_rng, floor_rng, dial_rng, table_rng = rng.spawn(4)
    people = draw_people(n_customers, sizes, people_rng)
    is_barred = people_rng.random(n_customers) < _DO_NOT_CALL_SHARE
    agents = draw_agents(n_customers, floor_rng)
    floor = open_floor(people, agents, first, end, sizes, floor_rng)
    book = open_book(is_barred, (end - first).days, floor_rng)
    in_slots = simulate_dialling(floor, book, dial_rng, progress)
    call_attempts, dials = build_attempts(in_slots, floor.slots, agents, table_rng)
    return World(
        kind=kind,
        customers=build_customers(people, book, is_barred, first, end, table_rng),
        call_attempts=call_attempts,
        agents=agents,
        capacity=build_capacity(end, n_customers),
        truth=Truth(
            people=people,
            sizes=sizes,
            end=end,
            overall=book.overall,
            by_part=book.by_part,
            attempt_p=dials["p"].to_numpy(),
            attempt_number=dials["attempt_number"].to_numpy(),
            listing_number=dials["listing_number"].to_numpy(),
        ),
    )
