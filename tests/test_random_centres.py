"""Random centres: no rule broken, nobody lost, no place too many or needlessly empty, the same plan byte for byte.

A hundred of them by default; ``KAKEDOKI_CENTRES=1000`` asks a thousand (some minutes).
"""

import os

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from test_schedule import AS_OF, Planned, dials_of, people, plan_for, slots_of, times

from configs.settings import Settings
from features.contracts import Tables
from models.planning.decisions import Decisions
from models.planning.eligibility import find_eligible
from models.planning.outlook import Outlook
from models.planning.rules import read_rule_packs
from models.planning.schedule import build_call_plan

N_CENTRES = int(os.environ.get("KAKEDOKI_CENTRES", "100"))
PACKS = [("house",), ("house", "jp-sales"), ("us-fl", "us-reg-f"), ("house", "us-tsr", "us-reg-f"), ()]
OUTCOMES = (["busy", "no_answer", "voicemail", "third_party", "keyman_contact"], [0.3, 0.3, 0.1, 0.2, 0.1])
UNSURE = {"North": ("Asia/Tokyo", "Asia/Kolkata"), "*": ("Asia/Tokyo", "Asia/Seoul", "Australia/Sydney")}


def random_settings(rng: np.random.Generator) -> Settings:
    planning = {"min_attempts": int(rng.integers(0, 3)), "explore_share": float(rng.choice([0.0, 0.0, 0.2, 0.8]))}
    return Settings.model_validate({"planning": planning, "timezone_candidates": UNSURE if rng.random() < 0.5 else {}})


def random_decisions(rng: np.random.Generator, n: int, n_slots: int) -> Decisions:
    def some(least: int) -> pd.DataFrame:
        m = int(rng.integers(0, 4))
        rows = {
            "row": np.arange(m) + 2,
            "customer_row": rng.integers(least, n, m),
            "slot_row": rng.integers(-1, n_slots, m),
        }
        return pd.DataFrame(rows).drop_duplicates(["customer_row", "slot_row"]).astype("int64")

    blocks = some(-1)
    return Decisions(some(0), blocks[(blocks["customer_row"] >= 0) | (blocks["slot_row"] >= 0)])


def random_people(rng: np.random.Generator, n: int) -> pd.DataFrame:
    zones = np.array([None, "Asia/Kolkata", "Europe/Paris", "Bad/Zone"], dtype=object)
    zones = rng.choice(zones, n, p=[0.6, 0.2, 0.1, 0.1])
    calls_back = [AS_OF + pd.Timedelta(hours=int(h)) if h < 168 else None for h in rng.integers(0, 500, n)]
    return people(
        n,
        timezone=pd.Series(zones).astype("str").where(pd.notna(zones)),
        phone=pd.Series(rng.choice(np.array([None, "1", "2"], dtype=object), n, p=[0.5, 0.3, 0.2]), dtype="object"),
        callback_at=times(calls_back),
        value=rng.choice([0.0, 1.0, 2.5], n),
        listed=rng.random(n) < 0.9,
        region=pd.Series(rng.choice(["North", "South"], n), dtype="str"),
    )


def random_centre(seed: int) -> tuple[Planned, Settings, Decisions]:
    rng = np.random.default_rng(seed)
    n, n_days = int(rng.integers(1, 14)), int(rng.integers(1, 8))
    slots = slots_of(n_days, tuple(sorted(rng.choice(np.arange(6, 23), int(rng.integers(1, 5)), replace=False))))
    m = int(rng.integers(0, 60))
    at = sorted(AS_OF - pd.Timedelta(minutes=int(t)) for t in rng.integers(1, 14_000, m))
    attempts = dials_of(rng.integers(0, n, m), at, rng.choice(OUTCOMES[0], m, p=OUTCOMES[1]))
    config, decisions = random_settings(rng), random_decisions(rng, n, len(slots))
    planned = plan_for(
        random_people(rng, n),
        slots,
        rng.integers(0, 5, len(slots)),
        rng.uniform(0, 0.6, (n, len(slots))),
        attempts,
        PACKS[int(rng.integers(0, len(PACKS)))],
        config=config,
        decisions=decisions,
        rng=np.random.default_rng([config.seed, seed]),
    )
    return planned, config, decisions


