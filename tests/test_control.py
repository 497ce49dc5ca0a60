"""The control arm: the same people every night, called as the log called, with chances that are true."""

import numpy as np
import pandas as pd
import pytest
from test_gains import HOURS, N_SLOTS, SETTINGS, N, centre, noise, scorer_of

from configs.settings import Settings
from models.planning.arms import Given, Ground
from models.planning.control import draw_control, find_control, spread_past_way
from models.planning.outlook import Outlook
from models.planning.past_way import code_segments, read_past_way
from models.planning.schedule import CallPlan, build_call_plan
from models.planning.worth import build_demand

SHARE = 0.4
CONTROLLED = SETTINGS.model_copy(update={"planning": SETTINGS.planning.model_copy(update={"control_share": SHARE})})
PLACES = np.full(N_SLOTS, 12)


def plan_with(settings: Settings, seed: int | None = 0) -> CallPlan:
    tables, slots, eligible = centre()
    rng = None if seed is None else np.random.default_rng(seed)
    return build_call_plan(Outlook(scorer_of(noise(1)), eligible, slots, tables, settings), PLACES, rng=rng)


def lay_ground() -> tuple[Ground, np.ndarray, np.ndarray, np.ndarray]:
    tables, slots, eligible = centre()
    demand = build_demand(scorer_of(noise(1)), eligible, slots, PLACES, tables, SETTINGS)
    nothing = np.zeros(0, dtype=np.int64)
    ground = Ground(demand, PLACES, eligible, Given(nothing, nothing, np.zeros(N, dtype=np.int64)))
    segment = code_segments(tables.customers, SETTINGS)
    is_control = find_control(tables.customers, SHARE, 7)[eligible.eligible_rows]
    return ground, is_control, read_past_way(tables.call_attempts, segment, slots, SETTINGS), segment


def test_without_a_share_or_a_generator_nobody_is_control():
    plain = plan_with(SETTINGS)
    assert set(plain.dials["arm"]) == {"plan"}
    pd.testing.assert_frame_equal(plain.dials, plan_with(CONTROLLED, seed=None).dials, check_exact=True)


def test_control_customers_are_called_by_the_control_arm_only_and_the_others_by_the_plan_only():
    dials = plan_with(CONTROLLED).dials
    is_control = find_control(centre()[0].customers, SHARE, CONTROLLED.seed)
    assert is_control.mean() == pytest.approx(SHARE, abs=0.1)
    drawn = dials[dials["arm"] == "control"]
    assert (is_control[dials["customer_row"]] == (dials["arm"] == "control")).all()
    assert (drawn["slot_row"] < len(HOURS)).all()  # the first day; later ones are drawn when they come
    assert len(drawn) == pytest.approx(SHARE * PLACES[: len(HOURS)].sum(), rel=0.5)
    assert drawn["propensity"].between(0, 1, inclusive="neither").all()
    assert (dials.loc[dials["arm"] == "plan", "propensity"] == 1.0).all()
    per_slot = np.bincount(dials["slot_row"], minlength=N_SLOTS)
    assert (per_slot <= PLACES).all()
    assert (per_slot[: len(HOURS)] == 12).all()


def test_the_arm_stays_the_same_whatever_else_the_night_brings():
    customers = centre()[0].customers
    assert np.array_equal(find_control(customers, 0.3, 7)[100:], find_control(customers.iloc[100:], 0.3, 7))
    assert find_control(customers, 0.2, 7).sum() < find_control(customers, 0.3, 7).sum()
    assert (find_control(customers, 0.3, 7) | ~find_control(customers, 0.2, 7)).all()
    assert not np.array_equal(find_control(customers, 0.3, 7), find_control(customers, 0.3, 8))


def test_the_evening_belongs_to_those_whom_the_log_called_in_the_evening():
    tables, *_ = centre()
    is_woman = (tables.customers["gender"] == "female").to_numpy()
    dials = pd.concat([plan_with(CONTROLLED, seed).dials.query("arm == 'control'") for seed in range(2)])
    is_evening = np.tile(HOURS, 4)[dials["slot_row"]] == 19
    assert is_woman[dials["customer_row"]][is_evening].all()
    assert not is_woman[dials["customer_row"]][~is_evening].any()


def test_chances_are_true_over_many_draws():
    """Weighted by 1 / propensity, every pair counts once on average: Horvitz and Thompson."""
    ground, is_control, shares, segment = lay_ground()
    n_draws, counted, seen = 400, np.zeros((N, len(HOURS))), np.zeros((N, len(HOURS)))
    for seed in range(n_draws):
        drawn = draw_control(ground, is_control, shares, segment, np.random.default_rng(seed))
        np.add.at(counted, (drawn.rows, drawn.slots), 1 / drawn.propensity)
        seen[drawn.rows, drawn.slots] = drawn.propensity
    usual = seen > 0.01
    assert usual.sum() > 50
    assert (counted[usual] / n_draws).mean() == pytest.approx(1.0, abs=0.1)
    assert np.bincount(drawn.slots, minlength=3).max() <= 12


def test_many_places_for_few_make_nobody_certain_twice():
    chance = spread_past_way(np.ones((3, 1)), np.zeros(2, dtype=np.int64), np.ones((2, 3), bool), np.array([5.0, 5, 5]))
    assert chance == pytest.approx(np.full((2, 3), 1 / 3))
