"""Expected and seen by week, hour and segment: what is counted, what is pooled, and how wide chance is."""

import numpy as np
import pandas as pd
import pytest

from configs.settings import Settings
from features.table import build_dial_log
from models.contact.reliability import (
    MIN_DIALS,
    compare_groups,
    compare_segments,
    compare_slots,
    compare_weeks,
    mean_gap,
)
from tests.simulated_logs import draw_attempts, draw_customers

SETTINGS = Settings()


def test_nine_groups_in_ten_lie_within_their_interval_when_predictions_are_right() -> None:
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(2000), 200)
    p = rng.uniform(0.05, 0.3, len(group))
    found = compare_groups(group, p, rng.random(len(group)) < p)
    inside = (found["low"] <= found["contact_rate"]) & (found["contact_rate"] <= found["high"])
    assert inside.mean() == pytest.approx(0.9, abs=0.025)
    error, by_chance = mean_gap(found)
    assert error == pytest.approx(by_chance, rel=0.05)


def test_a_wrong_group_shows_in_the_gap_by_its_weight() -> None:
    group, p = np.repeat([0, 1], [100, 300]), np.full(400, 0.5)
    found = compare_groups(group, p, np.concatenate([np.ones(100), np.tile([0, 1], 150)]) == 1)
    assert mean_gap(found)[0] == pytest.approx(0.5 * 100 / 400)
    assert np.isnan(mean_gap(found.head(0))[0])


def test_weeks_end_on_the_day_before_the_night_and_come_oldest_first() -> None:
    weeks = compare_weeks(
        np.array([0, 0, 2]), np.datetime64("2026-11-02"), np.full(3, 0.2), np.array([True, False, False])
    )
    assert weeks["week_start"].tolist() == [pd.Timestamp("2026-10-12"), pd.Timestamp("2026-10-26")]
    assert weeks["n"].tolist() == [1, 2]
    assert weeks["contact_rate"].tolist() == [0.0, 0.5]


def test_thin_hours_are_counted_once_with_those_of_their_part() -> None:
    hour_of_week = np.repeat([9, 10, 11, 20], [60, 10, 20, 5])
    dials = pd.DataFrame({"hour_of_week": hour_of_week, "part": np.where(hour_of_week == 20, 3, 0)})
    slots = compare_slots(dials, np.full(95, 0.1), np.zeros(95, dtype=bool))
    judged = slots[~slots["is_pooled"]]
    assert judged["slot"].tolist() == ["Mon 09:00", "thin hours of weekday morning", "thin hours of weekday evening"]
    assert judged["n"].tolist() == [60, 30, 5]
    assert slots.loc[slots["weekday"].notna(), "n"].sum() == 95


def test_segments_are_pooled_from_the_last_column_on_and_cover_every_dial() -> None:
    rng = np.random.default_rng(2)
    log = build_dial_log(draw_attempts(3000, 400, rng), draw_customers(400, rng), SETTINGS)
    found = compare_segments(log, log.history.customer_row, np.full(3000, 0.2), log.is_contact, SETTINGS)
    assert found["n"].sum() == 3000
    assert found["n"].is_monotonic_decreasing
    thin = found[found["n"] < MIN_DIALS]
    assert set(thin["segment"]) <= {"everyone else"}
    whole = found[~found["segment"].str.contains("other|everyone")]
    assert (whole["segment"].str.count(" · ") == 2).all()
    assert len(whole) > 5


def test_without_segments_everyone_is_one() -> None:
    rng = np.random.default_rng(3)
    log = build_dial_log(draw_attempts(100, 20, rng), draw_customers(20, rng), SETTINGS)
    rows, plain = log.history.customer_row, Settings(segment_by=())
    assert compare_segments(log, rows, np.full(100, 0.2), log.is_contact, plain)["segment"].tolist() == [
        "everyone else"
    ]
