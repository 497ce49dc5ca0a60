"""The call plan: who is dialled in which slot, in which order, and how far that can be from the best."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pandas as pd

from configs.settings import Settings
from features.contracts import Tables
from features.outcomes import CONTACT, WRONG_NUMBER
from models.planning.arms import PLAN, Given, Ground, add_arms, draw_arms, replay
from models.planning.control import mark_control, set_control_apart
from models.planning.decisions import Decisions, list_pins, tell_unkept
from models.planning.eligibility import Eligibility
from models.planning.handling import Effort
from models.planning.placing import (
    Board,
    demand_after,
    fill_places,
    place_by_prices,
    place_fixed,
    place_owed,
    sum_worth,
)
from models.planning.prices import SMOOTHING, SlotPrices, price_demand, refine_prices
from models.planning.rules import RulePack, name_packs
from models.planning.sequences import Demand, FloatArray, IntArray, take_customers

Scorer = Callable[[npt.NDArray[np.int64], int], npt.NDArray[np.float32]]


@runtime_checkable
class SeriesScorer(Protocol):
    """A scorer that also knows what each dial of a known series is worth (``models.contact.scorer.Scorer`` is one)."""

    def __call__(self, customer_rows: IntArray, n_earlier: int) -> npt.NDArray[np.float32]:
        """P(keyman contact) in every slot after ``n_earlier`` failed dials, wherever those stood; (m, n_slots)."""
        ...

    def score_series(self, customer_rows: IntArray, slot_rows: IntArray) -> npt.NDArray[np.float32]:
        """P(keyman contact) of each planned dial given that the customer's earlier ones have failed; (m,)."""
        ...


DEEPEST = 10  # most dials of one series that are weighed against other customers
CHUNK = 20_000  # customers scored at a time where only a sum or a few slots are kept
COARSE = 8_000  # customers on whom the prices behind the weights of a series are found


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
    scorer: Scorer,
    eligibility: Eligibility,
    slots: pd.DataFrame,
    capacity: npt.NDArray[np.integer],
    tables: Tables,
    settings: Settings,
    packs: Sequence[RulePack],
    demand: Demand | None = None,
    decisions: Decisions | None = None,
    rng: np.random.Generator | None = None,
    effort: Effort | None = None,
) -> CallPlan:
    """Plan the horizon: pins, promised call-backs, then series of dials by slot prices, then every place still empty.

    Customers with fewer attempts than ``planning.min_attempts`` come before others are dialled again.

    Parameters
    ----------
    scorer
        ``scorer(customer_rows, n_earlier)`` -> float32 (m, n_slots): p_keyman of a dial in each slot after
        ``n_earlier`` failed dials of this plan.
    slots
        ``slot_start``, sorted; a slot's position is its slot_row.
    capacity : int array of shape (n_slots,)
        Places per slot: dials, or agent-seconds.
    packs
        The packs behind ``eligibility``, for ``allowed_because``.
    demand
        What ``build_demand`` gave for the same inputs, when it is at hand already.
    decisions
        Whose pins are placed first; blocks are for ``apply_blocks``, beforehand.
    rng
        Draws the lots of ``planning.explore_share`` and the control arm's dials; without it there are neither.
    effort
        Places that a dial takes; by default one. Not used with ``demand``, which knows.

    Returns
    -------
    CallPlan
        At most one dial per phone and day; every place is filled that a lawful customer can take, but on the first day
        for a few that exploration frees.
    """
    places = np.asarray(capacity, dtype=np.int64)
    if demand is None:
        demand = build_demand(scorer, eligibility, slots, places, tables, settings, effort)
    pins = (decisions or Decisions()).pins
    given = _list_given(pins, demand, eligibility, slots, tables, settings)
    ground, control = set_control_apart(Ground(demand, places, eligibility, given), slots, tables, settings, rng)
    board, priced = _place_all(ground, settings)
    lots, planned = draw_arms(ground, settings.planning.explore_share, rng), board.dials[: board.n_dials[0]].copy()
    if lots is not None:
        board = replay(ground, planned, priced.prices, lots)
    objective = sum_worth(board, demand)
    dials = list_dials(board.dials[: board.n_dials[0]], scorer, demand, eligibility, tables)
    dials = _add_ranks(dials).assign(allowed_because=name_packs(packs), arm=PLAN, propensity=1.0)
    if lots is not None:
        dials = add_arms(dials, ground, planned, priced.prices, lots)
    if control is not None:
        dials = mark_control(dials, control, len(slots))
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


