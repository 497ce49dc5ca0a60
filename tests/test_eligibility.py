"""Who may be called, when, and how often still: each rule met and broken."""

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from configs.settings import Settings
from features.contracts import Tables
from models.planning.eligibility import Eligibility, find_eligible
from models.planning.rules import read_rule_packs

ZONE = "Asia/Tokyo"
AS_OF = pd.Timestamp("2026-11-02", tz=ZONE)
HOURS = ("2026-11-02 07:00", "2026-11-02 08:00", "2026-11-02 20:00", "2026-11-02 21:00", "2026-11-03 10:00")


def times(values: list[str | None]) -> pd.Series:
    return pd.Series(pd.DatetimeIndex(values).tz_localize(ZONE).as_unit("us"))


def people(n: int = 1, **columns: list) -> pd.DataFrame:
    plain = pd.DataFrame(
        {
            "customer_id": pd.Series([f"c{i}" for i in range(n)], dtype="str"),
            "do_not_call": False,
            "listed": True,
            "listed_at": times([None] * n),
            "timezone": pd.Series([None] * n, dtype="str"),
            "value": 1.0,
            "callback_at": times([None] * n),
            "phone": pd.Series([None] * n, dtype="str"),
        }
    )
    return plain.assign(**columns)


def dials(*rows: tuple[int, str | None, str | None] | tuple[int, str | None, str | None, bool]) -> pd.DataFrame:
    full = [(*row, False)[:4] for row in rows]
    return pd.DataFrame(
        {
            "customer_row": np.array([row[0] for row in full], dtype="int32"),
            "attempted_at": times([row[1] for row in full]),
            "outcome": pd.Series([row[2] for row in full], dtype="str"),
            "refused": np.array([row[3] for row in full], dtype=bool),
        }
    )


def find(customers, attempts=None, held=None, packs=("house",), slots=HOURS, strange=None, **settings) -> Eligibility:
    none = dials()
    tables = Tables(customers, none if attempts is None else attempts, None, None, none if held is None else held)
    if strange is not None:
        tables = replace(tables, phone_dials=strange)
    frame = pd.DataFrame({"slot_start": times(list(slots))})
    return find_eligible(tables, frame, AS_OF, read_rule_packs(packs), Settings(**settings))


def reasons(found: Eligibility) -> dict[int, str]:
    return dict(zip(found.excluded["customer_row"], found.excluded["reason"], strict=True))


def test_unlisted_customers_appear_nowhere():
    found = find(people(2, listed=[False, True], do_not_call=[True, False]))
    assert reasons(found) == {}
    assert found.eligible_rows.tolist() == [1]


@pytest.mark.parametrize(
    ("attempt", "reason"),
    [
        ((0, "2020-01-01 10:00", "no_answer", True), "refused"),
        ((0, "2020-01-01 10:00", "keyman_contact", True), "refused"),
        ((0, "2020-01-01 10:00", "wrong_number"), "wrong_number"),
    ],
)
@pytest.mark.parametrize("place", ["attempts", "held"])
def test_a_refusal_or_a_wrong_number_bars_for_good_wherever_it_is_written(attempt, reason, place):
    assert reasons(find(people(), **{place: dials(attempt)})) == {0: reason}


def test_the_first_reason_that_applies_is_the_one_given():
    customers = people(5, do_not_call=[True, False, False, False, False], listed_at=times(["2026-10-01"] * 5))
    every = [(i, "2026-10-02", "keyman_contact") for i in range(4)]
    attempts = dials(
        *[(i, f"2026-10-{day:02d} 10:00", "no_answer") for i in range(5) for day in range(3, 13)],
        *every,
        (0, "2026-10-02", "wrong_number", True),
        (1, "2026-10-02", "wrong_number", True),
        (2, "2026-10-02", "wrong_number"),
    )
    expected = {0: "do_not_call", 1: "refused", 2: "wrong_number", 3: "contacted", 4: "attempt_cap"}
    assert reasons(find(customers, attempts)) == expected


def test_a_contact_before_listed_at_does_not_count_and_one_at_it_does():
    customers = people(2, listed_at=times(["2026-10-01 10:00"] * 2))
    attempts = dials((0, "2026-10-01 09:59", "keyman_contact"), (1, "2026-10-01 10:00", "keyman_contact"))
    assert reasons(find(customers, attempts)) == {1: "contacted"}


