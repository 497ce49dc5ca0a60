"""Capacity in agent-seconds: against the exact integer program, never overfilled, and dials as before."""

import json
import shutil
from dataclasses import replace
from datetime import datetime
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL_RUN_DATE
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array
from small_centre import fit_centre
from test_schedule import AS_OF, HOUR, ZONE, dials_of, people, slots_of

from configs.settings import Settings
from features.contracts import Tables
from models.planning.advice import advise_staffing
from models.planning.capacity import build_capacity
from models.planning.eligibility import find_eligible
from models.planning.handling import Effort, HandleTimes, find_effort, learn_handle_times
from models.planning.outlook import Outlook
from models.planning.placing import Board, fill_places, lay_free_board, place_by_prices, place_owed, sum_worth
from models.planning.prices import SlotPrices, bound_value, price_demand, refine_prices
from models.planning.rules import read_rule_packs
from models.planning.sample import take_sample
from models.planning.schedule import build_call_plan
from models.planning.sequences import Demand
from models.planning.staffing import build_staffing
from pipelines.exports.record import describe_handle_times
from pipelines.exports.writing import write_run
from pipelines.intake import check, read
from pipelines.morning import read_effort
from pipelines.order import build_order
from pipelines.planned import measure, place, staff
from pipelines.replan import replan
from pipelines.results import build_night
from pipelines.train import NightModel

EFFORT = Effort(3060.0, HandleTimes(contacted=240.0, not_contacted=40.0, contact_rate=0.1))


def draw_demand(seed: int, n: int, n_days: int, hours: int, most: int, effort: Effort = EFFORT) -> Demand:
    """Customers of whom some are easily reached, up to ``most`` dials each, one a day."""
    rng = np.random.default_rng(seed)
    n_slots = n_days * hours
    logit = rng.normal(-2.0, 0.9, (n, 1)) + rng.normal(0, 0.4, (n, n_slots)) + rng.normal(0, 0.3, n_slots)
    p = (1 / (1 + np.exp(-logit))).astype("float32")
    p[rng.random((n, n_slots)) < 0.1] = -1
    weight = ((1 - np.maximum(p.max(axis=1, keepdims=True), 0)) * 0.9) ** np.arange(most)
    none, certain = effort.count_places([0.0, 1.0])
    return Demand(
        p_first=p,
        weight=weight.astype("float32"),
        most_dials=np.full(n, most),
        day_start=np.arange(0, n_slots + 1, hours),
        base=np.full(n, none),
        extra=np.full(n, certain - none),
    )


def make_plan(demand: Demand, seconds: np.ndarray) -> tuple[Board, SlotPrices]:
    priced = price_demand(demand, seconds)
    for turn in range(2):
        board = lay_free_board(seconds, demand)
        place_by_prices(board, demand, priced.prices)
        fill_places(board, demand, demand.p_first >= 0, priced.prices)
        if turn == 0:
            priced = refine_prices(demand, seconds, priced)
    return board, priced


def exact_value(demand: Demand, seconds: np.ndarray) -> float:
    """Value of the integer program over every sequence of every customer, by HiGHS, within 1 % of the best or 3 s."""
    n, n_slots = demand.p_first.shape
    day = np.searchsorted(demand.day_start, np.arange(n_slots), side="right")
    worth, rows, columns, factors = [], [], [], []
    for i in range(n):
        lawful = np.flatnonzero(demand.p_first[i] >= 0)
        load = demand.measure_loads(np.full(n_slots, i), np.arange(n_slots))
        for size in range(1, int(demand.most_dials[i]) + 1):
            for chosen in combinations(lawful, size):
                if len(set(day[list(chosen)])) == size:
                    rows += [i, *(n + slot for slot in chosen)]
                    columns += [len(worth)] * (size + 1)
                    factors += [1.0, *load[list(chosen)]]
                    worth.append(sum(float(demand.weight[i, k] * demand.p_first[i, s]) for k, s in enumerate(chosen)))
    matrix = csr_array((factors, (rows, columns)), shape=(n + n_slots, len(worth)))
    most = np.concatenate([np.ones(n), seconds])
    solved = milp(
        -np.array(worth),
        constraints=LinearConstraint(matrix, -np.inf, most),
        integrality=np.ones(len(worth)),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0.01, "time_limit": 3},
    )
    return float(-solved.fun)


