"""The dial log: sorted, cut at nights, the same whatever the order of its rows."""

from dataclasses import fields
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from simulated_logs import START, build_attempts, draw_attempts, draw_customers

from configs.settings import Settings
from features.calendar import seconds_of
from features.history import build_history
from features.table import MAX_LAG_DAYS, DialLog, build_dial_log, cut_nights, midnight_seconds


def log_of(attempts: pd.DataFrame, n_customers: int = 20, **changed: object) -> DialLog:
    customers = draw_customers(n_customers, np.random.default_rng(0))
    return build_dial_log(attempts, customers, Settings(**changed))


def test_dials_are_sorted_by_customer_and_time_and_history_agrees() -> None:
    attempts = draw_attempts(200, 10, np.random.default_rng(1))
    log = log_of(attempts)
    dials = log.dials
    assert dials.index.equals(pd.RangeIndex(200))
    assert list(zip(dials["customer_row"], dials["seconds"], strict=True)) == sorted(
        zip(attempts["customer_row"], seconds_of(attempts["attempted_at"]), strict=True)
    )
    assert log.history.customer_row.tolist() == dials["customer_row"].tolist()
    assert log.history.order.tolist() == list(range(200))
    assert log.is_contact.tolist() == (dials["outcome"] == "keyman_contact").tolist()


def test_shuffled_attempts_make_the_same_log_even_within_a_second() -> None:
    attempts = draw_attempts(300, 10, np.random.default_rng(2))
    assert attempts.duplicated(["customer_row", "attempted_at"]).any()
    kept = attempts.copy()
    straight, mixed = log_of(attempts), log_of(attempts.sample(frac=1.0, random_state=4))
    pd.testing.assert_frame_equal(straight.dials, mixed.dials)
    pd.testing.assert_frame_equal(attempts, kept)


def test_later_attempts_leave_the_earlier_dials_as_they_were() -> None:
    rng = np.random.default_rng(3)
    early, late = draw_attempts(150, 10, rng), draw_attempts(150, 10, rng)
    late = late.assign(attempted_at=late["attempted_at"] + pd.Timedelta(days=50), attempt_id="Z" + late["attempt_id"])
    whole = log_of(pd.concat([late, early], ignore_index=True))
    end = (START + pd.Timedelta(days=50)).tz_localize("Asia/Tokyo")
    before = whole.subset((whole.dials["attempted_at"] < end).to_numpy())
    pd.testing.assert_frame_equal(before.dials, log_of(early).dials)


def test_a_subset_has_its_own_history() -> None:
    log = log_of(draw_attempts(200, 10, np.random.default_rng(4)))
    part = log.subset((log.dials["customer_row"] % 2 == 0).to_numpy())
    assert set(part.history.customer_row) <= {0, 2, 4, 6, 8}
    assert len(part.dials) == len(part.history.seconds) == int((log.dials["customer_row"] % 2 == 0).sum())
    asked = (np.array([4]), np.array([int(log.dials["seconds"].max()) + 1]))
    assert part.history.features_at(*asked)["n_attempts"] == log.history.features_at(*asked)["n_attempts"]
    assert len(log.dials) == 200
    anew = build_history(part.dials, len(log.customers))
    for field in fields(anew):
        assert np.array_equal(getattr(part.history, field.name), getattr(anew, field.name))


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Europe/Copenhagen", "America/New_York"])
def test_nights_are_local_midnights_zero_to_six_days_before_also_across_clock_changes(zone: str) -> None:
    rng = np.random.default_rng(5)
    minutes = rng.integers(0, 60 * 24 * 60, 600)
    at = pd.Timestamp("2026-10-01", tz="UTC") + pd.to_timedelta(minutes, unit="min")
    log = log_of(build_attempts(rng.integers(0, 10, 600), pd.DatetimeIndex(at), ["busy"] * 600, zone), timezone=zone)
    rows = np.arange(600)
    cutoff, n_between = cut_nights(log, rows, rng)
    nights = pd.DatetimeIndex(cutoff.astype("datetime64[s]")).tz_localize("UTC").tz_convert(zone)
    assert (nights == nights.normalize()).all()
    dialled = pd.DatetimeIndex(log.dials["attempted_at"])
    lag = (dialled.tz_localize(None).normalize() - nights.tz_localize(None)).days
    assert sorted(set(lag)) == list(range(MAX_LAG_DAYS + 1))
    for row in rng.choice(rows, 60):
        own = (log.dials["customer_row"] == log.dials["customer_row"][row]).to_numpy()
        seconds = log.dials["seconds"].to_numpy()
        assert n_between[row] == np.sum(own & (seconds >= cutoff[row]) & (seconds < seconds[row]))


def test_dials_between_the_night_and_this_one_count_their_own_second_in_order() -> None:
    log = log_of(build_attempts([0] * 4, [START + pd.Timedelta(hours=9)] * 4, ["busy"] * 4))
    _, n_between = cut_nights(log, np.arange(4), np.random.default_rng(0))
    assert n_between.tolist() == [0, 1, 2, 3]


def test_only_failures_since_a_contact_count_as_dials_between() -> None:
    """A plan's later dial is made because the earlier ones failed; what led up to a contact is another series."""
    at = [START + pd.Timedelta(hours=hour) for hour in (9, 10, 11, 12)]
    log = log_of(build_attempts([0] * 4, at, ["busy", "keyman_contact", "busy", "busy"]))
    _, n_between = cut_nights(log, np.arange(4), np.random.default_rng(0))
    assert n_between.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Asia/Tokyo", "2026-11-02"),
        ("Europe/Copenhagen", "2026-10-25"),
        ("Europe/Copenhagen", "2026-10-26"),
        ("America/New_York", "2026-03-08"),
        ("America/New_York", "2026-11-02"),
        ("America/Sao_Paulo", "2018-11-04"),  # no midnight
        ("America/Havana", "2026-11-01"),  # midnight twice: the first counts
    ],
)
def test_midnight_is_where_zoneinfo_puts_it(zone: str, day: str) -> None:
    local = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
    assert midnight_seconds(np.array([day], dtype="datetime64[D]"), zone).tolist() == [int(local.timestamp())]


def test_midnights_come_back_in_the_order_asked() -> None:
    days = np.array(["2026-11-03", "2026-11-01", "2026-11-03"], dtype="datetime64[D]")
    midnights = midnight_seconds(days, "Asia/Tokyo")
    assert (midnights - midnights[1]).tolist() == [2 * 86_400, 0, 2 * 86_400]


def test_the_local_day_of_a_dial_is_the_centres() -> None:
    log = log_of(build_attempts([0], pd.DatetimeIndex(["2026-11-02 16:00Z"]), ["busy"]))
    assert str(log.dials["day"].iloc[0])[:10] == "2026-11-03"
