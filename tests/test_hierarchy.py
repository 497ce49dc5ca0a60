"""Tables and persons learned together: unbiased by who was called how often, the same whatever the order of rows."""

from dataclasses import astuple, replace
from gc import collect
from weakref import ref

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from simulated_logs import draw_customers, simulate_calls

from configs.settings import Settings
from features.slots import N_SPANS
from features.table import DialLog, build_dial_log
from models.contact.effects import slot_codes, sum_effects
from models.contact.hierarchy import Hierarchy, attribute_effects, codes_of_dials, fit_hierarchy
from models.contact.persons import Beliefs, attenuate, join_kinds

SETTINGS = Settings(attributes=("age", "gender"), segment_by=("age", "gender"))
N = 2_500


@pytest.fixture(scope="module")
def people() -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Customers, attempts until answered, and the true logit of each person by hour: women answer in the evening."""
    rng = np.random.default_rng(11)
    customers = draw_customers(N, rng)
    is_woman = (customers["gender"] == "female").to_numpy()
    logit = -1.5 + rng.normal(0, 0.9, N)[:, None] + np.zeros(24)
    logit[:, 18:] += np.where(is_woman, 0.7, -0.7)[:, None]
    return customers, simulate_calls(logit, rng), logit


@pytest.fixture(scope="module")
def log(people) -> DialLog:
    return build_dial_log(people[1], people[0], SETTINGS)


@pytest.fixture(scope="module")
def fitted(log: DialLog) -> Hierarchy:
    return fit_hierarchy(log, SETTINGS)


def logit_of(fitted: Hierarchy, log: DialLog) -> np.ndarray:
    return sum_effects(fitted.tables, codes_of_dials(fitted.encoding, log), slot_codes(log.dials))


def test_the_level_is_that_of_all_people_not_that_of_the_hard_ones_who_are_dialled_most(people, log, fitted) -> None:
    morning = (log.dials["hour"] < 18).to_numpy()
    assert logit_of(fitted, log)[morning].mean() == pytest.approx(-1.5, abs=0.2)
    rate = log.is_contact[morning].mean()
    assert np.log(rate / (1 - rate)) < -1.55  # what the plain rate of dials would have said
    assert 0.4 < sum(astuple(fitted.variances)) < 1.4  # series that end at once say little of it


def test_the_segments_own_hours_are_found(people, log, fitted) -> None:
    woman = (log.customers["gender"] == "female").to_numpy()[log.history.customer_row]
    man = (log.customers["gender"] == "male").to_numpy()[log.history.customer_row]
    evening = (log.dials["hour"] >= 18).to_numpy()
    logit = logit_of(fitted, log)
    assert logit[woman & evening].mean() - logit[man & evening].mean() == pytest.approx(1.4, abs=0.5)
    assert abs(logit[woman & ~evening].mean() - logit[man & ~evening].mean()) < 0.3


def test_predictions_before_each_dial_are_calibrated_and_rank_persons(people, log, fitted) -> None:
    states = fitted.person_states(log)
    codes = codes_of_dials(fitted.encoding, log)
    kappa = attenuate(states.variance_before)
    worn = log.history.failures_before @ np.array(fitted.fatigue)
    logit = sum_effects(fitted.tables, codes, slot_codes(log.dials)) + states.mean_before + worn
    p = expit(join_kinds(kappa * logit, states.never_before))
    assert p.mean() == pytest.approx(log.is_contact.mean(), abs=0.01)
    top = p > np.quantile(p, 0.8)
    assert log.is_contact[top].mean() > 1.5 * log.is_contact[~top].mean()
    truth = expit(people[2][log.history.customer_row, log.dials["hour"].to_numpy()])
    assert np.corrcoef(p, truth)[0, 1] > 0.35


def test_the_base_logit_integrates_the_persons_uncertainty_out_and_joins_the_kinds(log, fitted) -> None:
    codes, slots = codes_of_dials(fitted.encoding, log), slot_codes(log.dials)
    n, dialled, seconds = len(log.dials), log.history, log.history.seconds
    faded = log.history.faded_failures_at(log.history.customer_row, seconds)
    even = np.ones((n, N_SPANS), "float32")
    believed = Beliefs(0.3 * even, 0.8 * even, np.full(n, 0.1, "float32"), faded, seconds)
    worn = log.history.failures_before @ np.array(fitted.fatigue)
    alone = (sum_effects(fitted.tables, codes, slots) + 0.3 + worn) / np.sqrt(1 + np.pi / 8 * 0.8)
    got = fitted.base_logit(codes, slots, believed, dialled.part, dialled.span, seconds)
    assert expit(got) == pytest.approx(0.9 * expit(alone), rel=1e-4)
    assert (fitted.base_logit(codes, slots, believed, dialled.part, dialled.span, seconds, 2) < got).all()


def test_shuffled_attempts_teach_the_same(people, log) -> None:
    customers, attempts, _ = people
    few = attempts[attempts["customer_row"] < 400]
    straight = fit_hierarchy(build_dial_log(few, customers, SETTINGS), SETTINGS)
    mixed = fit_hierarchy(build_dial_log(few.sample(frac=1.0, random_state=1), customers, SETTINGS), SETTINGS)
    assert straight.variances == mixed.variances
    assert all(np.array_equal(a.values, b.values) for a, b in zip(straight.tables, mixed.tables, strict=True))


def test_starting_from_an_earlier_fit_arrives_at_the_same_place_and_leaves_it_alone(log, fitted) -> None:
    kept = [table.values.copy() for table in fitted.tables]
    again = fit_hierarchy(log, SETTINGS, fitted)
    assert all(np.array_equal(a, table.values) for a, table in zip(kept, fitted.tables, strict=True))
    assert np.abs(logit_of(again, log) - logit_of(fitted, log)).mean() < 0.1
    assert again.encoding is fitted.encoding


def test_the_main_effect_of_an_attribute_is_unknown_where_the_attribute_is(log, fitted) -> None:
    effect = attribute_effects(fitted, fitted.read(log).codes, "gender")
    assert np.isnan(effect[log.customers["gender"].isna()]).all()
    assert len(np.unique(effect[log.customers["gender"].notna()])) == 2
    assert effect.dtype == "float32"


def test_a_log_is_read_once_by_each_hierarchy_and_let_go_with_its_reading(log, fitted) -> None:
    some = log.subset(np.arange(len(log.dials)) < 50)
    read = fitted.read(some)
    assert fitted.read(some) is read
    assert replace(fitted, tables=fitted.tables[:1]).read(some).logit.tolist() != read.logit.tolist()
    assert np.array_equal(fitted.read(some).logit, read.logit)
    gone = ref(some)
    del some, read
    collect()
    assert gone() is None