def seconds_of(seed: int, agents: float, n_slots: int) -> np.ndarray:
    shares = np.random.default_rng(seed).dirichlet(np.full(n_slots, 3.0))
    return np.floor(agents * 3060 * shares).astype(np.int64)


@pytest.mark.parametrize(
    ("seed", "n", "n_days", "hours", "most", "agents"),
    [(0, 60, 1, 2, 1, 0.5), (1, 60, 1, 2, 1, 0.5), (0, 200, 1, 3, 1, 3), (0, 30, 2, 2, 2, 0.7), (1, 40, 3, 1, 3, 1)],
)
def test_the_bound_holds_for_the_integer_program_and_the_plan_loses_at_most_a_dial_per_slot(
    seed, n, n_days, hours, most, agents
):
    demand, seconds = draw_demand(seed, n, n_days, hours, most), seconds_of(seed, agents, n_days * hours)
    board, priced = make_plan(demand, seconds)
    best, value = exact_value(demand, seconds), sum_worth(board, demand)
    longest = demand.measure_loads(np.arange(n)[:, None], np.arange(n_days * hours)).max(axis=0)
    assert best <= priced.upper_bound * (1 + 1e-6)
    assert value <= priced.upper_bound
    assert value >= best - float(priced.prices @ longest)


def test_with_a_few_agents_in_every_slot_next_to_nothing_is_lost():
    demand, seconds = draw_demand(3, 1_500, 2, 3, 2), np.array([6_000, 5_000, 8_000, 8_000, 5_000, 6_000])
    board, priced = make_plan(demand, seconds)
    assert sum_worth(board, demand) >= 0.995 * priced.upper_bound


@pytest.mark.parametrize("seed", range(3))
def test_no_slot_is_expected_to_take_more_seconds_than_there_are(seed):
    demand, seconds = draw_demand(seed, 200, 2, 3, 2), seconds_of(seed, 2, 6)
    board, _ = make_plan(demand, seconds)
    placed = board.dials[: board.n_dials[0]]
    used = np.bincount(placed[:, 1], demand.measure_loads(placed[:, 0], placed[:, 1]), 6)
    assert (used <= seconds + 0.05).all()
    assert board.room == pytest.approx(seconds - used)


def test_any_prices_prove_a_bound():
    demand, seconds = draw_demand(5, 15, 2, 2, 2), seconds_of(5, 0.2, 4)
    best = exact_value(demand, seconds)
    for seed in range(5):
        prices = np.random.default_rng(seed).uniform(0, 0.005, 4)
        assert bound_value(demand, seconds, prices) >= best - 1e-6


def test_dials_that_all_take_one_place_are_planned_as_dials_are_to_the_last_bit():
    loaded = draw_demand(7, 400, 2, 3, 2)
    loaded = replace(loaded, base=np.ones(400), extra=np.zeros(400))
    plain = replace(loaded, base=np.zeros(0), extra=np.zeros(0))
    places = np.array([20, 30, 10, 5, 40, 15])
    (one, priced), (two, as_dials) = make_plan(loaded, places), make_plan(plain, places)
    assert priced.prices.tobytes() == as_dials.prices.tobytes()
    assert one.dials.tobytes() == two.dials.tobytes()
    owed = np.random.default_rng(7).integers(0, 2, 400)
    lawful = plain.p_first >= 0
    assert np.array_equal(
        place_owed(lay_free_board(places, loaded), loaded, lawful, owed),
        place_owed(lay_free_board(places, plain), plain, lawful, owed),
    )


