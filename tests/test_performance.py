"""The measures of the field, by hand."""

import math

import pandas as pd
import pytest

from configs.settings import Settings
from features.performance import LESS_IS_BETTER, MEASURES, SUMS, build_performance, measure_gap

DAY = {
    "attempts": 200,
    "connects": 50,
    "keyman_contacts": 20,
    "conversions": 4,
    "abandoned": 2,
    "contacted_timed": 20,
    "contacted_seconds": 6000,
    "other_timed": 160,
    "other_seconds": 1600,
    "talks": 40,
    "talk_seconds": 5200,
    "wraps": 180,
    "wrap_seconds": 2700,
    "agent_attempts": 190,
    "agent_hours": 19,
    "busy_seconds": 34200,
}
BY_HAND = {
    "attempts": 200,
    "connect_rate": 0.25,
    "keyman_contact_rate": 0.10,
    "conversion_rate": 0.20,
    "aht_contacted_seconds": 300.0,
    "aht_other_seconds": 10.0,
    "att_seconds": 130.0,
    "acw_seconds": 15.0,
    "cph": 10.0,
    "occupancy": 0.5,
    "abandonment_rate": 0.04,
}


def test_measures_are_those_counted_by_hand() -> None:
    assert set(DAY) == set(SUMS)
    counted = build_performance(pd.DataFrame([DAY]))[list(MEASURES)].iloc[0].to_dict()
    assert counted == pytest.approx(BY_HAND)


def test_what_is_not_known_is_not_zero() -> None:
    nothing = build_performance(pd.DataFrame([dict.fromkeys(SUMS, 0)])).iloc[0]
    assert all(math.isnan(nothing[name]) for name in MEASURES if name != "attempts")


def test_sums_that_came_in_stay_as_they_were() -> None:
    sums = pd.DataFrame([DAY])
    build_performance(sums)
    assert list(sums.columns) == list(DAY)


def test_every_measure_but_attempts_can_have_a_target() -> None:
    assert set(Settings().targets.model_dump()) == set(MEASURES) - {"attempts"}
    assert set(MEASURES) > LESS_IS_BETTER


@pytest.mark.parametrize(
    ("measure", "reached", "is_met"),
    [("cph", 12.0, True), ("cph", 11.9, False), ("occupancy", 0.86, False), ("abandonment_rate", 0.03, True)],
)
def test_a_target_is_a_least_or_a_most(measure: str, reached: float, is_met: bool) -> None:
    target = {"cph": 12.0, "occupancy": 0.85, "abandonment_rate": 0.03}[measure]
    assert measure_gap(measure, reached, target) == (pytest.approx(reached - target), is_met)
