"""What the sample world says is true is what its people do."""

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.world import World, build_world
from pipelines.world.prefectures import PREFECTURES
from pipelines.world.rhythms import (
    PARTS,
    RHYTHMS,
    assign_parts,
    is_day_off,
    is_holiday,
    rhythm_effects,
    rhythm_shares,
)
from pipelines.world.sizes import KINDS, Sizes

END = date(2026, 11, 2)
WEEK = pd.date_range("2026-11-09 09:00", periods=7 * 24, freq="h", tz="Asia/Tokyo")
WEEK = WEEK[(WEEK.hour >= 9) & (WEEK.hour < 21)]  # a week without a holiday


@pytest.fixture(scope="module")
def worlds() -> Callable[[str], World]:
    built = {kind: build_world(6_000, 3, np.random.default_rng(7), END, kind) for kind in KINDS}
    return built.__getitem__


@pytest.fixture(scope="module")
def carrier(worlds: Callable[[str], World]) -> World:
    return worlds("carrier")


def _rows(world: World) -> np.ndarray:
    return world.call_attempts["customer_id"].str[1:].astype(int).to_numpy() - 1


def _sigmas(world: World, groups: Any) -> pd.Series:
    """Contacts beyond the expected ones in each group, in standard deviations."""
    p = pd.Series(world.truth.attempt_p.astype(float))
    is_contact = (world.call_attempts["outcome"] == "keyman_contact").astype(float)
    surplus, variance = (is_contact - p).groupby(groups).sum(), (p * (1 - p)).groupby(groups).sum()
    return (surplus / variance**0.5)[variance > 5]


@pytest.mark.parametrize("kind", list(KINDS))
def test_contacts_happen_as_often_as_the_truth_says(worlds: Callable[[str], World], kind: str) -> None:
    world = worlds(kind)
    at = world.call_attempts["attempted_at"].dt
    assert _sigmas(world, np.zeros(len(world.call_attempts))).abs().max() < 4
    assert _sigmas(world, pd.qcut(world.truth.attempt_p, 10, labels=False, duplicates="drop")).abs().max() < 4
    assert _sigmas(world, at.hour).abs().max() < 4
    assert _sigmas(world, at.day_of_week).abs().max() < 4
    assert _sigmas(world, world.truth.attempt_number).abs().max() < 4


def test_fatigue_is_what_the_log_itself_shows(carrier: World) -> None:
    attempts = carrier.call_attempts
    is_failure = (attempts["outcome"] != "keyman_contact").to_numpy()
    ago = (pd.Timestamp(END) - attempts["attempted_at"].dt.tz_localize(None).dt.normalize()).dt.days.to_numpy()
    weight = 0.5 ** (ago / carrier.truth.sizes.fatigue_half_life_days) * is_failure
    by_part = np.zeros_like(carrier.truth.by_part)
    np.add.at(by_part, (_rows(carrier), assign_parts(pd.DatetimeIndex(attempts["attempted_at"]))), weight)
    np.testing.assert_allclose(carrier.truth.by_part, by_part, atol=1e-4)
    np.testing.assert_allclose(carrier.truth.overall, by_part.sum(axis=1), atol=1e-4)


def test_the_truth_is_the_documented_formula(carrier: World) -> None:
    truth, sizes, row, slot = carrier.truth, carrier.truth.sizes, 17, pd.Timestamp("2026-11-05 19:00")
    part = PARTS.index("weekday_evening")
    left = 0.5 ** (3 / sizes.fatigue_half_life_days)
    rhythm = rhythm_effects(pd.DatetimeIndex([slot]), sizes, END)[truth.people.rhythm[row], 0]
    logit = sizes.base_logit + truth.people.level[row] + rhythm + truth.people.part_effects[row, part]
    logit -= sizes.fatigue_per_dial * truth.overall[row] * left
    logit -= sizes.fatigue_same_part * truth.by_part[row, part] * left
    assert not truth.people.has_wrong_number[row]
    assert carrier.true_p([row], [slot])[0, 0] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)


