"""How near the optimum the slot prices come, and how fast, beside their rivals: ``make bench-plan``.

One dial per customer in a week of 84 slots, with the true probabilities of the carrier world and fewer places than
customers, so that who is called and when must both be chosen. Rivals: each customer's best hour, first come first
served (what open-source tools do), the same with the best hour that is still free, the greatest probability first
(greedy), and the exact linear program by HiGHS, whose optimum is integral, by interior point and crossover: as fast as
its simplex for 1,000 customers, twice as fast for 3,000. Printed: expected contacts as a share of the
bound and of the exact optimum, seconds, and peak memory of the process so far. A last line plans series of dials, for
which no rival is known: there the certificate speaks alone. ``--agents`` plans single dials in agent-seconds instead,
beside the integer program by HiGHS, for a few agents per slot.
"""

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from configs.settings import Settings
from features.slots import build_slots
from models.planning.placing import fill_places, lay_free_board, place_by_prices, sum_worth
from models.planning.prices import price_demand, refine_prices
from models.planning.sequences import Demand, build_single_demand
from pipelines.world import build_world
from pipelines.world.world import DEFAULT_END

N_SLOTS = 84
PLACES_PER_CUSTOMER = 0.6
LP_SECONDS = 900.0
MIP_SECONDS = 30.0
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
MAX_GAP = 0.002


def main() -> None:
    """Print one table per size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--lp-up-to", type=int, default=10_000, help="most customers for the exact program")
    parser.add_argument("--agents", type=float, nargs="+", default=[], help="agents per slot, of six slots")
    asked = parser.parse_args()
    for agents in asked.agents:
        print(tell_agent_seconds(agents), flush=True)
    for n in asked.customers:
        p, places = draw_centre(n)
        bound, told = compare(p, places, n <= asked.lp_up_to)
        print(f"\n{n:,} customers × {N_SLOTS} slots, {places.sum():,} places (simulated); bound {bound:,.1f} contacts")
        print(told.to_string(float_format=lambda x: f"{x:.5f}"), flush=True)
        print(tell_series(p, places), flush=True)


def draw_centre(n: int) -> tuple[np.ndarray, np.ndarray]:
    """True probabilities (n, n_slots) float32 of a week, and places per slot: many by day, few in the evening."""
    world = build_world(n, 1, np.random.default_rng(7))
    days = pd.date_range(DEFAULT_END, periods=7, tz=Settings().timezone)
    starts = pd.DatetimeIndex([day + pd.Timedelta(hours=hour) for day in days for hour in range(9, 21)])
    slots = build_slots(starts, Settings())
    p = world.true_p(np.arange(n), slots["slot_start"]).astype("float32")
    wanted = np.where(slots["hour"] < 17, 1.0, 0.5) * np.where(slots["is_off_day"] == 1, 0.5, 1.0)
    return p, np.floor(PLACES_PER_CUSTOMER * n * wanted / wanted.sum()).astype("int64")


def compare(p: np.ndarray, places: np.ndarray, with_lp: bool) -> tuple[float, pd.DataFrame]:
    """Bound on the contacts, and per way: contacts, share of the bound, seconds, times as slow as ours, peak GB."""
    price_and_place(p[:500], places * 0 + 3)  # compile before the clock runs
    bounds: list[float] = []
    ways: dict[str, Callable[[], float]] = {
        "slot prices": lambda: price_and_place(p, places, bounds),
        "best hour": lambda: take_best_hour(p, places),
        "best free hour": lambda: take_best_free_hour(p, places),
        "greedy": lambda: take_greatest(p, places),
    }
    if with_lp:
        ways["exact LP (HiGHS)"] = lambda: solve_exactly(p, places)
    told = {}
    for name, way in ways.items():
        began = time.perf_counter()
        contacts = way()
        told[name] = {"contacts": contacts, "seconds": time.perf_counter() - began, "peak_gb": peak_gb()}
    table = pd.DataFrame(told).T
    table.insert(1, "share_of_bound", table["contacts"] / bounds[0])
    table.insert(3, "times_ours", table["seconds"] / table["seconds"].iloc[0])
    if with_lp:
        table.insert(2, "share_of_lp", table["contacts"] / table["contacts"].iloc[-1])
    return bounds[0], table


def price_and_place(p: np.ndarray, places: np.ndarray, bounds: list[float] | None = None) -> float:
    """Ours: prices, then everyone's best slot net of price, then what is still empty."""
    demand = build_single_demand(p, p >= 0)
    return plan_demand(demand, places, bounds)


def plan_demand(demand: Demand, places: np.ndarray, bounds: list[float] | None = None) -> float:
    """Expected contacts of the plan; the certified bound is appended to ``bounds``."""
    priced = price_demand(demand, places)
    for turn in range(2):
        board = lay_free_board(places, demand)
        place_by_prices(board, demand, priced.prices)
        fill_places(board, demand, demand.p_first >= 0, priced.prices)
        worth = sum_worth(board, demand)
        if turn or worth >= (1 - MAX_GAP) * priced.upper_bound:
            break
        priced = refine_prices(demand, places, priced)
    if bounds is not None:
        bounds.append(priced.upper_bound)
    return worth