def test_without_listed_at_the_list_itself_decides_and_attempts_count_after_the_last_contact():
    attempts = dials(
        (0, "2026-10-01 10:00", "no_answer"), (0, "2026-10-02 10:00", "keyman_contact"), (0, "2026-10-03 10:00", "busy")
    )
    found = find(people(), attempts)
    assert (found.attempt_number.tolist(), found.attempts_left.tolist()) == ([1], [9])


def test_ten_attempts_since_listing_are_the_cap_and_nine_leave_one():
    attempts = dials(*[(i, f"2026-10-{day:02d}", "no_answer") for i in range(2) for day in range(3, 12 + i)])
    found = find(people(2, listed_at=times(["2026-10-03"] * 2)), attempts)
    assert reasons(found) == {1: "attempt_cap"}
    assert found.attempts_left.tolist() == [1]


def test_rejected_attempts_count_for_the_cap_even_without_a_readable_time():
    held = dials(*[(0, None, None)] * 4, (0, "2026-10-05", None))
    assert find(people(listed_at=times(["2026-10-01"])), held=held).attempts_left.tolist() == [5]


def test_a_rejected_contact_bars_but_never_sets_the_count_back():
    attempts = dials(*[(0, "2026-10-05", "no_answer")] * 10)
    held = dials((0, None, "keyman_contact"))
    assert reasons(find(people(), attempts, held)) == {0: "attempt_cap"}
    assert reasons(find(people(listed_at=times(["2026-10-01"])), attempts, held)) == {0: "contacted"}


def test_attempts_at_or_after_as_of_are_unknown():
    held = dials((0, "2026-11-02 00:00", "wrong_number", True))
    assert find(people(), held=held).attempts_left.tolist() == [10]


def test_customers_who_share_a_phone_share_its_cap_however_it_is_written():
    phones = ["090-1234-5678", "０９０ 1234 5678", "+81 90-1234-5678", "090-1234-5679", None, None]
    attempts = dials(*[(0, "2026-10-05", "busy")] * 4, *[(1, "2026-10-05", "busy")] * 3, (3, "2026-10-05", "busy"))
    found = find(people(6, phone=pd.Series(phones, dtype="str")), attempts)
    assert found.attempts_left.tolist() == [3, 3, 3, 9, 10, 10]
    assert found.phone_group[0] == found.phone_group[1] == found.phone_group[2]
    assert len(set(found.phone_group[2:])) == 4


def test_a_full_phone_caps_every_customer_who_has_it():
    found = find(people(2, phone=["1", "1"]), dials(*[(0, "2026-10-05", "busy")] * 10))
    assert reasons(found) == {0: "attempt_cap", 1: "attempt_cap"}


def test_a_refusal_bars_the_person_and_not_whoever_shares_the_phone():
    found = find(people(2, phone=["1", "1"]), dials((0, "2026-10-05", "no_answer", True)))
    assert reasons(found) == {0: "refused"}
    assert found.eligible_rows.tolist() == [1]


def test_the_whole_slot_must_lie_in_the_calling_window():
    assert find(people(), packs=("house", "jp-sales")).lawful.tolist() == [[False, True, True, False, True]]


def test_the_window_is_read_where_the_called_party_lives():
    zones = pd.Series(["Asia/Tokyo", "Asia/Kolkata", "", None], dtype="str")  # Kolkata is 3:30 behind
    found = find(people(4, timezone=zones), packs=("jp-sales",), slots=("2026-11-02 11:00", "2026-11-02 12:00"))
    assert found.lawful.tolist() == [[True, True], [False, True], [True, True], [True, True]]


def test_a_window_follows_the_clocks_of_the_called_party_into_winter():
    zones = pd.Series(["America/New_York"], dtype="str")  # 31 Oct 2026: UTC-4, from 1 Nov 06:00 UTC: UTC-5
    slots = ("2026-10-31 21:00", "2026-11-02 21:00", "2026-11-02 22:00")
    assert find(people(timezone=zones), packs=("us-tsr",), slots=slots).lawful.tolist() == [[True, False, True]]


def test_an_unknown_time_zone_has_no_lawful_slot():
    zones = pd.Series(["Mars/Olympus", None], dtype="str")
    assert find(people(2, timezone=zones)).lawful.any(axis=1).tolist() == [False, True]


def test_a_day_that_had_its_dial_is_closed_where_the_called_party_lives():
    zones = pd.Series(["America/Los_Angeles", "Asia/Tokyo"], dtype="str")  # 17 hours behind in November
    attempts = dials((0, "2026-11-01 23:00", "busy"), (1, "2026-11-01 23:00", "busy"))
    found = find(people(2, timezone=zones), attempts, slots=("2026-11-02 09:00", "2026-11-02 18:00"))
    assert found.lawful.tolist() == [[False, True], [True, True]]