def with_phones(planned: Planned) -> pd.DataFrame:
    plan, eligible, *_ = planned
    row_of = {customer: i for i, customer in enumerate(eligible.eligible_rows)}
    rows = plan.dials["customer_row"].map(row_of).astype("int64")
    return plan.dials.assign(eligible_row=rows, phone=eligible.phone_group[rows])


def zones_of(planned: Planned, i: int) -> range:
    """Rows of the zones that customer ``i`` may live in."""
    limits = planned[1].limits
    return range(limits.zone_row[i], limits.zone_row[i] + limits.n_candidates[limits.zone_row[i]])


def fit_together(planned: Planned, i: int, one: int, other: int) -> bool:
    """Whether two dials to the phone of ``i`` keep days and gaps, judged afresh."""
    _, eligible, _, slots, _ = planned
    limits, starts = eligible.limits, slots["slot_start"]
    if starts[one].date() == starts[other].date():
        return False
    apart = abs(int(limits.slot_start_us[one] - limits.slot_start_us[other]))
    for zone in zones_of(planned, i):
        same_part = limits.local_part[zone, one] == limits.local_part[zone, other]
        if limits.local_day[zone, one] == limits.local_day[zone, other] or (same_part and apart < limits.part_gap_us):
            return False
    return apart >= limits.gap_us


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


def can_take(planned: Planned, used: pd.DataFrame, i: int, slot: int) -> bool:
    """Whether one more dial would be lawful, judged afresh from the plan's rows."""
    eligible = planned[1]
    taken = used.loc[used["phone"] == eligible.phone_group[i], "slot_row"].tolist()
    if not eligible.lawful[i, slot] or len(taken) >= eligible.attempts_left[i]:
        return False
    if not all(fit_together(planned, i, other, slot) for other in taken):
        return False
    return keeps_windows(planned, eligible.phone_group[i], [*taken, slot])


def check_rules(planned: Planned, decisions: Decisions) -> None:
    plan, eligible, _, slots, capacity = planned
    used = with_phones(planned)
    assert (np.bincount(used["slot_row"], minlength=len(slots)) <= capacity).all()
    assert eligible.lawful[used["eligible_row"], used["slot_row"]].all()
    for phone, rows in used.groupby("phone"):
        dialled = list(zip(rows["eligible_row"], rows["slot_row"], strict=True))
        for k, (i, one) in enumerate(dialled):
            assert all(fit_together(planned, i, one, other) for j, other in dialled if i == j and other > one)
            same_day = [slots["slot_start"][other].date() == slots["slot_start"][one].date() for _, other in dialled]
            assert sum(same_day) == 1, k
        assert keeps_windows(planned, phone, rows["slot_row"].tolist())
        assert len(rows) <= eligible.attempts_left[rows["eligible_row"].iloc[0]]
    assert (used["attempt_number"] <= 10).all()
    for customer, slot in decisions.blocks[["customer_row", "slot_row"]].itertuples(index=False):
        is_theirs = used["customer_row"].eq(customer) | (customer == -1)
        assert not (is_theirs & (used["slot_row"].eq(slot) | (slot == -1))).any()
    assert plan.objective >= 0


def check_nobody_is_lost(planned: Planned) -> None:
    plan, eligible, tables, _, _ = planned
    accounted = [*eligible.excluded["customer_row"], *set(plan.dials["customer_row"]), *plan.unplanned["customer_row"]]
    assert sorted(accounted) == np.flatnonzero(tables.customers["listed"]).tolist()
    for _, rows in plan.dials.groupby("slot_row"):
        assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
    assert plan.dials["propensity"].between(0, 1 + 1e-12, inclusive="right").all()