def take_best_hour(p: np.ndarray, places: np.ndarray) -> float:
    """Each customer's best hour; in a full hour those asked first are dialled, the others are not."""
    best = p.argmax(axis=1)
    nth = pd.Series(best).groupby(best).cumcount().to_numpy()
    return float(p[np.arange(len(p)), best][nth < places[best]].sum(dtype="float64"))


def take_best_free_hour(p: np.ndarray, places: np.ndarray) -> float:
    """Customers in the order of the list, each in the best hour that still has a place."""
    room, total = places.copy(), 0.0
    for row in p[: int(places.sum())]:
        slot = int(np.where(room > 0, row, -1).argmax())
        room[slot] -= 1
        total += float(row[slot])
    return total


def take_greatest(p: np.ndarray, places: np.ndarray) -> float:
    """Pairs of customer and slot from the most probable down, as places and customers are left."""
    room, is_free, total = places.copy(), np.ones(len(p), dtype=bool), 0.0
    order = np.argsort(-p, axis=None, kind="stable")
    for first in range(0, len(order), 100_000):
        part = order[first : first + 100_000]
        for pair in part[is_free[part // p.shape[1]] & (room[part % p.shape[1]] > 0)].tolist():
            row, slot = divmod(pair, p.shape[1])
            if is_free[row] and room[slot] > 0:
                is_free[row], room[slot] = False, room[slot] - 1
                total += float(p[row, slot])
        if not room.any():
            break
    return total


def solve_exactly(p: np.ndarray, places: np.ndarray) -> float:
    """Optimum of the linear program, NaN where HiGHS does not finish in time or memory."""
    n, n_slots = p.shape
    pairs = np.arange(n * n_slots)
    rows = np.concatenate([pairs // n_slots, n + pairs % n_slots])
    matrix = sparse.csr_matrix((np.ones(len(rows)), (rows, np.tile(pairs, 2))))
    most = np.concatenate([np.ones(n), places.astype(float)])
    solved = linprog(-p.ravel().astype(float), matrix, most, method="highs-ipm", options={"time_limit": LP_SECONDS})
    return float(-solved.fun) if solved.status == 0 else float("nan")


def tell_series(p: np.ndarray, places: np.ndarray) -> str:
    """One line about a plan of up to five dials a customer, one a day, with a third more places than single dials."""
    depths = 0.9 ** np.arange(5) * (1 - p.max(axis=1, keepdims=True)) ** np.arange(5)
    day_start = np.arange(0, N_SLOTS + 1, 12).astype("int64")
    demand = Demand(p, depths.astype("float32"), np.full(len(p), 5), day_start)
    bounds: list[float] = []
    began = time.perf_counter()
    worth = plan_demand(demand, places * 2, bounds)
    return f"series of up to 5 dials: gap {1 - worth / bounds[0]:.5f}, {time.perf_counter() - began:.1f} s"


def tell_agent_seconds(agents: float, n_slots: int = 6) -> str:
    """One line about single dials in agent-seconds: 240 s with a contact, 40 s without, three times as many customers.

    The integer program stops within .01 % of the best or after ``MIP_SECONDS``; its bound is told, too.
    """
    seconds = np.full(n_slots, int(agents * 3600 * 0.85))
    n = int(3 * seconds.sum() / 60)
    p = draw_centre(n)[0][:, 5 : 5 + n_slots]
    none, certain = 40.0, 240.0
    demand = replace(build_single_demand(p, p >= 0), base=np.full(n, none), extra=np.full(n, certain - none))
    bounds: list[float] = []
    began = time.perf_counter()
    worth = plan_demand(demand, seconds, bounds)
    ours = time.perf_counter() - began
    pairs = np.arange(n * n_slots)
    rows = np.concatenate([pairs // n_slots, n + pairs % n_slots])
    loads = np.concatenate([np.ones(n * n_slots), (none + (certain - none) * p).ravel()])
    matrix = sparse.csr_matrix((loads, (rows, np.tile(pairs, 2))))
    most = np.concatenate([np.ones(n), seconds.astype(float)])
    found = milp(
        -p.ravel().astype(float),
        constraints=LinearConstraint(matrix, -np.inf, most),
        integrality=np.ones(n * n_slots),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 1e-4, "time_limit": MIP_SECONDS},
    )
    return (
        f"{agents:g} agents × {n_slots} slots, {n:,} customers, agent-seconds: {worth:.3f} contacts, "
        f"{1 - worth / bounds[0]:.5f} below our bound, {1 - worth / -found.mip_dual_bound:.5f} below the program's, "
        f"program itself {-found.fun:.3f}; {ours:.1f} s against {time.perf_counter() - began - ours:.1f} s"
    )


def peak_gb() -> float:
    """Peak memory of this process so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