def test_blocks_of_customers_make_no_difference(carrier: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = carrier.true_p(range(500), WEEK)
    monkeypatch.setattr("pipelines.world.truth._BLOCK_ROWS", 7)
    assert (carrier.true_p(range(500), WEEK) == whole).all()


def test_the_truth_follows_the_order_of_rows_and_slots_asked_for(carrier: World) -> None:
    p = carrier.true_p([3, 1, 2], WEEK[[5, 0]])
    assert p.dtype == np.float32
    assert (p[[1, 2, 0]] == carrier.true_p([1, 2, 3], WEEK[[5, 0]])).all()
    assert (p[:, [1, 0]] == carrier.true_p([3, 1, 2], WEEK[[0, 5]])).all()


def test_naive_slots_are_tokyo_and_other_zones_are_converted(carrier: World) -> None:
    in_tokyo = carrier.true_p(range(50), ["2026-11-04 19:00"])
    assert (carrier.true_p(range(50), [pd.Timestamp("2026-11-04 10:00", tz="UTC")]) == in_tokyo).all()


def test_asking_before_the_run_date_is_refused(carrier: World) -> None:
    with pytest.raises(ValueError, match="before the run date"):
        carrier.true_p([0], ["2026-11-01 20:00"])


def test_a_wrong_number_never_reaches_the_keyman(carrier: World) -> None:
    wrong = np.flatnonzero(carrier.truth.people.has_wrong_number)
    assert 0.03 < len(wrong) / 6_000 < 0.07
    assert (carrier.true_p(wrong, WEEK) == 0).all()
    reached = _rows(carrier)[(carrier.call_attempts["outcome"] == "keyman_contact").to_numpy()]
    assert not set(wrong.tolist()) & set(reached.tolist())
    found_out = _rows(carrier)[(carrier.call_attempts["outcome"] == "wrong_number").to_numpy()]
    assert set(found_out.tolist()) <= set(wrong.tolist())


def test_each_further_failed_dial_lowers_the_chance(carrier: World) -> None:
    right = np.flatnonzero(~carrier.truth.people.has_wrong_number)
    p = np.stack([carrier.true_p(right, WEEK, n_failed) for n_failed in range(4)])
    assert (np.diff(p, axis=0) < 0).all()


def test_further_failed_dials_cost_what_the_docstring_says(carrier: World) -> None:
    sizes = carrier.truth.sizes
    right = np.flatnonzero(~carrier.truth.people.has_wrong_number)[:20]
    decay = 0.5 ** (1 / sizes.fatigue_half_life_days)
    cost = (decay + decay**2) * (sizes.fatigue_per_dial + sizes.fatigue_same_part / 6)
    before, after = (carrier.true_p(right, WEEK[:3], n_failed).astype(float) for n_failed in (0, 2))
    np.testing.assert_allclose(np.log(before / (1 - before)) - np.log(after / (1 - after)), cost, atol=1e-4)


def test_waiting_lets_fatigue_fade(carrier: World) -> None:
    tired = np.flatnonzero((carrier.truth.overall > 2) & ~carrier.truth.people.has_wrong_number)
    soon, later = carrier.true_p(tired, ["2026-11-05 15:00", "2026-11-12 15:00"]).T
    assert len(tired) > 100
    assert (later > soon).mean() > 0.9  # the week of the month differs a little as well


def test_the_first_dials_of_a_plan_are_as_without_a_plan(carrier: World) -> None:
    rows, slots = np.arange(60), WEEK[np.arange(60) % len(WEEK)]
    alone = carrier.true_p(rows, slots)[np.arange(60), np.arange(60)]
    np.testing.assert_allclose(carrier.true_plan_p(rows, slots), alone, rtol=1e-6)


def test_repeating_the_same_part_of_the_week_costs_more_than_changing_it(carrier: World) -> None:
    row = int(np.flatnonzero(~carrier.truth.people.has_wrong_number)[0])
    evening, morning = "2026-11-10 19:00", "2026-11-10 10:00"
    alone, after_evening, after_morning = (
        carrier.true_plan_p([row] * len(slots), slots)[-1]
        for slots in (["2026-11-11 19:00"], [evening, "2026-11-11 19:00"], [morning, "2026-11-11 19:00"])
    )
    assert after_evening < after_morning < alone


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 83)), min_size=1, max_size=25))
def test_a_plans_truth_is_that_of_dialling_it_day_by_day(planned: list[tuple[int, int]]) -> None:
    world = _small_world()
    sizes, truth = world.truth.sizes, world.truth
    rows, slots = np.array([row for row, _ in planned]), WEEK[[slot for _, slot in planned]]
    p = world.true_plan_p(rows, slots)
    parts = assign_parts(slots)
    for here in range(len(rows)):
        cost = 0.0
        for there in range(len(rows)):
            gap = (slots[here].normalize() - slots[there].normalize()).days
            if rows[there] == rows[here] and gap > 0:
                left = 0.5 ** (gap / sizes.fatigue_half_life_days)
                cost += left * (sizes.fatigue_per_dial + sizes.fatigue_same_part * (parts[there] == parts[here]))
        alone = float(truth.true_p([rows[here]], [slots[here]])[0, 0])
        expected = alone / (alone + (1 - alone) * np.exp(cost))
        assert p[here] == pytest.approx(expected, abs=1e-5)


