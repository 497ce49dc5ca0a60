"""What trust is measured on: customers and days that the judged model has not learned from."""

from dataclasses import replace

import numpy as np
import pytest
from small_centre import AS_OF, SETTINGS, build_centre, fit_centre

from features.table import DialLog, build_dial_log
from models.contact import cross_fitting
from models.contact.cross_fitting import measure_trust
from models.contact.folds import Folds, split_folds, split_production
from models.contact.hierarchy import Hierarchy
from models.contact.trust import Trust

DAY = np.datetime64(AS_OF.date(), "D")


@pytest.fixture(scope="module")
def log() -> DialLog:
    tables = build_centre().tables
    fit_centre()  # before anything is patched
    return build_dial_log(tables.call_attempts, tables.customers, SETTINGS)


def ask(log: DialLog, folds: Folds) -> Trust:
    learn, calibrate = split_production(log, DAY, SETTINGS)
    rng = np.random.default_rng(5)
    return measure_trust(fit_centre().held_out, log, folds, learn | calibrate, (), SETTINGS, rng)


def test_a_small_log_judges_every_customer_by_a_fit_that_has_not_seen_them(
    log: DialLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[int]] = []

    def fit(others: DialLog, _settings: object, start: Hierarchy, **_: object) -> Hierarchy:
        seen.append(set(others.history.customer_row.tolist()))
        return start

    judged: list[set[int]] = []
    split = cross_fitting._split_logit

    def note(model: object, log: DialLog, rows: np.ndarray, *rest: object) -> object:
        judged.append(set(log.history.customer_row[rows].tolist()))
        return split(model, log, rows, *rest)

    monkeypatch.setattr(cross_fitting, "fit_hierarchy", fit)
    monkeypatch.setattr(cross_fitting, "_split_logit", note)
    monkeypatch.setattr(cross_fitting, "LEAST_CONTACTS", 100)
    trust = ask(log, split_folds(log, DAY, SETTINGS))
    assert len(seen) == len(judged) == cross_fitting.N_PARTS
    assert all(not (known & asked) for known, asked in zip(seen, judged, strict=True))
    assert set().union(*judged) == set(log.history.customer_row.tolist())
    assert 0 <= trust.timing_slope <= 1


def test_with_enough_held_out_contacts_nothing_is_fitted_again(log: DialLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Hierarchy:
        raise AssertionError("fitted again")

    monkeypatch.setattr(cross_fitting, "fit_hierarchy", refuse)
    monkeypatch.setattr(cross_fitting, "LEAST_CONTACTS", 100)
    folds = split_folds(log, DAY, SETTINGS)
    n_forward = int(log.is_contact[folds.forward].sum())
    monkeypatch.setattr(cross_fitting, "ENOUGH_CONTACTS", n_forward)
    only_forward = ask(log, folds)
    assert only_forward == ask(log, replace(folds, unseen=np.zeros_like(folds.unseen)))
    monkeypatch.setattr(cross_fitting, "ENOUGH_CONTACTS", n_forward + 1)  # then the unseen customers tell, too
    assert np.diag(ask(log, folds).covariance)[0] < np.diag(only_forward.covariance)[0]


def test_nothing_held_out_leaves_the_prior(log: DialLog) -> None:
    none = np.zeros(len(log.dials), dtype=bool)
    assert ask(log, Folds(~none, none, none, none)) == Trust()
