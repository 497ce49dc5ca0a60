"""Slot prices against the exact LP, against enumeration, and on the awkward edges."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.sparse import csr_array
from threadpoolctl import threadpool_info, threadpool_limits

from models.planning.placing import fill_places, lay_free_board, place_by_prices, sum_worth
from models.planning.prices import _minimise, bound_value, price_demand, refine_prices, solve_prices
from models.planning.sequences import Demand, build_single_demand


def planned_value(demand: Demand, capacity: np.ndarray, prices: np.ndarray) -> float:
    board = lay_free_board(capacity, demand)
    place_by_prices(board, demand, prices)
    fill_places(board, demand, demand.p_first >= 0, prices)
    return sum_worth(board, demand)


def exact_value(net: np.ndarray, lawful: np.ndarray, capacity: np.ndarray) -> float:
    """Optimum of the assignment LP by HiGHS; it is integral."""
    n, n_slots = net.shape
    who, where = np.nonzero(lawful)
    if len(who) == 0:
        return 0.0
    pairs = np.arange(len(who))
    rows = np.concatenate([who, n + where])
    matrix = csr_array((np.ones(2 * len(who)), (rows, np.concatenate([pairs, pairs]))), shape=(n + n_slots, len(who)))
    solved = linprog(
        -net[who, where].astype(float), A_ub=matrix, b_ub=np.concatenate([np.ones(n), capacity]), bounds=(0, 1)
    )
    return float(-solved.fun)


def draw_week(n: int, n_slots: int, seed: int, places: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logit = rng.normal(-2.5, 0.8, (n, 1)) + rng.normal(0, 0.3, (n, n_slots)) + rng.normal(0, 0.3, n_slots)
    net = (1 / (1 + np.exp(-logit))).astype("float32")
    capacity = rng.multinomial(places, rng.dirichlet(np.full(n_slots, 2.0)))
    return net, rng.random((n, n_slots)) < 0.9, capacity


@pytest.mark.parametrize(("n", "n_slots", "places"), [(400, 12, 120), (1500, 40, 500), (300, 84, 290), (200, 10, 900)])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_plan_reaches_the_exact_optimum_and_the_bound_is_above_it(n, n_slots, places, seed):
    net, lawful, capacity = draw_week(n, n_slots, seed, places)
    best = exact_value(net, lawful, capacity)
    priced = solve_prices(net, lawful, capacity)
    value = planned_value(build_single_demand(net, lawful), capacity, priced.prices)
    assert value >= 0.998 * best
    assert value <= best * (1 + 1e-6)
    assert best <= priced.upper_bound * (1 + 1e-6)
    assert priced.upper_bound <= best * 1.002


def test_prices_are_what_the_last_place_of_a_slot_is_worth():
    net = np.array([[0.9, 0.1], [0.8, 0.1], [0.5, 0.1], [0.4, 0.1]], dtype="float32")
    priced = solve_prices(net, net > 0, np.array([2, 0]))
    assert 0.5 <= priced.prices[0] <= 0.8
    assert priced.upper_bound == pytest.approx(1.7, rel=0.01)


def test_plenty_of_room_costs_nothing():
    net, lawful, _ = draw_week(60, 5, 3, 10)
    priced = solve_prices(net, lawful, np.full(5, 1000))
    assert priced.prices.max() < 1e-3
    assert priced.upper_bound == pytest.approx(np.where(lawful, net, 0).max(axis=1).sum(), rel=0.005)


@pytest.mark.parametrize(
    ("net", "capacity", "best"),
    [
        (np.zeros((0, 3)), [1, 1, 1], 0.0),
        (np.full((1, 1), 0.3), [1], 0.3),
        (np.full((1, 1), 0.3), [0], 0.0),
        (np.full((4, 3), 0.25), [1, 1, 0], 0.5),
        (np.full((2, 3), 0.25), [5, 5, 5], 0.5),
        (np.zeros((3, 2)), [1, 1], 0.0),
        (np.array([[0.9, 0.2, 0.5]]), [1, 0, 1], 0.9),
    ],
    ids=["nobody", "one", "no place", "all tie", "more places than people", "worthless", "one customer"],
)
def test_the_edges_are_planned_exactly(net, capacity, best):
    net, places = net.astype("float32"), np.array(capacity)
    lawful = np.ones(net.shape, dtype=bool)
    priced = solve_prices(net, lawful, places)
    assert (priced.prices >= 0).all()
    assert planned_value(build_single_demand(net, lawful), places, priced.prices) == pytest.approx(best, abs=1e-6)
    assert priced.upper_bound >= best - 1e-6


def test_nobody_lawful_is_worth_nothing():
    net = np.full((3, 2), 0.5, dtype="float32")
    assert solve_prices(net, np.zeros((3, 2), dtype=bool), np.array([1, 1])).upper_bound == 0.0


def test_any_prices_prove_a_bound():
    net, lawful, capacity = draw_week(200, 8, 5, 60)
    best, demand = exact_value(net, lawful, capacity), build_single_demand(net, lawful)
    for seed in range(5):
        prices = np.random.default_rng(seed).uniform(0, 0.3, 8)
        assert bound_value(demand, capacity, prices) >= best - 1e-6


def test_the_same_input_gives_the_same_prices_to_the_last_bit():
    net, lawful, capacity = draw_week(900, 12, 6, 300)
    assert np.array_equal(solve_prices(net, lawful, capacity).prices, solve_prices(net, lawful, capacity).prices)


def test_going_on_with_finer_prices_never_loosens_the_bound():
    net, lawful, capacity = draw_week(900, 12, 7, 300)
    demand = build_single_demand(net, lawful)
    coarse = price_demand(demand, capacity, steps=(0.1,))
    assert refine_prices(demand, capacity, coarse).upper_bound <= coarse.upper_bound


def test_many_customers_are_priced_from_a_sample_as_well_as_directly():
    net, lawful, capacity = draw_week(20_000, 6, 8, 6_000)
    priced = solve_prices(net, lawful, capacity)
    value = planned_value(build_single_demand(net, lawful), capacity, priced.prices)
    assert value >= 0.998 * priced.upper_bound


def best_series(demand: Demand, capacity: np.ndarray) -> float:
    """Enumerate every way to give every customer a sequence of slots on different days."""
    n, n_slots = demand.p_first.shape
    day = np.searchsorted(demand.day_start, np.arange(n_slots), side="right")
    options = []
    for i in range(n):
        lawful = np.flatnonzero(demand.p_first[i] >= 0)
        options.append(
            [
                (q, sum(float(demand.weight[i, k]) * float(demand.p_first[i, s]) for k, s in enumerate(q)))
                for size in range(int(demand.most_dials[i]) + 1)
                for q in combinations(lawful, size)
                if len(set(day[list(q)])) == size
            ]
        )
    best = 0.0
    for plan in product(*options):
        use = np.bincount([s for q, _ in plan for s in q], minlength=n_slots)
        if (use <= capacity).all():
            best = max(best, sum(worth for _, worth in plan))
    return best


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 2), st.integers(1, 2))
def test_no_enumerated_series_beats_the_bound_and_no_plan_beats_the_best_of_them(seed, n, n_days, hours):
    rng = np.random.default_rng(seed)
    n_slots = n_days * hours
    p_first = rng.uniform(0.05, 0.6, (n, n_slots)).astype("float32")
    p_first[rng.random((n, n_slots)) < 0.2] = -1
    weight = np.cumprod(np.column_stack([np.ones(n), rng.uniform(0.3, 0.9, (n, 1))]), axis=1).astype("float32")
    demand = Demand(p_first, weight, np.full(n, min(n_days, 2)), np.arange(0, n_slots + 1, hours))
    capacity = rng.integers(0, 3, n_slots)
    best = best_series(demand, capacity)
    priced = price_demand(demand, capacity)
    value = planned_value(demand, capacity, priced.prices)
    assert priced.upper_bound >= best - 1e-5
    assert value <= best + 1e-5


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_single_dials_of_tiny_centres_are_within_a_fiftieth_of_the_optimum(seed):
    rng = np.random.default_rng(seed)
    net, lawful, capacity = draw_week(int(rng.integers(1, 9)), int(rng.integers(1, 5)), seed, int(rng.integers(0, 9)))
    priced = solve_prices(net, lawful, capacity)
    value = planned_value(build_single_demand(net, lawful), capacity, priced.prices)
    assert value >= 0.98 * exact_value(net, lawful, capacity)


def test_matrices_wait_for_no_second_thread_while_prices_are_sought_and_have_it_back_after() -> None:
    seen = []

    def dual(at: np.ndarray) -> tuple[float, np.ndarray]:
        seen.append(count_blas_threads())
        return float(((at - 1) ** 2).sum()), 2 * (at - 1)

    with threadpool_limits(2, "blas"):
        before = count_blas_threads()
        prices, _ = _minimise(dual, np.zeros(3), 2.0)
        assert count_blas_threads() == before
    assert set(seen) == {1}
    assert prices == pytest.approx([2.0, 2.0, 2.0], abs=1e-4)


def count_blas_threads() -> int:
    return max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1)