def build_demand(
    scorer: Scorer,
    eligibility: Eligibility,
    slots: pd.DataFrame,
    capacity: npt.NDArray[np.integer],
    tables: Tables,
    settings: Settings,
    effort: Effort | None = None,
    first_prices: FloatArray | None = None,
) -> Demand:
    """Score first dials everywhere, and later dials where a customer is worth dialling at all.

    A later dial is weighed as ``value · survival_k · fade^k`` times p_keyman of a first dial in its slot: ``fade`` is
    the model's own ratio of a second dial to a first, and survival follows p_keyman in the customer's best slot at
    coarse prices, or ``first_prices``. The weights only steer the search; the plan's p_keyman are scored anew. A dial
    takes the places that ``effort`` says of a first one, by default one.
    """
    rows = eligibility.eligible_rows
    value = np.maximum(tables.customers["value"].to_numpy(dtype=np.float32)[rows], 0)
    p_first = np.where(eligibility.lawful, scorer(rows, 0), np.float32(-1)).astype(np.float32, copy=False)
    day_start = _start_of_days(slots, settings)
    deepest = min(len(day_start) - 1, DEEPEST, int(eligibility.attempts_left.max(initial=1)))
    most = np.minimum(eligibility.attempts_left, deepest)
    once = _demand_once(p_first, value, effort)
    weight: npt.NDArray[np.floating] = once.weight
    if deepest > 1 and len(rows):
        best_slot, is_wanted = _find_first_choice(once, np.asarray(capacity, dtype=np.int64), first_prices)
        fade = _measure_fade(scorer, rows, p_first, is_wanted)
        p_best = np.maximum(p_first[np.arange(len(rows)), best_slot], 0)
        weight = _weigh_depths(value, p_best, fade, _rate_of_stops(tables), deepest)
    weight = np.ascontiguousarray(weight, dtype=np.float32)
    return replace(once, weight=weight, most_dials=most.astype(np.int64), day_start=day_start)


def _demand_once(p_first: npt.NDArray[np.float32], value: npt.NDArray[np.float32], effort: Effort | None) -> Demand:
    """One dial per customer in the whole horizon."""
    n, n_slots = p_first.shape
    single = Demand(p_first, value[:, None], np.ones(n, dtype=np.int64), np.array([0, n_slots], dtype=np.int64))
    if effort is None or effort.times is None:
        return single
    none, certain = effort.count_places([0.0, 1.0])
    return replace(single, base=np.full(n, none), extra=np.full(n, certain - none))


def _start_of_days(slots: pd.DataFrame, settings: Settings) -> IntArray:
    local = pd.DatetimeIndex(slots["slot_start"]).tz_convert(settings.timezone).tz_localize(None).normalize()
    starts = np.flatnonzero(np.append(True, np.diff(local.asi8) != 0)) if len(local) else np.zeros(0)
    return np.append(starts, len(local)).astype(np.int64)


