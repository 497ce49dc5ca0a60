"""Capacity in agent-seconds: against the exact integer program, never overfilled, and dials as before."""

from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from models.planning.handling import Effort, HandleTimes
from models.planning.placing import Board, fill_places, lay_free_board, place_by_prices, sum_worth
from models.planning.prices import SlotPrices, price_demand, refine_prices
from models.planning.sequences import Demand

EFFORT = Effort(3060.0, HandleTimes(contacted=240.0, not_contacted=40.0, contact_rate=0.1))


def draw_demand(seed: int, n: int, n_days: int, hours: int, most: int, effort: Effort = EFFORT) -> Demand:
    """Customers of whom some are easily reached, up to ``most`` dials each, one a day."""
    rng = np.random.default_rng(seed)
    n_slots = n_days * hours
    logit = rng.normal(-2.0, 0.9, (n, 1)) + rng.normal(0, 0.4, (n, n_slots)) + rng.normal(0, 0.3, n_slots)
    p = (1 / (1 + np.exp(-logit))).astype("float32")
    p[rng.random((n, n_slots)) < 0.1] = -1
    weight = ((1 - np.maximum(p.max(axis=1, keepdims=True), 0)) * 0.9) ** np.arange(most)
    none, certain = effort.count_places([0.0, 1.0])
    return Demand(
        p_first=p,
        weight=weight.astype("float32"),
        most_dials=np.full(n, most),
        day_start=np.arange(0, n_slots + 1, hours),
        base=np.full(n, none),
        extra=np.full(n, certain - none),
    )


def make_plan(demand: Demand, seconds: np.ndarray) -> tuple[Board, SlotPrices]:
    priced = price_demand(demand, seconds)
    for turn in range(2):
        board = lay_free_board(seconds, demand)
        place_by_prices(board, demand, priced.prices)
        fill_places(board, demand, demand.p_first >= 0, priced.prices)
        if turn == 0:
            priced = refine_prices(demand, seconds, priced)
    return board, priced


def exact_value(demand: Demand, seconds: np.ndarray) -> float:
    """Optimum of the integer program over every sequence of every customer, by HiGHS."""
    n, n_slots = demand.p_first.shape
    day = np.searchsorted(demand.day_start, np.arange(n_slots), side="right")
    worth, rows, columns, factors = [], [], [], []
    for i in range(n):
        lawful = np.flatnonzero(demand.p_first[i] >= 0)
        load = demand.measure_loads(np.full(n_slots, i), np.arange(n_slots))
        for size in range(1, int(demand.most_dials[i]) + 1):
            for chosen in combinations(lawful, size):
                if len(set(day[list(chosen)])) == size:
                    rows += [i, *(n + slot for slot in chosen)]
                    columns += [len(worth)] * (size + 1)
                    factors += [1.0, *load[list(chosen)]]
                    worth.append(sum(float(demand.weight[i, k] * demand.p_first[i, s]) for k, s in enumerate(chosen)))
    matrix = csr_array((factors, (rows, columns)), shape=(n + n_slots, len(worth)))
    most = np.concatenate([np.ones(n), seconds])
    solved = milp(
        -np.array(worth),
        constraints=LinearConstraint(matrix, -np.inf, most),
        integrality=np.ones(len(worth)),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 1e-4, "time_limit": 20},
    )
    return float(-solved.fun)


if __name__ == "__main__":
    import time
    for n, d, h, m, dials in [(60,1,4,1,24),(300,1,6,1,120),(60,3,2,3,50),(200,3,2,3,150),(20,2,2,2,12)]:
      for seed in range(4):
        dem = draw_demand(seed, n, d, h, m)
        rng = np.random.default_rng(seed)
        cap = rng.multinomial(dials*60, rng.dirichlet(np.full(d*h, 3.0)))
        t=time.time(); b, pr = make_plan(dem, cap); t1=time.time(); ex = exact_value(dem, cap); t2=time.time()
        v = sum_worth(b, dem)
        print(n,d*h,m,dials, f"{v:.4f} {ex:.4f} {pr.upper_bound:.4f} share {v/ex:.4f} bound {pr.upper_bound/ex-1:.4f} room {b.room.sum()/cap.sum():.4f} {t1-t:.2f} {t2-t1:.2f}", flush=True)
