"""Propensities estimated from the log: habits found where they are, none where they are not, places always kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from simulated_choices import SLOTS, Choices, draw_choices

from models.contact.propensity import estimate_propensity, rake


def describe(choices: Choices) -> sparse.csr_matrix:
    """What supervisors saw: the preference, and tenths of the ease."""
    tenth = np.digitize(choices.ease, np.quantile(choices.ease, np.linspace(0.1, 0.9, 9)))
    columns = np.column_stack([choices.prefers_evening, ~choices.prefers_evening, np.eye(10)[tenth]])
    return sparse.csr_matrix(columns.astype("float64"))


def test_habits_come_back_from_the_choices_they_made() -> None:
    choices = draw_choices(8_000, np.random.default_rng(1), habit=1.0, confounding=1.0)
    estimated = estimate_propensity(describe(choices), SLOTS, choices.chosen)
    usual = choices.places / 8_000
    missed = np.abs(estimated - choices.logged).mean()
    assert missed < 0.3 * np.abs(usual - choices.logged).mean()
    own = estimated[np.arange(8_000), choices.chosen]
    assert (1 / own).mean() / len(SLOTS) == pytest.approx(1.0, abs=0.03)


def test_where_there_is_no_habit_none_is_found() -> None:
    choices = draw_choices(4_000, np.random.default_rng(2))
    noise = sparse.csr_matrix(np.eye(40)[np.random.default_rng(3).integers(0, 40, 4_000)])
    estimated = estimate_propensity(noise, SLOTS, choices.chosen)
    assert np.abs(estimated / (choices.places / 4_000) - 1).max() < 0.25
    own = estimated[np.arange(4_000), choices.chosen]
    assert (1 / own).mean() / len(SLOTS) == pytest.approx(1.0, abs=0.03)


def test_rows_sum_to_one_and_columns_to_the_places() -> None:
    choices = draw_choices(1_500, np.random.default_rng(4), habit=1.5)
    estimated = estimate_propensity(describe(choices), SLOTS, choices.chosen)
    assert estimated.sum(axis=1) == pytest.approx(np.ones(1_500))
    assert estimated.sum(axis=0) == pytest.approx(choices.places, abs=0.5)
    assert estimated.min() > 0


def test_a_slot_that_one_dial_took_keeps_a_chance_above_zero() -> None:
    choices = draw_choices(600, np.random.default_rng(5))
    chosen = np.where(choices.chosen == 7, 6, choices.chosen)
    chosen[11] = 7
    estimated = estimate_propensity(describe(choices), SLOTS, chosen)
    assert estimated[11, 7] > 0
    assert estimated[:, 7].sum() == pytest.approx(1.0, abs=0.2)


@given(st.integers(1, 20), st.integers(1, 6), st.integers(0, 10_000))
def test_raking_keeps_both_margins_and_the_odds_between_cells(n: int, n_slots: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.random((n, n_slots)) + 0.1
    places = rng.dirichlet(np.ones(n_slots)) * n
    raked = rake(weight, places, tolerance=1e-9)
    assert raked.sum(axis=1) == pytest.approx(np.ones(n))
    assert raked.sum(axis=0) == pytest.approx(places, abs=1e-4 * n)
    odds = raked[0] * raked[-1, ::-1] * weight[0, ::-1] * weight[-1]
    assert odds == pytest.approx(raked[0, ::-1] * raked[-1] * weight[0] * weight[-1, ::-1], abs=1e-12)
