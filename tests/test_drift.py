"""The drift of a fitted night: held out where it says so, finite, and harmless to everything else."""

import numpy as np
import pytest

from features.table import build_dial_log
from models.contact.drift import Drift, measure_drift
from models.contact.folds import split_folds
from tests.small_centre import AS_OF, SETTINGS, build_centre, fit_centre

DAY = np.datetime64(AS_OF.date(), "D")


@pytest.fixture(scope="module")
def drift() -> Drift:
    found = fit_centre().drift
    assert found is not None
    return found


def test_every_forward_dial_is_counted_once_by_week_hour_and_segment(drift: Drift) -> None:
    n = fit_centre().rivals.query("fold == 'forward'")["n_rows"].iloc[0]
    assert drift.weeks["n"].iloc[-1] == n
    assert drift.slots.loc[~drift.slots["is_pooled"], "n"].sum() == n
    assert drift.segments["n"].sum() == n
    assert drift.weeks["n"].sum() == len(build_centre().tables.call_attempts)


def test_only_the_forward_week_is_told_to_be_held_out(drift: Drift) -> None:
    assert drift.weeks["is_held_out"].tolist() == [False] * (len(drift.weeks) - 1) + [True]
    newest = drift.weeks.iloc[-1]
    assert newest["low"] < newest["p_mean"] < newest["high"]


def test_the_sample_centre_has_not_moved(drift: Drift) -> None:
    assert drift.habits.verdict == "steady"
    assert drift.warning == ""
    assert fit_centre().metrics["drift.habits_moved"] == 0.0


def test_metrics_are_finite_and_named_by_input(drift: Drift) -> None:
    metrics = fit_centre().metrics
    assert drift.metrics.items() <= metrics.items()
    assert all(np.isfinite(value) for value in drift.metrics.values())
    psi = {name.removeprefix("drift.psi.") for name in metrics if name.startswith("drift.psi.")}
    assert psi == set(drift.stability["input"])
    assert metrics["drift.psi_max"] == max(metrics[f"drift.psi.{name}"] for name in psi)


def test_without_a_forward_dial_there_is_nothing_to_say() -> None:
    tables = build_centre().tables
    log = build_dial_log(tables.call_attempts, tables.customers, SETTINGS)
    late = DAY + 14
    folds = split_folds(log, late, SETTINGS)
    rng = np.random.default_rng(1)
    assert measure_drift(fit_centre().model, log, folds, late, SETTINGS, rng) is None


def test_an_alarm_becomes_the_warning() -> None:
    """Calls to the evenings of the newest weeks all fail."""
    tables = build_centre().tables
    at = tables.call_attempts["attempted_at"]
    fails = (at.dt.hour >= 17) & (at >= AS_OF - np.timedelta64(14, "D"))
    outcome = tables.call_attempts["outcome"].mask(fails, "no_answer")
    log = build_dial_log(tables.call_attempts.assign(outcome=outcome), tables.customers, SETTINGS)
    folds = split_folds(log, DAY, SETTINGS)
    found = measure_drift(fit_centre().model, log, folds, DAY, SETTINGS, np.random.default_rng(1))
    assert found is not None
    assert found.warning.startswith("habits have moved: in the last 2 weeks people were reached ")
    assert "less often" in found.warning
    assert found.metrics["drift.habits_moved"] == 1.0
    assert found.stability.set_index("input").loc["age", "verdict"] == "steady"
