"""The contact model as text and back, and its rows."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from small_centre import AS_OF, SETTINGS, build_centre, fit_centre, score_centre

from features.table import build_dial_log, cut_nights
from models.contact.calibration import Calibration
from models.contact.model import BASE, ContactModel, build_rows, gather_evidence


@pytest.fixture(scope="module")
def model() -> ContactModel:
    return fit_centre().model


@pytest.fixture(scope="module")
def rows(model: ContactModel) -> pd.DataFrame:
    evidence = score_centre().evidence.take(np.arange(0, 3_000, 10))
    slots = build_centre().slots
    return build_rows(evidence, slots.iloc[np.arange(300) % len(slots)], model.attributes)


def test_a_model_written_and_read_predicts_the_same(model: ContactModel, rows: pd.DataFrame) -> None:
    again = ContactModel.from_json(model.to_json())
    assert (again.predict_rows(rows) == model.predict_rows(rows)).all()
    assert again.to_json() == model.to_json()
    assert again.feature_names == model.feature_names
    assert again.hierarchy.encoding == model.hierarchy.encoding
    assert again.hierarchy.variances == model.hierarchy.variances
    assert all(
        np.array_equal(a.values, b.values) and a.variance == b.variance
        for a, b in zip(again.hierarchy.tables, model.hierarchy.tables, strict=True)
    )


def test_a_model_read_back_believes_the_same_of_every_person(model: ContactModel) -> None:
    centre = build_centre()
    log = build_dial_log(centre.tables.call_attempts, centre.tables.customers, SETTINGS)
    again = ContactModel.from_json(model.to_json())
    assert np.array_equal(again.hierarchy.person_states(log).mean_after, model.hierarchy.person_states(log).mean_after)


def test_the_text_of_a_model_names_no_customer(model: ContactModel) -> None:
    text = model.to_json()
    assert isinstance(json.loads(text), dict)
    assert "C000" not in text
    assert "phone" not in text


def test_predictions_are_probabilities_of_the_summed_logit(model: ContactModel, rows: pd.DataFrame) -> None:
    p = model.predict_rows(rows)
    assert ((p > 0) & (p < 1)).all()
    trees = model.booster.predict(rows[list(model.feature_names)].to_numpy(), raw_score=True)
    logit = model.calibration.intercept + model.calibration.slope * (rows[BASE].to_numpy() + trees)
    assert p == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-5)


def test_the_columns_of_rows_may_come_in_any_order(model: ContactModel, rows: pd.DataFrame) -> None:
    assert (model.predict_rows(rows[rows.columns[::-1]]) == model.predict_rows(rows)).all()


def test_features_run_from_customer_to_part_to_slot(model: ContactModel, rows: pd.DataFrame) -> None:
    assert (*model.feature_names, BASE) == tuple(rows.columns)
    assert model.feature_names[:3] == ("age", "gender", "region")
    assert model.booster.num_feature() == len(model.feature_names)
    assert not any("phone" in name or "_id" in name for name in model.feature_names)


def test_a_higher_base_logit_means_a_higher_probability(model: ContactModel, rows: pd.DataFrame) -> None:
    assert (model.predict_rows(rows.assign(base_logit=rows[BASE] + 1)) > model.predict_rows(rows)).all()
    flat = replace(model, calibration=Calibration(-1.0, 0.0))
    assert flat.predict_rows(rows) == pytest.approx(1 / (1 + np.e), rel=1e-6)


def test_evidence_is_what_was_known_at_the_cut(model: ContactModel) -> None:
    centre = build_centre()
    log = build_dial_log(centre.tables.call_attempts, centre.tables.customers, SETTINGS)
    chosen = np.arange(0, len(log.dials), 20)
    cutoff, n_between = cut_nights(log, chosen, np.random.default_rng(3))
    whole = gather_evidence(model.hierarchy, log, log.history.customer_row[chosen], cutoff, n_between)
    for k in range(0, len(chosen), 60):
        known = log.subset(log.dials["seconds"].to_numpy() < cutoff[k])
        alone = gather_evidence(
            model.hierarchy, known, whole.customer_rows[k : k + 1], cutoff[k : k + 1], n_between[k : k + 1]
        )
        slot = log.dials.iloc[chosen[k : k + 1]]
        row = build_rows(whole.take(np.array([k])), slot, model.attributes)
        pd.testing.assert_frame_equal(row, build_rows(alone, slot, model.attributes))


def test_taking_customers_keeps_each_with_its_own(model: ContactModel) -> None:
    evidence = score_centre().evidence
    taken = evidence.take(np.array([5, 2, 5]), 2)
    assert taken.customer_rows.tolist() == [5, 2, 5]
    assert taken.n_between.tolist() == [2, 2, 2]
    assert (taken.mean == evidence.mean[[5, 2, 5]]).all()
    assert (taken.history["n_attempts"] == evidence.history["n_attempts"][[5, 2, 5]]).all()
    assert taken.history["n_dialled_between"].tolist() == [2, 2, 2]
    assert evidence.take(np.array([1])).n_between.tolist() == [0]
    assert AS_OF.timestamp() == evidence.cutoff_seconds[0]
