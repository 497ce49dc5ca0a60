"""The compiled forest says what LightGBM says of the whole cross join, or refuses."""

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from models.contact.scoring import _AT_ONCE, compile_forest
from models.contact.slot_trees import MAX_LEAVES

QUIET = {"objective": "binary", "verbose": -1, "num_threads": 1, "deterministic": True, "min_data_in_leaf": 5}
N_CUSTOMER, N_SLOT = 3, 3
SLOTS = np.array([[hour, day, free] for day in range(5) for hour in (9, 12, 15, 20) for free in (0, 1)], dtype=float)


def draw_features(n: int, rng: np.random.Generator, nan_share: float) -> np.ndarray:
    """Customer features (a third of them whole numbers around zero), then slot features."""
    customers = np.column_stack([rng.normal(size=n), rng.integers(-2, 3, n), rng.exponential(size=n)])
    customers = customers.astype("float32").astype("float64")
    customers[rng.random(customers.shape) < nan_share] = np.nan
    return np.column_stack([customers, SLOTS[rng.integers(0, len(SLOTS), n)]])


def train(rng: np.random.Generator, n_leaves: int, n_trees: int, nan_share: float, **options: object) -> lgb.Booster:
    X = draw_features(1500, rng, nan_share)
    filled = np.nan_to_num(X, nan=0.7)
    logit = filled[:, 0] * (filled[:, 3] > 12) - filled[:, 1] * filled[:, 5] + np.sin(filled[:, 2] * filled[:, 4])
    y = rng.random(len(X)) < 1 / (1 + np.exp(-logit))
    params = {**QUIET, "num_leaves": n_leaves, "seed": int(rng.integers(1000)), **options}
    return lgb.train(params, lgb.Dataset(X, y, params=options), n_trees)


def score(booster: lgb.Booster, customers: np.ndarray, slots: np.ndarray = SLOTS) -> np.ndarray:
    logits = np.zeros((len(customers), len(slots)), dtype="float32")
    compile_forest(booster, slots, N_CUSTOMER).add_to(logits, np.arange(len(slots)), customers.astype("float32"))
    return logits


def cross_join(booster: lgb.Booster, customers: np.ndarray, slots: np.ndarray = SLOTS) -> np.ndarray:
    rows = np.column_stack([np.repeat(customers, len(slots), axis=0), np.tile(slots, (len(customers), 1))])
    return np.asarray(booster.predict(rows, raw_score=True)).reshape(len(customers), len(slots))


@pytest.mark.parametrize("n_leaves", [2, 4, 15, 63])
@pytest.mark.parametrize("nan_share", [0.0, 0.3])
def test_it_equals_lightgbm_on_the_cross_join(n_leaves: int, nan_share: float) -> None:
    rng = np.random.default_rng([n_leaves, int(nan_share * 10)])
    booster = train(rng, n_leaves, 20, nan_share)
    for share_at_use in (0.0, 0.4):
        customers = draw_features(60, rng, share_at_use)[:, :N_CUSTOMER]
        assert np.abs(score(booster, customers) - cross_join(booster, customers)).max() < 1e-6


@budget(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n_leaves=st.integers(2, 40),
    nan_share=st.sampled_from([0.0, 0.01, 0.5]),
    options=st.fixed_dictionaries(
        {},
        optional={
            "max_depth": st.integers(1, 10),
            "feature_fraction": st.sampled_from([0.4, 0.8]),
            "lambda_l2": st.sampled_from([0.0, 10.0]),
            "use_missing": st.booleans(),
        },
    ),
)
def test_it_equals_lightgbm_for_any_forest(seed: int, n_leaves: int, nan_share: float, options: dict) -> None:
    rng = np.random.default_rng(seed)
    booster = train(rng, n_leaves, 6, nan_share, **options)
    customers = draw_features(25, rng, 0.3)[:, :N_CUSTOMER]
    assert np.abs(score(booster, customers) - cross_join(booster, customers)).max() < 1e-6


def test_a_missing_value_at_use_is_zero_where_none_was_missing_in_training() -> None:
    rng = np.random.default_rng(3)
    booster = train(rng, 15, 20, 0.0)
    nan = np.full((1, N_CUSTOMER), np.nan)
    assert score(booster, nan) == pytest.approx(cross_join(booster, nan), abs=1e-6)
    assert score(booster, nan) == pytest.approx(score(booster, np.zeros((1, N_CUSTOMER))), abs=0)


def test_values_next_to_a_threshold_fall_on_the_side_that_lightgbm_takes() -> None:
    rng = np.random.default_rng(4)
    booster = train(rng, 31, 20, 0.1)
    thresholds = compile_forest(booster, SLOTS, N_CUSTOMER).thresholds
    at = thresholds[np.abs(thresholds) > 1e-30][:200]  # LightGBM takes what is smaller for zero
    either_side = np.concatenate([at, np.nextafter(at, np.float32(np.inf))]).astype("float64")
    customers = np.column_stack([either_side] * N_CUSTOMER)
    assert np.abs(score(booster, customers) - cross_join(booster, customers)).max() < 1e-6


def test_slot_splits_above_customer_splits_leave_trees_over_customers_that_fit_their_bits() -> None:
    rng = np.random.default_rng(5)
    booster = train(rng, 63, 10, 0.0)
    forest = compile_forest(booster, SLOTS, N_CUSTOMER)
    assert set(forest.features) <= set(range(N_CUSTOMER))
    assert len(forest.vector_of) > 10
    assert (forest.vector_of > 0).sum(axis=1).max() <= MAX_LEAVES