_SMALL: list[World] = []


def _small_world() -> World:
    if not _SMALL:
        _SMALL.append(build_world(60, 1, np.random.default_rng(11), END))
    return _SMALL[0]


def test_a_plan_needs_one_slot_for_each_row(carrier: World) -> None:
    with pytest.raises(ValueError, match="one slot for each row"):
        carrier.true_plan_p([1, 2], WEEK[:3])


def test_the_best_hour_of_the_population_is_as_published(carrier: World) -> None:
    by_hour = pd.Series(carrier.true_p(range(6_000), WEEK).mean(axis=0)).groupby(WEEK.hour).mean()
    assert 1.07 <= by_hour.max() / by_hour.mean() <= 1.15


def test_persons_have_far_better_hours_than_the_population(carrier: World) -> None:
    p = carrier.true_p(np.flatnonzero(~carrier.truth.people.has_wrong_number), WEEK)
    assert (p.max(axis=1) / p.mean(axis=1)).mean() > 1.5
    assert p.mean(axis=1).std() > 0.04


def test_segments_have_better_hours_of_their_own(carrier: World) -> None:
    people = carrier.truth.people
    young_men, old = (people.age < 30) & (people.gender == 0), people.age >= 70
    evening = (WEEK.hour >= 18) & (WEEK.day_of_week < 5)
    morning = (WEEK.hour < 12) & (WEEK.day_of_week < 5)
    of_young = carrier.true_p(np.flatnonzero(young_men), WEEK).mean(axis=0)
    of_old = carrier.true_p(np.flatnonzero(old), WEEK).mean(axis=0)
    assert of_young[evening].mean() > 1.3 * of_young[morning].mean()
    assert of_old[morning].mean() > 1.2 * of_old[evening].mean()


def test_time_alone_tells_contacts_apart_as_little_as_published(carrier: World) -> None:
    at = carrier.call_attempts["attempted_at"].dt
    weekly = pd.Series(carrier.true_p(range(6_000), WEEK).mean(axis=0), index=[WEEK.day_of_week, WEEK.hour])
    score = weekly.reindex(pd.MultiIndex.from_arrays([at.day_of_week, at.hour])).to_numpy()
    is_contact = (carrier.call_attempts["outcome"] == "keyman_contact").to_numpy()
    rank = pd.Series(score).rank().to_numpy()
    n = is_contact.sum()
    area = (rank[is_contact].sum() - n * (n + 1) / 2) / (n * (~is_contact).sum())
    assert 0.505 < area < 0.54


def test_without_time_effects_every_slot_is_the_same(worlds: Callable[[str], World]) -> None:
    world = worlds("no_time")
    p = world.true_p(range(6_000), world.capacity["slot_start"])
    assert (p == p[:, :1]).all()
    assert p[:, 0].std() > 0.02
    assert (world.true_p(range(6_000), WEEK, n_failed=3) == p[:, :1]).all()
    assert pd.Series(world.truth.attempt_p).groupby(_rows(world)).nunique().max() == 1


