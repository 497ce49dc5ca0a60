"""The sample world's centre: its roster, its habits, its book, and what happens on a dial."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.world.answers import CONTACT, OUTCOMES, THIRD_PARTY, WRONG_NUMBER, Answers, draw_answers, draw_seconds
from pipelines.world.book import MAX_ATTEMPTS, Book, open_book
from pipelines.world.centre import (
    assign_agents,
    build_capacity,
    draw_agents,
    habit_weights,
    opening_slots,
    retry_weights,
    round_dials,
    slot_dials,
    theme_weights,
)
from pipelines.world.people import People, draw_people
from pipelines.world.sizes import Sizes

NO_ANSWER = OUTCOMES.index("no_answer")


@pytest.fixture(scope="module")
def people() -> People:
    return draw_people(20_000, Sizes(), np.random.default_rng(7))


def _answers(outcome: int, refused: bool = False, converted: bool = False) -> Answers:
    return Answers(np.array([outcome], np.int8), np.array([refused]), np.array([converted]))


def _book(n: int = 1) -> Book:
    book = open_book(np.zeros(n, bool), 30, np.random.default_rng(7))
    book.listed_day[:] = 0
    return book


def test_the_reference_centre_has_some_45_000_places_in_the_week_after_the_log() -> None:
    capacity = build_capacity(date(2026, 11, 2), 150_000)
    week = capacity[capacity["slot_start"] < pd.Timestamp("2026-11-09", tz="Asia/Tokyo")]
    assert len(week) == 84
    assert 42_000 < week["dials"].sum() < 48_000
    assert week["dials"].min() > 0


def test_holidays_are_staffed_like_sundays() -> None:
    capacity = build_capacity(date(2026, 11, 2), 150_000)
    per_day = capacity.groupby(capacity["slot_start"].dt.day)["dials"].sum()
    assert per_day[3] == pytest.approx(per_day[8], rel=0.01)  # Culture Day, Sunday
    assert per_day[3] < 0.6 * per_day[4]


def test_places_grow_with_the_list() -> None:
    slots = opening_slots(date(2026, 11, 9), 7)
    assert slot_dials(slots, 2_000).sum() == pytest.approx(2 * slot_dials(slots, 1_000).sum())


def test_slots_are_the_opening_hours_of_each_day_in_tokyo() -> None:
    slots = opening_slots(date(2026, 12, 31), 2)
    assert len(slots) == 24
    assert str(slots[0]) == "2026-12-31 09:00:00+09:00"
    assert str(slots[-1]) == "2027-01-01 20:00:00+09:00"


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=200))
def test_whole_dials_add_up_to_the_given_ones(dials: list[float]) -> None:
    whole = round_dials(np.array(dials))
    assert (whole >= 0).all()
    assert np.abs(whole.cumsum() - np.cumsum(dials)).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("n_customers", [1, 8_000, 150_000])
def test_there_are_agents_of_both_teams_and_of_every_skill(n_customers: int) -> None:
    agents = draw_agents(n_customers, np.random.default_rng(7))
    assert len(agents) >= 4
    assert set(agents["team"]) == {"early", "late"}
    assert set(agents["skill"]) == {"trainee", "standard", "skilled"}
    assert agents["age"].between(20, 60).all()
    assert agents["agent_id"].is_unique


def test_every_agent_of_a_shift_takes_dials() -> None:
    agents = draw_agents(30_000, np.random.default_rng(7))
    taken = assign_agents(np.repeat(np.arange(9, 21), 500), agents, np.random.default_rng(7))
    assert set(taken.tolist()) == set(range(len(agents)))


def test_habits_weigh_the_same_segment_alike_but_for_the_heat_of_the_list(people: People) -> None:
    weights = habit_weights(people) / people.list_heat[:, None]
    is_young_man = (people.age < 30) & (people.gender == 0)
    assert np.ptp(weights[is_young_man], axis=0).max() < 1e-5
    assert (weights > 0).all()


def test_a_theme_lifts_some_prefectures_on_weekdays_and_none_on_saturdays_and_sundays(people: People) -> None:
    for weekday in range(5):
        assert 0 < (theme_weights(people, weekday) > 1).mean() < 0.7
    assert (theme_weights(people, 5) == 1).all()
    assert (theme_weights(people, 6) == 1).all()


def test_retries_come_after_two_to_five_days() -> None:
    assert retry_weights(np.array([1, 2, 5, 6, 10_000])).tolist() == [0.5, 2.0, 2.0, 1.0, 1.0]


def test_people_spread_over_ages_genders_and_the_whole_country(people: People) -> None:
    assert (people.age.min(), people.age.max()) == (20, 89)
    assert np.bincount(people.gender, minlength=3).min() > 100
    assert len(set(people.region.tolist())) == 47
    assert len(set(people.rhythm.tolist())) == 6


def test_persons_differ_from_their_segment(people: People) -> None:
    segment = pd.MultiIndex.from_arrays([people.age // 10, people.gender])
    within = pd.Series(people.level, index=segment).groupby(level=[0, 1]).std().dropna()
    assert (within > 0.4).all()
    assert people.part_effects.std(axis=0).tolist() == pytest.approx([0.35] * 6, rel=0.05)


def test_older_people_and_men_are_reached_more(people: People) -> None:
    assert people.level[people.age >= 70].mean() > people.level[people.age < 50].mean() + 0.2
    assert people.level[people.gender == 0].mean() > people.level[people.gender == 1].mean() + 0.2


def test_a_keyman_contact_happens_with_exactly_its_chance(people: People) -> None:
    rows = np.arange(20_000)
    p = np.linspace(0, 1, 20_000, dtype=np.float32)
    answers = draw_answers(p, rows, 15, np.ones(20_000), people, Sizes(), np.random.default_rng(7))
    is_contact = answers.outcome == CONTACT
    for tenth in np.split(rows, 10):
        assert is_contact[tenth].mean() == pytest.approx(p[tenth].mean(), abs=0.04)
    assert not is_contact[p == 0].any()
    assert is_contact[p == 1].all()


def test_other_outcomes_share_what_is_left(people: People) -> None:
    sizes, rows = Sizes(), np.flatnonzero(~people.has_wrong_number)
    answers = draw_answers(np.zeros(len(rows), np.float32), rows, 15, np.ones(len(rows)), people, sizes, _rng())
    shares = np.bincount(answers.outcome, minlength=len(OUTCOMES)) / len(rows)
    assert shares[OUTCOMES.index("busy")] == pytest.approx(sizes.busy_rate, abs=0.006)
    assert shares[OUTCOMES.index("failed")] == pytest.approx(sizes.failed_rate, abs=0.004)
    assert shares[THIRD_PARTY] == pytest.approx(sizes.third_party_rate, abs=0.01)
    assert shares[WRONG_NUMBER] == 0
    assert shares[CONTACT] == 0


def test_machines_answer_more_in_the_evening(people: People) -> None:
    rows = np.arange(20_000)
    morning, evening = (
        draw_answers(np.zeros(20_000, np.float32), rows, hour, np.ones(20_000), people, Sizes(), _rng()).outcome
        for hour in (9, 20)
    )
    voicemail = OUTCOMES.index("voicemail")
    assert (evening == voicemail).mean() > (morning == voicemail).mean() + 0.05


def test_nobody_refuses_and_buys_at_once_and_skill_sells(people: People) -> None:
    rows, sure = np.arange(20_000), np.ones(20_000, np.float32)
    weak, strong = (
        draw_answers(sure, rows, 15, np.full(20_000, skill), people, Sizes(), _rng()) for skill in (0.5, 2.0)
    )
    assert (weak.refused == strong.refused).all()
    assert not (strong.refused & strong.converted).any()
    assert strong.converted.sum() > 2 * weak.converted.sum()


def test_a_sale_takes_longer_than_another_contact() -> None:
    outcome, rng = np.full(4_000, CONTACT, np.int8), np.random.default_rng(7)
    _, talk, _ = draw_seconds(outcome, np.arange(4_000) % 2 == 0, rng)
    assert np.median(talk[::2]) == pytest.approx(3 * np.median(talk[1::2]), rel=0.15)
    assert (talk == np.rint(talk)).all()


@pytest.mark.parametrize(
    ("answers", "is_done", "is_barred"),
    [
        (_answers(NO_ANSWER), False, False),
        (_answers(THIRD_PARTY), False, False),
        (_answers(THIRD_PARTY, refused=True), True, True),
        (_answers(WRONG_NUMBER), True, True),
        (_answers(CONTACT), True, False),
        (_answers(CONTACT, refused=True), True, True),
        (_answers(CONTACT, converted=True), True, True),
    ],
)
def test_the_book_knows_what_ends_a_listing_and_what_bars_for_good(
    answers: Answers, is_done: bool, is_barred: bool
) -> None:
    book = _book()
    book.note_answers(np.array([0]), 2, 0, answers)
    assert (book.is_done[0], book.is_barred[0]) == (is_done, is_barred)


def test_the_tenth_attempt_is_the_last_of_a_listing() -> None:
    book = _book()
    for day in range(MAX_ATTEMPTS):
        assert book.callable_rows(day).tolist() == [0]
        book.note_answers(np.array([0]), 0, day, _answers(NO_ANSWER))
    assert book.callable_rows(MAX_ATTEMPTS).tolist() == []
    assert not book.is_barred[0]


def test_only_dials_that_miss_the_keyman_tire() -> None:
    book = _book(2)
    book.note_answers(np.array([0]), 4, 0, _answers(NO_ANSWER))
    book.note_answers(np.array([1]), 4, 0, _answers(CONTACT))
    assert book.overall.tolist() == [1, 0]
    assert book.by_part[0].tolist() == [0, 0, 0, 0, 1, 0]


def test_fatigue_fades_overnight() -> None:
    book = _book()
    book.note_answers(np.array([0]), 4, 0, _answers(NO_ANSWER))
    book.begin_day(1, 0.5, _rng())
    assert book.overall[0] == 0.5
    assert book.by_part[0, 4] == 0.5


def test_a_new_listing_begins_at_no_attempts_after_a_rest() -> None:
    book = _book(2_000)
    book.note_answers(np.arange(2_000), 0, 0, Answers(*(np.full(2_000, value) for value in (CONTACT, False, False))))
    for day in range(1, 28):
        book.begin_day(day, 1.0, _rng())
        assert len(book.callable_rows(day)) == 0
    book.begin_day(28, 1.0, _rng())
    back = book.callable_rows(28)
    assert 10 < len(back) < 100
    assert (book.n_attempts[back] == 0).all()
    assert (book.listing[back] == 2).all()
    assert (book.listed_day[back] == 28).all()


def _rng() -> np.random.Generator:
    return np.random.default_rng(7)
