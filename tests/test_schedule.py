"""The call plan: no rule broken, nobody lost, every place filled that can be, the same plan every time."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from configs.settings import Settings
from features.contracts import Tables
from models.planning.decisions import apply_blocks
from models.planning.eligibility import Eligibility, find_eligible
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
    plan = build_call_plan(score, eligible, slots, places, tables, config, rules, None, decisions, rng)
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


def random_centre(seed: int) -> Planned:
    rng = np.random.default_rng(seed)
    n, n_days = int(rng.integers(1, 14)), int(rng.integers(1, 8))
    slots = slots_of(n_days, tuple(sorted(rng.choice(np.arange(6, 23), int(rng.integers(1, 5)), replace=False))))
    zones = rng.choice(
        np.array([None, "Asia/Kolkata", "Europe/Paris", "Bad/Zone"], dtype=object), n, p=[0.6, 0.2, 0.1, 0.1]
    )
    phones = rng.choice(np.array([None, "1", "2"], dtype=object), n, p=[0.5, 0.3, 0.2])
    calls_back = [AS_OF + pd.Timedelta(hours=int(h)) if h < 168 else None for h in rng.integers(0, 500, n)]
    customers = people(
        n,
        timezone=pd.Series(zones).astype("str").where(pd.notna(zones)),
        phone=pd.Series(phones, dtype="object"),
        callback_at=times(calls_back),
        value=rng.choice([0.0, 1.0, 2.5], n),
        listed=rng.random(n) < 0.9,
    )
    m = int(rng.integers(0, 60))
    at = sorted(AS_OF - pd.Timedelta(minutes=int(t)) for t in rng.integers(1, 14_000, m))
    attempts = dials_of(
        rng.integers(0, n, m), at, rng.choice(["busy", "third_party", "keyman_contact"], m, p=[0.7, 0.2, 0.1])
    )
    packs = [("house",), ("house", "jp-sales"), ("us-fl", "us-reg-f"), ("house", "us-tsr", "us-reg-f"), ()]
    p = rng.uniform(0, 0.6, (n, len(slots)))
    chosen = packs[int(rng.integers(0, len(packs)))]
    return plan_for(customers, slots, rng.integers(0, 5, len(slots)), p, attempts, chosen)


def can_take(planned: Planned, used: pd.DataFrame, i: int, slot: int) -> bool:
    """Whether one more dial would be lawful, judged afresh from the plan's rows."""
    _, eligible, _, slots, _ = planned
    group = used[used["phone"] == eligible.phone_group[i]]
    if not eligible.lawful[i, slot] or len(group) >= eligible.attempts_left[i]:
        return False
    zone = eligible.limits.local_day[eligible.limits.zone_row[i]]
    centre = slots["slot_start"].dt.normalize()
    taken = group["slot_row"].tolist()
    if any(zone[s] == zone[slot] or centre[s] == centre[slot] for s in taken):
        return False
    return keeps_windows(planned, eligible.phone_group[i], [*taken, slot])


def keeps_windows(planned: Planned, phone: int, slot_rows: list[int]) -> bool:
    limits = planned[1].limits
    past = limits.past_us[limits.past_start[phone] : limits.past_start[phone + 1]]
    starts = np.sort(limits.slot_start_us[slot_rows])
    for window, most in zip(limits.rolling_us, limits.rolling_max, strict=True):
        for start in starts:
            inside = (past >= start - window).sum() + (
                (starts + limits.slot_us > start - window) & (starts <= start)
            ).sum()
            if inside > most:
                return False
    return True


def with_phones(planned: Planned) -> pd.DataFrame:
    plan, eligible, *_ = planned
    row_of = {customer: i for i, customer in enumerate(eligible.eligible_rows)}
    rows = plan.dials["customer_row"].map(row_of).astype("int64")
    return plan.dials.assign(eligible_row=rows, phone=eligible.phone_group[rows])


@budget(max_examples=60, deadline=None)
@given(st.integers(0, 100_000))
def test_no_plan_breaks_a_rule(seed):
    planned = random_centre(seed)
    plan, eligible, _, slots, capacity = planned
    used = with_phones(planned)
    assert (np.bincount(used["slot_row"], minlength=len(slots)) <= capacity).all()
    assert eligible.lawful[used["eligible_row"], used["slot_row"]].all()
    day = slots["slot_start"].dt.normalize().to_numpy()[used["slot_row"]]
    local_day = eligible.limits.local_day[eligible.limits.zone_row[used["eligible_row"]], used["slot_row"]]
    assert not used.assign(day=day).duplicated(["phone", "day"]).any()
    assert not used.assign(day=local_day).duplicated(["customer_row", "day"]).any()
    n_of_phone = used.groupby("phone")["slot_row"].transform("size").to_numpy()
    assert (n_of_phone <= eligible.attempts_left[used["eligible_row"]]).all()
    assert all(keeps_windows(planned, phone, rows["slot_row"].tolist()) for phone, rows in used.groupby("phone"))
    assert (used["attempt_number"] <= 10).all()
    assert plan.objective >= 0


@budget(max_examples=40, deadline=None)
@given(st.integers(0, 100_000))
def test_nobody_is_lost_and_ranks_have_no_gaps(seed):
    plan, eligible, tables, _, _ = random_centre(seed)
    planned_rows, left_out = set(plan.dials["customer_row"]), plan.unplanned["customer_row"]
    assert (
        sorted([*eligible.excluded["customer_row"], *planned_rows, *left_out])
        == np.flatnonzero(tables.customers["listed"]).tolist()
    )
    for _, rows in plan.dials.groupby("slot_row"):
        assert rows["rank"].tolist() == list(range(1, len(rows) + 1))


@budget(max_examples=40, deadline=None)
@given(st.integers(0, 100_000))
def test_every_place_is_filled_that_a_lawful_customer_can_take(seed):
    planned = random_centre(seed)
    _, eligible, _, slots, capacity = planned
    used = with_phones(planned)
    room = capacity - np.bincount(used["slot_row"], minlength=len(slots))
    for slot in np.flatnonzero(room):
        assert not any(can_take(planned, used, i, slot) for i in range(len(eligible.eligible_rows)))


@budget(max_examples=15, deadline=None)
@given(st.integers(0, 100_000))
def test_the_same_input_gives_the_same_plan(seed):
    first, second = random_centre(seed)[0], random_centre(seed)[0]
    pd.testing.assert_frame_equal(first.dials, second.dials, check_exact=True)
    assert np.array_equal(first.prices, second.prices)


def test_a_centre_of_some_size_is_planned_within_the_promised_gap():
    rng = np.random.default_rng(0)
    p = 1 / (1 + np.exp(-(rng.normal(-2.5, 0.8, (4000, 1)) + rng.normal(0, 0.3, (4000, 35)))))
    plan = plan_for(people(4000), slots_of(7, (9, 11, 14, 17, 19)), np.full(35, 40), p)[0]
    assert plan.gap <= 0.002
    assert len(plan.dials) == 35 * 40
