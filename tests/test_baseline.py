"""Simple rivals: the overall rate by hand, the design column by column, a regression that finds what is there."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from features.history import HISTORY_FEATURES, PART_FEATURES
from models.contact.baseline import build_design, fit_logistic_regression, predict_overall_rate
from models.contact.effects import SLOT_KEYS

COUNTS = [*HISTORY_FEATURES, *PART_FEATURES]


def inputs(n: int, rng: np.random.Generator) -> tuple[pd.DataFrame, dict, dict]:
    rows = pd.DataFrame(rng.poisson(2.0, (n, len(COUNTS))).astype("float32"), columns=COUNTS)
    codes = {"gender": rng.integers(0, 3, n), "age": rng.integers(0, 9, n)}
    slots = {key: rng.integers(0, n_levels, n) for key, n_levels in SLOT_KEYS.items()}
    return rows, codes, slots


def test_the_overall_rate_is_that_of_the_dials_learned_from() -> None:
    assert predict_overall_rate(np.array([True, False, False, False]), 3).tolist() == [0.25] * 3
    assert len(predict_overall_rate(np.array([True]), 0)) == 0


def test_each_row_of_the_design_has_one_level_per_key_and_the_logarithms_of_its_counts() -> None:
    rows, codes, slots = inputs(40, np.random.default_rng(1))
    rows.loc[3, "days_since_contact"] = np.nan
    design = build_design(rows, codes, slots, ("gender", "age")).toarray()
    n_keys = 2 + len(SLOT_KEYS) - 1
    one_hot, counts, never = np.split(design, [512 * n_keys, 512 * n_keys + len(COUNTS)], axis=1)
    assert (one_hot.sum(axis=1) == n_keys).all()
    assert (one_hot[:, :512].argmax(axis=1) == codes["gender"]).all()
    assert (one_hot[:, 512:1024].argmax(axis=1) == codes["age"]).all()
    assert counts == pytest.approx(np.log1p(rows.fillna(0.0).to_numpy("float64")), rel=1e-6)
    assert np.argwhere(never).tolist() == [[3, COUNTS.index("days_since_contact")]]


def test_the_regression_finds_what_history_and_attributes_say() -> None:
    rng = np.random.default_rng(2)
    rows, codes, slots = inputs(6_000, rng)
    logit = -1 + np.where(codes["gender"] == 2, 1.0, -0.5) + np.log1p(rows["n_contacts"].to_numpy())
    is_contact = rng.random(6_000) < expit(logit)
    design = build_design(rows, codes, slots, ("gender", "age"))
    p = fit_logistic_regression(design, is_contact).predict_proba(design)[:, 1]
    assert np.corrcoef(p, expit(logit))[0, 1] > 0.9
    assert p.mean() == pytest.approx(is_contact.mean(), abs=0.005)
