"""How habits have moved: since when, along which habits, and not at all where only noise differs."""

import numpy as np
import pytest
from scipy.special import expit

from models.contact.curves import smooth_shapes
from models.contact.moved import Dials, Move, find_loadings, find_move

N_LEVELS, N_DAYS, HOURS = 40, 90, np.arange(9, 21)
DAY = 86_400


def draw_curves(rng: np.random.Generator) -> np.ndarray:
    """Curves of forty segments that live by two habits, evenings and mornings; logits (40, 48)."""
    habits = np.zeros((2, 48))
    habits[0, 18:21], habits[1, 9:12] = 1.0, 1.0
    return rng.normal(0.0, 0.4, (N_LEVELS, 2)) @ habits


def draw_dials(rng: np.random.Generator, before: np.ndarray, after: np.ndarray, moved_days: int, n: int) -> Dials:
    """Dials whose curves were ``before`` until ``moved_days`` ago, judged by one who knows only those."""
    level, hour, seconds = rng.integers(0, N_LEVELS, n), rng.choice(HOURS, n), rng.integers(0, N_DAYS * DAY, n)
    known = before[level, hour] - 1.5
    true = np.where(seconds >= (N_DAYS - moved_days) * DAY, after[level, hour] - 1.5, known)
    is_contact = rng.random(n) < expit(true)
    return Dials(level.astype("int32"), hour.astype("int32"), seconds, known, np.ones(n), is_contact, np.ones(n))


def find(dials: Dials, curves: np.ndarray) -> Move | None:
    loadings = find_loadings(curves[:, HOURS], np.ones(N_LEVELS))
    return find_move(dials, loadings, smooth_shapes(HOURS))


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_no_move(seed: int) -> None:
    rng = np.random.default_rng(seed)
    curves = draw_curves(rng)
    assert find(draw_dials(rng, curves, curves, 21, 40_000), curves) is None


@pytest.mark.parametrize("moved_days", [28, 14, 7])
def test_a_move_is_found_with_its_day_and_for_every_segment(moved_days: int) -> None:
    rng = np.random.default_rng(7)
    before = draw_curves(rng)
    after = before[:, np.r_[0:9, 20:8:-1, 21:48]]  # who answered in the evening now does so in the morning
    move = find(draw_dials(rng, before, after, moved_days, 60_000), before)
    assert move is not None
    assert move.since == pytest.approx((N_DAYS - moved_days) * DAY, abs=600)
    assert move.evidence > 20
    right = np.corrcoef((after - before)[:, HOURS].ravel(), move.values[:, HOURS].ravel())[0, 1]
    assert right > 0.8


def test_a_move_between_two_days_that_are_tried_is_put_at_the_nearer() -> None:
    rng = np.random.default_rng(7)
    before = draw_curves(rng)
    move = find(draw_dials(rng, before, -before, 24, 60_000), before)
    assert move is not None
    assert round((N_DAYS * DAY - move.since) / DAY) in (21, 28)


def test_curves_that_were_learned_too_flat_are_no_move() -> None:
    rng = np.random.default_rng(7)
    curves = draw_curves(rng)
    dials = draw_dials(rng, 0.3 * curves, curves, N_DAYS, 60_000)
    assert find(dials, 0.3 * curves) is None


def test_loadings_say_by_which_habits_a_segment_lives() -> None:
    curves = draw_curves(np.random.default_rng(7))[:, HOURS]
    loadings = find_loadings(curves, np.arange(N_LEVELS))
    assert loadings.shape == (N_LEVELS, 3)  # all alike, and two habits
    between = curves - curves.mean(axis=1, keepdims=True)
    told = loadings @ np.linalg.lstsq(loadings[1:], between[1:], rcond=None)[0]
    assert np.allclose(told[1:], between[1:])
    assert (loadings[0, 1:] == 0).all()  # nobody is of this level


def test_segments_of_one_habit_leave_what_all_have_in_common() -> None:
    assert find_loadings(np.ones((5, 12)), np.ones(5)).tolist() == [[1.0]] * 5
