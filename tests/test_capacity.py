"""Places per slot: from the table, from agents, from the past weeks; and a clear no."""

import pandas as pd
import pytest

from configs.errors import ContractError, NoCapacityError
from configs.settings import Settings
from models.planning.capacity import build_capacity

AS_OF = pd.Timestamp("2026-11-02", tz="Asia/Tokyo")  # a Monday


def at(*times: str) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(times).tz_localize("Asia/Tokyo").as_unit("us")


def log_of(*times: str) -> pd.DataFrame:
    return pd.DataFrame({"attempted_at": at(*times)})


def as_pairs(places: pd.DataFrame) -> list[tuple[str, int]]:
    return [(f"{start:%d %H:%M}", dials) for start, dials in zip(places["slot_start"], places["dials"], strict=True)]


def test_dials_of_the_table_are_taken_as_they_are_and_sorted():
    table = pd.DataFrame({"slot_start": at("2026-11-03 09:00", "2026-11-02 09:00"), "dials": [5.0, 7.0]})
    assert as_pairs(build_capacity(table, log_of(), AS_OF, Settings())) == [("02 09:00", 7), ("03 09:00", 5)]


def test_only_slots_from_as_of_up_to_the_end_of_the_horizon_count():
    table = pd.DataFrame(
        {"slot_start": at("2026-11-01 23:00", "2026-11-02 00:00", "2026-11-03 23:00", "2026-11-04 00:00")}
    )
    places = build_capacity(table.assign(dials=1.0), log_of(), AS_OF, Settings(horizon_days=2))
    assert [pair[0] for pair in as_pairs(places)] == ["02 00:00", "03 23:00"]


def test_agents_become_whole_dials_by_rate_and_slot_length():
    table = pd.DataFrame({"slot_start": at("2026-11-02 09:00", "2026-11-02 09:30"), "agents": [2.0, 0.4]})
    places = build_capacity(table, log_of(), AS_OF, Settings(slot_minutes=30))
    assert places["dials"].tolist() == [12, 2]  # 12 an hour: 2 x 6 = 12, 0.4 x 6 = 2.4


def test_rows_of_the_same_slot_add_up():
    table = pd.DataFrame({"slot_start": at("2026-11-02 09:00", "2026-11-02 09:00"), "dials": [5.0, 3.0]})
    assert build_capacity(table, log_of(), AS_OF, Settings())["dials"].tolist() == [8]


def test_missing_and_negative_places_are_none_and_the_slot_stays():
    table = pd.DataFrame({"slot_start": at("2026-11-02 09:00", "2026-11-02 10:00", "2026-11-02 11:00")})
    places = build_capacity(table.assign(dials=[float("nan"), -4.0, 2.9]), log_of(), AS_OF, Settings())
    assert places["dials"].tolist() == [0, 0, 2]


def test_a_slot_off_the_grid_is_refused_with_its_time():
    table = pd.DataFrame({"slot_start": at("2026-11-02 09:20"), "dials": [5.0]})
    with pytest.raises(ContractError, match="60-minute grid, first 2026-11-02 09:20"):
        build_capacity(table, log_of(), AS_OF, Settings())


@pytest.mark.parametrize("dials", [[], [0.0]])
def test_no_place_in_the_horizon_is_an_error_that_says_what_to_add(dials):
    table = pd.DataFrame({"slot_start": at(*["2026-11-02 09:00"] * len(dials)), "dials": dials})
    with pytest.raises(NoCapacityError, match="add rows slot_start, dials to the table capacity"):
        build_capacity(table, log_of(), AS_OF, Settings())


def test_without_a_table_and_without_a_log_there_is_no_place():
    with pytest.raises(NoCapacityError, match="last 4 weeks of the log"):
        build_capacity(None, log_of(), AS_OF, Settings())


def test_without_a_table_four_past_weeks_are_averaged_per_weekday_and_hour():
    mondays = ["2026-10-05 09:10"] * 3 + ["2026-10-12 09:59"] * 3 + ["2026-10-19 09:00"] * 3 + ["2026-10-26 09:30"] * 2
    places = build_capacity(None, log_of(*mondays, "2026-10-27 14:00"), AS_OF, Settings())
    assert as_pairs(places) == [("02 09:00", 3)]  # 11 / 4 = 2.75; the Tuesday's 1 / 4 rounds to none


def test_weeks_without_attempts_inside_the_log_count_as_zero():
    log = log_of("2026-09-01 09:00", *["2026-10-26 09:00"] * 8)
    assert as_pairs(build_capacity(None, log, AS_OF, Settings())) == [("02 09:00", 2)]


def test_a_log_shorter_than_four_weeks_is_averaged_over_the_days_it_has():
    log = log_of("2026-10-19 08:00", *["2026-10-26 09:00"] * 8)
    assert as_pairs(build_capacity(None, log, AS_OF, Settings())) == [("02 09:00", 4)]


def test_attempts_older_than_four_weeks_do_not_count():
    log = log_of(*["2026-09-28 09:00"] * 40, *["2026-10-26 09:00"] * 4)
    assert as_pairs(build_capacity(None, log, AS_OF, Settings())) == [("02 09:00", 1)]


def test_half_hour_slots_are_averaged_by_half_hour():
    log = log_of("2026-10-26 09:10", "2026-10-26 09:40", "2026-10-26 09:45")
    places = build_capacity(None, log, AS_OF, Settings(slot_minutes=30))
    assert as_pairs(places) == [("02 09:00", 1), ("02 09:30", 2)]


def test_neither_table_nor_log_is_changed():
    table = pd.DataFrame({"slot_start": at("2026-11-02 09:00"), "agents": [2.5]})
    log = log_of("2026-10-26 09:10")
    before = table.copy(), log.copy()
    build_capacity(table, log, AS_OF, Settings())
    build_capacity(None, log, AS_OF, Settings())
    pd.testing.assert_frame_equal(table, before[0])
    pd.testing.assert_frame_equal(log, before[1])
