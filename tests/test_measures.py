"""The field's measures: formulas, counts and intervals."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.measures import add_calling_time, add_rate_interval, band_ages, build_rates
from features.outcomes import OUTCOMES

DIALS = pd.DataFrame(
    {
        "weekday": [0, 0, 0, 1, 1],
        "hour": [9, 9, 10, 9, 9],
        "outcome": ["keyman_contact", "third_party", "no_answer", "keyman_contact", "voicemail"],
        "converted": [True, False, False, False, False],
    }
)


def test_rates_follow_the_formulas_of_the_field() -> None:
    row = build_rates(DIALS).iloc[0]
    assert (row["attempts"], row["connects"], row["keyman_contacts"], row["conversions"]) == (5, 3, 2, 1)
    assert row["connect_rate"] == pytest.approx(3 / 5)
    assert row["keyman_contact_rate"] == pytest.approx(2 / 5)
    assert row["conversion_rate"] == pytest.approx(1 / 2)


def test_groups_come_sorted_and_only_where_somebody_was_dialled() -> None:
    rates = build_rates(DIALS, ["weekday", "hour"])
    assert rates[["weekday", "hour", "attempts"]].values.tolist() == [[0, 9, 2], [0, 10, 1], [1, 9, 2]]


def test_a_rate_without_its_denominator_is_unknown_and_not_zero() -> None:
    rates = build_rates(DIALS.iloc[[2]])
    assert rates["keyman_contact_rate"].iloc[0] == 0
    assert np.isnan(rates["conversion_rate"].iloc[0])
    assert np.isnan(build_rates(DIALS.head(0))["connect_rate"].iloc[0])


@given(st.lists(st.tuples(st.integers(0, 6), st.sampled_from(OUTCOMES)), min_size=1, max_size=60))
def test_groups_add_up_to_the_whole_in_any_order(dials: list[tuple[int, str]]) -> None:
    log = pd.DataFrame(dials, columns=["weekday", "outcome"]).assign(converted=False)
    rates, whole = build_rates(log, ["weekday"]), build_rates(log)
    for name in ("attempts", "connects", "keyman_contacts"):
        assert rates[name].sum() == whole[name].iloc[0]
    pd.testing.assert_frame_equal(rates, build_rates(log[::-1], ["weekday"]))


def test_counting_leaves_the_log_as_it_was() -> None:
    before = DIALS.copy()
    build_rates(DIALS, ["hour"])
    pd.testing.assert_frame_equal(DIALS, before)


def test_the_calling_time_is_that_of_the_columns_zone() -> None:
    at = pd.to_datetime(["2026-11-01T15:30Z"]).tz_convert("Asia/Tokyo")
    timed = add_calling_time(pd.DataFrame({"attempted_at": at}))
    assert timed[["weekday", "hour"]].values.tolist() == [[0, 0]]


def test_age_bands_meet_without_gap_or_overlap() -> None:
    ages = pd.Series([0.0, 19.9, 20.0, 29.0, 30.0, 79.5, 80.0, 110.0, np.nan], index=range(5, 14), dtype="float32")
    bands = band_ages(ages)
    assert bands.tolist() == ["under 20", "under 20", "20-29", "20-29", "30-39", "70-79", "80+", "80+", "unknown"]
    assert bands.index.equals(ages.index)
    assert bands.min() == "under 20"


@given(st.integers(1, 500), st.floats(0, 1))
def test_the_interval_holds_the_rate_stays_in_bounds_and_narrows_with_more_dials(n: int, share: float) -> None:
    hits = round(n * share)
    few, many = (
        add_rate_interval(pd.DataFrame({"keyman_contacts": [hits * k], "attempts": [n * k]})).iloc[0] for k in (1, 10)
    )
    assert 0 <= few["low"] <= hits / n + 1e-9
    assert hits / n - 1e-9 <= few["high"] <= 1
    assert many["high"] - many["low"] < few["high"] - few["low"]


def test_the_interval_solves_wilsons_equation() -> None:
    # The roots of (p - hits/n)^2 = z^2 p (1 - p) / n, solved numerically.
    z, n, rate = 1.6448536269514722, 40, 0.15
    roots = np.roots([1 + z**2 / n, -2 * rate - z**2 / n, rate**2])
    interval = add_rate_interval(pd.DataFrame({"keyman_contacts": [6], "attempts": [n]})).iloc[0]
    assert (interval["low"], interval["high"]) == pytest.approx(tuple(sorted(roots)))
