"""What a plan states of its dials: no more than held-out dials bear out."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from small_centre import SETTINGS, build_centre

from models.contact.trust import Trust, fit_trust
from models.planning.believing import believe
from models.planning.eligibility import find_eligible
from models.planning.outlook import Outlook
from models.planning.rules import read_rule_packs
from models.planning.schedule import CallPlan, build_call_plan

NO_DOUBT = Trust(1.0, 1.0)


class Noisy:
    """Predictions that are right but for noise in how slots differ from a customer's usual chance."""

    def __init__(self, n: int, n_slots: int) -> None:
        rng = np.random.default_rng(7)
        self.usual = rng.normal(-2.0, 0.5, (n, 1))
        self.true = expit(self.usual + rng.normal(0, 0.2, (n, n_slots)))
        self.predicted = expit(logit(self.true) + rng.normal(0, 0.4, (n, n_slots))).astype("float32")

    def __call__(self, customer_rows: np.ndarray, n_earlier: int) -> np.ndarray:
        return np.asarray(expit(logit(self.predicted[customer_rows]) - 0.3 * n_earlier), dtype="float32")


@pytest.fixture(scope="module")
def planned() -> tuple[Noisy, tuple, CallPlan]:
    centre = build_centre()
    packs = read_rule_packs(SETTINGS.rule_packs)
    as_of = pd.Timestamp("2026-11-02", tz=SETTINGS.timezone)
    eligibility = find_eligible(centre.tables, centre.slots, as_of, packs, SETTINGS)
    scorer = Noisy(len(centre.tables.customers), len(centre.slots))
    outlook, places = Outlook(scorer, eligibility, centre.slots, centre.tables, SETTINGS), 4 * centre.capacity
    demand = outlook.build_demand(places)
    return scorer, (demand, eligibility), build_call_plan(outlook, places, demand)


def test_full_trust_changes_nothing(planned) -> None:
    _, ground, plan = planned
    believed = believe(plan, *ground, NO_DOUBT)
    pd.testing.assert_frame_equal(believed.dials, plan.dials, rtol=1e-5)
    assert believed.expected_contacts == pytest.approx(plan.expected_contacts, rel=1e-5)


def test_the_best_of_noisy_predictions_is_brought_down_to_the_truth(planned) -> None:
    scorer, ground, plan = planned
    first = plan.dials[plan.dials["survival"] == 1.0]
    true = scorer.true[first["customer_row"], first["slot_row"]].mean()
    rng = np.random.default_rng(1)
    every = np.repeat(np.arange(len(scorer.true)), 20)
    slots = rng.integers(0, scorer.true.shape[1], len(every))
    usual = logit(scorer.predicted).mean(axis=1)
    is_contact = rng.random(len(slots)) < scorer.true[every, slots]
    held_out = fit_trust(usual[every], logit(scorer.predicted[every, slots]) - usual[every], is_contact)
    believed = believe(plan, *ground, held_out).dials.loc[first.index, "p_keyman"].mean()
    assert first["p_keyman"].mean() > 1.2 * true
    assert believed == pytest.approx(true, rel=0.03)


def test_a_slot_that_is_not_believed_leaves_the_customers_usual_chance(planned) -> None:
    _, (demand, eligibility), plan = planned
    dials = believe(plan, demand, eligibility, Trust(1.0, 0.0)).dials
    first = dials[plan.dials["survival"] == 1.0]
    rows = np.searchsorted(eligibility.eligible_rows, first["customer_row"])
    lawful = np.where(demand.p_first[rows] >= 0, demand.p_first[rows], np.nan).astype(float)
    np.testing.assert_allclose(first["p_keyman"], expit(np.nanmean(logit(lawful), axis=1)), rtol=1e-5)


def test_a_series_is_dialled_on_as_often_as_its_earlier_dials_are_believed_to_fail(planned) -> None:
    _, ground, plan = planned
    dials = believe(plan, *ground, Trust(0.8, 0.3)).dials.sort_values(["customer_row", "slot_row"])
    series = dials.groupby("customer_row")
    second = dials[series.cumcount() == 1]
    before = series["p_keyman"].first().loc[second["customer_row"]].to_numpy()
    stops = 1 - before - second["survival"].to_numpy()  # refusals and wrong numbers end a series too
    assert len(second) > 500
    assert (stops > 0).all()
    assert (stops < 0.05).all()


def test_an_empty_plan_stays_empty(planned) -> None:
    _, ground, plan = planned
    empty = CallPlan(plan.dials.iloc[:0], plan.prices, 0.0, 0.0, 0.0, 0.0, plan.unplanned)
    assert believe(empty, *ground, NO_DOUBT) is empty