def _find_first_choice(
    demand: Demand, capacity: IntArray, prices: FloatArray | None = None
) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Best slot of a single dial at coarse prices, and who is worth one."""
    p_first = demand.p_first
    prices = price_first_dials(demand, capacity) if prices is None else prices
    best_slot = np.zeros(len(p_first), dtype=np.int64)
    is_wanted = np.zeros(len(p_first), dtype=np.bool_)
    slots = np.arange(p_first.shape[1])
    for first in range(0, len(p_first), CHUNK):
        part = np.arange(first, min(first + CHUNK, len(p_first)))
        loads = demand.measure_loads(part[:, None], slots).astype(np.float32)
        cost = prices.astype(np.float32) * loads
        margin = np.where(p_first[part] >= 0, p_first[part] * demand.weight[part] - cost, -np.inf)
        best_slot[part] = margin.argmax(axis=1)
        is_wanted[part] = margin.max(axis=1) >= 0
    return best_slot, is_wanted


def price_first_dials(demand: Demand, capacity: IntArray) -> FloatArray:
    """Coarse prices of the slots for one dial per customer, from an even sample of them; (n_slots,)."""
    n = len(demand.p_first)
    every = np.arange(0, n, max(1, n // COARSE))
    places = np.floor(capacity * (len(every) / n)).astype(np.int64)
    return price_demand(take_customers(demand, every), places, steps=SMOOTHING).prices


def _measure_fade(
    scorer: Scorer, rows: IntArray, p_first: npt.NDArray[np.float32], is_wanted: npt.NDArray[np.bool_]
) -> FloatArray:
    """Ratio of p_keyman of a second dial to a first, 0 to 1, per customer; the median for those not worth a first."""
    fade = np.full(len(rows), np.nan)
    wanted = np.flatnonzero(is_wanted)
    for first in range(0, len(wanted), CHUNK):
        part = wanted[first : first + CHUNK]
        lawful = p_first[part] >= 0
        second = np.where(lawful, scorer(rows[part], 1), 0).sum(axis=1, dtype=float)
        once = np.where(lawful, p_first[part], 0).sum(axis=1, dtype=float)
        fade[part] = np.clip(second / np.where(once > 0, once, np.inf), 0, 1)
    return np.where(np.isnan(fade), np.nanmedian(fade) if len(wanted) else 1.0, fade)


def _weigh_depths(
    value: npt.NDArray[np.float32], p_best: npt.NDArray[np.float32], fade: FloatArray, stop_rate: float, deepest: int
) -> FloatArray:
    weight = np.empty((len(value), deepest))
    chance, faded = value.astype(float), np.ones(len(value))
    for depth in range(deepest):
        weight[:, depth] = chance * faded
        chance = chance * np.clip(1 - p_best * faded - stop_rate, 0, 1)
        faded = faded * fade
    return weight


def _rate_of_stops(tables: Tables) -> float:
    """Share of dials that end a series without a contact: a refusal by another, or a wrong number."""
    attempts = tables.call_attempts
    if len(attempts) == 0:
        return 0.0
    ends = (attempts["refused"].to_numpy(dtype=bool) & (attempts["outcome"] != CONTACT)) | (
        attempts["outcome"] == WRONG_NUMBER
    )
    return float(ends.mean())


def _list_given(
    pins: pd.DataFrame,
    demand: Demand,
    eligibility: Eligibility,
    slots: pd.DataFrame,
    tables: Tables,
    settings: Settings,
) -> Given:
    """People's pins in the order of their file, promised call-backs, the plan's own pins; and dials owed to phones."""
    pinned, pinned_slots = list_pins(pins, eligibility, demand.p_first)
    customers, promised = list_promises(eligibility, slots, tables, settings)
    had = np.full(int(eligibility.phone_group.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(had, eligibility.phone_group, eligibility.attempt_number)
    is_kept, is_own = pinned >= 0, pins["row"].to_numpy() == 0
    first, last = is_kept & ~is_own, is_kept & is_own
    return Given(
        rows=np.concatenate([pinned[first], customers, pinned[last]]),
        slots=np.concatenate([pinned_slots[first], promised, pinned_slots[last]]),
        owed=np.maximum(settings.planning.min_attempts - had, 0),
    )


def _place_all(ground: Ground, settings: Settings) -> tuple[Board, SlotPrices]:
    demand, lawful = ground.demand, ground.eligibility.lawful
    owed = place_owed(ground.lay_board(), demand, lawful, ground.given.owed)
    priced: SlotPrices | None = None
    while True:  # twice at most: a second time with finer prices
        board = ground.lay_board()
        place_fixed(board, owed[:, 0], owed[:, 1], np.zeros(len(owed), dtype=np.bool_))
        kept, rest, room = sum_worth(board, demand), demand_after(board, demand), board.room.copy()
        is_first = priced is None
        priced = price_demand(rest, room) if priced is None else refine_prices(rest, room, priced)
        place_by_prices(board, rest, priced.prices)
        fill_places(board, demand, lawful, priced.prices)
        stated = replace(priced, upper_bound=kept + priced.upper_bound)
        if not is_first or _gap(sum_worth(board, demand), stated.upper_bound) <= settings.planning.max_gap:
            return board, stated


def list_promises(
    eligibility: Eligibility, slots: pd.DataFrame, tables: Tables, settings: Settings
) -> tuple[IntArray, IntArray]:
    """Promised call-backs that a lawful slot of the horizon holds: (eligible_row, slot_row), by time, then customer."""
    times = pd.DatetimeIndex(tables.customers["callback_at"].iloc[eligibility.eligible_rows]).as_unit("us")
    starts = pd.DatetimeIndex(slots["slot_start"]).as_unit("us").asi8
    slot = np.searchsorted(starts, times.asi8, side="right") - 1
    length = settings.slot_minutes * 60_000_000
    is_inside = np.asarray(times.notna()) & (slot >= 0)
    is_inside[is_inside] = times.asi8[is_inside] < starts[slot[is_inside]] + length
    rows = np.flatnonzero(is_inside)
    rows = rows[eligibility.lawful[rows, slot[rows]]]
    rows = rows[np.lexsort((rows, times.asi8[rows]))]
    return rows.astype(np.int64), slot[rows].astype(np.int64)


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
    return _add_chances(dials, p_keyman, _rate_of_stops(tables))


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
