"""Folds: forward in time with a gap, and customers never seen, the same for every rival."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from configs.settings import Settings
from features.table import DialLog

_CALIBRATION_SHARE = 0.1


@dataclass(frozen=True)
class Folds:
    """Which dials play which part; each (n_dials,) bool over the sorted log.

    Attributes
    ----------
    learn
        Dials of known customers before the gap.
    calibrate
        The same days, customers kept apart to stop the boosting and to calibrate.
    unseen
        The same days, customers whom nobody has learned from.
    forward
        The last days, all customers.
    """

    learn: np.ndarray
    calibrate: np.ndarray
    unseen: np.ndarray
    forward: np.ndarray


def split_folds(log: DialLog, as_of_day: np.datetime64, settings: Settings) -> Folds:
    """Split the log for judging; ``as_of_day`` is the day of the night, datetime64[D].

    A customer's part comes from a hash of its id, so it stays the same from night to night. When the log is too short
    for ``test_days`` and a gap, the last quarter of its days is the forward fold.
    """
    draw = customer_draws(log)[log.history.customer_row]
    day = log.dials["day"].to_numpy("datetime64[D]")
    test_days, gap_days = settings.model.test_days, settings.model.gap_days
    n_days = int((as_of_day - day.min()).astype(int)) if len(day) else 0
    if n_days < 2 * (test_days + gap_days):
        test_days, gap_days = max(n_days // 4, 1), 0
    forward = day >= as_of_day - test_days
    before = (day < as_of_day - test_days - gap_days) & is_recent(log, as_of_day, settings)
    unseen = draw < settings.model.unseen_share
    calibrate = ~unseen & (draw < settings.model.unseen_share + _CALIBRATION_SHARE)
    return Folds(before & ~unseen & ~calibrate, before & calibrate, before & unseen, forward)


def split_production(log: DialLog, as_of_day: np.datetime64, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """(learn, calibrate) for the model that goes to work: every recent day, a tenth of the customers calibrate."""
    recent = is_recent(log, as_of_day, settings)
    calibrate = customer_draws(log)[log.history.customer_row] >= 1 - _CALIBRATION_SHARE
    return recent & ~calibrate, recent & calibrate


def is_recent(log: DialLog, as_of_day: np.datetime64, settings: Settings) -> np.ndarray:
    """Dials of the last ``train_days``; (n,) bool."""
    return np.asarray(log.dials["day"].to_numpy("datetime64[D]") >= as_of_day - settings.model.train_days)


def customer_draws(log: DialLog) -> np.ndarray:
    """A number in [0, 1) for every customer, from its id alone; (n_customers,) float."""
    ids = log.customers["customer_id"].to_numpy(dtype=object)
    return pd.util.hash_array(ids).astype("float64") / 2.0**64
