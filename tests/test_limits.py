"""Gaps per outcome and unsure time zones: each met and broken, clocks that jump included."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from test_eligibility import dials, find, people
from test_schedule import AS_OF, pairs, plan_for, slots_of, times
from test_schedule import people as customers_of

from configs.settings import Settings
from models.planning.eligibility import find_eligible
from models.planning.rules import Gap, RulePack, combine_packs

TWO_A_DAY = RulePack(
    name="own",
    version="1",
    source="us",
    max_attempts_per_day=2,
    gaps={"busy": Gap(hours=2), "no_answer": Gap(hours=24, or_other_part=True), "voicemail": Gap(hours=24)},
)


# --- gaps


@pytest.mark.parametrize(
    ("outcome", "slots", "lawful"),
    [
        ("busy", ("2026-11-02 00:00", "2026-11-02 01:00", "2026-11-02 02:00"), [False, True, True]),
        ("voicemail", ("2026-11-02 09:00", "2026-11-02 22:00", "2026-11-02 23:00"), [False, False, True]),
        ("no_answer", ("2026-11-02 09:00", "2026-11-02 19:00", "2026-11-02 22:00"), [True, False, False]),
        ("no_answer", ("2026-11-02 23:00", "2026-11-03 19:00"), [True, True]),
        ("third_party", ("2026-11-02 00:00",), [True]),
        (None, ("2026-11-02 00:00", "2026-11-02 21:00", "2026-11-03 08:00"), [False, False, True]),
    ],
)
def test_the_next_dial_keeps_the_gap_of_the_last_outcome(outcome, slots, lawful):
    last = dials((0, "2026-11-01 22:30", outcome))
    place = {"held": last} if outcome is None else {"attempts": last}
    assert find(people(), slots=slots, **place).lawful.tolist() == [lawful]


def test_the_gap_is_the_phones():
    found = find(people(2, phone=["1", "1"]), dials((0, "2026-11-01 23:00", "busy")), slots=("2026-11-02 00:00",))
    assert found.lawful.tolist() == [[False], [False]]


def test_a_busy_customer_of_this_morning_comes_back_only_where_the_packs_allow_two_a_day():
    slots = pd.DataFrame({"slot_start": times(["2026-11-02 11:00", "2026-11-02 12:00", "2026-11-02 15:00"])})
    attempts = dials((0, "2026-11-02 09:30", "busy"))
    now = pd.Timestamp("2026-11-02 10:00", tz="Asia/Tokyo")

    def lawful(*packs):
        tables = plan_for(people(), slots, [1, 1, 1], np.full((1, 3), 0.2), attempts)[2]
        return find_eligible(tables, slots, now, packs, Settings()).lawful.tolist()

    assert lawful(TWO_A_DAY) == [[False, True, True]]
    assert lawful(TWO_A_DAY, RulePack(name="strict", version="1", source="us", max_attempts_per_day=1)) == [[False] * 3]
    assert lawful() == [[False] * 3]  # no pack speaks of days: the planner's own one dial a day


def test_planned_dials_keep_the_gap_of_an_unanswered_one():
    p = np.array([[0.1, 0.3, 0.25, 0.2]])  # hours 18 and 19 of two days
    plan = plan_for(customers_of(1), slots_of(2, (18, 19)), [1] * 4, p)[0]
    assert pairs(plan) != {(0, 1), (0, 2)}  # 19:00, then 18:00 of the next day: the same part, 23 hours apart
    starts = slots_of(2, (18, 19))["slot_start"].iloc[plan.dials["slot_row"]]
    assert len(starts) == 2
    assert starts.diff().iloc[1] >= pd.Timedelta(hours=24)


def test_every_gap_of_every_pack_holds():
    other = RulePack(name="other", version="1", source="us", gaps={"busy": Gap(hours=5)})
    rules = combine_packs([TWO_A_DAY, other, other], max_attempts=10)
    assert [gap.hours for outcome, gap in rules.gaps if outcome == "busy"] == [2, 5]


# --- unsure zones

US = {"timezone_candidates": {"Florida": ("America/New_York", "America/Chicago"), "*": ("America/Los_Angeles",)}}


def unsure(region):
    return people(len(region)).assign(region=pd.Series(region, dtype="str"))


def test_an_unsure_zone_is_lawful_only_where_every_candidate_is():
    # 8:00 in New York is 22:00 in Tokyo; 8:00 in Chicago 23:00; 21:00 in New York 11:00; in Chicago 12:00
    slots = ("2026-11-02 22:00", "2026-11-02 23:00", "2026-11-03 10:00", "2026-11-03 11:00")
    found = find(unsure(["Florida", None]), packs=("us-tsr",), slots=slots, **US)
    assert found.lawful.tolist() == [[False, True, True, False], [False, False, True, True]]


def test_a_known_zone_needs_no_candidates_and_without_any_the_centres_holds():
    known = unsure(["Florida"]).assign(timezone=pd.Series(["America/New_York"], dtype="str"))
    slots = ("2026-11-02 22:00", "2026-11-02 11:00")
    assert find(known, packs=("us-tsr",), slots=slots, **US).lawful.tolist() == [[True, False]]
    assert find(unsure(["Florida"]), packs=("us-tsr",), slots=slots).lawful.tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("day", "first_lawful_hour"),  # clocks of New York go forward on 8 March 2026 and back on 1 November 2026
    [("2026-03-07", 13), ("2026-03-08", 12), ("2026-10-31", 12), ("2026-11-01", 13)],
)
def test_windows_follow_clocks_that_jump(day, first_lawful_hour):
    starts = pd.date_range(f"{day} 06:00", periods=12, freq="h", tz="UTC")
    both = {"timezone_candidates": {"*": ("America/New_York", "America/Puerto_Rico")}, "timezone": "UTC"}
    slots = pd.DataFrame({"slot_start": starts.as_unit("us")})
    tables = plan_for(customers_of(1), slots_of(1, (10,)), [1], np.full((1, 1), 0.2))[2]
    packs = [RulePack(name="own", version="1", source="us", calling_window=("08:00", "21:00"))]
    lawful = find_eligible(tables, slots, starts[0], packs, Settings(**both)).lawful[0]
    # Puerto Rico keeps UTC-4 all year, so 8:00 there is 12:00 UTC; New York is an hour behind it in winter
    assert starts.hour[lawful].min() == first_lawful_hour


def test_a_day_counts_as_dialled_in_any_candidate_zone():
    slots = (
        "2026-11-02 13:00",
        "2026-11-02 15:00",
        "2026-11-02 17:00",
    )  # midnight: 14:00 in New York, 15:00 in Chicago
    attempts = dials((0, "2026-11-01 23:00", "third_party"))
    assert find(unsure(["Florida"]), attempts, slots=slots, **US).lawful.tolist() == [[False, True, True]]
    attempts = dials((0, "2026-11-01 14:30", "third_party"))  # 1 November in New York, 31 October in Chicago
    assert find(unsure(["Florida"]), attempts, slots=slots, **US).lawful.tolist() == [[False, True, True]]


def test_planned_dials_of_an_unsure_customer_share_no_day_of_any_candidate():
    slots = pd.DataFrame({"slot_start": times(["2026-11-02 14:00", "2026-11-03 13:00"])})  # one day in New York
    customers = customers_of(1).assign(region="Florida")
    tables = plan_for(customers, slots, [1, 1], np.full((1, 2), 0.2))[2]
    found = find_eligible(tables, slots, AS_OF, (), Settings(**US))
    row = found.limits.zone_row[0]
    assert found.limits.n_candidates[row] == 2
    assert found.limits.local_day[row : row + 2].tolist()[0][0] == found.limits.local_day[row][1]
    plan = plan_for(customers, slots, [1, 1], np.full((1, 2), 0.2), config=Settings(**US))[0]
    assert len(plan.dials) == 1


def test_a_candidate_that_is_no_zone_is_refused():
    with pytest.raises(ValidationError, match="unknown time zone"):
        Settings(timezone_candidates={"*": ("Mars/Olympus",)})