def test_owed_dials_keep_to_the_seconds_too():
    demand, seconds = draw_demand(8, 200, 2, 3, 2), seconds_of(8, 2, 6)
    owed = place_owed(lay_free_board(seconds, demand), demand, demand.p_first >= 0, np.ones(200, dtype=np.int64))
    used = np.bincount(owed[:, 1], demand.measure_loads(owed[:, 0], owed[:, 1]), 6)
    assert (used <= seconds + 0.05).all()
    assert used.sum() > 0.95 * seconds.sum()


def test_a_slot_full_of_contacts_holds_fewer_dials():
    p = np.repeat([[0.05, 0.8]], 100, axis=0).astype("float32")
    tables = Tables(people(100), dials_of(), None, None, dials_of())
    slots, rules = slots_of(1, (10, 14)), read_rule_packs(("house",))
    eligible = find_eligible(tables, slots, AS_OF, rules, Settings())
    seconds = np.array([1000, 1000])
    plan = build_call_plan(Outlook(lambda rows, _: p[rows], eligible, slots, tables, Settings(), EFFORT), seconds)
    assert plan.dials.groupby("slot_row").size().tolist() == [20, 5]  # of 50 s and of 200 s each
    staffing = build_staffing(slots, seconds, seconds * 2, plan.prices, plan, Settings(), effort=EFFORT)
    assert staffing[["dials_given", "dials_recommended"]].to_numpy().tolist() == [[20, 40], [5, 10]]
    assert staffing["agents_recommended"].to_numpy() == pytest.approx([2000 / 3060, 2000 / 3060])
    assert staffing["seat_price"].to_numpy() == pytest.approx(plan.prices * 3600 * 0.85)


@pytest.mark.parametrize("seed", range(3))
def test_lots_never_overfill_a_slot(seed):
    p = np.linspace(0.05, 0.6, 240).reshape(60, 4).astype("float32")
    tables = Tables(people(60), dials_of(), None, None, dials_of())
    slots, rules = slots_of(2, (10, 14)), read_rule_packs(("house",))
    config = Settings.model_validate({"planning": {"explore_share": 0.5}})
    eligible = find_eligible(tables, slots, AS_OF, rules, config)
    outlook = Outlook(lambda rows, _: p[rows], eligible, slots, tables, config, EFFORT)
    plan = build_call_plan(outlook, np.full(4, 900), rng=np.random.default_rng(seed))
    assert (plan.dials["arm"] == "explore").any()
    assert plan.dials.groupby("slot_row")["places"].sum().max() <= 900.05


def test_seats_move_in_agent_seconds_within_their_total():
    demand, given = draw_demand(9, 400, 1, 4, 1), np.array([6000, 6000, 6000, 1000])
    demand.p_first[:, 3] = np.minimum(demand.p_first.max(axis=1) * 2, 0.9)
    starts = pd.date_range("2026-11-02 09:00", periods=4, freq="h", tz=ZONE)
    advice = advise_staffing(take_sample(demand), given, starts, Settings(), EFFORT)
    assert advice.places.sum() <= given.sum()
    assert advice.places[3] > 5000
    assert advice.ratio > 1.05


def timed_log(n: int = 30) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "attempted_at": pd.date_range("2026-10-01", periods=4 * n, freq="h", tz=ZONE),
            "outcome": ["keyman_contact", "no_answer", "busy", "failed"] * n,
            "ring_seconds": [10.0, 30.0, np.nan, 0.0] * n,
            "talk_seconds": [180.0, np.nan, np.nan, 0.0] * n,
            "wrap_seconds": [50.0, 10.0, np.nan, 0.0] * n,
        }
    )


def test_handle_times_are_means_of_the_dials_that_were_timed():
    assert learn_handle_times(timed_log()) == HandleTimes(240.0, 40.0, 0.5)


