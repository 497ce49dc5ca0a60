"""Slot prices: what a place is worth, found by minimising the smoothed dual (DESIGN section 7), with a certificate."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from models.planning.sequences import (
    Demand,
    FloatArray,
    IntArray,
    build_single_demand,
    sum_best_values,
    sum_soft_values,
    take_customers,
    threads_for,
)

SMOOTHING = (0.1, 0.03, 0.01)  # tau as a share of the mean best value, lowered step by step
FINER = (0.003, 0.001)  # where customers are few, or a plan's gap asks for it
FEW = 2_000  # customers few enough for the finest prices at once
SAMPLE = 8_000  # customers on whom the first, coarse steps are taken
ROUNDS = 60  # most L-BFGS-B iterations per step

Places = IntArray | FloatArray  # of each slot


@dataclass(frozen=True)
class SlotPrices:
    """Prices of the slots and the bound they prove.

    Attributes
    ----------
    prices : float64 array of shape (n_slots,)
        Expected value that one more place (a dial, or an agent-second) would bring, at least 0.
    upper_bound : float
        Unsmoothed dual at these prices: no plan is worth more.
    n_iterations : int
        L-BFGS-B iterations over all steps.
    """

    prices: FloatArray
    upper_bound: float
    n_iterations: int


def solve_prices(
    net: npt.NDArray[np.float32],
    lawful: npt.NDArray[np.bool_],
    capacity: npt.NDArray[np.integer],
    start: FloatArray | None = None,
) -> SlotPrices:
    """Price the slots for one dial per customer.

    Parameters
    ----------
    net : array of shape (n, n_slots)
        Value times p_keyman.
    lawful : bool array of shape (n, n_slots)
        Where a dial is allowed.
    capacity : int array of shape (n_slots,)
        Places per slot.
    start : array of shape (n_slots,), optional
        Prices to start from, such as yesterday's.

    Examples
    --------
    Two customers want the same hour; its price is what the one who gives way loses less.

    >>> net = np.array([[0.4, 0.1], [0.3, 0.2]], dtype="float32")
    >>> priced = solve_prices(net, net > 0, np.array([1, 1]))
    >>> round(priced.upper_bound, 2)
    0.6
    """
    return price_demand(build_single_demand(net, lawful), np.asarray(capacity, dtype=np.int64), start)


def price_demand(
    demand: Demand, capacity: Places, start: FloatArray | None = None, steps: tuple[float, ...] | None = None
) -> SlotPrices:
    """Price the slots for sequences of dials: minimise capacity · prices + smoothed best values over prices >= 0.

    ``steps`` are the smoothings to take on everyone, lowered in this order; by default as many as pay.
    """
    scale = mean_best(demand)
    n_slots = demand.p_first.shape[1]
    if scale <= 0.0:
        return SlotPrices(np.zeros(n_slots), 0.0, 0)
    prices = np.zeros(n_slots) if start is None else np.maximum(np.asarray(start, dtype=float), 0.0)
    n_iterations = 0
    for part, part_steps in [(demand, steps)] if steps else _plan_steps(demand):
        share = len(part.p_first) / len(demand.p_first)
        for step in part_steps:
            prices, n = _descend(part, capacity.astype(np.float64) * share, prices, step * scale)
            n_iterations += n
    return SlotPrices(prices, bound_value(demand, capacity, prices), n_iterations)


def refine_prices(demand: Demand, capacity: Places, priced: SlotPrices) -> SlotPrices:
    """Go on with less smoothing, for a plan whose gap is not good enough yet; the better bound is kept."""
    prices, n = priced.prices, 0
    for step in FINER if mean_best(demand) > 0 else ():
        prices, n_more = _descend(demand, capacity.astype(float), prices, step * mean_best(demand))
        n += n_more
    bound = bound_value(demand, capacity, prices)
    return SlotPrices(prices, min(bound, priced.upper_bound), priced.n_iterations + n)


def mean_load(demand: Demand) -> float:
    """Mean over customers of the places that a first dial takes where it takes most: the unit of prices; at least 1."""
    if len(demand.extra) == 0 or demand.p_first.size == 0:
        return 1.0
    return max(1.0, float((demand.base + demand.extra * np.maximum(demand.p_first.max(axis=1), 0)).mean()))


def mean_best(demand: Demand) -> float:
    """Mean over customers of what their best first dial is worth; 0 without customers or slots."""
    if demand.p_first.size == 0:
        return 0.0
    return float((demand.weight[:, 0] * np.maximum(demand.p_first.max(axis=1), 0)).mean())


def _plan_steps(demand: Demand) -> list[tuple[Demand, tuple[float, ...]]]:
    """Few customers: every step on everyone, the finest where they cost nothing. Many: all but the last on a sample."""
    n = len(demand.p_first)
    if n < 2 * SAMPLE:
        return [(demand, SMOOTHING + FINER if n <= FEW else SMOOTHING)]
    every = np.arange(0, n, n // SAMPLE)
    return [(take_customers(demand, every), SMOOTHING), (demand, SMOOTHING[-1:])]


def _descend(demand: Demand, capacity: FloatArray, prices: FloatArray, tau: float) -> tuple[FloatArray, int]:
    unit = tau / mean_load(demand)  # prices are measured by what smoothing blurs
    scale = max(float(capacity.sum()), 1.0) * max(unit, 1e-12)

    def dual(at: FloatArray) -> tuple[float, FloatArray]:
        value, use = sum_soft_values(
            demand.p_first, demand.weight, demand.most_dials, demand.day_start, at, tau, demand.base, demand.extra
        )
        return (float(capacity @ at) + value) / scale, (capacity - use) / scale * unit

    with threads_for(demand):
        return _minimise(lambda at: dual(at * unit), prices / unit, unit)


def _minimise(
    dual: Callable[[FloatArray], tuple[float, FloatArray]], start: FloatArray, unit: float
) -> tuple[FloatArray, int]:
    """L-BFGS-B over variables >= 0 that are measured in ``unit``."""
    found = minimize(
        dual, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * len(start), options={"maxiter": ROUNDS}
    )
    return np.maximum(found.x, 0.0) * unit, int(found.nit)


def bound_value(demand: Demand, capacity: Places, prices: FloatArray) -> float:
    """Unsmoothed dual at any prices >= 0: an upper bound on the value of every plan.

    Examples
    --------
    >>> demand = build_single_demand(np.full((3, 1), 0.5, dtype="float32"), np.ones((3, 1), dtype=bool))
    >>> bound_value(demand, np.array([2]), np.array([0.5]))
    1.0
    """
    with threads_for(demand):
        best = sum_best_values(
            demand.p_first, demand.weight, demand.most_dials, demand.day_start, prices, demand.base, demand.extra
        )
    return float(capacity @ prices) + float(best)
