"""Plans in chunks against plans made in one piece: as good, as lawful, certified, and the same every time."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.planning.eligibility import Eligibility
from models.planning.limits import DialLimits
from models.planning.placing import fill_places, lay_free_board, place_by_prices, sum_worth
from models.planning.prices import bound_value, price_demand
from models.planning.sequences import Demand, take_customers
from models.planning.streaming import Chunk, Stream, fill_chunk, is_worth_another_look, open_stream, place_chunk

PER_DAY = 3


def draw_demand(n: int, n_days: int, seed: int, n_alike: int = 0) -> Demand:
    """Customers with tastes of their own, or of ``n_alike`` kinds; up to four dials each, one a day."""
    rng, n_slots = np.random.default_rng(seed), n_days * PER_DAY
    kinds = n_alike or n
    logit = rng.normal(-2.5, 0.8, (kinds, 1)) + rng.normal(0, 0.4, (kinds, n_slots)) + rng.normal(0, 0.3, n_slots)
    p = (1 / (1 + np.exp(-logit)))[rng.integers(0, kinds, n) if n_alike else np.arange(n)].astype("float32")
    p[rng.random(p.shape) < 0.1] = -1
    weight = (0.9 * (1 - p.max(axis=1, keepdims=True))) ** np.arange(min(n_days, 4))
    most = rng.integers(1, weight.shape[1] + 1, n)
    return Demand(p, np.ascontiguousarray(weight, dtype="float32"), most, np.arange(0, n_slots + 1, PER_DAY))


def chunk_of(demand: Demand, rows: np.ndarray, phone: np.ndarray | None = None) -> Chunk:
    part = take_customers(demand, rows)
    n, n_slots = part.p_first.shape
    own = np.arange(n) if phone is None else pd.factorize(phone[rows])[0].astype("int64")
    none, zeros = np.zeros(0, dtype="int64"), np.zeros((1, n_slots), dtype="int64")
    day = np.repeat(np.arange(len(part.day_start) - 1), PER_DAY)[None, :]
    start = np.arange(n_slots, dtype="int64")
    past = np.zeros(int(own.max(initial=-1)) + 2, dtype="int64")
    limits = DialLimits(
        ("",), np.zeros(n, dtype="int64"), np.ones(1, dtype="int64"), day, zeros, start, 1, 0, 0, none, none, past, none
    )
    most = part.most_dials.copy()
    np.minimum.at(left := np.full(len(past) - 1, 99), own, most)
    who = Eligibility(pd.DataFrame(), rows, np.zeros(n, dtype="int64"), left[own], part.p_first >= 0, own, limits, "")
    return Chunk(part, who, none, none, n)


def plan_in_chunks(demand: Demand, places: np.ndarray, per_chunk: int, n_sampled: int) -> tuple[Stream, np.ndarray]:
    """Stream and dials (customer, slot), the second look included."""
    n = len(demand.p_first)
    sample = take_customers(demand, np.arange(n)[:: max(1, n // n_sampled)])
    stream = open_stream(sample, len(sample.p_first), places, n)
    parts = [np.arange(first, min(n, first + per_chunk)) for first in range(0, n, per_chunk)]
    placed = []
    for rows in parts:
        stream, dials = place_chunk(stream, chunk_of(demand, rows))
        placed.append(dials)
    for number, rows in enumerate(parts):
        if is_worth_another_look(stream, number):
            stream, more = fill_chunk(stream, number, chunk_of(demand, rows), placed[number])
            placed[number] = np.concatenate([placed[number], more])
    return stream, np.concatenate([dials + np.array([rows[0], 0]) for rows, dials in zip(parts, placed, strict=True)])


def spread(places: int, n_slots: int) -> np.ndarray:
    return np.random.default_rng(4).multinomial(places, np.random.default_rng(5).dirichlet(np.full(n_slots, 4.0)))


@pytest.mark.parametrize(("per_customer", "n_alike"), [(0.5, 0), (1.5, 0), (1.0, 60), (6.0, 0)])
def test_a_plan_in_chunks_is_worth_what_a_plan_in_one_piece_is(per_customer, n_alike):
    demand = draw_demand(12_000, 4, 1, n_alike)
    places = spread(int(12_000 * per_customer), 12)
    priced = price_demand(demand, places)
    board = lay_free_board(places, demand)
    place_by_prices(board, demand, priced.prices)
    fill_places(board, demand, demand.p_first >= 0, priced.prices)
    stream, dials = plan_in_chunks(demand, places, 3_000, 6_000)
    assert stream.objective >= 0.998 * sum_worth(board, demand)
    assert stream.upper_bound <= 1.002 * priced.upper_bound
    assert len(dials) >= 0.999 * board.n_dials[0]


@settings(max_examples=15)
@given(
    n=st.integers(1, 60),
    n_days=st.integers(1, 3),
    per_chunk=st.integers(1, 30),
    per_customer=st.floats(0.1, 4.0),
    seed=st.integers(0, 1_000),
)
def test_no_rule_is_broken_and_the_certificate_holds(n, n_days, per_chunk, per_customer, seed):
    demand = draw_demand(n, n_days, seed)
    places = spread(int(n * per_customer), n_days * PER_DAY)
    stream, dials = plan_in_chunks(demand, places, per_chunk, 20)
    rows, slots = dials.T
    day = slots // PER_DAY
    taken = np.bincount(slots, minlength=len(places))
    assert (taken <= places).all()
    np.testing.assert_array_equal(stream.room, places - taken)
    assert (demand.p_first[rows, slots] >= 0).all()
    assert len(np.unique(rows * n_days + day)) == len(rows)
    n_own = np.bincount(rows, minlength=n)
    assert (n_own <= demand.most_dials).all()
    is_dialled = np.zeros((n, n_days), dtype=bool)
    is_dialled[rows, day] = True
    could = (demand.p_first >= 0) & (n_own < demand.most_dials)[:, None] & ~np.repeat(is_dialled, PER_DAY, axis=1)
    assert not (could & (stream.room > 0)).any()
    assert stream.upper_bound == pytest.approx(bound_value(demand, places, stream.prices), rel=1e-6)
    assert stream.objective <= stream.upper_bound * (1 + 1e-6)


def test_the_same_chunks_give_the_same_plan():
    demand, places = draw_demand(600, 3, 3), spread(500, 9)
    (one, dials), (other, again) = (plan_in_chunks(demand, places, 200, 300) for _ in range(2))
    np.testing.assert_array_equal(dials, again)
    assert (one.objective, one.upper_bound) == (other.objective, other.upper_bound)


def test_customers_sorted_the_worst_way_are_planned_lawfully_and_the_gap_says_so():
    """Those who answer least come first, and no chunk is like the next: every place is filled, the bound is true."""
    demand, places = draw_demand(2_000, 2, 2), spread(1_500, 6)
    sorted_worst = take_customers(demand, np.argsort(demand.p_first[:, 0]))
    stream, _ = plan_in_chunks(sorted_worst, places, 500, 1_000)
    assert stream.room.sum() == 0
    assert stream.upper_bound == pytest.approx(bound_value(demand, places, stream.prices), rel=1e-6)
    assert 0.002 < stream.gap < 0.3


def test_a_promised_call_back_is_kept_whatever_it_costs():
    demand, places = draw_demand(400, 2, 5), np.full(6, 20)
    rows = np.arange(400)
    lawful = np.flatnonzero(demand.p_first[:, 4] >= 0)
    worst = int(lawful[demand.p_first[lawful, 4].argmin()])
    chunk = replace(chunk_of(demand, rows), given_rows=np.array([worst]), given_slots=np.array([4]))
    stream, dials = place_chunk(open_stream(demand, 400, places, 400), chunk)
    assert [worst, 4] in dials.tolist()
    assert stream.objective <= stream.upper_bound
    assert stream.room.sum() == 0


def test_more_customers_than_announced_are_refused():
    demand = draw_demand(20, 1, 1)
    stream = open_stream(demand, 20, np.ones(3, dtype="int64"), 10)
    with pytest.raises(ValueError, match="20 customers where 10"):
        place_chunk(stream, chunk_of(demand, np.arange(20)))


def test_nobody_to_call_costs_nothing():
    demand = take_customers(draw_demand(5, 2, 1), np.arange(0))
    stream, dials = place_chunk(open_stream(demand, 0, np.ones(6, dtype="int64"), 0), chunk_of(demand, np.arange(0)))
    assert (len(dials), stream.gap, stream.room.sum()) == (0, 0.0, 6)
