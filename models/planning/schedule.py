"""The call plan: who is dialled in which slot, in which order, and how far that can be from the best."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from configs.settings import Settings
from features.contracts import Tables
from models.planning.arms import PLAN, Ground, add_arms, draw_arms, replay
from models.planning.control import mark_control, set_control_apart
from models.planning.decisions import Decisions, tell_unkept
from models.planning.eligibility import Eligibility
from models.planning.given import find_owed, lay_given, list_given
from models.planning.outlook import Outlook
from models.planning.placing import Board, demand_after, fill_places, place_by_prices, sum_worth
from models.planning.prices import SlotPrices, bound_value, price_demand, refine_prices
from models.planning.sequences import Demand, FloatArray, IntArray
from models.planning.worth import CHUNK, Scorer, SeriesScorer, rate_of_stops


@dataclass(frozen=True)
class CallPlan:
    """The plan and its certificate.

    Attributes
    ----------
    dials : DataFrame
        customer_row · slot_row · rank (1 = first in its slot) · p_keyman (given that the earlier rows of this customer
        failed) · attempt_number (of the phone's listing) · value · survival (chance that the earlier rows leave this
        one to be dialled) · places (that it is given: 1, or agent-seconds) · allowed_because · arm (plan, explore,
        control) ·
        propensity (chance of being dialled in this slot, see ``models.planning.exploring``; 1 beyond the first day,
        which is planned again); sorted by slot_row, rank.
    prices : float64 array of shape (n_slots,)
        Expected value of one more place: of a dial, or of an agent-second.
    expected_contacts : float
        Sum of survival · p_keyman.
    objective, upper_bound : float
        Value of the plan and a bound on the value of any plan, both as the search weighs dials (``Demand.weight``).
    gap : float
        1 - objective / upper_bound; given pins, promised call-backs and the dials owed by ``planning.min_attempts``.
        What shared phones, gaps and exploration cost is in it.
    unplanned : DataFrame
        customer_row · reason (no_lawful_slot, no_capacity): who may be called and is not.
    notes : tuple of str
        Pins that are not kept, and why.
    """

    dials: pd.DataFrame
    prices: FloatArray
    expected_contacts: float
    objective: float
    upper_bound: float
    gap: float
    unplanned: pd.DataFrame
    notes: tuple[str, ...] = ()


def build_call_plan(
    outlook: Outlook,
    capacity: npt.NDArray[np.integer],
    demand: Demand | None = None,
    decisions: Decisions | None = None,
    rng: np.random.Generator | None = None,
    prices: FloatArray | None = None,
) -> CallPlan:
    """Plan the horizon: pins, promised call-backs, then series of dials by slot prices, then every place still empty.

    Customers with fewer attempts than ``planning.min_attempts`` come before others are dialled again.

    Parameters
    ----------
    capacity : int array of shape (n_slots,)
        Places per slot: dials, or agent-seconds.
    demand
        What dials are worth at these places, when it is at hand already.
    decisions
        Whose pins are placed first; blocks are for ``apply_blocks``, beforehand.
    rng
        Draws the lots of ``planning.explore_share`` and the control arm's dials; without it there are neither.
    prices : array of shape (n_slots,), optional
        Slot prices found elsewhere, used as they are; by default these customers' own.

    Returns
    -------
    CallPlan
        At most one dial per phone and day; every place is filled that a lawful customer can take, but on the first day
        for a few that exploration frees.
    """
    places = np.asarray(capacity, dtype=np.int64)
    eligibility, tables, settings = outlook.eligibility, outlook.tables, outlook.settings
    demand = outlook.build_demand(places) if demand is None else demand
    pins = (decisions or Decisions()).pins
    given = list_given(pins, demand, outlook)
    ground, control = set_control_apart(Ground(demand, places, eligibility, given), outlook, rng)
    board, priced = _place_all(ground, settings, prices)
    lots, planned = draw_arms(ground, settings.planning.explore_share, rng), board.dials[: board.n_dials[0]].copy()
    if lots is not None:
        board = replay(ground, planned, priced.prices, lots)
    objective = sum_worth(board, demand)
    dials = list_dials(board.dials[: board.n_dials[0]], outlook.scorer, demand, eligibility, tables)
    dials = _add_ranks(dials).assign(allowed_because=eligibility.allowed_because, arm=PLAN, propensity=1.0)
    if lots is not None:
        dials = add_arms(dials, ground, planned, priced.prices, lots)
    if control is not None:
        dials = mark_control(dials, control, len(places))
    return CallPlan(
        dials=dials.drop(columns=["eligible_row", "n_earlier"]),
        prices=priced.prices,
        expected_contacts=float((dials["survival"] * dials["p_keyman"]).sum()),
        objective=objective,
        upper_bound=priced.upper_bound,
        gap=_gap(objective, priced.upper_bound),
        unplanned=list_unplanned(dials, eligibility),
        notes=tuple(tell_unkept(pins, dials, eligibility)),
    )


def _place_all(ground: Ground, settings: Settings, prices: FloatArray | None = None) -> tuple[Board, SlotPrices]:
    demand, lawful, owed = ground.demand, ground.eligibility.lawful, find_owed(ground)
    priced: SlotPrices | None = None
    while True:  # twice at most: a second time with finer prices
        board = lay_given(ground, owed)
        kept, rest, room = sum_worth(board, demand), demand_after(board, demand), board.room.copy()
        is_first = priced is None and prices is None
        if prices is not None:
            priced = SlotPrices(prices, bound_value(rest, room, prices), 0)
        else:
            priced = price_demand(rest, room) if priced is None else refine_prices(rest, room, priced)
        place_by_prices(board, rest, priced.prices)
        fill_places(board, demand, lawful, priced.prices)
        stated = replace(priced, upper_bound=kept + priced.upper_bound)
        if not is_first or _gap(sum_worth(board, demand), stated.upper_bound) <= settings.planning.max_gap:
            return board, stated


def _gap(objective: float, upper_bound: float) -> float:
    return max(0.0, 1.0 - objective / upper_bound) if upper_bound > 0 else 0.0


def list_dials(
    placed: IntArray, scorer: Scorer, demand: Demand, eligibility: Eligibility, tables: Tables
) -> pd.DataFrame:
    """One row per dial by customer and time: its place in the customer's series and the phone's listing, its chances.

    Parameters
    ----------
    placed : int64 array of shape (n_dials, 2)
        (eligible_row, slot_row), in any order.
    """
    dials = _number_dials(placed, demand, eligibility, tables)
    p_keyman = score_dials(scorer, dials["customer_row"].to_numpy(), dials["slot_row"].to_numpy())
    return _add_chances(dials, p_keyman, rate_of_stops(tables))


def _number_dials(placed: IntArray, demand: Demand, eligibility: Eligibility, tables: Tables) -> pd.DataFrame:
    placed = placed[np.lexsort((placed[:, 1], placed[:, 0]))]
    rows, slot_rows = placed[:, 0], placed[:, 1]
    dials = pd.DataFrame({"eligible_row": rows, "slot_row": slot_rows, "customer_row": eligibility.eligible_rows[rows]})
    by_phone = dials.assign(phone=eligibility.phone_group[rows]).sort_values(["phone", "slot_row"], kind="stable")
    nth_of_phone = by_phone.groupby("phone").cumcount().sort_index().to_numpy()
    return dials.assign(
        n_earlier=dials.groupby("eligible_row").cumcount().to_numpy(),
        attempt_number=eligibility.attempt_number[rows] + nth_of_phone + 1,
        value=tables.customers["value"].to_numpy(dtype=float)[dials["customer_row"]],
        p_keyman=demand.p_first[rows, slot_rows],
        places=demand.measure_loads(rows, slot_rows),
    )


def score_dials(scorer: Scorer, customer_rows: IntArray, slot_rows: IntArray) -> npt.NDArray[np.float32]:
    """P(keyman contact) of planned dials, each given that the customer's earlier ones among them have failed; (m,).

    A :class:`SeriesScorer` is asked for the very series; any other scorer for a dial after as many failures.

    Examples
    --------
    >>> fading = lambda rows, n_earlier: np.full((len(rows), 2), 0.5 / (1 + n_earlier), dtype="float32")
    >>> score_dials(fading, np.array([4, 4]), np.array([1, 0])).tolist()
    [0.25, 0.5]
    """
    if isinstance(scorer, SeriesScorer):
        return scorer.score_series(customer_rows, slot_rows)
    order = np.lexsort((slot_rows, customer_rows))
    nth = pd.Series(customer_rows[order]).groupby(customer_rows[order]).cumcount().to_numpy()
    p: npt.NDArray[np.float32] = np.zeros(len(order), dtype=np.float32)
    for depth in range(int(nth.max(initial=-1)) + 1):
        at_depth = order[nth == depth]
        for first in range(0, len(at_depth), CHUNK):
            part = at_depth[first : first + CHUNK]
            p[part] = scorer(customer_rows[part], depth)[np.arange(len(part)), slot_rows[part]]
    return p


def _add_chances(dials: pd.DataFrame, p_keyman: npt.NDArray[np.float32], stop_rate: float) -> pd.DataFrame:
    """The chance that each dial is still to be made, beside its p_keyman."""
    goes_on = pd.Series(np.clip(1.0 - p_keyman.astype(float) - stop_rate, 0, 1))
    reached = goes_on.groupby(dials["eligible_row"].to_numpy()).cumprod().to_numpy()
    survival = np.where(dials["n_earlier"].to_numpy() == 0, 1.0, np.append(1.0, reached[:-1])[: len(reached)])
    return dials.assign(p_keyman=p_keyman, survival=survival)


def _add_ranks(dials: pd.DataFrame) -> pd.DataFrame:
    """Rank inside each slot by what is lost if the dial is dropped; ties by customer."""
    loss = dials["value"] * dials["p_keyman"] * dials["survival"]
    order = np.lexsort((dials["customer_row"], -loss, dials["slot_row"]))
    ranked = dials.iloc[order].reset_index(drop=True)
    return ranked.assign(rank=ranked.groupby("slot_row").cumcount().to_numpy() + 1)


def list_unplanned(dials: pd.DataFrame, eligibility: Eligibility) -> pd.DataFrame:
    """customer_row · reason of those who may be called and are not: no_lawful_slot, no_capacity."""
    is_planned = np.zeros(len(eligibility.eligible_rows), dtype=np.bool_)
    is_planned[dials["eligible_row"].to_numpy()] = True
    has_slot = eligibility.lawful.any(axis=1)
    reason = np.where(has_slot, "no_capacity", "no_lawful_slot")
    return pd.DataFrame({"customer_row": eligibility.eligible_rows[~is_planned], "reason": reason[~is_planned]})
