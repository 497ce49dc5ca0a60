"""Seats: totals and bounds kept, never worse than given, and hints in the right places."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.settings import Settings
from models.planning.placing import fill_places, lay_free_board, place_by_prices, sum_worth
from models.planning.prices import price_demand
from models.planning.schedule import CallPlan
from models.planning.sequences import build_single_demand
from models.planning.staffing import build_staffing, recommend_dials

PLAIN = Settings()


def value_of(net: np.ndarray, places: np.ndarray) -> float:
    demand = build_single_demand(net, net >= 0)
    prices = price_demand(demand, places).prices
    board = lay_free_board(places, demand)
    place_by_prices(board, demand, prices)
    fill_places(board, demand, net >= 0, prices)
    return sum_worth(board, demand)


def evening_people(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.uniform(0.05, 0.15, (n, 6)) * np.array([1, 1, 1, 1, 3, 3])).astype("float32")


def test_places_move_to_the_hours_in_which_people_answer():
    given_places = np.array([40, 40, 40, 40, 10, 10])
    moved = recommend_dials(evening_people(400), np.ones((400, 6), bool), given_places, PLAIN)
    assert moved.sum() == given_places.sum()
    assert moved.max() <= 40
    assert moved[4:].tolist() == [40, 40]
    assert value_of(evening_people(400), moved) > 1.3 * value_of(evening_people(400), given_places)


def test_nothing_moves_where_time_does_not_matter():
    net = np.repeat(np.random.default_rng(1).uniform(0.05, 0.2, (300, 1)), 6, axis=1).astype("float32")
    given_places = np.array([40, 30, 20, 40, 10, 10])
    assert recommend_dials(net, net > 0, given_places, PLAIN).tolist() == given_places.tolist()


def test_a_closed_slot_stays_closed():
    moved = recommend_dials(evening_people(400), np.ones((400, 6), bool), np.array([40, 40, 40, 40, 10, 0]), PLAIN)
    assert moved[5] == 0


def test_the_setting_raises_or_lowers_the_most_of_a_slot():
    given_places = np.array([40, 40, 40, 40, 10, 10])
    wide = Settings.model_validate({"planning": {"max_slot_dials": 90}})
    narrow = Settings.model_validate({"planning": {"max_slot_dials": 25}})
    net = evening_people(400)
    assert recommend_dials(net, net > 0, given_places, wide)[4:].max() > 40
    assert recommend_dials(net, net > 0, given_places, narrow).max() <= 25


@pytest.mark.parametrize("n", [0, 3])
def test_few_or_no_customers_are_no_trouble(n):
    net = evening_people(n)
    moved = recommend_dials(net, net > 0, np.array([4, 4, 4, 4, 1, 1]), PLAIN)
    assert moved.sum() <= 18
    assert moved.max() <= 4


def test_no_place_at_all_stays_none():
    net = evening_people(3)
    assert recommend_dials(net, net > 0, np.zeros(6, dtype=int), PLAIN).tolist() == [0] * 6


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_seats_keep_total_and_bounds_and_are_never_worth_less(seed):
    rng = np.random.default_rng(seed)
    n, n_slots = int(rng.integers(1, 40)), int(rng.integers(1, 7))
    net = rng.uniform(0, 0.6, (n, n_slots)).astype("float32")
    given_places = rng.integers(0, 9, n_slots)
    moved = recommend_dials(net, net >= 0, given_places, PLAIN)
    assert moved.sum() <= given_places.sum()
    assert moved.min() >= 0
    assert moved.max() <= given_places.max()
    assert value_of(net, moved) >= value_of(net, given_places) * (1 - 1e-6)


def lay_out(hours: list[str], given_places: list[int], recommended: list[int], prices: list[float]) -> pd.DataFrame:
    slots = pd.DataFrame({"slot_start": pd.DatetimeIndex(hours).tz_localize("Asia/Tokyo").as_unit("us")})
    dials = pd.DataFrame({"slot_row": [0, 0], "p_keyman": [0.5, 0.2], "survival": [1.0, 0.5]})
    plan = CallPlan(dials, np.array(prices), 0.6, 0.6, 0.6, 0.0, pd.DataFrame())
    return build_staffing(slots, np.array(given_places), np.array(recommended), np.array(prices), plan, PLAIN)


def test_a_row_of_staffing_states_seats_price_and_contacts():
    row = lay_out(["2026-11-02 09:00"], [24], [36], [0.25]).iloc[0]
    assert (row["dials_given"], row["dials_recommended"], row["agents_recommended"]) == (24, 36, 3.0)
    assert row["seat_price"] == pytest.approx(3.0)  # 12 dials an hour at .25
    assert row["expected_contacts"] == pytest.approx(0.6)
    assert row["hint"] == "add_seats"


def test_the_columns_are_those_of_the_design():
    expected = ["slot_start", "dials_given", "dials_recommended", "agents_recommended"]
    expected += ["seat_price", "expected_contacts", "hint"]
    assert lay_out(["2026-11-02 09:00"], [24], [36], [0.25]).columns.tolist() == expected


def test_breaks_go_to_the_cheapest_freed_hour_training_to_blocks_and_one_to_ones_to_single_hours():
    hours = [f"2026-11-02 {hour:02d}:00" for hour in range(9, 16)]
    prices = [0.2, 0.2, 0.1, 0.2, 0.3, 0.2, 0.3]
    hints = lay_out(hours, [24] * 7, [12, 12, 12, 24, 24, 12, 36], prices)["hint"].tolist()
    assert hints == ["training", "training", "break", "hold", "hold", "one_to_one", "add_seats"]


def test_every_day_with_a_freed_hour_has_a_break():
    hours = ["2026-11-02 09:00", "2026-11-02 10:00", "2026-11-03 09:00"]
    assert lay_out(hours, [24] * 3, [0, 0, 0], [0.2, 0.1, 0.3])["hint"].tolist() == ["one_to_one", "break", "break"]


def test_less_than_half_an_agent_is_not_worth_a_word():
    assert lay_out(["2026-11-02 09:00"] * 1, [24], [20], [0.1])["hint"].tolist() == ["hold"]
