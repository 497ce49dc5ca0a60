"""What the log says of the model's hours: true on worlds whose truth is known, and refused where the log is thin."""

from dataclasses import asdict
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from simulated_choices import SETTINGS, SLOTS, Choices, draw_choices
from simulated_logs import START, ZONE, build_attempts, draw_customers
from test_propensity import describe

from configs.settings import ModelSettings, Settings
from features.table import DialLog, build_dial_log
from models.contact.fitting import fit_trees
from models.contact.folds import split_folds
from models.contact.hierarchy import fit_hierarchy
from models.contact.model import ContactModel
from models.contact.off_policy import (
    LEAST_EFFECTIVE,
    LoggedChoices,
    OffPolicy,
    choose_move,
    find_first_dials,
    judge_move,
    measure_off_policy,
    set_scene,
)
from models.contact.propensity import estimate_propensity

QUICK = Settings(
    attributes=("age", "gender"), segment_by=("gender",), model=ModelSettings(n_trees=30, min_rows_in_leaf=100)
)
N, N_DAYS = 5_000, 28
END = np.datetime64(START.date(), "D") + N_DAYS


def scene_of(choices: Choices, logged: np.ndarray | None = None, given: np.ndarray | None = None) -> LoggedChoices:
    """The choices as the log has them: propensities estimated and none given, unless others are."""
    n = len(choices.chosen)
    logged = estimate_propensity(describe(choices), SLOTS, choices.chosen) if logged is None else logged
    given = np.full(n, np.nan) if given is None else given
    return LoggedChoices(SLOTS, choices.chosen, choices.is_contact, logged, choices.p, given)


def judge(scene: LoggedChoices) -> OffPolicy:
    return judge_move(scene, SETTINGS, np.random.default_rng(0))


def logits_of(customers: pd.DataFrame, timing: float, rng: np.random.Generator) -> np.ndarray:
    """(n, 24): persons differ; women answer better in the evening, men in the morning, by ``timing`` logits."""
    is_woman = (customers["gender"] == "female").to_numpy()[:, None]
    side = np.where(np.arange(24) >= 15, 0.5, -0.5)
    return -1.6 + rng.normal(0, 0.6, (len(customers), 1)) + timing * np.where(is_woman, 1, -1) * side


@cache
def build_log(timing: float) -> tuple[DialLog, np.ndarray]:
    """A log of four weeks in which hard people, who failed last time, are called in the evening; its true logits."""
    rng = np.random.default_rng(1)
    customers = draw_customers(N, rng)
    logit = logits_of(customers, timing, rng)
    has_failed, rows, at, contacts = np.zeros(N, dtype=bool), [], [], []
    for day in range(N_DAYS):
        called = np.flatnonzero(rng.random(N) < 0.15)
        is_late = rng.random(len(called)) < np.where(has_failed[called], 0.7, 0.3)
        hour = np.where(is_late, rng.integers(15, 21, len(called)), rng.integers(9, 15, len(called)))
        reached = rng.random(len(called)) < expit(logit[called, hour])
        has_failed[called] = ~reached
        rows.append(called)
        at.append(START + pd.to_timedelta(day * 24 * 60 + hour * 60 + rng.integers(0, 60, len(called)), unit="min"))
        contacts.append(reached)
    outcome = np.where(np.concatenate(contacts), "keyman_contact", "no_answer")
    attempts = build_attempts(np.concatenate(rows), pd.DatetimeIndex(np.concatenate(at)), outcome)
    return build_dial_log(attempts, customers, QUICK), logit


@cache
def fit(timing: float) -> tuple[ContactModel, np.ndarray]:
    """A model that has not learned from the newest week, and the dials of that week."""
    log, _ = build_log(timing)
    folds = split_folds(log, END, QUICK)
    hierarchy = fit_hierarchy(log.subset(folds.learn), QUICK)
    return fit_trees(hierarchy, log, folds.learn, folds.calibrate, QUICK, np.random.default_rng(1)), folds.forward


@cache
def ask(timing: float) -> tuple[OffPolicy, float]:
    """What the log says of the model's move, and what the same move would truly have brought."""
    (log, logit), (model, held_out) = build_log(timing), fit(timing)
    asked = measure_off_policy(model, log, held_out, QUICK, np.random.default_rng(2))
    rows = find_first_dials(log, held_out)
    scene = set_scene(model, log, rows, QUICK)
    true_p = expit(logit[log.history.customer_row[rows]][:, scene.slots["hour"]])
    return asked, float((choose_move(scene) * true_p).sum() / true_p[np.arange(len(rows)), scene.chosen].sum())


def test_where_hours_matter_the_log_says_how_much() -> None:
    asked, truth = ask(1.5)
    assert asked.value is not None
    assert truth > 1.1
    for estimate in (asked.value.snips, asked.value.doubly_robust):
        assert 1.0 < estimate.low <= truth <= estimate.high
    assert asked.model_ratio == pytest.approx(truth, rel=0.1)
    assert 0.2 < asked.strength < 1.0
    assert asked.overlap_share > 0.95
    assert (asked.propensity_source, asked.n_days, asked.refusal) == ("log", 7, "")


