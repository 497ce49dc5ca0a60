"""Shifts: agree with enumeration, break no bound, name what is short, and are never worth less than what is given."""

from dataclasses import replace
from itertools import combinations_with_replacement

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.optimize import linear_sum_assignment

from configs.settings import Settings
from models.planning.advice import StaffingAdvice, advise_staffing
from models.planning.duties import lay_duties
from models.planning.roster import Cut, RosterProgram, Terms
from models.planning.sample import take_sample
from models.planning.sequences import Demand, build_single_demand
from models.planning.shifts import build_terms, count_hours_on_phone, fill_seats, plan_shifts

MONDAY = pd.Timestamp("2026-11-02", tz="Asia/Tokyo")
EARLY = {"name": "early", "start": "09:00", "hours": 3, "break_minutes": 60, "earliest_break": "09:00",
         "latest_break": "11:00"}  # fmt: skip
LATE = EARLY | {"name": "late", "start": "10:00", "earliest_break": "10:00", "latest_break": "12:00"}


def hours(n_days: int, first: int, last: int) -> pd.DatetimeIndex:
    return pd.DatetimeIndex([MONDAY + pd.Timedelta(days=d, hours=h) for d in range(n_days) for h in range(first, last)])


def settings_of(dials_per_agent_hour: float = 1, horizon_days: int = 7, **staffing: object) -> Settings:
    staffing = {"shifts": [EARLY, LATE], "agents_per_day": 3, "freeze_days": 0, "max_seconds": 15} | staffing
    planning = {"dials_per_agent_hour": dials_per_agent_hour}
    return Settings.model_validate({"staffing": staffing, "planning": planning, "horizon_days": horizon_days})


def single(net: np.ndarray) -> Demand:
    return build_single_demand(net.astype("float32"), np.ones(net.shape, dtype=bool))


