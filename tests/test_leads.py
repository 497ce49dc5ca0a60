"""Leads: what a second way of counting gives, with intervals that know that dials of a person go together."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss
from small_centre import AS_OF, SETTINGS, build_centre, fit_centre

from features.table import build_dial_log
from models.contact.fitting import fit_night
from models.contact.folds import split_folds
from models.contact.hierarchy import Hierarchy
from models.contact.leads import CHAMPION, LEAD_COLUMNS, flatten_leads, log_losses, measure_leads, read_leads
from models.contact.metrics import MEASURES, read_measures
from models.contact.rivals import RIVALS


def lead_of(theirs: np.ndarray, ours: np.ndarray, who: np.ndarray) -> pd.Series:
    return measure_leads({"table": (theirs, ours)}, who, np.random.default_rng(7)).iloc[0]


def test_losses_average_to_the_log_loss_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    p, is_contact = rng.random(500), rng.random(500) < 0.3
    assert log_losses(p, is_contact).mean() == pytest.approx(log_loss(is_contact, p))


def test_the_interval_is_that_of_the_normal_approximation_when_every_dial_is_a_customer_of_its_own() -> None:
    rng = np.random.default_rng(2)
    theirs, ours = rng.gamma(2, 0.2, 4_000), rng.gamma(2, 0.19, 4_000)
    lead = lead_of(theirs, ours, np.arange(4_000))
    error = (theirs - ours).std() / np.sqrt(4_000)
    assert lead["low"] == pytest.approx(lead["saved"] - 1.645 * error, abs=0.15 * error)
    assert lead["high"] == pytest.approx(lead["saved"] + 1.645 * error, abs=0.15 * error)


def test_dials_of_one_person_count_as_one_witness() -> None:
    rng = np.random.default_rng(3)
    persons = rng.normal(0.01, 0.1, 200)
    apart = lead_of(np.repeat(persons, 20), np.zeros(4_000), np.arange(4_000))
    together = lead_of(np.repeat(persons, 20), np.zeros(4_000), np.repeat(np.arange(200), 20))
    assert together["high"] - together["low"] > 3 * (apart["high"] - apart["low"])
    assert together["n_customers"] == 200


def test_a_model_has_no_lead_over_itself() -> None:
    losses = np.random.default_rng(4).random(100)
    lead = lead_of(losses, losses, np.arange(100) // 3)
    assert (lead["saved"], lead["low"], lead["high"]) == (0.0, 0.0, 0.0)


def test_nothing_to_compare_is_an_empty_table() -> None:
    assert measure_leads({}, np.array([1]), np.random.default_rng(1)).empty
    empty = np.array([])
    assert measure_leads({"table": (empty, empty)}, empty, np.random.default_rng(1)).columns.tolist() == [*LEAD_COLUMNS]


def test_a_night_tells_its_lead_over_each_rival_as_the_table_of_rivals_does() -> None:
    fitted = fit_centre()
    forward = fitted.rivals[fitted.rivals["fold"] == "forward"].set_index("rival")["log_loss"]
    assert fitted.leads["against"].tolist() == list(RIVALS[:-1])
    for lead in fitted.leads.to_dict("records"):
        assert lead["saved"] == pytest.approx(forward[lead["against"]] - forward["LightGBM"], abs=1e-9)
        assert lead["low"] <= lead["saved"] <= lead["high"]


def test_a_night_has_no_lead_over_its_own_twin_and_a_clear_one_over_a_spoilt_one() -> None:
    tables, twin = build_centre().tables, fit_centre().held_out
    spoilt = replace(twin, calibration=replace(twin.calibration, intercept=twin.calibration.intercept + 2.0))
    for champion, is_better in ((twin, False), (spoilt, True)):
        fitted = fit_night(tables, AS_OF, SETTINGS, np.random.default_rng(1), champion=champion)
        lead = fitted.leads.set_index("against").loc[CHAMPION]
        assert (lead["low"] > 0.1) if is_better else (lead["saved"] == 0.0)
        assert fitted.model.to_json() == fit_centre().model.to_json()


def test_the_twin_has_not_learned_from_the_forward_fold() -> None:
    """Other outcomes on the forward days, the same twin: they only decide whether the last weeks' change stays."""
    tables = build_centre().tables
    log = build_dial_log(tables.call_attempts, tables.customers, SETTINGS)
    first = (
        log.dials["day"]
        .to_numpy("datetime64[D]")[split_folds(log, np.datetime64("2026-11-02"), SETTINGS).forward]
        .min()
    )
    is_forward = tables.call_attempts["attempted_at"].dt.tz_localize(None).to_numpy("datetime64[D]") >= first
    outcome = tables.call_attempts["outcome"].mask(is_forward & (np.arange(len(is_forward)) % 2 == 0), "busy")
    other = replace(tables, call_attempts=tables.call_attempts.assign(outcome=outcome))
    fitted = fit_night(other, AS_OF, SETTINGS, np.random.default_rng(1))
    assert _spell_lasting(fitted.held_out.hierarchy) == _spell_lasting(fit_centre().held_out.hierarchy)
    assert fitted.model.to_json() != fit_centre().model.to_json()


def _spell_lasting(hierarchy: Hierarchy) -> str:
    """What the whole past has taught, without the tables of the last weeks."""
    tables = [table.values.tolist() for table in hierarchy.tables if not table.since]
    return str((tables, hierarchy.variances, hierarchy.never, hierarchy.fatigue))


def test_leads_and_measures_are_read_back_from_the_metrics_of_a_run() -> None:
    fitted = fit_centre()
    pd.testing.assert_frame_equal(read_leads(flatten_leads(fitted.leads)), fitted.leads, check_dtype=False)
    read = read_measures(fitted.metrics).sort_values(["fold", "rival"], ignore_index=True)
    told = fitted.rivals.sort_values(["fold", "rival"], ignore_index=True)
    pd.testing.assert_frame_equal(read, told[["rival", "fold", *MEASURES]], check_dtype=False)
    assert tuple(fitted.rivals.columns[2:]) == MEASURES
