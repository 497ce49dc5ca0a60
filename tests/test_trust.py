"""How far a model's differences can be believed: measured slopes against a known truth."""

import numpy as np
import pytest
from scipy.special import expit, logit

from models.contact.trust import Trust, fit_trust


def draw(n: int, list_slope: float, timing_slope: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-odds as a model says them, and outcomes of a world where its differences hold by the given slopes."""
    rng = np.random.default_rng(seed)
    usual, difference = rng.normal(-2, 0.6, n), rng.normal(0, 0.6, n)
    return usual, difference, rng.random(n) < expit(-2 + list_slope * (usual + 2) + timing_slope * difference)


@pytest.mark.parametrize(("list_slope", "timing_slope"), [(1.0, 1.0), (1.0, 0.0), (0.3, 0.7), (0.0, 0.0)])
def test_known_slopes_come_back_within_their_own_error(list_slope: float, timing_slope: float) -> None:
    trust = fit_trust(*draw(40_000, list_slope, timing_slope))
    sd = np.sqrt(np.diag(trust.covariance))
    assert (np.abs(trust.slopes - [list_slope, timing_slope]) < 3.5 * sd).all()
    assert (sd < 0.05).all()


def test_errors_are_as_large_as_slopes_scatter() -> None:
    fits = [fit_trust(*draw(4_000, 0.8, 0.6, seed)) for seed in range(60)]
    scatter = np.std([fit.slopes for fit in fits], axis=0)
    told = np.sqrt(np.mean([np.diag(fit.covariance) for fit in fits], axis=0))
    assert scatter == pytest.approx(told, rel=0.35)


def test_few_dials_leave_the_prior_belief() -> None:
    trust = fit_trust(*draw(10, 0.0, 0.0))
    assert trust.slopes == pytest.approx([1.0, 0.5], abs=0.3)
    assert np.diag(trust.covariance) == pytest.approx(np.diag(Trust().covariance), rel=0.3)


def test_differences_that_point_the_wrong_way_are_believed_not_at_all() -> None:
    trust = fit_trust(*draw(40_000, 1.0, -0.5))
    assert trust.timing_slope == 0.0


@pytest.mark.parametrize("label", [True, False])
def test_constant_outcomes_give_finite_slopes(label: bool) -> None:
    usual, difference, _ = draw(500, 1.0, 1.0)
    trust = fit_trust(usual, difference, np.full(500, label))
    assert np.isfinite([*trust.slopes, *np.ravel(trust.covariance)]).all()


def test_draws_scatter_around_the_slopes_also_above_one_and_below_zero() -> None:
    trust = Trust(0.8, 0.1, ((0.01, 0.0), (0.0, 0.04)))
    rng = np.random.default_rng(2)
    drawn = np.array([trust.draw(rng) for _ in range(2_000)])
    assert drawn[:, 1].min() < 0.0
    assert drawn[:, 0].max() > 1.0
    assert drawn[:, 0].mean() == pytest.approx(0.8, abs=0.02)
    assert drawn[:, 0].std() == pytest.approx(0.1, rel=0.1)
    assert drawn[:, 1].max() > 0.4


def test_full_trust_leaves_a_prediction_and_none_leaves_everyones() -> None:
    usual, difference = np.array([-2.0, -1.0]), np.array([0.5, -0.3])
    assert Trust.correct(usual, difference, -1.7, np.ones(2)) == pytest.approx(expit(usual + difference))
    assert Trust.correct(usual, difference, -1.7, np.zeros(2)) == pytest.approx(expit(-1.7))
    list_only = Trust.correct(usual, difference, -1.7, np.array([0.5, 0.0]))
    assert logit(list_only) == pytest.approx([-1.85, -1.35])
