"""Measures against arithmetic by hand and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from models.contact.metrics import judge

P = np.array([0.1, 0.4, 0.35, 0.8])
Y = np.array([False, False, True, True])


def test_four_dials_by_hand() -> None:
    judged = judge(P, Y)
    assert (judged["n_rows"], judged["n_contacts"]) == (4, 2)
    assert judged["log_loss"] == pytest.approx(-np.log(0.9 * 0.6 * 0.35 * 0.8) / 4)
    assert judged["auc"] == 0.75
    assert judged["brier"] == pytest.approx((0.1**2 + 0.4**2 + 0.65**2 + 0.2**2) / 4)
    assert judged["lift_top_tenth"] == 2.0
    assert judged["calibration_error"] == pytest.approx((0.1 + 0.4 + 0.65 + 0.2) / 4)


def test_measures_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    p = rng.uniform(0.01, 0.6, 500)
    y = rng.random(500) < p
    judged = judge(p, y)
    assert judged["log_loss"] == pytest.approx(log_loss(y, p))
    assert judged["auc"] == pytest.approx(roc_auc_score(y, p))
    assert judged["brier"] == pytest.approx(brier_score_loss(y, p))


def test_the_lift_is_that_of_the_highest_tenth() -> None:
    p = np.linspace(0.01, 0.5, 100)
    y = np.zeros(100, dtype=bool)
    y[-10:-5] = True
    y[:5] = True
    assert judge(p, y)["lift_top_tenth"] == pytest.approx(0.5 / 0.1)


def test_the_calibration_error_is_the_mean_gap_of_tenths() -> None:
    p = np.repeat(np.linspace(0.05, 0.95, 10), 100)
    observed = np.array([0, 0, 30, 30, 40, 60, 60, 70, 90, 100])
    y = np.concatenate([np.arange(100) < n for n in observed])
    expected = np.mean(np.abs(np.linspace(0.05, 0.95, 10) - observed / 100))
    mixed = np.random.default_rng(0).permutation(1000)
    assert judge(p, y)["calibration_error"] == pytest.approx(expected)
    assert judge(p[mixed], y[mixed])["calibration_error"] == pytest.approx(expected)


@pytest.mark.parametrize("label", [True, False])
def test_with_one_kind_of_outcome_ranking_has_no_measure(label: bool) -> None:
    judged = judge(P, np.full(4, label))
    assert np.isnan([judged["auc"], judged["lift_top_tenth"]]).all()
    assert np.isfinite([judged["log_loss"], judged["brier"], judged["calibration_error"]]).all()


def test_no_dials_have_no_measure() -> None:
    judged = judge(np.zeros(0), np.zeros(0, dtype=bool))
    assert (judged.pop("n_rows"), judged.pop("n_contacts")) == (0, 0)
    assert np.isnan(list(judged.values())).all()


def test_certainty_that_is_wrong_is_punished_but_finite() -> None:
    assert 5 < judge(np.array([0.0, 1.0]), np.array([True, False]))["log_loss"] < 50
