"""A plan for customers who are spread over machines: priced with everybody, placed with those who can win a place.

At the prices of the slots most customers are not worth a dial. They add nothing to the bound on the plan's value, and
hardly a place goes to them; so only the others, a little more than the places hold, are brought together and placed by
the same code as on one machine. Where a place is left that somebody further could take, more are brought.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.planning.arms import Ground
from models.planning.decisions import Decisions
from models.planning.given import find_owed, lay_given, list_given
from models.planning.outlook import Outlook
from models.planning.placing import demand_after, find_regrets
from models.planning.prices import (
    FEW,
    FINER,
    SAMPLE,
    SMOOTHING,
    Market,
    Places,
    SlotPrices,
    price_demand,
    refine_prices,
)
from models.planning.schedule import CallPlan, build_call_plan, list_unplanned
from models.planning.sequences import Demand, FloatArray, IntArray

CHEAPER = (0.9, 0.5)  # who would be worth a dial at such a share of the prices is brought, one share after the other


class SpreadMarket(Market, Protocol):
    """A market whose customers are spread over machines; rows count the customers who may be called."""

    def list_takers(self, prices: FloatArray) -> IntArray:
        """Rows of all who are worth a dial at the prices, rising."""
        ...

    def put(self, rows: IntArray, theirs: Demand) -> "SpreadMarket":
        """Give the same market with other demands of some customers."""
        ...


def find_takers(demand: Demand, prices: FloatArray) -> IntArray:
    """Find who is worth a dial at the prices: rows of the demand, rising.

    Examples
    --------
    >>> from models.planning.sequences import build_single_demand
    >>> demand = build_single_demand(np.array([[0.1], [0.3]], dtype="float32"), np.ones((2, 1), dtype=bool))
    >>> find_takers(demand, np.array([0.2])).tolist()
    [1]
    """
    return np.flatnonzero(find_regrets(demand, prices) >= 0)


def put_customers(demand: Demand, rows: IntArray, theirs: Demand) -> Demand:
    """Give the demand with other demands of the customers ``rows``; the one given stays as it is."""
    p_first, weight, most_dials = demand.p_first.copy(), demand.weight.copy(), demand.most_dials.copy()
    p_first[rows], weight[rows], most_dials[rows] = theirs.p_first, theirs.weight, theirs.most_dials
    return replace(demand, p_first=p_first, weight=weight, most_dials=most_dials)


@dataclass(frozen=True)
class _Ordered:
    """All that a plan is made from, but for the customers who are brought together."""

    outlook: Outlook
    places: IntArray
    demand: SpreadMarket
    decisions: Decisions
    rng: np.random.Generator | None

    def plan(self, rows: IntArray, prices: FloatArray | None) -> CallPlan:
        """Plan for the chosen customers, at prices found with everybody or at their own."""
        near, theirs = self.outlook.keep(rows), self.demand.take(rows)
        return build_call_plan(near, self.places, theirs, self.decisions, self.rng, prices)


def plan_contenders(
    outlook: Outlook,
    capacity: npt.NDArray[np.integer],
    demand: SpreadMarket,
    decisions: Decisions | None = None,
    rng: np.random.Generator | None = None,
) -> CallPlan:
    """Plan as ``models.planning.schedule.build_call_plan`` does, for a demand that is not in one place.

    Everybody is brought together where everybody matters: for lots and the control arm (``planning.explore_share``,
    ``planning.control_share``).

    Returns
    -------
    CallPlan
        Its bound holds for all customers: those left out are worth nothing at its prices.
    """
    eligibility, planning = outlook.eligibility, outlook.settings.planning
    asked = _Ordered(outlook, np.asarray(capacity, dtype=np.int64), demand, decisions or Decisions(), rng)
    if rng is not None and planning.explore_share + planning.control_share > 0:
        return asked.plan(np.arange(len(eligibility.eligible_rows)), None)
    needed = _list_needed(asked)
    rest, room = _settle_given(asked, needed)
    priced = _price(rest, room)
    made = _plan_near(asked, rest, needed, priced.prices)
    if made.gap > planning.max_gap:
        priced = refine_prices(rest, room, priced)
        made = _plan_near(asked, rest, needed, priced.prices)
    rows = np.searchsorted(eligibility.eligible_rows, made.dials["customer_row"].to_numpy())
    return replace(made, unplanned=list_unplanned(made.dials.assign(eligible_row=rows), eligibility))


def _price(rest: SpreadMarket, room: Places) -> SlotPrices:
    """Take every step but the last on customers brought here: a sample, or all where they are few."""
    n = rest.shape[0]
    if n >= 2 * SAMPLE:  # price_demand does so itself
        return price_demand(rest, room)
    near = price_demand(rest.take(np.arange(n)), room)
    return price_demand(rest, room, near.prices, (FINER if n <= FEW else SMOOTHING)[-1:])


def _list_needed(asked: _Ordered) -> IntArray:
    """Rows that are placed, or may be, whatever they are worth: pins, promises, dials owed."""
    eligibility, least = asked.outlook.eligibility, asked.outlook.settings.planning.min_attempts
    is_promised = asked.outlook.tables.customers["callback_at"].notna().to_numpy()[eligibility.eligible_rows]
    is_pinned = np.isin(eligibility.eligible_rows, asked.decisions.pins["customer_row"].to_numpy())
    return np.flatnonzero(is_promised | is_pinned | (eligibility.attempt_number < least))


def _settle_given(asked: _Ordered, needed: IntArray) -> tuple[SpreadMarket, Places]:
    """What everybody still asks for once all that is given is placed, and the room that is left for it."""
    if len(needed) == 0:
        return asked.demand, asked.places
    near, theirs = asked.outlook.keep(needed), asked.demand.take(needed)
    given = list_given(asked.decisions.pins, theirs, near)
    ground = Ground(theirs, asked.places, near.eligibility, given)
    board = lay_given(ground, find_owed(ground))
    return asked.demand.put(needed, demand_after(board, theirs)), board.room


def _plan_near(asked: _Ordered, rest: SpreadMarket, needed: IntArray, prices: FloatArray) -> CallPlan:
    """Plan with those who are near to being worth a dial, and with more where that leaves a place to others."""
    for share in CHEAPER:
        rows = np.union1d(needed, rest.list_takers(share * prices))
        made = asked.plan(rows, prices)
        if not _is_place_missed(made, asked, rows):
            return made
    return asked.plan(np.arange(len(asked.outlook.eligibility.eligible_rows)), prices)


def _is_place_missed(made: CallPlan, asked: _Ordered, rows: IntArray) -> bool:
    """Whether room for a dial is left that somebody who was not brought could lawfully take."""
    slot_row, places = made.dials["slot_row"].to_numpy(dtype=np.int64), made.dials["places"].to_numpy(dtype=float)
    room = asked.places - np.bincount(slot_row, places, len(asked.places))
    effort = asked.outlook.effort
    least = 1.0 if effort is None else float(effort.count_places([0.0, 1.0]).min())
    could_take = np.asarray((asked.outlook.eligibility.lawful & (room >= least)).any(axis=1))
    could_take[rows] = False
    return bool(could_take.any())
