"""The call plan: no rule broken, nobody lost, every place filled that can be, the same plan every time."""

import numpy as np
import pandas as pd
import pytest

from configs.settings import Settings
from features.contracts import Tables
from models.planning.decisions import apply_blocks
from models.planning.eligibility import Eligibility, find_eligible
from models.planning.outlook import Outlook
from models.planning.rules import RulePack, read_rule_packs
from models.planning.schedule import CallPlan, build_call_plan

ZONE = "Asia/Tokyo"
AS_OF = pd.Timestamp("2026-11-02", tz=ZONE)
HOUR = pd.Timedelta(hours=1)
Planned = tuple[CallPlan, Eligibility, Tables, pd.DataFrame, np.ndarray]


def times(values) -> pd.Series:
    return pd.Series(pd.DatetimeIndex(values, tz=ZONE).as_unit("us"))


def slots_of(n_days: int, hours: tuple[int, ...]) -> pd.DataFrame:
    return pd.DataFrame(
        {"slot_start": times([AS_OF + pd.Timedelta(days=d, hours=h) for d in range(n_days) for h in hours])}
    )


def people(n: int, **columns) -> pd.DataFrame:
    plain = pd.DataFrame({"customer_id": pd.Series([f"c{i:03d}" for i in range(n)], dtype="str")}).assign(
        do_not_call=False,
        listed=True,
        listed_at=times([None] * n),
        timezone=pd.Series([None] * n, dtype="str"),
        value=1.0,
        callback_at=times([None] * n),
        phone=pd.Series([None] * n, dtype="str"),
    )
    return plain.assign(**columns)


def dials_of(rows=(), at=(), outcome=(), refused=False) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "customer_row": np.array(rows, dtype="int32"),
            "attempted_at": times(list(at)),
            "outcome": pd.Series(list(outcome), dtype="str"),
        }
    ).assign(refused=refused)


def plan_for(
    customers,
    slots,
    capacity,
    p,
    attempts=None,
    packs=("house",),
    fade=0.9,
    config=Settings(),  # noqa: B008 - frozen
    decisions=None,
    rng=None,
) -> Planned:
    tables = Tables(customers, dials_of() if attempts is None else attempts, None, None, dials_of())
    rules: tuple[RulePack, ...] = read_rule_packs(packs)
    eligible = find_eligible(tables, slots, AS_OF, rules, config)
    if decisions is not None:
        eligible = apply_blocks(eligible, decisions.blocks)

    def score(rows, n_earlier):
        return (p[rows] * fade**n_earlier).astype("float32")

    places = np.array(capacity)
    outlook = Outlook(score, eligible, slots, tables, config)
    plan = build_call_plan(outlook, places, None, decisions, rng)
    return plan, eligible, tables, slots, places


def pairs(plan: CallPlan) -> set[tuple[int, int]]:
    return set(zip(plan.dials["customer_row"].tolist(), plan.dials["slot_row"].tolist(), strict=True))


def test_each_customer_is_called_when_they_answer():
    p = np.array([[0.5, 0.1], [0.1, 0.5]])
    plan = plan_for(people(2), slots_of(1, (10, 18)), [1, 1], p)[0]
    assert pairs(plan) == {(0, 0), (1, 1)}
    assert plan.expected_contacts == pytest.approx(1.0)
    assert plan.gap <= 0.002


def test_a_dear_customer_comes_before_a_cheap_one():
    plan = plan_for(people(2, value=[1.0, 3.0]), slots_of(1, (10,)), [1], np.array([[0.5], [0.3]]))[0]
    assert pairs(plan) == {(1, 0)}
    assert plan.unplanned.to_dict("list") == {"customer_row": [0], "reason": ["no_capacity"]}


def test_later_dials_are_scored_as_such_and_counted_on():
    attempts = dials_of([0, 0], ["2026-10-05", "2026-10-06"], ["busy", "no_answer"])
    plan = plan_for(people(1), slots_of(3, (10,)), [1, 1, 1], np.array([[0.5, 0.4, 0.2]]), attempts)[0]
    assert plan.dials["p_keyman"].tolist() == pytest.approx([0.5, 0.36, 0.162])
    assert plan.dials["attempt_number"].tolist() == [3, 4, 5]
    assert plan.dials["survival"].tolist() == pytest.approx([1.0, 0.5, 0.32])
    assert plan.expected_contacts == pytest.approx(0.5 + 0.5 * 0.36 + 0.32 * 0.162)


