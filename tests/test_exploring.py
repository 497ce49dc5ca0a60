"""Exploration: a share of places drawn by lot, no rule broken, and chances that are true."""

import numpy as np
import pandas as pd
import pytest
from test_schedule import AS_OF, HOUR, people, plan_for, slots_of, times

from configs.settings import Settings
from models.planning.arms import Given, Ground, add_arms, draw_arms, replay
from models.planning.exploring import Lots, find_chances, find_winners
from models.planning.worth import build_demand


def exploring(share: float) -> Settings:
    return Settings.model_validate({"planning": {"explore_share": share}})


def explore(seed: int, share: float = 0.34, n: int = 7, **columns):
    p = np.linspace(0.05, 0.6, n * 6).reshape(n, 6)
    rng = np.random.default_rng(seed)
    slots = slots_of(2, (10, 14, 18))
    return plan_for(people(n, **columns), slots, [1, 1, 1, 1, 1, 1], p, config=exploring(share), rng=rng)


def draw_again(n_draws: int, share: float, n: int = 7, **columns):
    """The arms of one plan, drawn again and again; planning itself is not repeated."""
    p = np.linspace(0.05, 0.6, n * 6).reshape(n, 6)
    plan, eligible, tables, slots, places = plan_for(people(n, **columns), slots_of(2, (10, 14, 18)), [1] * 6, p)
    demand = build_demand(lambda rows, _: p[rows].astype("float32"), eligible, slots, places, tables, Settings())
    nothing = np.zeros(0, dtype=np.int64)
    ground = Ground(demand, places, eligible, Given(nothing, nothing, np.zeros(n, dtype=np.int64)))
    row = np.searchsorted(eligible.eligible_rows, plan.dials["customer_row"])
    planned = np.column_stack([row, plan.dials["slot_row"]]).astype(np.int64)
    for seed in range(n_draws):
        lots = draw_arms(ground, share, np.random.default_rng(seed))
        board = replay(ground, planned, plan.prices, lots)
        dials = pd.DataFrame(board.dials[: board.n_dials[0]].copy(), columns=["eligible_row", "slot_row"])
        yield add_arms(dials, ground, planned, plan.prices, lots)


def test_without_a_share_every_dial_is_the_plans_own_and_certain():
    plan = explore(0, share=0.0)[0]
    assert set(plan.dials["arm"]) == {"plan"}
    assert (plan.dials["propensity"] == 1.0).all()


def test_the_share_of_the_first_day_is_met_on_average_and_no_place_is_used_twice():
    n_explored = []
    for dials in draw_again(300, share=0.5):
        explored = dials[dials["arm"] == "explore"]
        n_explored.append(len(explored))
        assert (explored["slot_row"] < 3).all()
        assert dials.groupby("slot_row").size().max() == 1
        assert dials["propensity"].between(0, 1, inclusive="right").all()
        assert (dials.loc[dials["slot_row"] >= 3, "propensity"] == 1.0).all()
    assert 1.0 < np.mean(n_explored) <= 1.6  # 1.5 places; a little less where two wanted the same one


def test_the_same_seed_draws_the_same_lots():
    one, two, other = explore(5)[0], explore(5)[0], explore(6)[0]
    pd.testing.assert_frame_equal(one.dials, two.dials, check_exact=True)
    assert not one.dials.equals(other.dials)


def test_a_promise_takes_no_part_and_is_certain():
    promised = times([AS_OF + 10 * HOUR, *[None] * 6])
    for seed in range(5):
        dials = explore(seed, share=0.67, callback_at=promised)[0].dials
        kept = dials[(dials["customer_row"] == 0) & (dials["slot_row"] == 0)]
        assert kept[["arm", "propensity"]].to_numpy().tolist() == [["plan", 1.0]]


def test_chances_are_true_over_many_draws():
    """Weighted by 1 / propensity, every pair that can be dialled counts once on average: Horvitz and Thompson."""
    n_draws, n = 1500, 5
    counted = np.zeros((n, 3))
    columns = {"phone": pd.Series(["1", "1", None, None, None], dtype="object")}
    for dials in draw_again(n_draws, share=0.5, n=n, **columns):
        firm = dials[dials["slot_row"] < 3]
        np.add.at(counted, (firm["eligible_row"], firm["slot_row"]), 1 / firm["propensity"])
    mean = counted / n_draws
    assert mean == pytest.approx(np.ones((n, 3)), abs=0.6)
    assert mean.mean() == pytest.approx(1.0, abs=0.08)


def test_a_phone_alone_wins_for_certain():
    one = np.ones((1, 1), dtype="int64")
    lots = Lots(np.array([1]), np.ones(1), one, np.zeros(1, "int64"), np.zeros(1, "int64"), np.array([0.9]))
    pair, nothing = find_chances(lots)
    assert (pair.item(), nothing.item()) == (1.0, 0.0)
    assert find_winners(lots).tolist() == [0]
    assert find_winners(lots, without=0).tolist() == []


def test_an_explorer_is_dialled_once_a_day_and_the_plan_says_what_it_cost():
    for seed in range(5):
        plan, *_ = explore(seed, share=1.0)
        day = plan.dials["slot_row"] // 3
        assert not plan.dials.assign(day=day).duplicated(["customer_row", "day"]).any()
        assert plan.objective <= plan.upper_bound + 1e-9


def test_every_customer_is_drawn_about_as_often():
    won = np.zeros(7)
    for dials in draw_again(600, share=0.34):
        won[dials.loc[dials["arm"] == "explore", "eligible_row"]] += 1
    assert won.min() > 0.6 * won.mean()
    assert won.max() < 1.4 * won.mean()
