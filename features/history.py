"""What each customer's earlier dials said, as of any instant: vectorised counts over one sorted log."""

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
import pandas as pd

from features.calendar import seconds_of
from features.outcomes import CONTACT, WRONG_NUMBER
from features.slots import PARTS

HISTORY_FEATURES = (
    "n_attempts",
    "n_contacts",
    "n_since_contact",
    "n_last_7_days",
    "n_last_28_days",
    "days_since_attempt",
    "days_since_contact",
    "n_third_party",
    "n_voicemail",
    "n_busy",
    "n_dialled_between",
)
PART_FEATURES = ("n_failed_in_part", "n_contacts_in_part", "n_in_part_last_28_days")

HALF_LIVES_DAYS = (4.0, 28.0)
"""Two ways in which earlier failures fade; a weighted sum of both comes near to any other half-life between."""

_SECOND_BITS = 34
_DAY = 86_400


@dataclass(frozen=True)
class History:
    """The log in (customer, time) order with running counts, ready to be asked "what was known before?".

    Build it with :func:`build_history`. ``position`` answers every question: the counts of a customer before an
    instant are differences of running sums between the customer's first row and that position.

    Attributes
    ----------
    order : (n,) int
        Positions in the attempts frame, customer by customer, oldest first.
    customer_row, seconds, part, span : (n,)
        Of the sorted dials; seconds since 1970.
    is_contact : (n,) bool
    first : (n_customers + 1,) int
        Where each customer's dials begin.
    """

    order: np.ndarray
    customer_row: np.ndarray
    seconds: np.ndarray
    part: np.ndarray
    span: np.ndarray
    is_contact: np.ndarray
    outcome: np.ndarray
    first: np.ndarray

    @cached_property
    def _keys(self) -> np.ndarray:
        return np.asarray((self.customer_row.astype("int64") << _SECOND_BITS) + self.seconds)

    @cached_property
    def is_wrong_number(self) -> np.ndarray:
        """Whether each sorted dial ended at somebody else's number; (n,) bool."""
        return np.asarray(self.outcome == WRONG_NUMBER)

    @cached_property
    def _n_contacts(self) -> np.ndarray:
        return _running(self.is_contact)

    @cached_property
    def _last_contact(self) -> np.ndarray:
        """Sorted row of the newest contact at or before each row, -1 for none; shifted by one like the counts."""
        rows = np.where(self.is_contact, np.arange(len(self.order)), -1)
        return np.concatenate([[-1], np.maximum.accumulate(rows)]) if len(rows) else np.array([-1])

    def take(self, rows: np.ndarray) -> "History":
        """The history of chosen sorted rows alone (m,), rising; the customers keep their numbers."""
        names = ("customer_row", "seconds", "part", "span", "is_contact", "outcome")
        taken = {name: getattr(self, name)[rows] for name in names}
        first = np.searchsorted(taken["customer_row"], np.arange(len(self.first)))
        return History(order=np.arange(len(rows)), first=first, **taken)

    def position(self, customer_rows: np.ndarray, before_seconds: np.ndarray) -> np.ndarray:
        """Sorted row just after the last dial of each customer before the instant; (m,) int."""
        asked = (customer_rows.astype("int64") << _SECOND_BITS) + before_seconds
        return np.asarray(np.searchsorted(self._keys, asked, side="left"))

    def newest_contact(self, rows: np.ndarray) -> np.ndarray:
        """Sorted row of the newest contact before each sorted row, of whatever customer, -1 for none; (m,) int."""
        return np.asarray(self._last_contact[rows])

    def features_at(self, customer_rows: np.ndarray, before_seconds: np.ndarray) -> dict[str, np.ndarray]:
        """``HISTORY_FEATURES`` but ``n_dialled_between``, each (m,) float32, of each customer before each instant.

        Days since something that never happened are NaN.
        """
        at = self.position(customer_rows, before_seconds)
        start = self.first[customer_rows]
        contact = self._last_contact[at]
        has_contact = contact >= start
        series_start = np.where(has_contact, contact + 1, start)
        counted = {
            "n_attempts": at - start,
            "n_contacts": self._n_contacts[at] - self._n_contacts[start],
            "n_since_contact": at - series_start,
            "n_last_7_days": at - self.position(customer_rows, before_seconds - 7 * _DAY),
            "n_last_28_days": at - self.position(customer_rows, before_seconds - 28 * _DAY),
            "days_since_attempt": self._days_since(at - 1, at > start, before_seconds),
            "days_since_contact": self._days_since(contact, has_contact, before_seconds),
            **{
                f"n_{name}": self._running_outcome[name][at] - self._running_outcome[name][start]
                for name in ("third_party", "voicemail", "busy")
            },
        }
        return {name: np.asarray(column, dtype="float32") for name, column in counted.items()}

    def part_features_at(
        self, customer_rows: np.ndarray, before_seconds: np.ndarray, part: np.ndarray
    ) -> dict[str, np.ndarray]:
        """``PART_FEATURES`` in the given part of the week (m,), each (m,) float32."""
        at = self.position(customer_rows, before_seconds)
        recent = self.position(customer_rows, before_seconds - 28 * _DAY)
        start = self.first[customer_rows]
        dialled = self._dialled_in_part[at, part]
        contacts = self._contacts_in_part[at, part] - self._contacts_in_part[start, part]
        counted = {
            "n_failed_in_part": dialled - self._dialled_in_part[start, part] - contacts,
            "n_contacts_in_part": contacts,
            "n_in_part_last_28_days": dialled - self._dialled_in_part[recent, part],
        }
        return {name: column.astype("float32") for name, column in counted.items()}

    def faded_failures_at(self, customer_rows: np.ndarray, before_seconds: np.ndarray) -> np.ndarray:
        """Dials without keyman contact before each instant, each counted as 0.5 ** (its age / half-life).

        Returns
        -------
        (m, n_half_lives, n_parts) float32
            By half-life (``HALF_LIVES_DAYS``) and by the part of the week they were made in.
        """
        at = self.position(customer_rows, before_seconds)
        known = at > self.first[customer_rows]
        if len(self.seconds) == 0:
            return np.zeros((len(at), len(HALF_LIVES_DAYS), len(PARTS)), dtype="float32")
        newest = np.clip(at - 1, 0, None)
        days = np.where(known, (before_seconds - self.seconds[newest]) / _DAY, 0.0)
        faded = 0.5 ** (days[:, None] / np.array(HALF_LIVES_DAYS))
        return np.asarray(_take_faded(self._faded_failures, newest, faded * known[:, None]))

    @cached_property
    def failures_before(self) -> np.ndarray:
        """Faded failures just before every sorted dial, in any part of the week and in its own.

        (n, 2 · n_half_lives) float32: by half-life (``HALF_LIVES_DAYS``) those in any part, then those in its own.
        """
        faded = self.faded_failures_at(self.customer_row, self.seconds)
        own = faded[np.arange(len(faded)), :, self.part.astype("int64")]
        return np.concatenate([faded.sum(axis=2), own], axis=1)

    @cached_property
    def _faded_failures(self) -> np.ndarray:
        return np.asarray(
            _fade_failures(self.first, self.seconds, self.part, self.is_contact, np.array(HALF_LIVES_DAYS) * _DAY)
        )

    @cached_property
    def _running_outcome(self) -> dict[str, np.ndarray]:
        return {name: _running(self.outcome == name) for name in ("third_party", "voicemail", "busy")}

    @cached_property
    def _dialled_in_part(self) -> np.ndarray:
        return _running(self.part[:, None] == np.arange(len(PARTS)))

    @cached_property
    def _contacts_in_part(self) -> np.ndarray:
        return _running((self.part[:, None] == np.arange(len(PARTS))) & self.is_contact[:, None])

    def _days_since(self, row: np.ndarray, exists: np.ndarray, now_seconds: np.ndarray) -> np.ndarray:
        if len(self.seconds) == 0:
            return np.full(len(row), np.nan)
        then = self.seconds[np.clip(row, 0, None)]
        return np.where(exists, (now_seconds - then) / _DAY, np.nan)