def test_trees_with_more_leaves_than_bits_are_shared_out_over_several() -> None:
    rng = np.random.default_rng(13)
    X = draw_features(3_000, rng, 0.2)
    options = {**QUIET, "num_leaves": 200, "min_data_in_leaf": 2}
    X[:, N_CUSTOMER:] = 0.0
    booster = lgb.train(options, lgb.Dataset(X, rng.random(len(X)) < 0.4, params=options), 2)
    customers = draw_features(300, rng, 0.3)[:, :N_CUSTOMER]
    assert np.abs(score(booster, customers) - cross_join(booster, customers)).max() < 1e-6


def test_stumps_on_the_same_feature_are_added_up_before_anyone_is_scored() -> None:
    rng = np.random.default_rng(14)
    X = draw_features(1_500, rng, 0.0)
    X[:, 1:] = 0.0
    booster = lgb.train({**QUIET, "num_leaves": 2}, lgb.Dataset(X, rng.random(1_500) < (X[:, 0] > 0)), 20)
    assert len(compile_forest(booster, SLOTS, N_CUSTOMER).vector_of) == _AT_ONCE


def test_trees_on_slots_alone_collapse_into_one_vector_each() -> None:
    rng = np.random.default_rng(6)
    X = draw_features(800, rng, 0.0)
    X[:, :N_CUSTOMER] = 0.0
    booster = lgb.train({**QUIET, "num_leaves": 8}, lgb.Dataset(X, rng.random(800) < X[:, 3] / 25), 5)
    forest = compile_forest(booster, SLOTS, N_CUSTOMER)
    assert len(forest.vector_of) == len(forest.splits) == 0
    customers = draw_features(4, rng, 0.5)[:, :N_CUSTOMER]
    assert score(booster, customers) == pytest.approx(cross_join(booster, customers), abs=1e-6)


def test_missing_slot_features_go_where_lightgbm_sends_them() -> None:
    rng = np.random.default_rng(7)
    X = draw_features(1500, rng, 0.0)
    X[rng.random(1500) < 0.3, 4] = np.nan
    y = rng.random(1500) < np.where(np.isnan(X[:, 4]), 0.8, 0.1 * np.nan_to_num(X[:, 4]))
    booster = lgb.train({**QUIET, "num_leaves": 15}, lgb.Dataset(X, y), 10)
    slots = np.vstack([SLOTS, [[12, np.nan, 0], [np.nan, np.nan, np.nan]]])
    customers = X[:20, :N_CUSTOMER]
    assert np.abs(score(booster, customers, slots) - cross_join(booster, customers, slots)).max() < 1e-6


def test_single_leaf_trees_are_constants() -> None:
    rng = np.random.default_rng(8)
    booster = train(rng, 15, 3, 0.0, min_data_in_leaf=10_000)
    customers = draw_features(5, rng, 0.2)[:, :N_CUSTOMER]
    logits = score(booster, customers)
    assert logits == pytest.approx(cross_join(booster, customers), abs=1e-6)
    assert np.ptp(logits) == 0


def test_log_odds_are_added_to_the_chosen_columns_only() -> None:
    rng = np.random.default_rng(9)
    booster = train(rng, 7, 5, 0.0)
    customers = draw_features(6, rng, 0.0)[:, :N_CUSTOMER]
    logits = np.full((6, 10), 0.5, dtype="float32")
    columns = np.array([7, 2])
    compile_forest(booster, SLOTS[:2], N_CUSTOMER).add_to(logits, columns, customers.astype("float32"))
    assert logits[:, columns] == pytest.approx(0.5 + cross_join(booster, customers, SLOTS[:2]), abs=1e-6)
    assert (np.delete(logits, columns, axis=1) == 0.5).all()


def test_no_customers_are_no_trouble() -> None:
    booster = train(np.random.default_rng(10), 7, 2, 0.0)
    assert score(booster, np.zeros((0, N_CUSTOMER))).shape == (0, len(SLOTS))


def test_categorical_splits_are_refused() -> None:
    rng = np.random.default_rng(11)
    X = np.column_stack([rng.integers(0, 6, 800), rng.normal(size=(800, 5))])
    dataset = lgb.Dataset(X, np.isin(X[:, 0], (1, 4)), categorical_feature=[0])
    booster = lgb.train({**QUIET, "num_leaves": 4}, dataset, 3)
    with pytest.raises(ValueError, match='"decision_type": "=="'):
        compile_forest(booster, SLOTS, N_CUSTOMER)


def test_zero_as_missing_is_refused() -> None:
    booster = train(np.random.default_rng(12), 15, 10, 0.2, zero_as_missing=True)
    with pytest.raises(ValueError, match='"missing_type": "Zero"'):
        compile_forest(booster, SLOTS, N_CUSTOMER)


@pytest.mark.parametrize(("n_leaves", "n_trees", "width"), [(2, 40, 32), (12, 40, 32), (150, 2, 64)])
def test_slots_share_a_cell_only_where_no_tree_of_the_group_tells_them_apart(
    n_leaves: int, n_trees: int, width: int
) -> None:
    rng = np.random.default_rng(15)
    slots = np.array([[hour, day, (hour + day) % 5] for day in range(7) for hour in range(12)], dtype=float)
    X = np.column_stack([draw_features(3_000, rng, 0.1)[:, :N_CUSTOMER], slots[rng.integers(0, len(slots), 3_000)]])
    noise = lgb.Dataset(X, rng.random(len(X)) < 0.3)
    booster = lgb.train({**QUIET, "num_leaves": n_leaves, "min_data_in_leaf": 2}, noise, n_trees)
    forest = compile_forest(booster, slots, N_CUSTOMER)
    assert forest.vectors.shape[1] == width
    assert (len(forest.cell_of) > 1) == (n_leaves > 2)
    customers = draw_features(200, rng, 0.2)[:, :N_CUSTOMER]
    assert np.abs(score(booster, customers, slots) - cross_join(booster, customers, slots)).max() < 1e-6