def test_a_rolling_window_forbids_until_the_oldest_dial_has_left_it():
    attempts = dials(*[(0, f"2026-11-01 {hour}:30", "busy") for hour in ("09", "15", "18")])
    slots = ("2026-11-02 09:00", "2026-11-02 10:00")
    assert find(people(), attempts, packs=("us-fl",), slots=slots).lawful.tolist() == [[False, True]]


def test_rolling_windows_count_every_dial_to_the_phone():
    attempts = dials((0, "2026-11-01 12:00", "busy"), (1, "2026-11-01 12:00", "busy"), (1, "2026-11-01 13:00", "busy"))
    found = find(
        people(2, phone=["1", "1"]), attempts, packs=("us-fl",), slots=("2026-11-02 11:00", "2026-11-02 13:00")
    )
    assert found.lawful.tolist() == [[False, True], [False, True]]


def test_quiet_days_follow_a_conversation_also_on_a_relisted_customer():
    customers = people(listed_at=times(["2026-10-30"]))
    attempts = dials((0, "2026-10-26 10:30", "keyman_contact"))
    slots = ("2026-11-02 10:00", "2026-11-02 11:00")
    assert find(customers, attempts, packs=("us-reg-f",), slots=slots).lawful.tolist() == [[False, True]]
    assert find(customers, attempts, packs=("house",), slots=slots).lawful.tolist() == [[True, True]]


def test_dials_to_a_rejected_customer_count_for_whoever_shares_the_phone():
    customers = people(3, phone=["090-1", "0902", None], listed_at=times([None, "2026-10-01", None]))
    at = times(["2026-10-20 10:00"] * 10 + [None])
    strange = pd.DataFrame({"phone": ["0901"] * 10 + ["0902"], "attempted_at": at, "outcome": "wrong_number"})
    found = find(customers, dials((2, "2026-10-20", "busy")), strange=strange, packs=("house", "us-reg-f"))
    assert reasons(found) == {0: "attempt_cap"}
    assert found.eligible_rows.tolist() == [1, 2]
    assert found.attempt_number.tolist() == [1, 1]
    contact = strange.tail(1).assign(outcome="keyman_contact")
    assert find(customers, strange=contact, packs=("us-reg-f",)).lawful.any(axis=1).tolist() == [True, False, True]


def test_everyone_listed_is_either_excluded_or_eligible():
    rng = np.random.default_rng(0)
    attempts = dials(
        *[
            (int(i), "2026-10-05", str(o))
            for i, o in zip(
                rng.integers(0, 50, 300), rng.choice(["busy", "keyman_contact", "wrong_number"], 300), strict=True
            )
        ]
    )
    customers = people(50, listed=rng.random(50) < 0.8, do_not_call=rng.random(50) < 0.1)
    found = find(customers, attempts)
    everyone = np.sort(np.concatenate([found.excluded["customer_row"], found.eligible_rows]))
    assert everyone.tolist() == np.flatnonzero(customers["listed"]).tolist()


def test_nobody_listed_leaves_an_empty_answer():
    found = find(people(2, listed=[False, False]), packs=("house", "us-fl", "us-reg-f"))
    assert found.lawful.shape == (0, len(HOURS))
    assert len(found.excluded) == 0


def test_the_tables_stay_as_they_were():
    customers, attempts = people(2, phone=["1", "1"]), dials((0, "2026-11-01 12:00", "busy"))
    before = customers.copy(), attempts.copy()
    find(customers, attempts, packs=("house", "us-fl", "us-reg-f"))
    pd.testing.assert_frame_equal(customers, before[0])
    pd.testing.assert_frame_equal(attempts, before[1])


def test_thirty_thousand_customers_take_a_moment():
    n, rng = 30_000, np.random.default_rng(0)
    attempts = pd.DataFrame(
        {
            "customer_row": rng.integers(0, n, 120_000).astype("int32"),
            "attempted_at": pd.Series(
                (AS_OF - pd.to_timedelta(rng.integers(1, 10**7, 120_000), unit="s")).as_unit("us")
            ),
            "outcome": pd.Series(rng.choice(["busy", "keyman_contact"], 120_000, p=[0.9, 0.1]), dtype="str"),
            "refused": False,
        }
    )
    customers = people(n, phone=pd.Series([f"090-{i:08d}" for i in range(n)], dtype="str"))
    start = time.perf_counter()
    find(customers, attempts, packs=("house", "jp-sales", "us-reg-f"))
    assert time.perf_counter() - start < 5
