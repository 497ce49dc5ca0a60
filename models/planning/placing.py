"""Dials placed one by one under every rule: the compiled core of the schedule.

Customers are served in the order of what they lose if their slots are gone; then what is still empty is filled.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.planning.limits import DialLimits
from models.planning.prices import SAMPLE, SMOOTHING, price_demand
from models.planning.sequences import (
    N_BLOCKS,
    Demand,
    FloatArray,
    IntArray,
    compiled,
    fill_values,
    read_sequence,
    useful_depth,
    walk_customers,
    weigh_slots,
)

ROUNDING = 1e-3  # of a place or an agent-second: chances are known to float32
AT_STAKE = 1e-3  # of a sequence's worth goes into regret: who has two slots as good may lose both


class Board(NamedTuple):
    """Places, phones and rules while dials are placed; ``room``, ``left``, ``planned`` and the counts change.

    Attributes
    ----------
    room : float64 (n_slots,)
        Places left: dials, or agent-seconds.
    left : int64 (n_phones,)
        Dials left under the cap.
    planned : int16 (n_phones, n_days)
        Slots planned to each phone, the first ``n_planned`` of each row.
    n_own : int64 (n,)
        Dials planned to each customer.
    dials : int64 (n, 2)
        (customer, slot) of every dial in the order of placing, the first ``n_dials[0]`` rows.
    day_of_slot : int64 (n_slots,)
        Day in the centre; ``local_day`` the same where the called party lives. A phone gets one dial in either.

    ``p_first``, ``base`` and ``extra`` are those of ``Demand``, the other fields those of ``DialLimits``.
    """

    room: FloatArray
    left: IntArray
    planned: npt.NDArray[np.int16]
    n_planned: IntArray
    n_own: IntArray
    dials: IntArray
    n_dials: IntArray
    phone: IntArray
    p_first: npt.NDArray[np.float32]
    base: FloatArray
    extra: FloatArray
    zone_row: IntArray
    day_of_slot: IntArray
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


def lay_board(
    capacity: IntArray | FloatArray, demand: Demand, phone: IntArray, attempts_left: IntArray, limits: DialLimits
) -> Board:
    """Set up an empty board; a phone has as many dials left as its customers say (they agree)."""
    n_phones = int(phone.max(initial=-1)) + 1
    left = np.zeros(n_phones, dtype=np.int64)
    left[phone] = attempts_left
    n_days = len(demand.day_start) - 1
    return Board(
        room=np.array(capacity, dtype=np.float64),
        left=left,
        planned=np.full((n_phones, n_days), -1, dtype=np.int16),
        n_planned=np.zeros(n_phones, dtype=np.int64),
        n_own=np.zeros(len(phone), dtype=np.int64),
        dials=np.zeros((int((capacity + ROUNDING).sum() / demand.least_load), 2), dtype=np.int64),
        n_dials=np.zeros(1, dtype=np.int64),
        phone=np.asarray(phone, dtype=np.int64),
        p_first=demand.p_first,
        base=demand.base,
        extra=demand.extra,
        zone_row=limits.zone_row,
        day_of_slot=np.repeat(np.arange(n_days, dtype=np.int64), np.diff(demand.day_start)),
        n_candidates=limits.n_candidates,
        local_day=limits.local_day,
        local_part=limits.local_part,
        slot_start_us=limits.slot_start_us,
        slot_us=limits.slot_us,
        gap_us=limits.gap_us,
        part_gap_us=limits.part_gap_us,
        rolling_us=limits.rolling_us,
        rolling_max=limits.rolling_max,
        past_start=limits.past_start,
        past_us=limits.past_us,
    )


def lay_free_board(capacity: IntArray, demand: Demand) -> Board:
    """Set up a board on which only places, days and the most dials of each customer bind: to value seats."""
    n, n_slots = demand.p_first.shape
    none = np.zeros(0, dtype=np.int64)
    limits = DialLimits(
        zone_names=("",),
        zone_row=np.zeros(n, dtype=np.int64),
        n_candidates=np.ones(1, dtype=np.int64),
        local_day=np.searchsorted(demand.day_start, np.arange(n_slots), side="right")[None, :].astype(np.int64),
        local_part=np.zeros((1, n_slots), dtype=np.int64),
        slot_start_us=np.arange(n_slots, dtype=np.int64),
        slot_us=1,
        gap_us=0,
        part_gap_us=0,
        rolling_us=none,
        rolling_max=none,
        past_start=np.zeros(n + 1, dtype=np.int64),
        past_us=none,
    )
    return lay_board(capacity, demand, np.arange(n, dtype=np.int64), demand.most_dials, limits)


@compiled
def count_places(board: Board, i: int, slot: int) -> float:
    """Places that a dial to ``i`` takes in the slot."""
    if board.extra.shape[0] == 0:
        return 1.0
    return float(board.base[i] + board.extra[i] * max(board.p_first[i, slot], np.float32(0)))


@compiled
def may_dial(board: Board, i: int, slot: int) -> bool:
    """Whether one more dial to ``i`` keeps cap, day, gaps and rolling windows; its own lawfulness is known."""
    phone, zone = board.phone[i], board.zone_row[i]
    if board.room[slot] + ROUNDING < count_places(board, i, slot) or board.left[phone] <= 0:
        return False
    for x in range(board.n_planned[phone]):
        other = board.planned[phone, x]
        apart = abs(board.slot_start_us[other] - board.slot_start_us[slot])
        if board.day_of_slot[other] == board.day_of_slot[slot] or apart < board.gap_us:
            return False
        for z in range(zone, zone + board.n_candidates[zone]):
            is_same_part = board.local_part[z, other] == board.local_part[z, slot]
            if board.local_day[z, other] == board.local_day[z, slot] or (is_same_part and apart < board.part_gap_us):
                return False
    for r in range(board.rolling_us.shape[0]):
        if _overfills(board, phone, slot, board.rolling_us[r], board.rolling_max[r]):
            return False
    return True


@compiled
def _overfills(board: Board, phone: int, slot: int, window_us: int, most: int) -> bool:
    """Whether some window would hold more than ``most`` dials, each falling anywhere inside its slot."""
    for x in range(-1, board.n_planned[phone]):
        last = slot if x < 0 else board.planned[phone, x]
        opens = board.slot_start_us[last] - window_us
        n_dials = 1
        for y in range(-1, board.n_planned[phone]):
            other = slot if y < 0 else board.planned[phone, y]
            n_dials += other < last and board.slot_start_us[other] + board.slot_us > opens
        for y in range(board.past_start[phone], board.past_start[phone + 1]):
            n_dials += board.past_us[y] >= opens
        if n_dials > most:
            return True
    return False


@compiled
def place_dial(board: Board, i: int, slot: int) -> None:
    """Write one dial to customer ``i`` on the board."""
    phone = board.phone[i]
    board.room[slot] -= count_places(board, i, slot)
    board.left[phone] -= 1
    board.planned[phone, board.n_planned[phone]] = slot
    board.n_planned[phone] += 1
    board.n_own[i] += 1
    board.dials[board.n_dials[0], 0] = i
    board.dials[board.n_dials[0], 1] = slot
    board.n_dials[0] += 1


@compiled
def place_fixed(board: Board, customers: IntArray, slots: IntArray, placed: Any) -> None:
    """Place given (customer, slot) pairs in order where the rules and the places allow."""
    for x in range(customers.shape[0]):
        if may_dial(board, customers[x], slots[x]):
            place_dial(board, customers[x], slots[x])
            placed[x] = True


@compiled
def fill_slot(board: Board, customers: IntArray, slot: int, least: float) -> None:
    """Place dials in one slot, to customers in order, until not even the shortest finds room."""
    for i in customers:
        if board.room[slot] + ROUNDING < least:
            break
        if may_dial(board, i, slot):
            place_dial(board, i, slot)


def find_regrets(demand: Demand, prices: FloatArray) -> FloatArray:
    """What each customer loses when the slots of its best sequence are all gone; -1 without a sequence."""
    regrets = np.full(len(demand.p_first), -1.0)
    walk_customers(_find_regrets, demand, prices, regrets)
    return regrets


@compiled
def _find_regrets(
    first: int, last: int, p_first: Any, weight: Any, most_dials: Any, day_start: Any, base: Any, extra: Any,
    prices: Any, cheapest: float, regrets: Any,
) -> None:  # fmt: skip
    n, n_days, n_depths = p_first.shape[0], day_start.shape[0] - 1, weight.shape[1]
    is_even = extra.shape[0] == 0
    value = np.zeros((n_days + 1, n_depths + 1))
    choice = np.zeros((n_days + 1, n_depths + 1), dtype=np.int64)
    sequence = np.zeros(n_depths + 1, dtype=np.int64)
    load, cost = np.ones(prices.shape[0]), prices.copy()
    for block in range(first, last):
        for i in range(block * n // N_BLOCKS, (block + 1) * n // N_BLOCKS):
            if not is_even:
                cheapest = weigh_slots(p_first[i], base[i], extra[i], prices, load, cost)
            depth = useful_depth(p_first[i], weight[i], most_dials[i], cheapest, 0.0)
            if depth == 0:
                continue
            best = fill_values(p_first[i], weight[i], depth, day_start, cost, value, choice)
            rest, n_chosen = p_first[i].copy(), read_sequence(choice, n_days, sequence)
            rest[sequence[:n_chosen]] = -1.0
            if n_chosen > 0:
                regrets[i] = (1 + AT_STAKE) * best - fill_values(rest, weight[i], depth, day_start, cost, value, choice)


@compiled
def place_best(
    board: Board, order: Any, p_first: Any, weight: Any, most_dials: Any, day_start: Any, prices: Any
) -> None:
    """Give each customer in ``order`` its best sequence over the places that are left."""
    n_days, n_depths = day_start.shape[0] - 1, weight.shape[1]
    value = np.zeros((n_days + 1, n_depths + 1))
    choice = np.zeros((n_days + 1, n_depths + 1), dtype=np.int64)
    sequence = np.zeros(n_depths + 1, dtype=np.int64)
    usable = np.zeros(p_first.shape[1], dtype=np.float32)
    cost = prices.copy()
    for i in order:
        has_dials = board.n_planned[board.phone[i]] > 0
        for s in range(p_first.shape[1]):
            n_places = count_places(board, i, s)
            cost[s] = prices[s] * n_places
            blocked = board.room[s] + ROUNDING < n_places or (has_dials and not may_dial(board, i, s))
            usable[s] = -1.0 if blocked else p_first[i, s]
        most = min(most_dials[i], board.left[board.phone[i]])
        depth = useful_depth(usable, weight[i], most, cost.min(), 0.0)
        if depth <= 0:
            continue
        fill_values(usable, weight[i], depth, day_start, cost, value, choice)
        for x in range(read_sequence(choice, n_days, sequence)):
            if may_dial(board, i, sequence[x]):
                place_dial(board, i, sequence[x])


@compiled
def list_candidates(board: Board, slot: int, p_first: Any, weight: Any, lawful: Any, found: Any, worth: Any) -> int:
    """Customers who can be dialled in ``slot``, into ``found``, and what a place used for them is worth there."""
    n_found = 0
    for i in range(p_first.shape[0]):
        if lawful[i, slot] and may_dial(board, i, slot):
            found[n_found] = i
            dial = weight[i, min(board.n_own[i], weight.shape[1] - 1)] * max(p_first[i, slot], np.float32(0))
            worth[n_found] = dial / count_places(board, i, slot)
            n_found += 1
    return n_found


@compiled
def find_takers(board: Board, lawful: Any) -> Any:
    """Whether anybody can take a place in each slot that has one; bool (n_slots,)."""
    found = np.zeros(lawful.shape[1], dtype=np.bool_)
    for slot in range(lawful.shape[1]):
        for i in range(lawful.shape[0]):
            if lawful[i, slot] and may_dial(board, i, slot):
                found[slot] = True
                break
    return found


def demand_after(board: Board, demand: Demand) -> Demand:
    """What customers still ask for after the dials on the board: later ones only, weighed as such."""
    placed = board.dials[: board.n_dials[0]]
    if len(placed) == 0:
        return demand
    p_first, weight, most_dials = demand.p_first.copy(), demand.weight.copy(), demand.most_dials.copy()
    for row, slot in placed:
        p_first[row, : demand.day_start[board.day_of_slot[slot] + 1]] = -1.0
        weight[row] = np.append(weight[row, 1:], np.float32(0))
        most_dials[row] = max(most_dials[row] - 1, 0)
    return replace(demand, p_first=p_first, weight=weight, most_dials=most_dials)


def place_by_prices(board: Board, demand: Demand, prices: FloatArray) -> None:
    """Serve customers by falling regret at the prices; equal regrets by customer_row."""
    regrets = find_regrets(demand, prices)
    order = np.argsort(-regrets, kind="stable")
    order = order[regrets[order] >= 0]
    place_best(board, order, demand.p_first, demand.weight, demand.most_dials, demand.day_start, prices)


def fill_places(board: Board, demand: Demand, lawful: npt.NDArray[np.bool_], prices: FloatArray) -> None:
    """Fill every place that somebody can still lawfully take, dearest slots first, the best use of a place first.

    One look at each slot is enough: placing a dial never makes another one possible.
    """
    found = np.zeros(len(lawful), dtype=np.int64)
    worth = np.zeros(len(lawful), dtype=np.float64)
    least = demand.least_load
    for slot in np.lexsort((np.arange(len(prices)), -prices)):
        if board.room[slot] + ROUNDING < least:
            continue
        n_found = list_candidates(board, slot, demand.p_first, demand.weight, lawful, found, worth)
        best = found[:n_found][np.argsort(-worth[:n_found], kind="stable")]
        fill_slot(board, best, slot, least)


def place_owed(board: Board, demand: Demand, lawful: npt.NDArray[np.bool_], owed: IntArray) -> IntArray:
    """Find dials for phones that are owed some, as far as places allow; the board is used up.

    Everybody competes for the hours, but a dial that is owed is worth more than any other: who is dialled is decided by
    what is owed, when by the prices.

    Parameters
    ----------
    owed : int64 array of shape (n_phones,)
        Dials owed to each phone.

    Returns
    -------
    int64 array of shape (n_dials, 2)
        (customer, slot) of the owed dials.
    """
    owed = np.minimum(np.maximum(owed - board.n_planned, 0), board.left)
    of_customer = owed[board.phone]
    is_owed = of_customer > 0
    if not is_owed.any():
        return np.zeros((0, 2), dtype=np.int64)
    n_before, raised = int(board.n_dials[0]), raise_owed(demand_after(board, demand), of_customer)
    is_small = len(raised.p_first) < 2 * SAMPLE  # coarse prices do: who is dialled is settled, and when nearly so
    prices = price_demand(raised, board.room, steps=SMOOTHING if is_small else None).prices
    theirs = replace(raised, p_first=np.where(is_owed[:, None], raised.p_first, np.float32(-1)))
    board.left[:] = owed
    place_by_prices(board, theirs, prices)
    fill_places(board, theirs, lawful & is_owed[:, None], prices)
    return board.dials[n_before : board.n_dials[0]].copy()


def raise_owed(demand: Demand, owed: IntArray) -> Demand:
    """Lift the owed dials above all others without changing what the hours are worth against each other.

    The same amount, twice the best dial there is, is added to every lawful slot of a customer who is owed dials.

    Parameters
    ----------
    owed : int64 array of shape (n,)
        Dials owed to each customer.
    """
    is_owed = owed > 0
    best = float((demand.weight[:, :1] * np.maximum(demand.p_first, 0)).max(initial=0.0)) or 1.0
    weight = demand.weight.copy()
    weight[is_owed] = np.maximum(weight[is_owed, :1], np.float32(best / 1000))
    lift = np.where(is_owed, 2 * best / np.where(is_owed, weight[:, 0], 1), 0.0).astype(np.float32)[:, None]
    return replace(
        demand,
        p_first=np.where(demand.p_first >= 0, demand.p_first + lift, demand.p_first),
        weight=weight,
        most_dials=np.where(is_owed, np.minimum(demand.most_dials, owed), demand.most_dials),
        base=demand.base - demand.extra * lift[:, 0] if len(demand.extra) else demand.base,
        near=np.zeros(0),
    )


def sum_worth(board: Board, demand: Demand) -> float:
    """Value of the dials on the board as the search weighs them; past the deepest dial the last weight holds."""
    placed = board.dials[: board.n_dials[0]]
    placed = placed[np.lexsort((placed[:, 1], placed[:, 0]))]
    rows, slots = placed[:, 0], placed[:, 1]
    depth = np.arange(len(rows)) - np.searchsorted(rows, rows)
    weight = demand.weight[rows, np.minimum(depth, demand.weight.shape[1] - 1)]
    return float((weight.astype(np.float64) * demand.p_first[rows, slots]).sum())
