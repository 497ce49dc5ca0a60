"""Off-policy estimators against worlds whose truth is known: right when they may be, fooled when they must be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from simulated_choices import IS_EVENING, Choices, draw_choices, redraw

from models.contact.policy_value import PolicyValue, count_effective, soften, tilt_policy, value_policy

MANY = 60_000


def tilt(choices: Choices, heat: float = 0.05) -> np.ndarray:
    """The logged way, tilted to the truly better slots."""
    return tilt_policy(choices.logged, choices.p, choices.logged.sum(axis=0), heat)


def value(
    choices: Choices, target: np.ndarray, p: np.ndarray | None = None, propensity: np.ndarray | None = None
) -> PolicyValue:
    """Value a target; outcome model and propensities are the true ones unless others are given."""
    p = choices.p if p is None else p
    propensity = choices.propensity if propensity is None else propensity
    return value_policy(target, p, choices.chosen, propensity, choices.is_contact, np.random.default_rng(0), 60)


def usual_propensity(choices: Choices) -> np.ndarray:
    """What one who knows no habit takes for the chance of a slot: its share of all dials."""
    return (choices.places / len(choices.chosen))[choices.chosen]


def test_nine_of_ten_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(5)
    choices = draw_choices(2_000, rng, timing=1.0, habit=0.5, confounding=0.5)
    target = tilt(choices)
    truth = float((target * choices.p).sum() / (choices.logged * choices.p).sum())
    held = []
    for _ in range(200):
        told = value(redraw(choices, rng), target)
        held.append([e.low <= truth <= e.high for e in (told.snips, told.doubly_robust)])
    assert np.mean(held, axis=0) == pytest.approx([0.9, 0.9], abs=0.06)


def test_intervals_are_as_wide_as_estimates_scatter() -> None:
    rng = np.random.default_rng(6)
    choices = draw_choices(1_500, rng, timing=1.0)
    target = tilt(choices)
    told = [value(redraw(choices, rng), target).doubly_robust for _ in range(80)]
    scatter = np.std([e.ratio for e in told])
    assert np.mean([e.high - e.low for e in told]) == pytest.approx(2 * 1.645 * scatter, rel=0.25)


def test_supervisors_who_call_hard_people_in_the_evening_fool_nobody_who_knows_that_they_do() -> None:
    choices = draw_choices(MANY, np.random.default_rng(1), timing=0.0, confounding=1.5)
    target = np.tile(IS_EVENING / IS_EVENING.sum(), (MANY, 1))
    truth = choices.true_ratio(target)
    assert truth == pytest.approx(1.0, abs=0.01)
    naive = value(choices, target, np.full_like(choices.p, 0.15), usual_propensity(choices))
    assert naive.snips.high < 0.85
    assert naive.doubly_robust.high < 0.85
    told = value(choices, target)
    assert told.snips.low <= truth <= told.snips.high
    assert told.doubly_robust.low <= truth <= told.doubly_robust.high


def test_one_of_two_models_may_be_wrong_but_not_both() -> None:
    choices = draw_choices(MANY, np.random.default_rng(2), timing=1.0, confounding=1.5)
    target = tilt_policy(np.full_like(choices.p, 1 / 12), choices.p, np.full(12, MANY / 12), 0.05)
    target = np.where(IS_EVENING, 2.0, 0.5) * target  # and more in the evening, where hard people are called
    target /= target.sum(axis=1, keepdims=True)
    wrong_p, wrong_propensity = np.full_like(choices.p, 0.3), usual_propensity(choices)
    truth = choices.true_ratio(target)
    assert value(choices, target, wrong_p).doubly_robust.ratio == pytest.approx(truth, abs=0.025)
    wrong = value(choices, target, choices.p, wrong_propensity)
    assert wrong.doubly_robust.ratio == pytest.approx(truth, abs=0.025)
    assert wrong.snips.ratio < truth - 0.06
    assert value(choices, target, wrong_p, wrong_propensity).doubly_robust.ratio < truth - 0.06


def test_where_time_does_not_matter_every_move_is_worth_one() -> None:
    rng = np.random.default_rng(3)
    choices = draw_choices(20_000, rng, timing=0.0, habit=0.5)
    noise = choices.p * np.exp(rng.normal(0, 0.2, choices.p.shape))
    target = tilt_policy(choices.logged, noise, choices.logged.sum(axis=0), 0.03)
    assert (target * noise).sum() / (choices.logged * noise).sum() > 1.05  # what its own noise promises
    told = value(choices, target, noise)
    for estimate in (told.snips, told.doubly_robust):
        assert estimate.ratio == pytest.approx(1.0, abs=0.03)
        assert estimate.low < 1.0 < estimate.high


def test_leaving_everything_as_it_is_is_worth_exactly_one() -> None:
    choices = draw_choices(2_000, np.random.default_rng(4))
    told = value(choices, choices.logged)
    assert told.snips.ratio == pytest.approx(1.0)
    assert (told.effective_dials, told.mean_weight) == pytest.approx((2_000, 1.0))
    assert told.largest_weight == pytest.approx(1 / 2_000)


def test_weights_average_the_share_of_the_target_that_was_ever_tried() -> None:
    choices = draw_choices(50_000, np.random.default_rng(8), timing=0.0)
    only_first = np.zeros_like(choices.p)
    only_first[:, 0] = 1.0
    told = value(choices, only_first, propensity=np.ones(50_000))  # a table that says: it could not have been otherwise
    assert told.mean_weight == pytest.approx(1 / 12, rel=0.05)


@given(st.integers(2, 30), st.integers(2, 6), st.floats(0.003, 3.0), st.integers(0, 10_000))
def test_tilting_keeps_rows_and_places_and_never_lowers_what_the_model_expects(
    n: int, n_slots: int, heat: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    base = rng.random((n, n_slots)) + 0.1
    base /= base.sum(axis=1, keepdims=True)
    p, places = rng.random((n, n_slots)), base.sum(axis=0)
    target = tilt_policy(base, p, places, heat)
    assert target.sum(axis=1) == pytest.approx(np.ones(n))
    if heat > 0.1:  # colder ones may stop before every place is filled to the last thousandth
        assert target.sum(axis=0) == pytest.approx(places, abs=0.001 * n)
        assert (target * p).sum() >= (base * p).sum() - 0.001 * n
    assert target.min() >= 0.0


def test_the_coldest_tilt_is_the_best_assignment() -> None:
    rng = np.random.default_rng(9)
    p = rng.random((40, 40))
    best = p[linear_sum_assignment(p, maximize=True)].sum()
    target = tilt_policy(np.full((40, 40), 1 / 40), p, np.ones(40), 0.002)
    assert (target * p).sum() == pytest.approx(best, rel=0.01)


def test_the_colder_the_more_is_expected_and_the_fewer_dials_tell_it() -> None:
    choices = draw_choices(3_000, np.random.default_rng(10))
    told = [value(choices, tilt(choices, heat)) for heat in (10.0, 0.1, 0.03, 0.01)]
    expected = [(tilt(choices, heat) * choices.p).sum() for heat in (10.0, 0.1, 0.03, 0.01)]
    assert np.diff(expected).min() > 0
    assert np.diff([v.effective_dials for v in told]).max() < 0


@pytest.mark.parametrize("share", [0.9, 0.5])
def test_softening_leaves_the_effective_sample_that_was_asked_for(share: float) -> None:
    choices = draw_choices(3_000, np.random.default_rng(11), timing=1.5)
    heat = soften(choices.logged, choices.p, choices.chosen, choices.propensity, share)
    assert value(choices, tilt(choices, heat)).effective_dials == pytest.approx(share * 3_000, rel=0.03)


@given(st.lists(st.floats(0.01, 100.0), min_size=1, max_size=50))
def test_the_effective_sample_lies_between_one_and_all(weights: list[float]) -> None:
    assert 1 - 1e-9 <= count_effective(np.array(weights)) <= len(weights) + 1e-9