def test_too_few_timed_dials_say_nothing_and_dials_are_counted():
    agents = pd.DataFrame({"slot_start": [AS_OF + 9 * HOUR], "agents": [2.0]})
    untimed = timed_log().assign(ring_seconds=np.nan, talk_seconds=np.nan, wrap_seconds=np.nan)
    for log in (timed_log(29), untimed, untimed.iloc[:0]):
        assert find_effort(agents, log, Settings()) == Effort(12.0)
    assert find_effort(agents.rename(columns={"agents": "dials"}), timed_log(), Settings()) == Effort(12.0)
    assert find_effort(None, timed_log(), Settings()) == Effort(12.0)


def test_agents_become_seconds_by_occupancy_and_shrinkage():
    settings = Settings.model_validate({"slot_minutes": 30, "staffing": {"occupancy": 0.8, "shrinkage": 0.25}})
    agents = pd.DataFrame({"slot_start": [AS_OF + 9 * HOUR], "agents": [2.5]})
    effort = find_effort(agents, timed_log(), settings)
    places = build_capacity(agents, timed_log(), AS_OF, settings, effort)
    assert places["places"].tolist() == [2700]  # 2.5 agents x 1800 s x .8 x .75
    assert places["dials"].tolist() == [19]  # of 140 s each, half of them contacts


def test_a_morning_counts_as_its_night_did():
    assert read_effort({"handle_times": describe_handle_times(EFFORT)}, Settings()) == EFFORT
    assert read_effort({"handle_times": describe_handle_times(None)}, Settings()) == Effort(12.0)
    assert read_effort({}, Settings()) == Effort(12.0)


CONFIG = """
gains: {n_resamples: 20, n_past_draws: 1}
planning: {control_share: 0.2, control_since: 2026-10-01}
staffing: {occupancy: 0.8}
"""


def test_a_night_of_agents_tells_its_handle_times_and_is_planned_again_at_noon(
    small_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAKEDOKI_HOME", str(tmp_path / "var"))
    source = Path(shutil.copytree(small_source, tmp_path / "source"))
    seats = pd.read_csv(source / "capacity.csv").assign(agents=lambda table: table.pop("dials") / 40)
    seats.to_csv(source / "capacity.csv", index=False)
    (tmp_path / "config.yaml").write_text(CONFIG)
    order = build_order(
        str(source), tmp_path / "out", SMALL_RUN_DATE, tmp_path / "var", config_files=[tmp_path / "config.yaml"]
    )
    intake, model = check(order, read(order)), NightModel(fit_centre().model, "centre", "unregistered", None)
    planned = place(order, intake, model)
    measured = measure(order, intake, planned, model)
    night = build_night(order, intake, model, planned, staff(order, intake, planned), measured, [])
    write_run(night, tmp_path / "out")

    told = json.loads((tmp_path / "out" / "run.json").read_text())
    assert told["experiment"]["first_day"] == "2026-10-01"
    assert any("The experiment (2026-10-01 to" in note for note in told["notes"])
    times = told["handle_times"]
    assert times["contacted_seconds"] > 2 * times["not_contacted_seconds"] > 0
    assert times["seconds_per_agent_hour"] == pytest.approx(2880)
    used = planned.plan.dials.groupby("slot_row")["places"].sum()
    assert (used <= intake.capacity["places"].iloc[used.index] + 0.05).all()
    is_firm = used.index < 12  # later days keep the control arm's share
    assert used[is_firm].sum() > 0.9 * intake.capacity["places"].iloc[:12].sum()
    per_slot = night.call_list.groupby("slot_start").size()
    assert (per_slot <= night.staffing.set_index("slot_start")["dials_given"].reindex(per_slot.index)).all()
    assert set(night.call_list.loc[night.call_list["is_firm"], "arm"]) == {"plan", "control"}
    assert measured.gains["total"]["ratio"] > 0

    done = replan(str(source), tmp_path / "out", tmp_path / "noon", datetime(2026, 11, 2, 12, 10))  # noqa: DTZ001
    assert len(done.call_list) > 0
    again = done.call_list.groupby("slot_start").size()
    given = intake.capacity.set_index("slot_start")["places"].reindex(again.index)
    assert (again * times["not_contacted_seconds"] <= given).all()