def check_places(planned: Planned, config: Settings) -> None:
    """Every place is filled that a lawful customer can take, but for what exploration frees on the first day."""
    _, eligible, _, slots, capacity = planned
    used = with_phones(planned)
    room = capacity - np.bincount(used["slot_row"], minlength=len(slots))
    explores = config.planning.explore_share > 0
    first_day = slots["slot_start"].dt.date == slots["slot_start"].iloc[0].date()
    for slot in np.flatnonzero(room):
        if not (explores and first_day[slot]):
            assert not any(can_take(planned, used, i, slot) for i in range(len(eligible.eligible_rows)))


def check_first_attempts(planned: Planned, config: Settings, decisions: Decisions) -> None:
    """Whoever is owed an attempt and has none finds every slot of theirs full of others who were owed one, or given."""
    plan, eligible, tables, _, _ = planned
    if config.planning.explore_share > 0 or len(decisions.pins) or tables.customers["callback_at"].notna().any():
        return
    used = with_phones(planned)
    owed = np.maximum(config.planning.min_attempts - eligible.attempt_number, 0)
    for i in np.flatnonzero((owed > 0) & ~np.isin(eligible.phone_group, used["phone"])):
        others = used[eligible.lawful[i, used["slot_row"]]]
        assert (owed[others["eligible_row"]] > 0).all()
    assert plan.upper_bound >= 0


@budget(max_examples=N_CENTRES, deadline=None)
@given(st.integers(0, 1_000_000))
def test_whatever_the_centre_no_rule_is_broken_and_nobody_is_lost(seed: int) -> None:
    planned, config, decisions = random_centre(seed)
    check_rules(planned, decisions)
    check_nobody_is_lost(planned)
    check_places(planned, config)
    check_first_attempts(planned, config, decisions)


@budget(max_examples=max(N_CENTRES // 5, 5), deadline=None)
@given(st.integers(0, 1_000_000))
def test_the_same_input_and_seed_give_the_same_plan_byte_for_byte(seed: int) -> None:
    first, second = random_centre(seed)[0][0], random_centre(seed)[0][0]
    assert first.dials.to_csv() == second.dials.to_csv()
    assert first.prices.tobytes() == second.prices.tobytes()
    assert first.notes == second.notes


@budget(max_examples=max(N_CENTRES // 2, 5), deadline=None)
@given(st.integers(0, 1_000_000))
def test_the_rest_of_a_day_dials_nobody_twice_and_holds_no_more_than_its_places(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, now = int(rng.integers(1, 12)), AS_OF + pd.Timedelta(hours=12)
    slots = slots_of(1, tuple(range(13, 13 + int(rng.integers(1, 6)))))
    m = int(rng.integers(0, 20))
    at = sorted(now - pd.Timedelta(minutes=int(t)) for t in rng.integers(1, 3_000, m))
    attempts = dials_of(rng.integers(0, n, m), at, rng.choice(OUTCOMES[0], m, p=OUTCOMES[1]))
    customers, config = random_people(rng, n), random_settings(rng)
    tables = Tables(customers, attempts, None, None, dials_of())
    packs = read_rule_packs(PACKS[int(rng.integers(0, len(PACKS)))])
    eligible = find_eligible(tables, slots, now, packs, config, contacted_since=AS_OF)
    p, places = rng.uniform(0, 0.6, (n, len(slots))).astype("float32"), rng.integers(0, 4, len(slots))
    outlook = Outlook(lambda rows, _: p[rows], eligible, slots, tables, config)
    plan = build_call_plan(outlook, places, rng=np.random.default_rng(seed))
    phone = customers["phone"].fillna(customers["customer_id"])
    today = attempts[attempts["attempted_at"] >= AS_OF]
    planned = phone.iloc[plan.dials["customer_row"]]
    assert planned.is_unique
    assert not planned.isin(phone.iloc[today["customer_row"]]).any()
    assert (np.bincount(plan.dials["slot_row"], minlength=len(slots)) <= places).all()
    reached = set(today.loc[today["outcome"] == "keyman_contact", "customer_row"])
    assert not reached & set(eligible.eligible_rows.tolist())
