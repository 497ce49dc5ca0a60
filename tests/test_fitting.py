"""The night's fit: complete, honest, refused on thin logs, better than the overall rate where persons differ."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from simulated_logs import START, ZONE, build_attempts, draw_customers, simulate_calls
from small_centre import SETTINGS, build_centre, fit_centre

from configs.errors import NoModelError
from configs.settings import ModelSettings, Settings
from features.contracts import Tables
from features.table import build_dial_log
from models.contact.fitting import FittedNight, fit_night
from models.contact.rivals import RIVALS, build_training_rows

END = (START + pd.Timedelta(days=60)).tz_localize(ZONE)
QUICK = Settings(
    attributes=("age", "gender"), segment_by=("gender",), model=ModelSettings(n_trees=60, min_rows_in_leaf=100)
)


def tables_of(attempts: pd.DataFrame, n_customers: int) -> Tables:
    customers = draw_customers(n_customers, np.random.default_rng(0))
    attempts = attempts[attempts["attempted_at"] < END].reset_index(drop=True)
    return Tables(customers, attempts, None, None, attempts.iloc[:0])


@pytest.fixture(scope="module")
def persons() -> FittedNight:
    """A night on people who differ strongly and answer again and again."""
    rng = np.random.default_rng(21)
    attempts = simulate_calls(-1.5 + rng.normal(0, 1.2, 1_500), rng, stops=False)
    return fit_night(tables_of(attempts, 1_500), END, QUICK, rng)


@pytest.mark.parametrize("fold", ["forward", "unseen customers"])
def test_where_persons_differ_the_model_beats_the_rivals_that_know_no_person(persons: FittedNight, fold: str) -> None:
    rivals = persons.rivals[persons.rivals["fold"] == fold].set_index("rival")
    assert rivals.loc["LightGBM", "log_loss"] < rivals.loc["overall rate", "log_loss"] - 0.02
    assert rivals.loc["LightGBM", "log_loss"] < rivals.loc["segment table", "log_loss"] - 0.02
    assert rivals.loc["person filter", "auc"] > 0.6
    assert rivals.loc["overall rate", "auc"] == 0.5
    assert rivals.loc["LightGBM", "calibration_error"] < 0.065
    assert rivals.loc["LightGBM", "lift_top_tenth"] > 1.5


def test_the_model_for_work_has_no_more_than_twice_the_trees_that_were_worth_keeping(persons: FittedNight) -> None:
    assert persons.model.booster.num_trees() <= 2 * persons.held_out.booster.num_trees()


def test_five_rivals_are_judged_on_the_same_two_folds() -> None:
    rivals = fit_centre().rivals
    assert list(zip(rivals["rival"], rivals["fold"], strict=True)) == [
        (rival, fold) for fold in ("forward", "unseen customers") for rival in RIVALS
    ]
    assert len(RIVALS) == 5
    assert (rivals.groupby("fold")[["n_rows", "n_contacts"]].nunique() == 1).all(axis=None)
    assert rivals.notna().all(axis=None)


def test_the_small_centres_model_is_calibrated_and_not_worse_than_the_overall_rate() -> None:
    rivals = fit_centre().rivals.set_index(["fold", "rival"])
    for fold in ("forward", "unseen customers"):
        assert rivals.loc[(fold, "LightGBM"), "calibration_error"] < 0.045
        assert rivals.loc[(fold, "LightGBM"), "log_loss"] < rivals.loc[(fold, "overall rate"), "log_loss"] + 0.003


def test_the_calibration_table_is_that_of_the_model_on_both_folds() -> None:
    fitted = fit_centre()
    table = fitted.calibration
    assert table.columns.tolist() == ["fold", "n", "p_mean", "contact_rate"]
    assert table.groupby("fold").size().to_dict() == {"forward": 10, "unseen customers": 10}
    own = fitted.rivals[fitted.rivals["rival"] == "LightGBM"].set_index("fold")
    for fold, bins in table.groupby("fold"):
        assert bins["n"].sum() == own.loc[fold, "n_rows"]
        gap = ((bins["p_mean"] - bins["contact_rate"]).abs() * bins["n"]).sum() / bins["n"].sum()
        assert gap == pytest.approx(own.loc[fold, "calibration_error"])


def test_importance_is_a_share_of_every_feature_largest_first() -> None:
    fitted = fit_centre()
    shares = fitted.importance["gain_share"]
    assert shares.sum() == pytest.approx(1.0)
    assert shares.is_monotonic_decreasing
    assert sorted(fitted.importance["feature"]) == sorted(fitted.model.feature_names)


def test_metrics_and_params_are_flat_numbers_and_words() -> None:
    fitted = fit_centre()
    assert all(isinstance(value, float) and np.isfinite(value) for value in fitted.metrics.values())
    rivals = fitted.rivals.set_index(["rival", "fold"])
    assert fitted.metrics["LightGBM.forward.log_loss"] == rivals.loc[("LightGBM", "forward"), "log_loss"]
    assert "overall_rate.unseen_customers.brier" in fitted.metrics
    assert all(isinstance(value, int | float | str) for value in fitted.params.values())
    assert fitted.params["n_trees_kept"] == fitted.model.booster.num_trees()


def test_the_same_generator_fits_the_same_model() -> None:
    rng = np.random.default_rng(3)
    tables = tables_of(simulate_calls(rng.normal(-1, 1, 400), rng), 400)
    mixed = replace(tables, call_attempts=tables.call_attempts.sample(frac=1.0, random_state=1))
    one, same = (fit_night(each, END, QUICK, np.random.default_rng(9)) for each in (tables, mixed))
    assert one.model.to_json() == same.model.to_json()
    pd.testing.assert_frame_equal(one.rivals, same.rivals)


def calls(n: int, n_contacts: int, n_days: int = 40) -> pd.DataFrame:
    at = START + pd.to_timedelta(np.linspace(9, 24 * n_days - 1, n), unit="h")
    outcome = np.where(np.arange(n) * n_contacts % n < n_contacts, "keyman_contact", "no_answer")
    return build_attempts(np.arange(n) % 80, pd.DatetimeIndex(at), outcome)


@pytest.mark.parametrize(
    ("n", "n_contacts", "told"),
    [
        (100, 50, "100 dials with 50 keyman contacts"),
        (800, 12, "800 dials with 12 keyman contacts"),
        (800, 0, "800 dials with 0 keyman contacts"),
        (800, 800, "800 dials with 800 keyman contacts"),
        (0, 0, "0 dials with 0 keyman contacts"),
    ],
)
def test_a_thin_log_is_refused_by_its_numbers(n: int, n_contacts: int, told: str) -> None:
    with pytest.raises(NoModelError, match=f"{told}.*needs 500 dials and 30 contacts"):
        fit_night(tables_of(calls(n, n_contacts), 80), END, QUICK, np.random.default_rng(1))


@pytest.mark.parametrize("n_days", [1, 2, 3])
def test_a_log_of_a_few_days_is_fitted_or_refused_but_nothing_else(n_days: int) -> None:
    night = (START + pd.Timedelta(days=n_days)).tz_localize(ZONE)
    tables = tables_of(calls(800, 200, n_days), 80)
    if n_days == 1:
        with pytest.raises(NoModelError):
            fit_night(tables, night, QUICK, np.random.default_rng(1))
    else:
        fitted = fit_night(tables, night, QUICK, np.random.default_rng(1))
        assert len(fitted.rivals) == 10


def test_a_log_of_very_few_customers_is_refused() -> None:
    one_customer = calls(800, 200).assign(customer_row=np.int32(0))
    with pytest.raises(NoModelError):
        fit_night(tables_of(one_customer, 1), END, QUICK, np.random.default_rng(1))


def test_customers_of_whom_nothing_is_known_are_no_trouble() -> None:
    rng = np.random.default_rng(5)
    attempts = simulate_calls(rng.normal(-1, 1, 300), rng)
    tables = tables_of(attempts, 300)
    unknown = pd.Series([None] * 300, dtype="str")
    bare = replace(tables, customers=tables.customers.assign(age=np.float32("nan"), gender=unknown, region=unknown))
    fitted = fit_night(bare, END, QUICK, rng)
    assert fitted.rivals["log_loss"].notna().all()


def test_no_segment_is_one_segment() -> None:
    rng = np.random.default_rng(6)
    tables = tables_of(simulate_calls(rng.normal(-1, 1, 300), rng), 300)
    plain = Settings(attributes=("gender",), segment_by=(), model=QUICK.model)
    assert len(fit_night(tables, END, plain, rng).rivals) == 10


def test_training_rows_know_nothing_of_their_own_week() -> None:
    """Dials of the last day, with all that followed the night cut off, give the same rows."""
    tables = build_centre().tables
    log = build_dial_log(tables.call_attempts, tables.customers, SETTINGS)
    model = fit_centre().model
    last = np.flatnonzero(log.dials["day"] == log.dials["day"].max())
    rows = build_training_rows(log, last, model.hierarchy, SETTINGS, np.random.default_rng(2)).features
    changed = tables.call_attempts.assign(
        outcome=np.where(
            tables.call_attempts["attempted_at"].dt.date == log.dials["attempted_at"].max().date(),
            "busy",
            tables.call_attempts["outcome"],
        )
    )
    other = build_dial_log(changed, tables.customers, SETTINGS)
    again = build_training_rows(other, last, model.hierarchy, SETTINGS, np.random.default_rng(2)).features
    pd.testing.assert_frame_equal(rows, again)