def test_where_time_does_not_matter_calling_hard_people_in_the_evening_fools_nobody() -> None:
    asked, truth = ask(0.0)
    assert truth == pytest.approx(1.0, abs=1e-9)
    assert asked.value is not None
    for estimate in (asked.value.snips, asked.value.doubly_robust):
        assert estimate.low < 1.0 < estimate.high
        assert estimate.high - estimate.low < 0.3


def test_the_newest_days_are_asked_once_per_customer_and_seen_from_before_they_began() -> None:
    log, _ = build_log(0.0)
    held_out = split_folds(log, END, QUICK).forward
    rows = find_first_dials(log, held_out)
    assert (
        len(np.unique(log.history.customer_row[rows])) == len(rows) == log.dials.loc[held_out, "customer_row"].nunique()
    )
    earlier = np.maximum(rows - 1, 0)
    assert not (held_out[earlier] & (log.history.customer_row[earlier] == log.history.customer_row[rows])).any()


def test_who_came_onto_the_list_meanwhile_is_left_out_and_a_later_listing_is_not_held_against_anybody() -> None:
    at = pd.DatetimeIndex(["2026-08-04 10:00", "2026-08-04 11:00", "2026-08-05 12:00", "2026-08-06 13:00"])
    attempts = build_attempts([3, 0, 1, 2], at, ["no_answer"] * 4)
    listed_at = pd.DatetimeIndex(["2026-08-07", "2026-08-05 09:00", None, "2026-08-01"], tz=ZONE)
    customers = draw_customers(4, np.random.default_rng(0)).assign(listed_at=pd.Series(listed_at))
    log = build_dial_log(attempts, customers, QUICK)
    rows = find_first_dials(log, np.ones(4, dtype=bool))
    assert log.history.customer_row[rows].tolist() == [0, 2, 3]
    assert len(find_first_dials(log, np.zeros(4, dtype=bool))) == 0


def test_habits_without_exception_leave_nothing_to_compare_and_it_says_so() -> None:
    choices = draw_choices(6_000, np.random.default_rng(1), timing=-2.0, habit=12.0)
    asked = judge(scene_of(choices))
    assert asked.value is None
    assert asked.overlap_share < 0.5
    assert asked.refusal.startswith("overlap too thin: of the hours that the model would choose only ")
    assert asked.metrics == {}


def test_few_dials_are_refused_by_their_number() -> None:
    (log, _), (model, held_out) = build_log(0.0), fit(0.0)
    newest = held_out & (log.dials["day"] == log.dials["day"].max()).to_numpy()
    asked = measure_off_policy(model, log, newest, QUICK, np.random.default_rng(1))
    assert asked.value is None
    assert 0 < asked.n_dials * 0.8 < LEAST_EFFECTIVE
    told = f"overlap too thin: the newest days hold first dials to {asked.n_dials:,} customers"
    assert asked.refusal.startswith(told)
    assert asked.refusal.endswith("at least 1,250 dials needed")


def test_a_log_without_new_dials_is_refused_too() -> None:
    log, _ = build_log(0.0)
    nothing = np.zeros(len(log.dials), dtype=bool)
    asked = measure_off_policy(fit(0.0)[0], log, nothing, QUICK, np.random.default_rng(1))
    assert (asked.n_dials, asked.n_days, asked.value) == (0, 0, None)
    assert "0 customers, with 0 contacts" in asked.refusal


def test_propensities_that_are_given_are_used() -> None:
    choices = draw_choices(6_000, np.random.default_rng(2), timing=1.5, habit=1.0)
    asked = judge(scene_of(choices, given=choices.propensity))
    assert asked.propensity_source == "column"
    assert asked.value is not None
    assert asked.value.mean_weight == pytest.approx(1.0, abs=0.05)
    half = np.where(np.arange(6_000) < 3_000, choices.propensity, np.nan)
    assert judge(scene_of(choices, given=half)).propensity_source == "both"


def test_a_plan_that_left_nothing_to_chance_cannot_be_judged_by_its_own_log() -> None:
    choices = draw_choices(6_000, np.random.default_rng(3), timing=1.0)
    asked = judge(scene_of(choices, given=np.ones(6_000)))
    assert asked.value is None
    assert "weights average 0.08 where they must average 1" in asked.refusal


def test_a_few_dials_that_almost_never_happen_leave_too_small_a_sample() -> None:
    choices = draw_choices(6_000, np.random.default_rng(4), timing=1.0)
    rare = choices.propensity.copy()
    rare[:6] /= 1_000
    asked = judge(scene_of(choices, given=rare))
    assert asked.value is None
    assert asked.refusal.startswith("overlap too thin: ")


def test_the_record_of_an_answer_is_plain_numbers() -> None:
    choices = draw_choices(4_000, np.random.default_rng(5), timing=1.0)
    asked = judge(scene_of(choices))
    assert asked.value is not None
    assert asked.value.effective_dials == pytest.approx(2_000, rel=0.02)
    assert set(asdict(asked)["value"]["doubly_robust"]) == {"ratio", "low", "high"}
    assert asked.metrics["off_policy.doubly_robust"] == asked.value.doubly_robust.ratio
