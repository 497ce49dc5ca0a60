"""Calibration recovers known distortions; reliability counts by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit

from models.contact.calibration import Calibration, build_reliability, fit_calibration


def test_a_known_distortion_is_undone() -> None:
    rng = np.random.default_rng(1)
    true_logit = rng.normal(-1.5, 1.0, 60_000)
    fitted = fit_calibration((true_logit - 0.6) / 0.5, rng.random(60_000) < expit(true_logit))
    assert fitted.intercept == pytest.approx(0.6, abs=0.08)
    assert fitted.slope == pytest.approx(0.5, abs=0.03)


def test_calibrated_probabilities_have_the_observed_mean() -> None:
    rng = np.random.default_rng(2)
    logit = rng.normal(0, 1, 3_000)
    is_contact = rng.random(3_000) < 0.15
    fitted = fit_calibration(logit, is_contact)
    assert fitted.apply(logit).mean() == pytest.approx(is_contact.mean(), abs=1e-3)


def test_few_contacts_hold_the_slope_near_one() -> None:
    logit = np.linspace(-2, 2, 20)
    is_contact = logit > 0
    assert fit_calibration(logit, is_contact).slope < 2.0
    assert fit_calibration(np.tile(logit, 500), np.tile(is_contact, 500)).slope > 3.0


def test_the_fit_is_the_minimum_of_its_own_loss() -> None:
    """A search without gradients finds nothing better around it: the loss, with its priors on intercept and slope."""
    rng = np.random.default_rng(3)
    logit = rng.normal(-1, 1, 300)
    is_contact = rng.random(300) < expit(2.5 * logit)

    def loss(parameters: np.ndarray) -> float:
        z = parameters[0] + parameters[1] * logit
        likelihood = np.sum(np.where(is_contact, np.log(expit(z)), np.log(expit(-z))))
        return float(np.log1p((parameters[0] / 0.03) ** 2) + 0.5 * ((parameters[1] - 1) / 0.1) ** 2 - likelihood)

    fitted = fit_calibration(logit, is_contact)
    found = np.array([fitted.intercept, fitted.slope])
    best = minimize(loss, found, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9}).x
    assert found == pytest.approx(best, abs=1e-3)


@pytest.mark.parametrize("label", [True, False])
def test_constant_labels_give_finite_numbers(label: bool) -> None:
    fitted = fit_calibration(np.linspace(-1, 1, 100), np.full(100, label))
    assert np.isfinite([fitted.intercept, fitted.slope]).all()
    assert (fitted.apply(np.zeros(1))[0] > 0.5) == label


def test_no_dials_change_nothing() -> None:
    fitted = fit_calibration(np.zeros(0), np.zeros(0, dtype=bool))
    assert (fitted.intercept, fitted.slope) == pytest.approx((0.0, 1.0))


def test_applying_keeps_order_shape_and_precision() -> None:
    logit = np.linspace(-5, 5, 12, dtype="float32").reshape(3, 4)
    p = Calibration(0.2, 0.8).apply(logit)
    assert p.shape == (3, 4)
    assert p.dtype == "float32"
    assert p == pytest.approx(expit(0.2 + 0.8 * logit.astype("float64")), abs=1e-6)


def test_bins_hold_equally_many_dials_smallest_first() -> None:
    p = np.array([0.9, 0.1, 0.8, 0.2])
    bins = build_reliability(p, np.array([True, False, False, True]), 2)
    assert bins["n"].tolist() == [2, 2]
    assert bins["p_mean"].tolist() == pytest.approx([0.15, 0.85])
    assert bins["contact_rate"].tolist() == pytest.approx([0.5, 0.5])


@budget(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0.01, 0.99), st.booleans()), min_size=1, max_size=60))
def test_bins_lose_no_dial_and_no_contact(dials: list[tuple[float, bool]]) -> None:
    p, is_contact = np.array([d[0] for d in dials]), np.array([d[1] for d in dials])
    bins = build_reliability(p, is_contact)
    assert bins["n"].sum() == len(dials)
    assert bins["n"].max() - bins["n"].min() <= 1 or len(dials) < 10
    assert (bins["n"] * bins["contact_rate"]).sum() == pytest.approx(is_contact.sum())
    assert (bins["n"] * bins["p_mean"]).sum() == pytest.approx(p.sum())
    assert (bins["p_mean"].diff().dropna() >= -1e-9).all()