def by_day(net: np.ndarray, n_days: int, most_dials: int) -> Demand:
    """Up to one dial a day to each customer, later ones worth two thirds of the one before."""
    n, n_slots = net.shape
    weight = np.repeat([(2 / 3) ** np.arange(most_dials)], n, axis=0).astype("float32")
    day_start = np.arange(0, n_slots + 1, n_slots // n_days)
    return Demand(net.astype("float32"), weight, np.full(n, most_dials), day_start.astype("int64"))


def spelled(cell: str) -> dict[str, int]:
    return {time: int(n) for time, n in (part.split("×") for part in cell.split("; ") if part)}


def enumerate_rosters(terms: Terms, heads: int) -> list[np.ndarray]:
    """Agent-hours on the phone per slot of every roster that keeps the terms."""
    ways = [(k, at) for k, duty in enumerate(terms.duties) for at in range(len(duty.break_at))]
    found = []
    for chosen in combinations_with_replacement([None, *ways], heads):
        on = [way for way in chosen if way is not None]
        if sum(terms.duties[k].shift.hours for k, _ in on) > terms.most_hours + 1e-9:
            continue
        free = [np.zeros(len(duty.present)) for duty in terms.duties]
        for k, at in on:
            free[k] += terms.duties[k].present - terms.duties[k].break_hours[at]
        spots = [(k, at) for k, duty in enumerate(terms.duties) for at in range(len(duty.present))]
        for trained in combinations_with_replacement(spots, terms.training.n_sessions):
            left = [hours.copy() for hours in free]
            for k, at in trained:
                left[k][at] -= terms.training.hours
            if min(hours.min() for hours in left) >= 0:
                found.append(sum_by_slot(terms, left))
    return found


def sum_by_slot(terms: Terms, left: list[np.ndarray]) -> np.ndarray:
    on_phone = np.zeros(len(terms.most))
    for duty, hours in zip(terms.duties, left, strict=True):
        np.add.at(on_phone, duty.slot_row[duty.slot_row >= 0], hours[duty.slot_row >= 0])
    return on_phone


def best_assignment(net: np.ndarray, places: np.ndarray) -> float:
    """Exact value of places with one dial per customer."""
    columns = np.repeat(net, places, axis=1)
    rows, taken = linear_sum_assignment(columns, maximize=True)
    return float(columns[rows, taken].sum())


@pytest.mark.parametrize("seed", range(6))
def test_the_program_finds_the_roster_that_enumeration_finds_at_given_prices(seed: int) -> None:
    rng = np.random.default_rng(seed)
    asked = settings_of(paid_hours_per_week=63, training_minutes=20 * (seed % 2), horizon_days=1)
    terms = build_terms(rng.integers(1, 4, 4), hours(1, 9, 13), asked)
    prices = rng.uniform(0.1, 1, 4)
    solution = RosterProgram(terms).solve([Cut(prices, 0.0)], gap=0.0)
    best = max(worth_at(prices, terms, on_phone) for on_phone in enumerate_rosters(terms, 3))
    assert prices @ solution.places == pytest.approx(best, abs=1e-6)


def worth_at(prices: np.ndarray, terms: Terms, on_phone: np.ndarray) -> float:
    room = np.minimum(terms.most, on_phone * terms.places_per_hour)
    order = np.argsort(-prices)
    taken = np.clip(terms.most_places - np.cumsum(room[order]) + room[order], 0, room[order])
    return float(prices[order] @ taken)


@pytest.mark.parametrize("seed", range(6))
def test_the_best_roster_of_small_centres_is_that_of_enumeration(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = rng.uniform(0.05, 1, (12, 4)) * rng.choice([0.4, 1.0], (1, 4))
    asked = settings_of(dials_per_agent_hour=2, paid_hours_per_week=63, horizon_days=1)
    given_places, starts = np.array([4, 2, 4, 2]), hours(1, 9, 13)
    roster = plan_shifts(take_sample(single(net)), given_places, starts, asked)
    terms = build_terms(given_places, starts, asked)
    rosters = {tuple(np.minimum(2 * on_phone, 4).astype(int)) for on_phone in enumerate_rosters(terms, 3)}
    best = max(best_assignment(net, np.array(places)) for places in rosters if sum(places) <= 12)
    assert roster.bound >= best - 1e-6
    assert best * 0.995 <= roster.worth.value <= best + 1e-6


EVENING = np.array([1.0, 1, 1, 1, 3, 3])


def evening_centre(n: int = 150, n_days: int = 2, seed: int = 0) -> Demand:
    rng = np.random.default_rng(seed)
    net = rng.uniform(0.05, 0.15, (n, 6 * n_days)) * np.tile(EVENING, n_days)
    return by_day(net, n_days, 2)


DAY = {"name": "day", "start": "13:00", "hours": 5, "break_minutes": 30}
DUSK = {"name": "dusk", "start": "15:00", "hours": 4, "break_minutes": 30}


def plan_evening(**staffing: object) -> StaffingAdvice:
    asked = settings_of(6, horizon_days=2, **({"shifts": [DAY, DUSK], "agents_per_day": 12} | staffing))
    return advise_staffing(take_sample(evening_centre()), np.tile([48, 48, 48, 48, 24, 12], 2), hours(2, 13, 19), asked)


def test_agents_move_to_the_hours_in_which_people_answer() -> None:
    advice = plan_evening()
    assert advice.is_adopted
    assert advice.places[[4, 10]].min() > 24
    assert advice.after.contacts > 1.05 * advice.before.contacts
    assert advice.ratio == advice.after.contacts / advice.before.contacts


def test_time_away_lies_where_seats_are_cheapest() -> None:
    advice = plan_evening(training_minutes=35, one_to_one_minutes=35)
    roster = advice.roster
    assert roster is not None
    assert roster.skipped["training"][0] == roster.skipped["one_to_one"][0] == 0
    away = roster.away.groupby(roster.away["slot_start"].dt.hour)[["breaks", "training", "one_to_ones"]].sum()
    assert away.loc[[17, 18], ["training", "one_to_ones"]].to_numpy().sum() == 0
    assert away["breaks"].sum() == pytest.approx(roster.shifts["agents"].sum() / 2)


def test_rows_of_the_shift_table_sum_up() -> None:
    roster = plan_evening(training_minutes=35).roster
    assert roster is not None
    assert list(roster.shifts.columns) == ["date", "shift", "agents", "breaks", "training", "one_to_ones"]
    assert (roster.shifts["breaks"].map(lambda cell: sum(spelled(cell).values())) == roster.shifts["agents"]).all()
    n_trained = roster.shifts["training"].map(lambda cell: sum(spelled(cell).values())).sum()
    assert n_trained == roster.skipped["training"][1] == 4  # 12 agents for two days of seven
    assert roster.paid_hours == (roster.shifts["agents"] * roster.shifts["shift"].map({"day": 5, "dusk": 4})).sum()
    assert roster.paid_hours <= roster.most_hours


def test_more_hours_on_the_phone_than_places_fill_the_dearest_slots_and_no_more() -> None:
    terms = build_terms(np.array([2, 2, 2, 2]), hours(1, 9, 13), settings_of(paid_hours_per_week=63, horizon_days=1))
    prices = np.array([0.1, 0.4, 0.3, 0.2])
    solution = RosterProgram(terms).solve([Cut(prices, 0.0)])
    few = replace(terms, most_places=3.0)
    assert fill_seats(few, replace(solution, places=np.zeros(4)), prices).tolist() == [0, 2, 1, 0]


def test_more_paid_hours_bring_no_more_places_than_given_nor_a_busier_slot() -> None:
    advice = plan_evening(paid_hours_per_week=10_000, agents_per_day=40)
    assert advice.places.sum() <= 456
    assert advice.places.max() <= 48
    again = plan_evening(paid_hours_per_week=10_000, agents_per_day=40)
    assert advice.roster is not None
    assert again.roster is not None
    pd.testing.assert_frame_equal(advice.roster.shifts, again.roster.shifts)
    assert advice.places.tolist() == again.places.tolist()


def test_too_few_agents_give_the_best_there_is_and_name_the_short_hours() -> None:
    advice = plan_evening(agents_per_day=3, min_agents=2.5, training_minutes=1200)
    assert len(advice.short) > 0
    assert set(advice.short["why"]) == {"too few agents"}
    assert (advice.short["agents_short"] > 0).all()
    told = " / ".join(advice.remarks)
    assert "short hours, too few agents: Mon 11-02 1" in told
    assert "sessions of training find no room in the shifts" in told
    assert "no roster of these shifts was found" in told
    assert advice.roster is not None
    assert len(advice.roster.shifts) > 0
    assert advice.places.tolist() == np.tile([48, 48, 48, 48, 24, 12], 2).tolist()


def test_hours_that_no_shift_covers_are_named() -> None:
    advice = plan_evening(shifts=[DAY])
    assert advice.short["slot_start"].dt.hour.tolist() == [18, 18]
    assert advice.remarks[0] == "short hours, no shift covers it: Mon 11-02 18:00, Tue 11-03 18:00"


def test_the_first_day_stays_as_given_unless_told_otherwise() -> None:
    advice = plan_evening(freeze_days=None)
    assert advice.places[:6].tolist() == [48, 48, 48, 48, 24, 12]
    assert advice.roster is not None
    assert set(advice.roster.shifts["date"]) == {(MONDAY + pd.Timedelta(days=1)).date()}
    assert advice.places[6:].tolist() != [48, 48, 48, 48, 24, 12]


def test_without_shifts_seats_alone_move_within_their_bounds() -> None:
    advice = plan_evening(shifts=[], min_agents=3, max_agents=7, freeze_days=1)
    assert advice.roster is None
    assert advice.places[:6].tolist() == [48, 48, 48, 48, 24, 12]
    assert advice.places[6:].min() >= 18
    assert advice.places[6:].max() <= 42
    assert advice.places.sum() <= 456
    assert advice.short.empty


def test_seats_too_few_for_the_fewest_agents_are_named_without_shifts_too() -> None:
    advice = plan_evening(shifts=[], min_agents=7)
    assert advice.places.sum() <= 456
    assert "short hours, too few agents: " in advice.remarks[0]


def test_a_shift_past_midnight_keeps_its_hours_and_leaves_the_frozen_day_alone() -> None:
    night = {"name": "night", "start": "22:30", "hours": 4, "break_minutes": 30}
    starts = hours(1, 22, 26).append(hours(1, 22, 26) + pd.Timedelta(days=1))
    duty = lay_duties(starts, [MONDAY.date()], settings_of(shifts=[night]))[0]
    assert duty.present.tolist() == [0.5, 1, 1, 1, 0.5]
    assert duty.slot_row.tolist() == [0, 1, 2, 3, -1]
    assert [f"{start:%d %H:%M}" for start in duty.starts] == [
        "02 22:30",
        "02 23:00",
        "03 00:00",
        "03 01:00",
        "03 02:00",
    ]
    assert duty.starts[duty.break_at].hour.tolist() == [0, 1]
    terms = build_terms(np.full(8, 5), starts, settings_of(shifts=[night], freeze_days=1))
    assert np.isnan(terms.fixed).tolist() == [False] * 4 + [True] * 4


def test_breaks_longer_than_a_slot_take_hours_of_the_next() -> None:
    asked = settings_of(shifts=[EARLY | {"break_minutes": 90, "latest_break": "10:00"}])
    duty = lay_duties(hours(1, 9, 13), [MONDAY.date()], asked)[0]
    assert duty.break_hours.tolist() == [[1.0, 0.5, 0.0], [0.0, 1.0, 0.5]]


def test_a_day_off_has_no_shift() -> None:
    asked = settings_of(shifts=[EARLY | {"weekdays": ["Tue"]}])
    days = [MONDAY.date(), (MONDAY + pd.Timedelta(days=1)).date()]
    assert [duty.day for duty in lay_duties(hours(2, 9, 13), days, asked)] == days[1:]


@pytest.mark.parametrize(
    ("staffing", "said"),
    [
        ({"shifts": [EARLY, EARLY]}, "same name"),
        ({"agents_per_day": None}, "set staffing.agents_per_day"),
        ({"agents_per_day": {"Mon": -1}}, "greater than or equal to 0"),
        ({"min_agents": 3, "max_agents": 2}, "below min_agents"),
        ({"shifts": [EARLY | {"break_minutes": 180}]}, "fills all 3"),
        ({"shifts": [EARLY | {"start": "24:00"}]}, "pattern"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(staffing: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        settings_of(**staffing)


def test_a_time_that_yaml_reads_as_a_number_is_a_time() -> None:
    assert settings_of(shifts=[EARLY | {"start": 750}]).staffing.shifts[0].start == "12:30"


def test_nobody_to_call_and_no_agents_are_no_trouble() -> None:
    starts, given_places = hours(1, 9, 13), np.array([4, 2, 4, 2])
    nobody = advise_staffing(take_sample(single(np.zeros((0, 4)))), given_places, starts, settings_of())
    assert nobody.ratio == 1.0
    no_agents = advise_staffing(
        take_sample(single(np.full((5, 4), 0.5))), given_places, starts, settings_of(agents_per_day=0)
    )
    assert no_agents.places.tolist() == [4, 2, 4, 2]
    assert no_agents.roster is not None
    assert no_agents.roster.shifts.empty


@settings(max_examples=8)
@given(st.integers(0, 100_000))
def test_no_bound_is_broken_and_nothing_is_worth_less_than_given(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_days, starts = 2, hours(2, 9, 14)
    given_places = rng.integers(0, 9, 10)
    asked = settings_of(
        dials_per_agent_hour=float(rng.choice([1, 1.5, 3])),
        horizon_days=2,
        agents_per_day=int(rng.integers(0, 7)),
        min_agents=float(rng.choice([0, 1])),
        training_minutes=int(rng.choice([0, 60, 150])),
        one_to_one_minutes=int(rng.choice([0, 45])),
        freeze_days=int(rng.integers(0, 2)),
    )
    net = rng.uniform(0, 0.6, (int(rng.integers(1, 40)), 10))
    demand = by_day(net, n_days, int(rng.integers(1, 3)))
    advice = advise_staffing(take_sample(demand), given_places, starts, asked)
    check_places(advice, given_places, asked.staffing.n_frozen_days)
    check_roster(advice, asked, build_terms(given_places, starts, asked))


def check_places(advice: StaffingAdvice, given_places: np.ndarray, n_frozen_days: int) -> None:
    assert advice.after.value >= advice.before.value
    assert advice.places.sum() <= given_places.sum()
    assert advice.places.max() <= given_places.max()
    assert advice.places[given_places == 0].sum() == 0
    assert advice.places.min() >= 0
    frozen = 5 * n_frozen_days
    assert advice.places[:frozen].tolist() == given_places[:frozen].tolist()


def check_roster(advice: StaffingAdvice, asked: Settings, terms: Terms) -> None:
    roster = advice.roster
    assert roster is not None
    assert roster.paid_hours <= roster.most_hours + 1e-6
    assert (roster.shifts.groupby("date")["agents"].sum() <= asked.staffing.agents_per_day).all()
    for name, column in (("training", "training"), ("one_to_one", "one_to_ones")):
        skipped, n_sessions = roster.skipped[name]
        assert roster.shifts[column].map(lambda cell: sum(spelled(cell).values())).sum() == n_sessions - skipped
    assert (roster.shifts["breaks"].map(lambda cell: sum(spelled(cell).values())) == roster.shifts["agents"]).all()
    on_phone = hours_on_phone(roster.shifts, roster.away, terms)
    free = np.isnan(terms.fixed)
    assert (roster.places[free] <= on_phone[free] * terms.places_per_hour + 1e-6).all()
    named = set(roster.short["slot_start"])
    is_short = free & (on_phone < terms.least - 1e-6)
    assert {start for start, short in zip(hours(2, 9, 14), is_short, strict=True) if short} <= named


def hours_on_phone(shifts: pd.DataFrame, away: pd.DataFrame, terms: Terms) -> np.ndarray:
    """Counted from the two tables alone: who is there, less who is away."""
    agents = shifts.set_index(["date", "shift"])["agents"]
    on_phone = np.zeros(len(terms.most))
    for duty in terms.duties:
        inside = duty.slot_row >= 0
        n_here = agents.get((duty.day, duty.shift.name), 0)
        np.add.at(on_phone, duty.slot_row[inside], n_here * duty.present[inside])
    gone = away.set_index("slot_start")[["breaks", "training", "one_to_ones"]].sum(axis=1)
    return on_phone - gone.reindex(hours(2, 9, 14)).fillna(0).to_numpy()


def test_what_is_on_the_phone_is_counted_from_the_roster_itself() -> None:
    asked = settings_of(paid_hours_per_week=63, horizon_days=1)
    terms = build_terms(np.array([2, 2, 2, 2]), hours(1, 9, 13), asked)
    solution = RosterProgram(terms).solve([Cut(np.ones(4), 0.0)])
    there = sum(
        n * duty.present.sum() - b.sum()
        for n, duty, b in zip(solution.agents, terms.duties, solution.breaks, strict=True)
    )
    assert count_hours_on_phone(terms, solution).sum() == pytest.approx(there)