def test_in_the_persons_world_persons_differ_more_and_segments_less(worlds: Callable[[str], World]) -> None:
    by_person, by_segment = {}, {}
    for kind in ("carrier", "persons"):
        people = worlds(kind).truth.people
        p = worlds(kind).true_p(np.flatnonzero(~people.has_wrong_number), WEEK)
        segment = np.digitize(people.age, [30, 60])[~people.has_wrong_number]
        curves = np.stack([p[segment == band].mean(axis=0) for band in range(3)])
        by_person[kind] = (p.max(axis=1) / p.mean(axis=1)).mean()
        by_segment[kind] = (curves.max(axis=1) / curves.mean(axis=1)).mean()
    assert by_person["persons"] > 1.2 * by_person["carrier"]
    assert by_segment["persons"] < by_segment["carrier"] - 0.05


def test_drift_moves_habits_in_the_last_weeks_only() -> None:
    early, late = pd.date_range("2026-09-07 09:00", periods=12, freq="h"), WEEK[:12]
    still, drifting = KINDS["carrier"], KINDS["drift"]
    assert (rhythm_effects(early, still, END) == rhythm_effects(early, drifting, END)).all()
    before, after = rhythm_effects(late, still, END), rhythm_effects(late, drifting, END)
    assert before[RHYTHMS.index("office")].argmax() >= 10
    assert after[RHYTHMS.index("office")].argmax() < 3


def test_the_worlds_differ_in_time_and_not_in_who_lives_there(worlds: Callable[[str], World]) -> None:
    for kind in KINDS:
        assert (worlds(kind).truth.people.age == worlds("carrier").truth.people.age).all()
        assert (worlds(kind).truth.people.gender == worlds("carrier").truth.people.gender).all()


def test_holidays_are_days_off() -> None:
    days = pd.DatetimeIndex(["2026-11-02", "2026-11-03", "2026-11-07", "2026-09-22"])
    assert is_holiday(days).tolist() == [False, True, False, True]
    assert is_day_off(days).tolist() == [False, True, True, True]


@pytest.mark.parametrize(
    ("slot", "part"),
    [
        ("2026-11-04 09:00", "weekday_morning"),
        ("2026-11-04 12:00", "weekday_afternoon"),
        ("2026-11-04 17:00", "weekday_evening"),
        ("2026-11-03 11:30", "weekend_morning"),
        ("2026-11-08 16:59", "weekend_afternoon"),
        ("2026-11-07 20:00", "weekend_evening"),
    ],
)
def test_the_week_has_six_parts(slot: str, part: str) -> None:
    assert PARTS[assign_parts(pd.DatetimeIndex([slot]))[0]] == part


def test_holidays_and_the_week_of_the_month_matter() -> None:
    wednesdays = pd.DatetimeIndex(["2026-10-07 15:00", "2026-10-14 15:00", "2026-10-28 15:00"])
    effects = rhythm_effects(wednesdays, Sizes(), END)[RHYTHMS.index("office")]
    assert effects[0] > effects[1] > effects[2]
    holiday, sunday = rhythm_effects(pd.DatetimeIndex(["2026-11-03 15:00", "2026-11-01 15:00"]), Sizes(), END).T
    assert holiday[RHYTHMS.index("shop")] < sunday[RHYTHMS.index("shop")]


def test_every_rhythm_averages_to_nothing_over_an_ordinary_week() -> None:
    by_rhythm = rhythm_effects(WEEK, Sizes(), END).mean(axis=1)
    assert np.abs(by_rhythm).max() < 0.08  # what is left is the week of the month


@given(st.integers(18, 100), st.integers(0, 2), st.integers(0, len(PREFECTURES) - 1), st.floats(0, 1))
def test_rhythm_shares_are_probabilities(age: int, gender: int, region: int, strength: float) -> None:
    shares = rhythm_shares(
        np.array([age]),
        np.array([gender], np.int8),
        np.array([region], np.int8),
        np.ones((len(PREFECTURES), len(RHYTHMS))),
        Sizes(segment_strength=strength),
    )
    assert shares.shape == (1, 6)
    assert (shares >= 0).all()
    assert shares.sum() == pytest.approx(1)


def test_cities_have_more_offices_than_the_country() -> None:
    region = np.array([[place.name for place in PREFECTURES].index(name) for name in ("Tokyo", "Shimane")], np.int8)
    tilt = np.ones((len(PREFECTURES), len(RHYTHMS)))
    tokyo, shimane = rhythm_shares(np.array([40, 40]), np.zeros(2, np.int8), region, tilt, Sizes())
    assert tokyo[RHYTHMS.index("office")] > shimane[RHYTHMS.index("office")]
