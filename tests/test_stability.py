"""Population stability: noise is not read as a change, and a change is."""

import numpy as np
import pandas as pd
import pytest

from configs.settings import Settings
from features.table import DialLog, build_dial_log
from models.contact.stability import MOVED, compare_shares, measure_stability
from tests.simulated_logs import build_attempts, draw_attempts, draw_customers

SETTINGS = Settings()


def build_log(n: int = 4000, seed: int = 1) -> DialLog:
    rng = np.random.default_rng(seed)
    return build_dial_log(draw_attempts(n, 300, rng), draw_customers(300, rng), SETTINGS)


def test_psi_is_the_sum_of_its_definition() -> None:
    new, before = np.array([30.0, 70.0]), np.array([50.0, 50.0])
    a, b = (new + 0.5) / 101, (before + 0.5) / 101
    found = compare_shares(new, before)
    assert found["psi"] == pytest.approx(((a - b) * np.log(a / b)).sum())
    assert found["expected"] == pytest.approx(1 * (1 / 100 + 1 / 100))
    assert (found["n_bins"], found["n_new"], found["n_before"]) == (2, 100, 100)


def test_under_no_change_psi_is_on_average_what_is_expected() -> None:
    rng = np.random.default_rng(2)
    share = rng.dirichlet(np.full(20, 5.0))
    found = [compare_shares(*(rng.multinomial(n, share).astype("float64") for n in (400, 5000))) for _ in range(300)]
    assert np.mean([row["psi"] for row in found]) == pytest.approx(found[0]["expected"], rel=0.1)
    assert {row["verdict"] for row in found} == {"steady"}


def test_small_samples_are_noisy_and_not_alarming() -> None:
    rng = np.random.default_rng(3)
    found = [compare_shares(*(rng.multinomial(n, np.full(84, 1 / 84)) * 1.0 for n in (60, 600))) for _ in range(100)]
    assert np.mean([row["psi"] > MOVED for row in found]) > 0.9
    assert np.mean([row["verdict"] != "steady" for row in found]) <= 0.1


def test_two_halves_of_one_log_are_steady_and_a_new_clientele_is_not() -> None:
    log = build_log()
    rows = np.random.default_rng(4).permutation(len(log.dials))
    steady = measure_stability(log, rows[:1000], rows[1000:], SETTINGS)
    assert set(steady["verdict"]) == {"steady"}
    assert sorted(steady["input"]) == sorted(
        ["age", "gender", "region", "hour_of_week", "part_of_week", "outcome", "attempt_number", "days_since_attempt"]
    )
    age = log.customers["age"].to_numpy()[log.history.customer_row]
    old, young = np.flatnonzero(age > 60), np.flatnonzero(~(age > 60))
    moved = measure_stability(log, old, young, SETTINGS).set_index("input")
    assert moved.index[0] == "age"
    assert moved.loc["age", "verdict"] == "moved"
    assert moved.loc["hour_of_week", "verdict"] == "steady"


def test_a_value_that_goes_missing_is_seen() -> None:
    log = build_log()
    half = len(log.dials) // 2
    unknown = log.customers["age"].where(np.arange(300) < log.history.customer_row[half])
    gone = DialLog(log.dials, log.history, log.customers.assign(age=unknown.astype("float32")))
    found = measure_stability(gone, np.arange(half, 2 * half), np.arange(half), SETTINGS).set_index("input")
    assert found.loc["age", "verdict"] == "moved"


def test_one_dial_on_either_side_is_measured_without_a_word() -> None:
    at = pd.DatetimeIndex(["2026-08-03 10:00", "2026-08-04 20:00"])
    log = build_dial_log(
        build_attempts([0, 1], at, ["busy", "no_answer"]), draw_customers(2, np.random.default_rng(5)), SETTINGS
    )
    found = measure_stability(log, np.array([1]), np.array([0]), SETTINGS)
    assert np.isfinite(found[["psi", "expected"]].to_numpy()).all()
    assert set(found["verdict"]) == {"steady"}