def test_a_second_dial_to_someone_easy_beats_a_first_to_someone_hopeless():
    plan = plan_for(people(2), slots_of(2, (10,)), [1, 1], np.array([[0.4, 0.4], [0.01, 0.01]]))[0]
    assert pairs(plan) == {(0, 0), (0, 1)}


def test_ranks_run_from_one_and_the_greatest_loss_comes_first():
    plan = plan_for(people(4), slots_of(1, (10,)), [4], np.array([[0.1], [0.4], [0.4], [0.2]]))[0]
    assert plan.dials["customer_row"].tolist() == [1, 2, 3, 0]
    assert plan.dials["rank"].tolist() == [1, 2, 3, 4]


def test_a_promised_call_back_takes_its_place_first():
    promised = times([None, "2026-11-02 10:30"])
    plan = plan_for(people(2, callback_at=promised), slots_of(1, (10,)), [1], np.array([[0.9], [0.1]]))[0]
    assert pairs(plan) == {(1, 0)}


def test_a_call_back_outside_the_window_is_planned_like_any_dial():
    promised = times([None, "2026-11-02 22:30"])
    slots = slots_of(1, (10, 22))
    plan = plan_for(people(2, callback_at=promised), slots, [1, 1], np.full((2, 2), 0.2), packs=("house", "jp-sales"))[
        0
    ]
    assert plan.dials["slot_row"].tolist() == [0]


def test_a_promised_customer_is_not_called_before_while_others_can_be():
    promised = times(["2026-11-03 10:00", None])
    plan = plan_for(people(2, callback_at=promised), slots_of(2, (10,)), [1, 1], np.array([[0.9, 0.9], [0.1, 0.1]]))[0]
    assert pairs(plan) == {(0, 1), (1, 0)}


def test_an_unknown_zone_is_unplanned_for_want_of_a_lawful_slot():
    zones = pd.Series(["Nowhere/Land", None], dtype="str")
    plan = plan_for(people(2, timezone=zones), slots_of(1, (10,)), [5], np.full((2, 1), 0.2))[0]
    assert plan.unplanned.to_dict("list") == {"customer_row": [0], "reason": ["no_lawful_slot"]}


def test_a_shared_phone_rings_once_a_day_and_shares_its_last_attempts():
    attempts = dials_of([0] * 8, ["2026-10-05"] * 8, ["busy"] * 8)
    plan = plan_for(people(2, phone=["1", "1"]), slots_of(4, (10, 11)), [5] * 8, np.full((2, 8), 0.2), attempts)[0]
    assert len(plan.dials) == 2
    assert plan.dials["slot_row"].floordiv(2).is_unique
    assert sorted(plan.dials["attempt_number"]) == [9, 10]


def test_nobody_eligible_leaves_an_empty_plan():
    plan = plan_for(people(2, do_not_call=True), slots_of(1, (10,)), [5], np.full((2, 1), 0.2))[0]
    assert len(plan.dials) == len(plan.unplanned) == 0
    assert (plan.expected_contacts, plan.gap) == (0.0, 0.0)


def test_no_place_leaves_everyone_unplanned():
    plan = plan_for(people(2), slots_of(1, (10,)), [0], np.full((2, 1), 0.2))[0]
    assert plan.unplanned["reason"].tolist() == ["no_capacity"] * 2


def test_every_dial_says_what_allowed_it():
    plan = plan_for(people(1), slots_of(1, (10,)), [1], np.full((1, 1), 0.2), packs=("house", "jp-telecom"))[0]
    assert plan.dials["allowed_because"].tolist() == ["house 2026-11-22; jp-telecom 2026-11-21"]


def test_a_centre_of_some_size_is_planned_within_the_promised_gap():
    rng = np.random.default_rng(0)
    p = 1 / (1 + np.exp(-(rng.normal(-2.5, 0.8, (4000, 1)) + rng.normal(0, 0.3, (4000, 35)))))
    plan = plan_for(people(4000), slots_of(7, (9, 11, 14, 17, 19)), np.full(35, 40), p)[0]
    assert plan.gap <= 0.002
    assert len(plan.dials) == 35 * 40