def build_history(attempts: pd.DataFrame, n_customers: int) -> History:
    """Sort the log once so that any "as of" question is two searches.

    Parameters
    ----------
    attempts
        Checked attempts with customer_row · attempted_at · outcome · part · span (see ``features.slots``).
    n_customers
        Number of customers; rows beyond the log simply have no history.

    Examples
    --------
    >>> log = pd.DataFrame({"customer_row": [0, 0], "outcome": ["busy", "keyman_contact"], "part": [0, 3],
    ...     "span": [0, 4],
    ...     "attempted_at": pd.to_datetime(["2026-11-02 09:00", "2026-11-03 18:00"]).tz_localize("Asia/Tokyo")})
    >>> history = build_history(log, 1)
    >>> midnight = seconds_of(pd.Series(pd.to_datetime(["2026-11-03", "2026-11-04"]).tz_localize("Asia/Tokyo")))
    >>> history.features_at(np.array([0, 0]), midnight)["n_contacts"].tolist()
    [0.0, 1.0]
    """
    seconds = seconds_of(attempts["attempted_at"])
    rows = attempts["customer_row"].to_numpy("int64")
    order = np.argsort((rows << _SECOND_BITS) + seconds, kind="stable")  # at once where they are sorted already
    codes, outcomes = pd.factorize(attempts["outcome"])  # few words: no string is made for each row
    outcome = np.array([*outcomes, None], dtype=object)[codes[order]]
    return History(
        order=order,
        customer_row=rows[order],
        seconds=seconds[order],
        part=attempts["part"].to_numpy("int8")[order],
        span=attempts["span"].to_numpy("int8")[order],
        is_contact=outcome == CONTACT,
        outcome=outcome,
        first=np.searchsorted(rows[order], np.arange(n_customers + 1)),
    )


@numba.njit(cache=True, parallel=True)
def _take_faded(faded, rows, share):  # type: ignore[no-untyped-def]
    """``faded[rows]`` (m, n_half_lives, n_parts) times ``share`` (m, n_half_lives)."""
    kept = np.empty((len(rows), faded.shape[1], faded.shape[2]), np.float32)
    for i in numba.prange(len(rows)):
        for h in range(faded.shape[1]):
            for part in range(faded.shape[2]):
                kept[i, h, part] = faded[rows[i], h, part] * share[i, h]
    return kept


@numba.njit(cache=True)
def _fade_failures(first, seconds, part, is_contact, half_lives):  # type: ignore[no-untyped-def]
    faded = np.zeros((len(seconds), len(half_lives), 8), np.float32)
    for customer in range(len(first) - 1):
        for row in range(first[customer], first[customer + 1]):
            if row > first[customer]:
                for h in range(len(half_lives)):
                    share = np.float32(0.5 ** ((seconds[row] - seconds[row - 1]) / half_lives[h]))
                    for b in range(faded.shape[2]):
                        faded[row, h, b] = faded[row - 1, h, b] * share
            if not is_contact[row]:
                for h in range(len(half_lives)):
                    faded[row, h, part[row]] += np.float32(1.0)
    return faded


def _running(flags: np.ndarray) -> np.ndarray:
    counts: np.ndarray = np.zeros((len(flags) + 1, *flags.shape[1:]), dtype="int32")
    np.cumsum(flags, axis=0, dtype="int32", out=counts[1:])
    return counts
