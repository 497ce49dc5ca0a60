"""Counts of the past against a slow recount, dial by dial; and the future never shows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from simulated_logs import START, ZONE, build_attempts, draw_attempts

from configs.settings import Settings
from features.calendar import seconds_of
from features.history import HALF_LIVES_DAYS, HISTORY_FEATURES, PART_FEATURES, History, build_history
from features.slots import PARTS, add_slot_features

DAY = 86_400
ZERO = int(seconds_of(pd.Series([START.tz_localize(ZONE)]))[0])


def with_parts(attempts: pd.DataFrame) -> pd.DataFrame:
    return add_slot_features(attempts, "attempted_at", Settings())


def recount(log: pd.DataFrame, customer: int, before: int, part: int) -> dict[str, float]:
    """Every feature by walking along the customer's dials, oldest first."""
    nan = float("nan")
    counted = dict.fromkeys((*HISTORY_FEATURES, *PART_FEATURES), 0.0) | {
        "days_since_attempt": nan,
        "days_since_contact": nan,
    }
    del counted["n_dialled_between"]
    own = log[log["customer_row"] == customer].sort_values("attempted_at", kind="stable")
    for dial in own.itertuples():
        age = (before - int(dial.attempted_at.timestamp())) / DAY
        if age <= 0:
            continue
        is_contact = dial.outcome == "keyman_contact"
        counted["n_attempts"] += 1
        counted["n_contacts"] += is_contact
        counted["n_since_contact"] = 0.0 if is_contact else counted["n_since_contact"] + 1
        counted["n_last_7_days"] += age <= 7
        counted["n_last_28_days"] += age <= 28
        counted["days_since_attempt"] = age
        counted["days_since_contact"] = age if is_contact else counted["days_since_contact"]
        for name in ("third_party", "voicemail", "busy"):
            counted[f"n_{name}"] += dial.outcome == name
        if dial.part == part:
            counted["n_failed_in_part"] += not is_contact
            counted["n_contacts_in_part"] += is_contact
            counted["n_in_part_last_28_days"] += age <= 28
    return counted


