"""Trees upon the hierarchy: deterministic, correcting what is wrong, silent where nothing is."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from small_centre import SETTINGS, build_centre, fit_centre, score_centre

from configs.settings import ModelSettings
from models.contact.boosting import fit_boosting, lightgbm_params
from models.contact.model import BASE, ContactModel, build_rows

SMALL = ModelSettings(n_trees=60, min_rows_in_leaf=50)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Rows of the small centre's customers in slots of its week."""
    centre = build_centre()
    evidence = score_centre().evidence.take(np.arange(3_000))
    return build_rows(evidence, centre.slots.iloc[np.arange(3_000) % len(centre.slots)], SETTINGS.attributes)


def fit(rows: pd.DataFrame, logit: np.ndarray, seed: int = 7, params: dict | None = None) -> ContactModel:
    """Trees learned from outcomes drawn from the given true logit; every fifth row calibrates."""
    is_contact = np.random.default_rng(5).random(len(rows)) < expit(logit)
    apart = np.arange(len(rows)) % 5 == 0
    pairs = [(rows[mask].reset_index(drop=True), is_contact[mask]) for mask in (~apart, apart)]
    return fit_boosting(fit_centre().model.hierarchy, SETTINGS.attributes, pairs[0], pairs[1], SMALL, seed, params)


def test_the_same_seed_makes_the_same_trees(rows: pd.DataFrame) -> None:
    logit = rows[BASE].to_numpy() + np.where(rows["hour"] > 15, 1.5, -0.5)
    one, same, other = fit(rows, logit, 7), fit(rows, logit, 7), fit(rows, logit, 8)
    assert one.trees == same.trees
    assert one.calibration == same.calibration
    assert one.trees != other.trees


def test_trees_correct_what_the_hierarchy_missed(rows: pd.DataFrame) -> None:
    truth = rows[BASE].to_numpy() + np.where(rows["hour"] > 15, 1.5, -0.5)
    fitted = fit(rows, truth)
    error = np.abs(fitted.predict_rows(rows) - expit(truth)).mean()
    assert error < 0.5 * np.abs(expit(rows[BASE].to_numpy()) - expit(truth)).mean()


def test_trees_say_little_where_the_hierarchy_is_right(rows: pd.DataFrame) -> None:
    truth = rows[BASE].to_numpy() + 0.0
    fitted = fit(rows, truth)
    assert np.abs(fitted.predict_rows(rows) - expit(truth)).mean() < 0.03
    assert fitted.booster.num_trees() < 40  # stopped early


def test_what_the_hierarchy_says_is_not_learned_a_second_time(rows: pd.DataFrame) -> None:
    told = rows.assign(base_logit=np.where(rows["hour"] > 15, 0.8, -1.6))
    fitted = fit(told, told[BASE].to_numpy())
    assert fitted.calibration.slope == pytest.approx(1.0, abs=0.25)
    trees = fitted.booster.predict(told[list(fitted.feature_names)].to_numpy(), raw_score=True)
    assert np.abs(trees).mean() < 0.3


def test_calibration_repairs_a_hierarchy_that_is_off_by_a_constant(rows: pd.DataFrame) -> None:
    fitted = fit(rows, rows[BASE].to_numpy() + 1.0)
    assert fitted.predict_rows(rows).mean() == pytest.approx(expit(rows[BASE].to_numpy() + 1.0).mean(), abs=0.03)


def test_what_tuning_found_wins_over_the_settings(rows: pd.DataFrame) -> None:
    logit = rows[BASE].to_numpy() + np.where(rows["hour"] > 15, 1.5, -0.5)
    fitted = fit(rows, logit, params={"n_trees": 3, "num_leaves": 2})
    assert fitted.booster.num_trees() <= 3
    assert all(tree["num_leaves"] <= 2 for tree in fitted.booster.dump_model()["tree_info"])


def test_the_rows_handed_in_stay_as_they_are(rows: pd.DataFrame) -> None:
    kept = rows.copy()
    fit(rows, rows[BASE].to_numpy())
    pd.testing.assert_frame_equal(rows, kept)


def test_settings_reach_lightgbm_under_its_own_names() -> None:
    params = lightgbm_params(ModelSettings(n_leaves=9, min_rows_in_leaf=33, l2=2.5, feature_share=0.7), 11)
    assert (params["num_leaves"], params["min_data_in_leaf"], params["lambda_l2"]) == (9, 33, 2.5)
    assert (params["feature_fraction"], params["seed"], params["deterministic"]) == (0.7, 11, True)
