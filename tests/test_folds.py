"""Folds: no customer on both sides, no day on both sides, the same from night to night."""

import numpy as np
import pandas as pd
import pytest
from simulated_logs import START, ZONE, build_attempts, draw_attempts, draw_customers

from configs.settings import ModelSettings, Settings
from features.table import DialLog, build_dial_log
from models.contact.folds import Folds, customer_draws, is_recent, split_folds, split_production

NIGHT = np.datetime64(START.date(), "D") + 50


def log_of(n_customers: int = 200, n_days: int = 50, seed: int = 1) -> DialLog:
    rng = np.random.default_rng(seed)
    attempts = draw_attempts(1500, n_customers, rng, n_days)
    return build_dial_log(attempts, draw_customers(n_customers, rng), Settings())


def days(log: DialLog, mask: np.ndarray) -> np.ndarray:
    return log.dials["day"].to_numpy("datetime64[D]")[mask]


def people(log: DialLog, mask: np.ndarray) -> set[int]:
    return set(log.history.customer_row[mask].tolist())


@pytest.fixture(scope="module")
def log() -> DialLog:
    return log_of()


@pytest.fixture(scope="module")
def folds(log: DialLog) -> Folds:
    return split_folds(log, NIGHT, Settings())


def test_unseen_and_calibrating_customers_are_never_learned_from(log: DialLog, folds: Folds) -> None:
    parts = [people(log, mask) for mask in (folds.learn, folds.calibrate, folds.unseen)]
    assert all(parts)
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]


@pytest.mark.parametrize(("test_days", "gap_days"), [(7, 1), (7, 0), (3, 5)])
def test_the_forward_fold_begins_after_the_gap(log: DialLog, test_days: int, gap_days: int) -> None:
    chosen = Settings(model=ModelSettings(test_days=test_days, gap_days=gap_days))
    folds = split_folds(log, NIGHT, chosen)
    earlier = folds.learn | folds.calibrate | folds.unseen
    assert days(log, folds.forward).min() == NIGHT - test_days
    assert days(log, earlier).max() == NIGHT - test_days - gap_days - 1
    in_gap = ~(folds.forward | earlier)
    assert len(np.unique(days(log, in_gap))) == gap_days


def test_every_dial_before_the_gap_has_exactly_one_part(log: DialLog, folds: Folds) -> None:
    n_parts = folds.learn.astype(int) + folds.calibrate + folds.unseen + folds.forward
    assert n_parts.max() == 1
    assert (n_parts[log.dials["day"].to_numpy("datetime64[D]") < NIGHT - 8] == 1).all()


def test_the_forward_fold_has_all_customers(log: DialLog, folds: Folds) -> None:
    last = log.dials["day"].to_numpy("datetime64[D]") >= NIGHT - 7
    assert (folds.forward == last).all()


def test_the_shares_are_about_those_asked_for() -> None:
    log = log_of(n_customers=3000)
    draw = customer_draws(log)
    assert 0 <= draw.min() <= draw.max() < 1
    assert np.histogram(draw, 4, (0, 1))[0] == pytest.approx(np.full(4, 750), abs=120)
    folds = split_folds(log, NIGHT, Settings(model=ModelSettings(unseen_share=0.3)))
    before = folds.learn | folds.calibrate | folds.unseen
    assert folds.unseen.sum() / before.sum() == pytest.approx(0.3, abs=0.05)
    assert folds.calibrate.sum() / before.sum() == pytest.approx(0.1, abs=0.04)


def test_a_customers_part_stays_when_others_come_and_go(log: DialLog) -> None:
    more = pd.concat([log.customers, draw_customers(400, np.random.default_rng(9)).iloc[300:]], ignore_index=True)
    grown = build_dial_log(build_attempts([0], [START], ["busy"]), more, Settings())
    assert (customer_draws(grown)[:200] == customer_draws(log)).all()
    assert len(np.unique(customer_draws(log))) == 200


def test_a_short_log_keeps_its_last_quarter_of_days() -> None:
    log = log_of(n_days=12)
    night = np.datetime64(START.date(), "D") + 12
    folds = split_folds(log, night, Settings())
    assert sorted(set(days(log, folds.forward))) == [night - 3, night - 2, night - 1]
    assert days(log, folds.learn).max() == night - 4
    assert people(log, folds.learn)
    assert not (folds.learn & folds.forward).any()


def test_only_recent_dials_teach(log: DialLog) -> None:
    chosen = Settings(model=ModelSettings(train_days=20))
    folds = split_folds(log, NIGHT, chosen)
    assert days(log, folds.learn).min() == NIGHT - 20
    learn, calibrate = split_production(log, NIGHT, chosen)
    assert days(log, learn | calibrate).min() == NIGHT - 20
    assert ((learn | calibrate) == is_recent(log, NIGHT, chosen)).all()


def test_production_learns_up_to_the_last_night_and_calibrates_on_other_customers(log: DialLog) -> None:
    learn, calibrate = split_production(log, NIGHT, Settings())
    assert days(log, learn).max() == NIGHT - 1
    assert not people(log, learn) & people(log, calibrate)
    assert (learn ^ calibrate).all()
    assert 0.04 < calibrate.mean() < 0.2


def test_an_empty_log_has_empty_folds() -> None:
    empty = build_dial_log(
        build_attempts([], pd.DatetimeIndex([]).tz_localize(ZONE), []),
        draw_customers(5, np.random.default_rng(1)),
        Settings(),
    )
    folds = split_folds(empty, NIGHT, Settings())
    assert [len(mask) for mask in vars(folds).values()] == [0] * 4
