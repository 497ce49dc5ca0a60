"""What the last weeks have changed: learned where habits moved, left out where they did not."""

import numpy as np
import pytest
from scipy.special import expit
from simulated_logs import START, build_attempts, draw_customers

from configs.settings import Settings
from features.outcomes import CONTACT
from features.table import DialLog, build_dial_log
from models.contact.effects import slot_codes
from models.contact.folds import Folds, split_folds
from models.contact.hierarchy import Hierarchy, add_move, codes_of_dials, fit_hierarchy
from models.contact.memory import fit_with_best_memory

SETTINGS = Settings(attributes=("gender",), segment_by=("gender",))
N, N_DIALS, N_DAYS = 4_000, 30_000, 80


def build_log(moves: bool, until: int = N_DAYS) -> DialLog:
    """Women answer in the evening, men by day; with ``moves`` the other way round since 24 days, ``until`` a day."""
    rng = np.random.default_rng(3)
    customers = draw_customers(N, rng)
    row, day, hour = rng.integers(0, N, N_DIALS), rng.integers(0, N_DAYS, N_DIALS), rng.integers(9, 21, N_DIALS)
    side = np.where((customers["gender"] == "female").to_numpy()[row], 1.0, -1.0) * np.where(hour >= 18, 1.0, -0.3)
    turned = np.where(moves & (day >= N_DAYS - 24) & (day < until), -1.0, 1.0)
    is_contact = rng.random(N_DIALS) < expit(-1.5 + 0.7 * side * turned)
    seconds = day * 86_400 + hour * 3600 + rng.integers(0, 3600, N_DIALS)
    at = START + np.array(seconds, dtype="timedelta64[s]")
    return build_dial_log(build_attempts(row, at, np.where(is_contact, CONTACT, "no_answer")), customers, SETTINGS)


def fold(log: DialLog) -> Folds:
    return split_folds(log, np.datetime64(START.date(), "D") + N_DAYS, SETTINGS)


def evening_lead_of_women(fitted: Hierarchy, log: DialLog, dials: np.ndarray) -> float:
    """Logit of women less that of men over the chosen dials of the evening."""
    logit = fitted.table_logit(codes_of_dials(fitted.encoding, log), slot_codes(log.dials))
    woman = (log.customers["gender"] == "female").to_numpy()[log.history.customer_row]
    evening = dials & (log.dials["hour"] >= 18).to_numpy()
    return float(logit[woman & evening].mean() - logit[~woman & evening].mean())


@pytest.fixture(scope="module")
def moved() -> tuple[DialLog, Hierarchy, bool]:
    log = build_log(moves=True)
    return log, *fit_with_best_memory(log, (folds := fold(log)).learn, folds.forward, SETTINGS)


def test_moved_habits_turn_what_is_believed_of_the_week_ahead(moved) -> None:
    log, fitted, with_move = moved
    forward = fold(log).forward
    assert with_move
    assert (int(log.history.seconds[fold(log).learn].max()) - fitted.moved_since) / 86_400 in (14, 21)
    assert evening_lead_of_women(fitted, log, forward) < -0.4
    assert evening_lead_of_women(fit_hierarchy(log.subset(fold(log).learn), SETTINGS), log, forward) > 0


def test_the_days_before_keep_what_held_then(moved) -> None:
    log, fitted, _ = moved
    early = (log.dials["day"] < np.datetime64(START.date(), "D") + N_DAYS - 40).to_numpy()
    assert evening_lead_of_women(fitted, log, early) > 0.4


def test_where_nothing_moved_the_last_weeks_change_next_to_nothing() -> None:
    log = build_log(moves=False)
    folds = fold(log)
    fitted, _ = fit_with_best_memory(log, folds.learn, folds.forward, SETTINGS)
    lead = evening_lead_of_women(fitted, log, folds.forward)
    assert lead == pytest.approx(evening_lead_of_women(fitted, log, ~folds.forward), abs=0.15)
    assert lead == pytest.approx(1.4, abs=0.3)


def test_a_refit_keeps_only_what_it_is_asked_for(moved) -> None:
    log, fitted, _ = moved
    again = fit_hierarchy(log, SETTINGS, fitted, with_move=True)
    assert {table.since for table in again.tables} == {0, again.moved_since}
    assert fit_hierarchy(log, SETTINGS, fitted).moved_since == 0


def test_a_move_that_was_over_before_the_fold_is_not_learned_again() -> None:
    log = build_log(moves=True, until=N_DAYS - 10)
    folds = fold(log)
    fitted, with_move = fit_with_best_memory(log, folds.learn, folds.forward, SETTINGS)
    assert not with_move
    assert fitted.moved_since == 0
    assert add_move(fitted, log.subset(folds.learn), SETTINGS).moved_since > 0
