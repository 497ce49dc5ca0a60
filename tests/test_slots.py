"""Slots and the part of the week each belongs to."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from configs.settings import Settings
from features.slots import PARTS, SLOT_FEATURES, add_slot_features, build_slots


def slots_of(*times: str, zone: str = "Asia/Tokyo", **changed: object) -> pd.DataFrame:
    return build_slots(pd.DatetimeIndex(times).tz_localize(zone), Settings(**changed))


@pytest.mark.parametrize(
    ("start", "part"),
    [
        ("2026-11-24 00:00", "weekday_morning"),
        ("2026-11-24 11:00", "weekday_morning"),
        ("2026-11-24 12:00", "weekday_noon"),
        ("2026-11-24 14:59", "weekday_noon"),
        ("2026-11-24 15:00", "weekday_afternoon"),
        ("2026-11-24 17:30", "weekday_afternoon"),
        ("2026-11-24 18:00", "weekday_evening"),
        ("2026-11-27 23:00", "weekday_evening"),
        ("2026-11-28 09:00", "weekend_morning"),
        ("2026-11-29 13:00", "weekend_noon"),
        ("2026-11-23 16:00", "weekend_afternoon"),  # a holiday on a Monday
        ("2026-11-23 20:00", "weekend_evening"),
    ],
)
def test_each_hour_belongs_to_its_part_of_the_week(start: str, part: str) -> None:
    assert PARTS[slots_of(start)["part"].iloc[0]] == part


def test_a_holiday_is_free_but_keeps_its_own_weekday() -> None:
    slot = slots_of("2026-11-23 10:00").iloc[0]
    assert (slot["is_off_day"], slot["weekday"], slot["hour_of_week"]) == (True, 0, 10)


def test_slots_are_sorted_once_each_and_in_the_centres_zone() -> None:
    starts = pd.DatetimeIndex(["2026-11-24 03:00", "2026-11-24 01:00", "2026-11-24 03:00"]).tz_localize("UTC")
    slots = build_slots(starts, Settings())
    assert slots.index.equals(pd.RangeIndex(2))
    assert slots["hour"].tolist() == [10, 12]
    assert str(slots["slot_start"].dtype) == "datetime64[us, Asia/Tokyo]"
    assert set(slots) == {"slot_start", *SLOT_FEATURES, "part", "span", "hour_of_week", "seconds"}


def test_the_hour_that_comes_twice_is_two_slots() -> None:
    starts = pd.date_range("2026-10-24 23:00", periods=4, freq="h", tz="UTC")
    slots = build_slots(starts, Settings(timezone="Europe/Copenhagen", country="DK"))
    assert slots["hour"].tolist() == [1, 2, 2, 3]
    assert len(slots) == 4


@budget(max_examples=50, deadline=None)
@given(hours=st.lists(st.integers(0, 24 * 500), min_size=1, max_size=20))
def test_part_and_hour_of_week_follow_from_weekday_hour_and_holiday(hours: list[int]) -> None:
    starts = pd.Timestamp("2026-01-01", tz="Asia/Tokyo") + pd.to_timedelta(hours, unit="h")
    slots = build_slots(pd.DatetimeIndex(starts), Settings())
    for row in slots.itertuples():
        is_free = row.weekday >= 5 or row.is_holiday
        third = sum(row.hour >= begin for begin in (12, 15, 18))
        assert row.is_off_day == is_free
        assert row.part == third + (4 if is_free else 0)
        assert row.hour_of_week == row.weekday * 24 + row.hour
        assert row.slot_start.hour == row.hour


def test_other_columns_stay_beside_the_features() -> None:
    frame = pd.DataFrame({"at": pd.to_datetime(["2026-11-24 18:30"]).tz_localize("Asia/Tokyo"), "outcome": ["busy"]})
    kept = frame.copy()
    told = add_slot_features(frame, "at", Settings())
    pd.testing.assert_frame_equal(frame, kept)
    assert told["outcome"].tolist() == ["busy"]
    assert np.isin(list(SLOT_FEATURES), told.columns).all()
