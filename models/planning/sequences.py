"""The best sequence of dials to one customer at given slot prices: the compiled core of prices and schedule.

A sequence takes at most one slot on each day, in time order. Its ``k``-th dial (from 0) brings
``weight[i, k] * p_first[i, s] - prices[s] * load[i, s]``: ``weight`` holds the customer's value, the chance that the
earlier dials fail and what the model then says of a further one; ``load`` is what a first dial in the slot takes of it,
one place, or more agent-seconds the likelier a contact is. With one dial per customer this is DESIGN section 7 as it
stands.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from features.threads import on_threads

N_BLOCKS = 64  # customers are summed in fixed blocks, so results do not depend on the number of cores
SMALL = 100_000  # customers x slots below which a second thread costs more than it brings
FAR = 14.0  # e^-14 of the best choice, a millionth, moves no price
RARE = 1e-7  # of a customer, who in this state moves no price either
NEVER = -1e30  # gain of a dial that is not lawful

Compiled = TypeVar("Compiled", bound=Callable[..., Any])
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def compiled(function: Compiled) -> Compiled:
    """Compile with numba, cached beside the module; other threads may run beside it."""
    return cast(Compiled, numba.njit(cache=True, error_model="numpy", nogil=True)(function))


@dataclass(frozen=True)
class Demand:
    """What dials are worth, and how many a customer may receive: all that prices, schedule and staffing need.

    Attributes
    ----------
    p_first : float32 array of shape (n, n_slots)
        p_keyman of a first dial; -1 where a dial is not lawful.
    weight : float32 array of shape (n, n_depths)
        Worth of the k-th dial per p_keyman of a first one in the same slot, falling in k: value times the chance that
        the earlier dials fail times what the model then makes of p_keyman.
    most_dials : int64 array of shape (n,)
        Most dials in the horizon, 0 to n_depths.
    day_start : int64 array of shape (n_days + 1,)
        Slots ``day_start[d]`` to ``day_start[d + 1] - 1`` lie on day ``d`` of the centre.
    base, extra : float64 arrays of shape (n,), or empty
        A dial takes ``base[i] + extra[i] * p_first[i, s]`` places of its slot; both empty: every dial takes one. A
        later dial is given the time of a first one, which is a little more than it needs.
    near : float64 array of shape (n_slots,), or empty
        Prices that those sought are near to, such as those of single dials: a search from there is shorter.
    """

    p_first: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]
    most_dials: IntArray
    day_start: IntArray
    base: FloatArray = field(default_factory=lambda: np.zeros(0))
    extra: FloatArray = field(default_factory=lambda: np.zeros(0))
    near: FloatArray = field(default_factory=lambda: np.zeros(0))

    @property
    def least_load(self) -> float:
        """Fewest places that any dial can take."""
        return float(np.minimum(self.base, self.base + self.extra).min()) if len(self.extra) else 1.0

    def measure_loads(self, rows: IntArray, slots: IntArray) -> FloatArray:
        """Places that dials to ``rows`` in ``slots`` take, in the shape that the two make together."""
        if len(self.extra) == 0:
            return np.ones(np.broadcast_shapes(rows.shape, slots.shape))
        return self.base[rows] + self.extra[rows] * np.maximum(self.p_first[rows, slots], 0)

    @property
    def shape(self) -> tuple[int, int]:
        """Customers and slots."""
        return self.p_first.shape[0], self.p_first.shape[1]

    def mean_best(self) -> float:
        """Mean over customers of what their best first dial is worth; 0 without customers or slots."""
        if self.p_first.size == 0:
            return 0.0
        return float((self.weight[:, 0] * np.maximum(self.p_first.max(axis=1), 0)).mean())

    def mean_load(self) -> float:
        """Mean over customers of the places that a first dial takes where it takes most: the unit of prices; from 1."""
        if len(self.extra) == 0 or self.p_first.size == 0:
            return 1.0
        return max(1.0, float((self.base + self.extra * np.maximum(self.p_first.max(axis=1), 0)).mean()))

    def sum_soft(self, prices: FloatArray, tau: float) -> tuple[float, FloatArray]:
        """Sum over customers of their best value smoothed by ``tau``, and the places expected to be taken per slot."""
        totals, use = np.zeros(N_BLOCKS), np.zeros((N_BLOCKS, len(prices)))
        walk_customers(sum_soft_values, self, prices, tau, totals, use)
        return float(add_blocks(totals)), add_blocks(use)

    def sum_best(self, prices: FloatArray) -> float:
        """Sum over customers of what their best sequence is worth at the prices."""
        totals = np.zeros(N_BLOCKS)
        walk_customers(sum_best_values, self, prices, totals)
        return float(add_blocks(totals))

    def take(self, rows: IntArray) -> "Demand":
        """Give the demand of some customers, in the order asked."""
        return take_customers(self, rows)


def take_customers(demand: Demand, rows: npt.NDArray[np.integer]) -> Demand:
    """The demand of some customers.

    >>> demand = build_single_demand(np.full((3, 1), 0.5, dtype="float32"), np.ones((3, 1), dtype=bool))
    >>> take_customers(demand, np.array([2])).p_first.shape
    (1, 1)
    """
    return replace(
        demand,
        p_first=demand.p_first[rows],
        weight=demand.weight[rows],
        most_dials=demand.most_dials[rows],
        base=demand.base[rows] if len(demand.base) else demand.base,
        extra=demand.extra[rows] if len(demand.extra) else demand.extra,
    )


def walk_customers(kernel: Callable[..., None], demand: Demand, prices: FloatArray, *rest: Any) -> None:
    """Call a kernel that walks all customers at the prices, on one thread where they are few."""
    asked = (demand.p_first, demand.weight, demand.most_dials, demand.day_start, demand.base, demand.extra, prices)
    if demand.p_first.size < SMALL:
        kernel(0, N_BLOCKS, *asked, prices.min(), *rest)
    else:
        on_threads(kernel, N_BLOCKS, *asked, prices.min(), *rest)


def add_blocks(sums: FloatArray) -> Any:
    """Sum of what each block comes to, one block after the other.

    >>> add_blocks(np.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [4.0, 6.0]
    """
    return sums.cumsum(axis=0)[-1]


def build_single_demand(net: npt.NDArray[np.float32], lawful: npt.NDArray[np.bool_]) -> Demand:
    """One dial per customer in the whole horizon, whatever the day; ``net`` is value times p_keyman.

    Examples
    --------
    >>> build_single_demand(np.array([[0.1, 0.3]], dtype="float32"), np.array([[True, False]])).p_first.tolist()
    [[0.1..., -1.0]]
    """
    n, n_slots = net.shape
    return Demand(
        p_first=np.where(lawful, net, np.float32(-1)).astype(np.float32, copy=False),
        weight=np.ones((n, 1), dtype=np.float32),
        most_dials=np.ones(n, dtype=np.int64),
        day_start=np.array([0, n_slots], dtype=np.int64),
    )


@compiled
def weigh_slots(p_first: Any, base: float, extra: float, prices: Any, load: Any, cost: Any) -> float:
    """Places that a dial takes in each slot, and what they cost there; returns the least cost."""
    cheapest = np.inf
    for s in range(p_first.shape[0]):
        load[s] = base + extra * max(p_first[s], np.float32(0))
        cost[s] = prices[s] * load[s]
        cheapest = min(cheapest, cost[s])
    return cheapest


@compiled
def useful_depth(p_first: Any, weight: Any, most: int, cheapest: float, margin: float) -> int:
    """Number of dials worth looking at: those whose best case is not ``margin`` below the cheapest cost."""
    best = np.float32(-1)
    for s in range(p_first.shape[0]):
        best = max(best, p_first[s])
    depth = most if best >= 0 else 0
    while depth > 0 and weight[depth - 1] * best - cheapest < -margin:
        depth -= 1
    return depth


@compiled
def fill_values(p_first: Any, weight: Any, depth: int, day_start: Any, cost: Any, value: Any, choice: Any) -> float:
    """Value of the best sequence, net of what a dial in each slot costs.

    ``value[d, k]`` holds from day d on after k dials, ``choice`` its slot (-1: no dial).
    """
    n_days = day_start.shape[0] - 1
    for k in range(depth + 1):
        value[n_days, k] = 0.0
    for d in range(n_days - 1, -1, -1):
        for k in range(min(d, depth) + 1):
            best, slot = value[d + 1, k], -1
            if k < depth:
                after = value[d + 1, k + 1]
                for s in range(day_start[d], day_start[d + 1]):
                    gain = weight[k] * p_first[s] - cost[s] + after
                    if p_first[s] >= 0 and gain > best:
                        best, slot = gain, s
            value[d, k] = best
            choice[d, k] = slot
    return float(value[0, 0])


@compiled
def read_sequence(choice: Any, n_days: int, sequence: Any) -> int:
    """Write the chosen slots into ``sequence`` and count them."""
    k = 0
    for d in range(n_days):
        slot = choice[d, k]
        if slot >= 0:
            sequence[k] = slot
            k += 1
    return k


@compiled
def sum_best_values(
    first: int, last: int, p_first: Any, weight: Any, most_dials: Any, day_start: Any, base: Any, extra: Any,
    prices: Any, cheapest: float, totals: Any,
) -> None:  # fmt: skip
    """Each block's sum of customers' best sequences' values: the customers' part of the unsmoothed dual."""
    n = p_first.shape[0]
    is_even = extra.shape[0] == 0
    value = np.zeros((day_start.shape[0], weight.shape[1] + 1))
    choice = np.zeros((day_start.shape[0], weight.shape[1] + 1), dtype=np.int64)
    load, cost = np.ones(prices.shape[0]), prices.copy()
    for block in range(first, last):
        total = 0.0
        for i in range(block * n // N_BLOCKS, (block + 1) * n // N_BLOCKS):
            if not is_even:
                cheapest = weigh_slots(p_first[i], base[i], extra[i], prices, load, cost)
            depth = useful_depth(p_first[i], weight[i], most_dials[i], cheapest, 0.0)
            if depth > 0:
                total += fill_values(p_first[i], weight[i], depth, day_start, cost, value, choice)
        totals[block] = total


@compiled
def share_day(p_first: Any, weight: Any, cost: Any, tau: float, first: Any, last: Any, share: Any) -> Any:
    """Gain of a day's best dial, and the sum of ``share``: e^((gain - best) / tau) of every lawful one.

    Plain loops over single precision let the processor take eight slots at once; only greatest and sum go one by one,
    in their order, because free rules of arithmetic would let results depend on how numba was compiled.
    """
    for s in range(first, last):
        gain = np.float32(np.float64(weight * p_first[s]) - cost[s])
        share[s] = gain if p_first[s] >= 0 else np.float32(NEVER)
    best = np.float32(NEVER)
    for s in range(first, last):
        best = share[s] if share[s] > best else best
    for s in range(first, last):
        far = np.float32((np.float64(weight * p_first[s]) - cost[s] - np.float64(best)) / tau)
        power = soft_exp(far if far > np.float32(-FAR) else np.float32(-FAR))
        share[s] = power if p_first[s] >= 0 else np.float32(0)
    total = np.float32(0)
    for s in range(first, last):
        total += share[s]
    return best, total


@compiled
def soft_exp(far: Any) -> Any:
    """e^far for -FAR <= far <= 0, single precision: Taylor's series of a 64th, squared six times; relative error 1e-5.

    >>> bool(abs(soft_exp(np.float32(-5)) / np.exp(-5) - 1) < 1e-5)
    True
    """
    one, part = np.float32(1), far * np.float32(1 / 64)
    fourth = np.float32(0.5) + part * (np.float32(1 / 6) + part * (np.float32(1 / 24) + part * np.float32(1 / 120)))
    power = one + part * (one + part * fourth)
    for _ in range(6):
        power *= power
    return power


@compiled
def add_soft_use(
    p_first: Any,
    weight: Any,
    depth: int,
    day_start: Any,
    load: Any,
    cost: Any,
    tau: float,
    value: Any,
    chance: Any,
    share: Any,
    flow: Any,
    use: Any,
) -> float:
    """Smoothed value of the best sequence; the places that it is expected to take per slot are added to ``use``.

    From day d on, after k dials: ``value_d[k] = tau log(exp(value_d+1[k] / tau) + sum_s exp((gain_s +
    value_d+1[k + 1]) / tau))``. ``value`` goes backwards over the days in place; ``chance[d, k] * share[k, s]``, the
    shares of the terms, are then passed forwards.
    """
    value[: depth + 1] = 0.0
    for d in range(day_start.shape[0] - 2, -1, -1):
        first, last = np.uint64(day_start[d]), np.uint64(day_start[d + 1])  # unsigned: numba looks for no s < 0
        for k in range(min(d + 1, depth)):
            best, total = share_day(p_first, weight[k], cost, tau, first, last, share[k])
            ahead = np.float32((best + value[k + 1] - value[k]) / tau)
            if ahead > FAR:
                chance[d, k] = 1.0 / total
                value[k] = best + value[k + 1] + tau * np.log(total)
            else:
                odds = np.exp(ahead)
                chance[d, k] = odds / (1.0 + odds * total)
                value[k] += tau * np.log(np.float32(1) + odds * total)
    _pass_flow(depth, day_start, load, chance, share, flow, use)
    return float(value[0])


@compiled
def _pass_flow(depth: int, day_start: Any, load: Any, chance: Any, share: Any, flow: Any, use: Any) -> None:
    """Send one customer through the days; ``chance[d, k] * share[k, s]`` of those with k dials take slot s of day d."""
    flow[: depth + 1] = 0.0
    flow[0] = 1.0
    for d in range(day_start.shape[0] - 1):
        first, last = np.uint64(day_start[d]), np.uint64(day_start[d + 1])
        for k in range(min(d, depth - 1), -1, -1):
            going, dialled = flow[k] * chance[d, k], 0.0
            if going > RARE:
                for s in range(first, last):
                    taken = going * share[k, s]
                    use[s] += taken * load[s]
                    dialled += taken
                flow[k] -= dialled
                flow[k + 1] += dialled


@compiled
def sum_soft_values(
    first: int, last: int, p_first: Any, weight: Any, most_dials: Any, day_start: Any, base: Any, extra: Any,
    prices: Any, cheapest: float, tau: float, totals: Any, use: Any,
) -> None:  # fmt: skip
    """Each block's sum of customers' smoothed best values, and the places expected to be taken per slot."""
    n, n_slots = p_first.shape
    n_days, deepest = day_start.shape[0] - 1, weight.shape[1]
    is_even = extra.shape[0] == 0
    value, flow = np.zeros(deepest + 1), np.zeros(deepest + 1)
    chance, share = np.zeros((n_days, deepest)), np.zeros((deepest, n_slots), dtype=np.float32)
    load, cost = np.ones(n_slots), prices.copy()
    for block in range(first, last):
        total = 0.0
        for i in range(block * n // N_BLOCKS, (block + 1) * n // N_BLOCKS):
            if not is_even:
                cheapest = weigh_slots(p_first[i], base[i], extra[i], prices, load, cost)
            depth = useful_depth(p_first[i], weight[i], most_dials[i], cheapest, FAR * tau)
            if depth > 0:
                total += add_soft_use(
                    p_first[i], weight[i], depth, day_start, load, cost, tau, value, chance, share, flow, use[block]
                )
        totals[block] = total
