"""Daily curves: an hour may stand out, the shapes of one fit are where the next begins, undialled hours follow."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from models.contact.curves import smooth_shapes
from models.contact.effects import EffectTable, fit_effects, start_tables

N_ROWS, N_AGES = 240_000, 12
DAY_HOURS = np.concatenate([np.arange(9, 21), np.arange(33, 45)])
KEYS = [("", ""), ("", "day_hour"), ("age", ""), ("age", "day_hour")]


@pytest.fixture(scope="module")
def curves() -> np.ndarray:
    """Curves of the ages, (12, 48): two rhythms in different shares, one of them with a lunch."""
    evening, lunch = np.linspace(-0.8, 0.8, 24), np.zeros(24)
    evening[:12] -= evening[:12].mean()
    evening[12:] -= evening[12:].mean()
    lunch[3] = -0.8
    share = np.random.default_rng(1).standard_normal((N_AGES, 2))
    found = np.zeros((N_AGES, 48))
    found[:, DAY_HOURS] = share @ np.stack([evening, lunch])
    return found


@pytest.fixture(scope="module")
def rows(curves: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(2)
    age, hour = rng.integers(0, N_AGES, N_ROWS).astype("int32"), rng.choice(DAY_HOURS, N_ROWS).astype("int32")
    is_contact = rng.random(N_ROWS) < expit(-1.5 + curves[age, hour])
    nobody = np.zeros(N_ROWS, dtype="int32")
    return {"": nobody, "age": age}, {"": nobody, "day_hour": hour}, is_contact


def fit(rows: tuple, tables: list[EffectTable], n_sweeps: int) -> list[EffectTable]:
    customer, slot, is_contact = rows
    nothing = np.zeros(N_ROWS)
    return fit_effects(tables, customer, slot, is_contact, nothing, nothing, n_sweeps)


def curves_of(tables: list[EffectTable]) -> np.ndarray:
    found = tables[3].values + tables[1].values
    return found[:, DAY_HOURS] - found[:, DAY_HOURS].mean(axis=1, keepdims=True)


def test_an_hour_that_stands_out_is_learned(rows: tuple, curves: np.ndarray) -> None:
    found = curves_of(fit(rows, start_tables(KEYS, {"": 1, "age": N_AGES}), 12))
    noon = found[:, 3] - found[:, [2, 4]].mean(axis=1)
    true = curves[:, 12] - curves[:, [11, 13]].mean(axis=1)
    assert 0.5 < np.polyfit(true, noon, 1)[0] < 1.1  # a smooth curve would hardly see it


def test_a_fit_goes_on_with_the_shapes_of_the_one_before(rows: tuple, curves: np.ndarray) -> None:
    def error(tables: list[EffectTable]) -> float:
        true = curves[:, DAY_HOURS] - curves[:, DAY_HOURS].mean(axis=1, keepdims=True)
        return float(np.sqrt(((curves_of(tables) - true) ** 2).mean()))

    begun = fit(rows, start_tables(KEYS, {"": 1, "age": N_AGES}), 8)
    assert error(fit(rows, begun, 1)) < 1.1 * error(begun)


def test_hours_that_nobody_dialled_follow_the_nearest() -> None:
    shapes = smooth_shapes(np.arange(9, 18))
    alike = shapes[18] @ shapes.T
    assert alike[17] == pytest.approx(0.3 + np.exp(-0.5 / 9))  # the day as a whole, and one of three hours apart
    assert np.all(np.diff(alike[9:18]) > 0)
    assert smooth_shapes(np.arange(48)).shape == (48, 20)


def test_curves_that_were_given_up_come_back_when_there_are_some(rows: tuple) -> None:
    tables = start_tables(KEYS, {"": 1, "age": N_AGES})
    given_up = [*tables[:3], replace(tables[3], variance=1e-5)]
    assert fit(rows, given_up, 4)[3].variance > 0.002