def ask(history: History, rows: np.ndarray, before: np.ndarray, part: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(history.features_at(rows, before) | history.part_features_at(rows, before, part))


@pytest.mark.parametrize("seed", range(4))
def test_every_feature_equals_a_recount_dial_by_dial(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_customers = 12
    log = with_parts(draw_attempts(250, n_customers, rng))
    dialled = seconds_of(log["attempted_at"])
    before = np.concatenate(
        [rng.integers(ZERO - DAY, ZERO + 60 * DAY, 60), rng.choice(dialled, 30), dialled[:10] + 7 * DAY]
    )
    rows = np.concatenate([rng.integers(0, n_customers, 90), log["customer_row"].to_numpy()[:10]])
    part = rng.integers(0, len(PARTS), len(rows))
    got = ask(build_history(log, n_customers), rows, before, part)
    slow = pd.DataFrame([recount(log, *asked) for asked in zip(rows, before, part, strict=True)])
    assert set(got) == {*HISTORY_FEATURES, *PART_FEATURES} - {"n_dialled_between"}
    pd.testing.assert_frame_equal(got, slow[got.columns].astype("float32"))


dials = st.lists(
    st.tuples(
        st.integers(0, 2), st.integers(0, 40), st.sampled_from([0, 12, 19]), st.sampled_from(["keyman_contact", "busy"])
    ),
    max_size=12,
)


@budget(max_examples=40, deadline=None)
@given(dials=dials, day=st.integers(-1, 45), customer=st.integers(0, 3), part=st.integers(0, 7))
def test_any_small_log_is_counted_right(dials: list[tuple], day: int, customer: int, part: int) -> None:
    at = [START + pd.Timedelta(days=d, hours=h) for _, d, h, _ in dials]
    log = with_parts(build_attempts([c for c, *_ in dials], pd.DatetimeIndex(at), [o for *_, o in dials]))
    before = ZERO + day * DAY
    got = ask(build_history(log, 4), np.array([customer]), np.array([before]), np.array([part]))
    slow = pd.DataFrame([recount(log, customer, before, part)])
    pd.testing.assert_frame_equal(got, slow[got.columns].astype("float32"))


def test_a_dial_does_not_know_itself_nor_those_of_its_second() -> None:
    log = with_parts(build_attempts([0, 0, 0], [START, START, START + pd.Timedelta(seconds=1)], ["busy"] * 3))
    counted = build_history(log, 1).features_at(np.array([0, 0, 0]), seconds_of(log["attempted_at"]))
    assert counted["n_attempts"].tolist() == [0, 0, 2]


def test_the_future_never_changes_a_feature() -> None:
    rng = np.random.default_rng(5)
    early, late = draw_attempts(200, 8, rng), draw_attempts(200, 8, rng)
    late = late.assign(attempted_at=late["attempted_at"] + pd.Timedelta(days=50))
    rows, before = rng.integers(0, 8, 80), rng.integers(ZERO, ZERO + 50 * DAY, 80)
    part = rng.integers(0, len(PARTS), 80)
    known = ask(build_history(with_parts(early), 8), rows, before, part)
    later = ask(build_history(with_parts(pd.concat([late, early], ignore_index=True)), 8), rows, before, part)
    pd.testing.assert_frame_equal(known, later)


def test_shuffled_rows_change_nothing() -> None:
    rng = np.random.default_rng(6)
    log = with_parts(draw_attempts(300, 8, rng).drop_duplicates(["customer_row", "attempted_at"]))
    shuffled = log.sample(frac=1.0, random_state=3)
    rows, before, part = rng.integers(0, 8, 80), rng.integers(ZERO, ZERO + 55 * DAY, 80), rng.integers(0, 8, 80)
    straight, mixed = build_history(log, 8), build_history(shuffled, 8)
    pd.testing.assert_frame_equal(ask(straight, rows, before, part), ask(mixed, rows, before, part))
    assert straight.outcome.tolist() == mixed.outcome.tolist()
    assert straight.first.tolist() == mixed.first.tolist()


def test_one_customers_dials_say_nothing_of_another() -> None:
    rng = np.random.default_rng(8)
    log = with_parts(draw_attempts(200, 6, rng))
    alone = log[log["customer_row"] == 2]
    before, rows = rng.integers(ZERO, ZERO + 55 * DAY, 40), np.full(40, 2)
    part = rng.integers(0, 8, 40)
    pd.testing.assert_frame_equal(
        ask(build_history(log, 6), rows, before, part), ask(build_history(alone, 6), rows, before, part)
    )


def test_an_empty_log_knows_nothing() -> None:
    log = with_parts(build_attempts([], pd.DatetimeIndex([]), []))
    counted = ask(build_history(log, 3), np.arange(3), np.full(3, ZERO), np.zeros(3, dtype=int))
    assert counted[["days_since_attempt", "days_since_contact"]].isna().all(axis=None)
    assert (counted.drop(columns=["days_since_attempt", "days_since_contact"]) == 0).all(axis=None)


def test_seconds_are_counted_in_utc_whatever_the_zone() -> None:
    instants = pd.Series(pd.to_datetime(["2026-10-25 00:30Z", "2026-10-25 01:30Z"]))
    for zone in ("UTC", "Europe/Copenhagen", "Asia/Tokyo"):
        assert np.diff(seconds_of(instants.dt.tz_convert(zone))).tolist() == [3600]


def test_failures_before_a_dial_fade_with_both_half_lives_in_all_and_in_its_part() -> None:
    history = build_history(with_parts(draw_attempts(120, 8, np.random.default_rng(5))), 8)
    for row, told in enumerate(history.failures_before):
        before = (history.customer_row == history.customer_row[row]) & (history.seconds < history.seconds[row])
        failed = np.flatnonzero(before & ~history.is_contact)
        left = 0.5 ** ((history.seconds[row] - history.seconds[failed])[:, None] / (DAY * np.array(HALF_LIVES_DAYS)))
        own = left[history.part[failed] == history.part[row]]
        assert told == pytest.approx(np.concatenate([left.sum(axis=0), own.sum(axis=0)]), abs=1e-4)
