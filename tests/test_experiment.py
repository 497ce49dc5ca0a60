"""Gains by experiment: the arms compared by what came back, and put in place of what the model says."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from configs.settings import Settings
from models.planning.control import find_control
from models.planning.experiment import (
    LEAST_CONTACTS,
    Experiment,
    measure_experiment,
    prefer_measured,
    tell_experiment,
)

SHARE, SINCE = 0.2, "2026-10-05"
SETTINGS = Settings(planning={"control_share": SHARE, "control_since": SINCE}, gains={"n_resamples": 200})
CUSTOMERS = pd.DataFrame({"customer_id": [f"C{k:05}" for k in range(6_000)]})
IS_CONTROL = find_control(CUSTOMERS, SHARE, SETTINGS.seed)
FOUND = Experiment("2026-10-05", "2026-11-01", 9_000, 1_440, 1_000, 100, 1.6, 1.3, 2.0)


def simulate(rng: np.random.Generator, plan: float, control: float, first: str = SINCE) -> pd.DataFrame:
    """Three dials a customer; persons differ, so that dials of one are alike."""
    level = rng.normal(0, 0.6, len(CUSTOMERS))
    rate = np.where(IS_CONTROL, control, plan) * np.exp(level - 0.18)
    hit = rng.random((3, len(CUSTOMERS))) < rate
    return pd.DataFrame(
        {
            "customer_row": np.tile(np.arange(len(CUSTOMERS)), 3),
            "attempted_at": np.repeat(pd.date_range(first, periods=3, freq="D", tz="Asia/Tokyo"), len(CUSTOMERS)),
            "outcome": np.where(hit.ravel(), "keyman_contact", "no_answer"),
        }
    )


def compare(attempts: pd.DataFrame, settings: Settings = SETTINGS) -> Experiment | None:
    return measure_experiment(attempts, CUSTOMERS, settings, np.random.default_rng(3))


def test_the_interval_holds_the_true_ratio_as_often_as_it_says():
    rng = np.random.default_rng(11)
    found = [compare(simulate(rng, 0.15, 0.10)) for _ in range(40)]
    held = sum(each.low <= 1.5 <= each.high for each in found)
    assert held >= 31  # 36 of 40 are due
    assert np.mean([each.ratio for each in found]) == pytest.approx(1.5, rel=0.03)
    assert np.mean([np.log(each.high / each.low) for each in found]) < 0.35


def test_an_experiment_begins_with_its_first_day():
    rng = np.random.default_rng(5)
    before = simulate(rng, 0.10, 0.10, "2026-09-20")
    since = simulate(rng, 0.20, 0.10)
    found = compare(pd.concat([before, since], ignore_index=True))
    assert found == compare(since)
    assert (found.first_day, found.last_day) == ("2026-10-05", "2026-10-07")
    assert found.plan_dials + found.control_dials == len(since)


@pytest.mark.parametrize("planning", [{}, {"control_share": SHARE}, {"control_since": SINCE}])
def test_without_a_share_and_a_first_day_there_is_no_experiment(planning: dict):
    attempts = simulate(np.random.default_rng(5), 0.2, 0.1)
    assert compare(attempts, Settings(planning=planning)) is None


def test_before_its_first_dial_there_is_no_experiment():
    assert compare(simulate(np.random.default_rng(5), 0.2, 0.1, "2026-09-20")) is None


def test_too_few_contacts_leave_the_gains_to_the_model_and_say_so():
    found = compare(simulate(np.random.default_rng(5), 0.2, 0.01))
    assert found.control_contacts < LEAST_CONTACTS < found.plan_contacts
    assert found.ratio is found.low is found.high is None
    gains = model_gains(1.0)
    assert prefer_measured(gains, found) == gains
    assert "too few to compare" in tell_experiment(found)[0]


def model_gains(staffing: float) -> dict[str, dict]:
    parts = {"timing": 1.1, "list": 1.3, "staffing": staffing, "total": 1.43 * staffing}
    return {name: {"ratio": r, "low": r, "high": r, "basis": "model"} for name, r in parts.items()}


@pytest.mark.parametrize(("staffing", "basis"), [(1.0, "experiment"), (1.05, "model")])
def test_what_is_measured_replaces_timing_and_list_and_leaves_moved_seats_to_the_model(staffing: float, basis: str):
    told = prefer_measured(model_gains(staffing), FOUND)
    assert told["timing"]["ratio"] * told["list"]["ratio"] == pytest.approx(1.6)
    assert told["total"]["ratio"] == pytest.approx(1.6 * staffing)
    assert told["total"]["low"] == pytest.approx(1.3 * staffing)
    assert [told[part]["basis"] for part in ("timing", "list", "staffing")] == ["experiment", "experiment", "model"]
    assert told["total"]["basis"] == basis
    assert 1 < told["timing"]["ratio"] < told["list"]["ratio"]


def test_a_loss_that_was_measured_is_told_as_one():
    lost = replace(FOUND, ratio=0.8, low=0.7, high=0.9)
    told = prefer_measured(model_gains(1.0), lost)
    assert told["total"]["high"] == pytest.approx(0.9)
    assert all(told[part]["high"] <= 1 for part in ("timing", "list"))
    assert "0.80 times the rate of the past way (90 % interval 0.70 to 0.90)" in tell_experiment(lost)[0]
