"""The log as the models read it: one row per dial in (customer, time) order, each cut at the night it was planned."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from configs.settings import Settings
from features.calendar import seconds_of
from features.history import History, build_history
from features.outcomes import CONTACT
from features.slots import add_slot_features

MAX_LAG_DAYS = 6
"""A plan looks up to six days beyond what is known, so a training dial's history is cut as far back."""


@dataclass(frozen=True, eq=False)
class DialLog:
    """Dials sorted by customer and time, with slot features, and the history that answers "known when?".

    Attributes
    ----------
    dials
        customer_row · attempted_at · outcome · is_contact · day (local, datetime64[D]) · seconds · slot features, and
        propensity where the attempts have it.
    history
        Over exactly these rows: sorted row = position in ``dials``.
    customers
        Checked customers; position = customer_row.
    """

    dials: pd.DataFrame
    history: History
    customers: pd.DataFrame

    @property
    def is_contact(self) -> np.ndarray:
        """Whether each dial reached the intended person; (n,) bool."""
        return self.history.is_contact

    def subset(self, rows: np.ndarray) -> "DialLog":
        """The log of the dials where ``rows`` (bool, (n,)) is true."""
        kept = self.dials.loc[rows].reset_index(drop=True)
        return DialLog(kept, self.history.take(np.flatnonzero(rows)), self.customers)

    def of_customers(self, customer_rows: np.ndarray) -> "DialLog":
        """The log of all dials to some customers, (m,) int in any order; nobody's row changes."""
        is_theirs = np.zeros(len(self.customers), dtype=bool)
        is_theirs[customer_rows] = True
        return self.subset(is_theirs[self.history.customer_row])


def build_dial_log(attempts: pd.DataFrame, customers: pd.DataFrame, settings: Settings) -> DialLog:
    """Sort the checked attempts and add slot features.

    Parameters
    ----------
    attempts
        Checked attempts: customer_row · attempted_at (tz-aware) · outcome, perhaps propensity. Left untouched.
    customers
        Checked customers.

    Returns
    -------
    DialLog
        The same whatever the order of the input rows.
    """
    order = _sort_dials(attempts, seconds_of(attempts["attempted_at"]))
    columns = ["customer_row", "attempted_at", "outcome", *(["propensity"] if "propensity" in attempts else [])]
    dials = add_slot_features(attempts[columns].take(order).reset_index(drop=True), "attempted_at", settings)
    day = dials["attempted_at"].dt.tz_localize(None).to_numpy("datetime64[D]")
    dials = dials.assign(is_contact=dials["outcome"] == CONTACT, day=day)
    return DialLog(dials, build_history(dials, len(customers)), customers)


def _sort_dials(attempts: pd.DataFrame, seconds: np.ndarray) -> np.ndarray:
    """By customer and time, those of one second by ``attempt_id``: only of these few are ids compared; (n,) int."""
    rows = attempts["customer_row"].to_numpy("int64")
    order = np.lexsort((seconds, rows))
    is_same = (np.diff(rows[order]) == 0) & (np.diff(seconds[order]) == 0)
    tied = np.flatnonzero(np.append(is_same, False) | np.append(False, is_same))
    if len(tied):
        those = order[tied]
        nth = np.unique(attempts["attempt_id"].iloc[those].to_numpy(dtype=object), return_inverse=True)[1]
        order[tied] = those[np.lexsort((nth, seconds[those], rows[those]))]
    return np.asarray(order)


def cut_nights(log: DialLog, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The night at which each dial is imagined to have been planned, zero to six days before it.

    Parameters
    ----------
    rows : (m,) int
        Sorted rows of the dials.

    Returns
    -------
    cutoff_seconds : (m,) int64
        00:00 of that night in the centre's zone.
    n_between : (m,) int64
        Failed dials of the customer between that night, or a contact after it, and the dial.
    """
    days = log.dials["day"].to_numpy("datetime64[D]")[rows]
    nights = days - rng.integers(0, MAX_LAG_DAYS + 1, size=len(rows))
    cutoff = midnight_seconds(nights, str(log.dials["attempted_at"].dt.tz))
    known = log.history.position(log.history.customer_row[rows], cutoff)
    return cutoff, rows - np.maximum(known, log.history.newest_contact(rows) + 1)


def midnight_seconds(days: np.ndarray, timezone: str) -> np.ndarray:
    """Seconds since 1970 of 00:00 local time of each day, datetime64[D] (m,); a skipped midnight is the next instant.

    >>> midnight_seconds(np.array(["1970-01-02"], dtype="datetime64[D]"), "Asia/Tokyo").tolist()
    [54000]
    """
    unique, which = np.unique(days, return_inverse=True)
    local = pd.Series(pd.DatetimeIndex(unique)).dt.tz_localize(
        timezone, ambiguous=np.ones(len(unique), dtype=bool), nonexistent="shift_forward"
    )
    return seconds_of(local)[which]
