"""The calendar of an instant, against literal dates and a slow walk from day to day."""

from datetime import date, timedelta

import holidays
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.calendar import add_calendar

JAPAN = set(holidays.country_holidays("JP", years=range(2019, 2033)))


def calendar_of(times: list[str], zone: str = "Asia/Tokyo", country: str = "JP", payday: int = 25) -> pd.DataFrame:
    frame = pd.DataFrame({"at": pd.to_datetime(times, utc=zone == "UTC").tz_localize(zone)})
    return add_calendar(frame, "at", country, payday)


@pytest.mark.parametrize(
    ("day", "week"), [(1, 1), (7, 1), (8, 2), (14, 2), (15, 3), (21, 3), (22, 4), (28, 4), (29, 5), (31, 5)]
)
def test_the_week_of_the_month_counts_sevens_from_the_first(day: int, week: int) -> None:
    assert calendar_of([f"2026-10-{day:02d} 12:00"])["week_of_month"].tolist() == [week]


@pytest.mark.parametrize(
    ("day", "closed"),
    [
        ("2026-11-23", True),  # Labour Thanksgiving
        ("2026-11-24", False),
        ("2026-05-06", True),  # stands in for Sunday the 3rd
        ("2026-09-22", True),  # between two holidays
        ("2027-01-01", True),
        ("2026-11-21", False),  # a Saturday is no holiday
    ],
)
def test_public_holidays_of_japan_are_known(day: str, closed: bool) -> None:
    assert calendar_of([f"{day} 09:00"])["is_holiday"].tolist() == [closed]


def test_holidays_are_those_of_the_country_asked_for() -> None:
    assert calendar_of(["2026-07-04 09:00", "2026-11-26 09:00"], country="US")["is_holiday"].tolist() == [True, True]
    assert calendar_of(["2026-11-26 09:00"], country="JP")["is_holiday"].tolist() == [False]


@pytest.mark.parametrize(
    ("day", "payday", "ahead"),
    [
        ("2026-11-25", 25, 0),  # a Wednesday
        ("2026-11-26", 25, 29),
        ("2026-07-24", 25, 0),  # the 25th is a Saturday
        ("2026-07-25", 25, 31),
        ("2026-10-23", 25, 0),  # the 25th is a Sunday
        ("2026-11-20", 23, 0),  # the 23rd is a holiday after a weekend
        ("2026-06-30", 31, 0),  # June has no 31st
        ("2026-02-27", 31, 0),  # nor February, whose 28th is a Saturday
        ("2026-02-28", 31, 31),
        ("2026-12-31", 1, 0),  # New Year's day moves into the year before
    ],
)
def test_payday_moves_to_the_working_day_before(day: str, payday: int, ahead: int) -> None:
    assert calendar_of([f"{day} 10:00"], payday=payday)["days_to_payday"].tolist() == [ahead]


def is_working(day: date) -> bool:
    return day.weekday() < 5 and day not in JAPAN


def is_payday(day: date, payday: int) -> bool:
    """Whether wages arrive: the working day at or before the nominal day of this month or the next."""
    for ahead in range(15):
        nominal = day + timedelta(days=ahead)
        last_of_month = (nominal + timedelta(days=1)).month != nominal.month
        if nominal.day == payday or (last_of_month and nominal.day < payday):
            walked = nominal
            while not is_working(walked):
                walked -= timedelta(days=1)
            if walked == day:
                return True
    return False


@settings(max_examples=40, deadline=None)
@given(
    day=st.dates(date(2020, 1, 1), date(2031, 11, 1)),
    hour=st.integers(0, 23),
    payday=st.sampled_from([1, 5, 10, 25, 31]),
)
def test_every_column_equals_a_walk_along_the_days(day: date, hour: int, payday: int) -> None:
    row = calendar_of([f"{day} {hour:02d}:59:59"], payday=payday).iloc[0]
    ahead = next(n for n in range(60) if is_payday(day + timedelta(days=n), payday))
    expected = {
        "weekday": day.weekday(),
        "hour": hour,
        "week_of_month": -(-day.day // 7),
        "is_holiday": day in JAPAN,
        "days_to_payday": ahead,
        "is_gotobi": day.day % 5 == 0,
    }
    assert row.drop("at").to_dict() == expected


def test_five_ten_days_are_the_multiples_of_five() -> None:
    days = pd.date_range("2026-10-01", periods=31).strftime("%Y-%m-%d").tolist()
    marked = calendar_of(days)["is_gotobi"].to_numpy()
    assert (np.flatnonzero(marked) + 1).tolist() == [5, 10, 15, 20, 25, 30]


def test_the_calendar_is_local_when_clocks_change() -> None:
    instants = pd.to_datetime(["2026-11-01 05:30Z", "2026-11-01 06:30Z", "2026-03-08 07:30Z", "2026-11-01 03:59Z"])
    frame = pd.DataFrame({"at": instants.tz_convert("America/New_York")})
    told = add_calendar(frame, "at", "US", 25)
    assert told["hour"].tolist() == [1, 1, 3, 23]
    assert told["weekday"].tolist() == [6, 6, 6, 5]


def test_the_frame_handed_in_keeps_its_columns_and_index() -> None:
    frame = pd.DataFrame({"at": pd.to_datetime(["2026-11-03", "2026-11-04"]).tz_localize("Asia/Tokyo")}, index=[9, 4])
    kept = frame.copy()
    told = add_calendar(frame, "at", "JP", 25)
    pd.testing.assert_frame_equal(frame, kept)
    assert told.index.tolist() == [9, 4]
    assert told["is_holiday"].tolist() == [True, False]


def test_no_rows_give_no_rows() -> None:
    told = calendar_of([])
    assert len(told) == 0
    assert set(told) == {"at", "weekday", "hour", "week_of_month", "is_holiday", "days_to_payday", "is_gotobi"}
