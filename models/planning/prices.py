"""Slot prices: what a place is worth, found by minimising the smoothed dual (DESIGN section 7), with a certificate."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from models.planning.sequences import Demand, FloatArray, IntArray, build_single_demand

SMOOTHING = (0.1, 0.03, 0.01)  # tau as a share of the mean best value, lowered step by step
FINER = (0.003, 0.001)  # where customers are few, or a plan's gap asks for it
FEW = 500  # customers few enough for the finest prices at once
SAMPLE = 8_000  # customers on whom the first, coarse steps are taken
ROUNDS = 60  # most L-BFGS-B iterations per step

Places = IntArray | FloatArray  # of each slot


class Market(Protocol):
    """All who may be dialled, as prices see them: a ``Demand``, or one whose customers are spread over machines.

    The methods are those of ``Demand``.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """Customers and slots."""
        ...

    @property
    def near(self) -> FloatArray:
        """Prices to begin a search at, (n_slots,), or empty."""
        ...

    def mean_best(self) -> float:
        """Mean over customers of what their best first dial is worth."""
        ...

    def mean_load(self) -> float:
        """Mean over customers of the places that a first dial takes where it takes most; at least 1."""
        ...

    def sum_soft(self, prices: FloatArray, tau: float) -> tuple[float, FloatArray]:
        """Smoothed best values, summed, and the places expected to be taken per slot."""
        ...

    def sum_best(self, prices: FloatArray) -> float:
        """Best values, summed."""
        ...

    def take(self, rows: IntArray) -> Demand:
        """Give the demand of some customers."""
        ...


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
    demand: Market, capacity: Places, start: FloatArray | None = None, steps: tuple[float, ...] | None = None
) -> SlotPrices:
    """Price the slots for sequences of dials: minimise capacity · prices + smoothed best values over prices >= 0.

    ``start``, by default ``demand.near``, is where to begin. ``steps`` are the smoothings to take on everyone, lowered
    in this order; by default as many as pay: fewer from prices that are near.
    """
    scale = mean_best(demand)
    n, n_slots = demand.shape
    if scale <= 0.0:
        return SlotPrices(np.zeros(n_slots), 0.0, 0)
    near = demand.near if start is None else start
    prices = np.maximum(np.asarray(near, dtype=float), 0.0) if len(near) else np.zeros(n_slots)
    n_iterations = 0
    for part, part_steps in [(demand, steps)] if steps else _plan_steps(demand, len(near) > 0):
        places = capacity.astype(np.float64) * (part.shape[0] / n)
        for step in part_steps:
            prices, n_more = _descend(part, places, prices, step * scale)
            n_iterations += n_more
    return SlotPrices(prices, bound_value(demand, capacity, prices), n_iterations)


def refine_prices(demand: Market, capacity: Places, priced: SlotPrices) -> SlotPrices:
    """Go on with less smoothing, for a plan whose gap is not good enough yet; the better bound is kept."""
    prices, n = priced.prices, 0
    for step in FINER if mean_best(demand) > 0 else ():
        prices, n_more = _descend(demand, capacity.astype(float), prices, step * mean_best(demand))
        n += n_more
    bound = bound_value(demand, capacity, prices)
    return SlotPrices(prices, min(bound, priced.upper_bound), priced.n_iterations + n)


def mean_best(demand: Market) -> float:
    """Mean over customers of what their best first dial is worth; 0 without customers or slots."""
    return demand.mean_best()


def steps_for(n: int, is_near: bool) -> tuple[float, ...]:
    """Smoothings to take on n customers, from prices that are near or not: finer ones where customers are few.

    >>> steps_for(5_000, is_near=True), steps_for(500, is_near=True)
    ((0.01,), (0.01, 0.003, 0.001))
    """
    return (SMOOTHING[-1:] if is_near else SMOOTHING) + (FINER if n <= FEW else ())


def _plan_steps(demand: Market, is_near: bool) -> list[tuple[Market, tuple[float, ...]]]:
    """Few customers: every step on everyone. Many: all but the last on a sample."""
    n = demand.shape[0]
    if n < 2 * SAMPLE:
        return [(demand, steps_for(n, is_near))]
    return [(demand.take(np.arange(0, n, n // SAMPLE)), steps_for(n, is_near)), (demand, SMOOTHING[-1:])]


def _descend(demand: Market, capacity: FloatArray, prices: FloatArray, tau: float) -> tuple[FloatArray, int]:
    unit = tau / demand.mean_load()  # prices are measured by what smoothing blurs
    scale = max(float(capacity.sum()), 1.0) * max(unit, 1e-12)

    def dual(at: FloatArray) -> tuple[float, FloatArray]:
        value, use = demand.sum_soft(at, tau)
        return (float(capacity @ at) + value) / scale, (capacity - use) / scale * unit

    return _minimise(lambda at: dual(at * unit), prices / unit, unit)


def _minimise(
    dual: Callable[[FloatArray], tuple[float, FloatArray]], start: FloatArray, unit: float
) -> tuple[FloatArray, int]:
    """L-BFGS-B over variables >= 0 that are measured in ``unit``."""
    bounds, options = [(0.0, None)] * len(start), {"maxiter": ROUNDS}
    with threadpool_limits(1, "blas"):  # a hundred numbers: a second thread only stands in the way of those that walk
        found = minimize(dual, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return np.maximum(found.x, 0.0) * unit, int(found.nit)


def bound_value(demand: Market, capacity: Places, prices: FloatArray) -> float:
    """Unsmoothed dual at any prices >= 0: an upper bound on the value of every plan.

    Examples
    --------
    >>> demand = build_single_demand(np.full((3, 1), 0.5, dtype="float32"), np.ones((3, 1), dtype=bool))
    >>> bound_value(demand, np.array([2]), np.array([0.5]))
    1.0
    """
    return float(capacity @ prices) + demand.sum_best(prices)
