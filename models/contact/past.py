"""Whether the log still says of the past what it said on an earlier night, and whether its newest week fits the rest.

A log that was damaged on its way (labels shuffled, half the rows lost, one code remapped) damages the forward fold too,
on which a model of the damaged log may then look better than the champion. So every version keeps a fingerprint of the
log that it learned from, and tonight's log is held against it before any loss is compared.

The fingerprint is a tug-of-war sketch: each dial adds +1 or -1 to one of 32 counters of its day, both chosen by a hash
of the customer, the time and the outcome. Squared differences of two sketches add up to the number of dials that only
one of the logs holds, so that one late correction counts as one dial, not as a changed day; and counters of a few units
name nobody. The order of the rows and the names of attempts do not matter.

Source: Alon, Matias and Szegedy, The space complexity of approximating the frequency moments (1999).
"""

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.outcomes import CONTACT, OUTCOMES

MAX_CHANGED_SHARE = 0.01
"""What one night corrects or erases stays far below it; remapping any code that matters to a model lies above."""

MAX_PSI = 0.25
"""The usual limit beyond which two mixes are said to differ (Siddiqi, Credit risk scorecards, 2006)."""

MAX_RATE_RATIO = 1.5
"""The best and the worst hour of published logs differ by less; a week that differs by more is not more of the same."""

_WIDTH = 32
_NEWEST_DAYS, _BEFORE_DAYS = 7, 56
_FEWEST_DIALS, _FEWEST_ERRORS, _FEWEST_CHANGED = 100, 4.0, 20


@dataclass(frozen=True)
class Past:
    """Fingerprint of a log: per day a count and a sketch, of its dials and of its contacts.

    Attributes
    ----------
    days : (n_days,) datetime64[D]
        Days with a dial, oldest first.
    dials, contacts : (n_days, 33) int
        The number, then 32 signed counters.
    """

    days: np.ndarray
    dials: np.ndarray
    contacts: np.ndarray

    def to_json(self) -> str:
        """The fingerprint as text that :meth:`from_json` reads back."""
        named = {"days": self.days.astype(str), "dials": self.dials, "contacts": self.contacts}
        return json.dumps({name: values.tolist() for name, values in named.items()})

    @classmethod
    def from_json(cls, text: str) -> "Past":
        """Read a fingerprint written by :meth:`to_json`."""
        kept = json.loads(text)
        counted = (np.array(kept[name], dtype="int64").reshape(-1, _WIDTH + 1) for name in ("dials", "contacts"))
        return cls(np.array(kept["days"], dtype="datetime64[D]"), *counted)


@dataclass(frozen=True)
class PastChange:
    """How two logs differ on the days that both should hold.

    Attributes
    ----------
    n_days, n_dials_then, n_dials_now
        Of those days.
    dial_share, contact_share
        Dials (contacts) that only one of the logs holds, over those of both together: 0 is no change, nor is a handful
        of corrections; 1 is nothing alike.
    """

    n_days: int
    n_dials_then: int
    n_dials_now: int
    dial_share: float
    contact_share: float


def fingerprint_log(attempts: pd.DataFrame, customers: pd.DataFrame) -> Past:
    """Take the fingerprint of checked attempts (customer_row · attempted_at · outcome) of checked customers.

    Examples
    --------
    >>> people = pd.DataFrame({"customer_id": ["a", "b"]})
    >>> at = pd.to_datetime(["2026-11-02 09:00", "2026-11-03 18:00"]).tz_localize("Asia/Tokyo")
    >>> log = pd.DataFrame({"customer_row": [0, 1], "attempted_at": at, "outcome": ["busy", "keyman_contact"]})
    >>> past = fingerprint_log(log, people)
    >>> past.dials[:, 0].tolist(), past.contacts[:, 0].tolist()
    ([1, 1], [0, 1])
    """
    day = attempts["attempted_at"].dt.tz_localize(None).to_numpy("datetime64[D]")
    days, which = np.unique(day, return_inverse=True)
    hashes = _hash_dials(attempts, customers)
    is_contact = (attempts["outcome"] == CONTACT).to_numpy()
    dials = _sketch(which, hashes, len(days))
    return Past(days, dials, _sketch(which[is_contact], hashes[is_contact], len(days)))


def measure_change(then: Past, now: Past) -> PastChange:
    """Compare two fingerprints on the days that both logs should hold.

    The first and the last of those days are left out: an export may begin at any hour, and the newest day may still
    have been filling up. A day that only one log holds counts as lost or added.

    Examples
    --------
    >>> days = np.arange("2026-11-01", "2026-11-05", dtype="datetime64[D]")
    >>> sketch = np.tile([32] + 16 * [1, -1], (4, 1))
    >>> half = np.tile([16] + 8 * [1, -1] + 16 * [0], (4, 1))
    >>> change = measure_change(Past(days, sketch, sketch), Past(days, half, sketch))
    >>> change.n_days, round(change.dial_share, 2), change.contact_share
    (2, 0.33, 0.0)
    """
    empty = len(then.days) == 0 or len(now.days) == 0
    first, last = (max(then.days[0], now.days[0]), min(then.days[-1], now.days[-1])) if not empty else (0, 0)
    days = np.union1d(then.days, now.days)
    days = days[(days > first) & (days < last)] if not empty else days[:0]
    dials, contacts = (
        [_on_days(past.days, getattr(past, name), days) for past in (then, now)] for name in ("dials", "contacts")
    )
    return PastChange(
        len(days), int(dials[0][:, 0].sum()), int(dials[1][:, 0].sum()), _share(*dials), _share(*contacts)
    )


def object_to_change(change: PastChange, since: str) -> str | None:
    """Say in a sentence that the past has changed since a version, with the remedy; None when it has not.

    >>> object_to_change(PastChange(84, 81_000, 80_990, 0.0001, 0.0), "12") is None
    True
    """
    share = max(change.dial_share, change.contact_share)
    if share <= MAX_CHANGED_SHARE:
        return None
    what = "dials" if change.dial_share >= change.contact_share else "keyman contacts"
    return (
        f"the past has changed since version {since}: about {min(share, 1.0):.0%} of the {what} on the "
        f"{change.n_days} days that both logs hold are not the same ({change.n_dials_then:,} dials then, "
        f"{change.n_dials_now:,} now): look at the export and the code map; if the change is meant, run kakedoki train "
        "--accept-changed-past once"
    )


def object_to_newest_week(attempts: pd.DataFrame) -> str | None:
    """Say in a sentence that the newest week is unlike the eight weeks before it; None when it is not, or too short.

    The mix of outcomes is compared by PSI, the contact rate by its ratio, if that is beyond four standard errors.

    Parameters
    ----------
    attempts
        Checked attempts, tz-aware.
    """
    newest, before = _count_outcomes(attempts)
    if min(newest.sum(), before.sum()) < _FEWEST_DIALS:
        return None
    unlike, psi = "the newest week is unlike the weeks before", measure_psi(newest, before)
    remedy = "look at the newest exports; if the change is meant, run kakedoki train --accept-changed-past once"
    now, was = newest / newest.sum(), before / before.sum()
    if psi > MAX_PSI:
        moved = int(np.abs(now - was).argmax())
        return (
            f"{unlike}: its outcomes have moved (PSI {psi:.2f}, limit {MAX_PSI}), {OUTCOMES[moved]} most, from "
            f"{was[moved]:.1%} to {now[moved]:.1%} of the dials: {remedy}"
        )
    if not _is_rate_alike(newest, before):
        contact = OUTCOMES.index(CONTACT)
        return f"{unlike}: its contact rate is {now[contact]:.1%}, theirs {was[contact]:.1%}: {remedy}"
    return None


def measure_psi(newer: np.ndarray, older: np.ndarray) -> float:
    """Population stability index of two counts over the same classes, (k,) each; half a row is added to every class.

    Below 0.1 is said to be stable, above 0.25 to have moved.

    >>> round(measure_psi(np.array([50, 50]), np.array([800, 200])), 2)
    0.41
    """
    new, old = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (newer, older))
    return float(((new - old) * np.log(new / old)).sum())


def _count_outcomes(attempts: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Dials by outcome, in the order of ``OUTCOMES``, of the newest week and of the eight weeks before it."""
    day = attempts["attempted_at"].dt.tz_localize(None).to_numpy("datetime64[D]")
    age = (day.max() - day).astype("int64") if len(day) else np.zeros(0, dtype="int64")
    codes = pd.Categorical(attempts["outcome"], categories=OUTCOMES).codes
    is_newest, is_before = age < _NEWEST_DAYS, (age >= _NEWEST_DAYS) & (age < _NEWEST_DAYS + _BEFORE_DAYS)
    newest, before = (np.bincount(codes[span], minlength=len(OUTCOMES)) for span in (is_newest, is_before))
    return newest, before


def _is_rate_alike(newest: np.ndarray, before: np.ndarray) -> bool:
    contact, n, m = OUTCOMES.index(CONTACT), newest.sum(), before.sum()
    now, was, pooled = newest[contact] / n, before[contact] / m, (newest + before)[contact] / (n + m)
    is_near = was / MAX_RATE_RATIO <= now <= was * MAX_RATE_RATIO
    return bool(is_near or abs(now - was) <= _FEWEST_ERRORS * np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m)))


def _hash_dials(attempts: pd.DataFrame, customers: pd.DataFrame) -> np.ndarray:
    """A hash of customer, time and outcome per dial; (n,) uint64."""
    people = pd.util.hash_array(customers["customer_id"].to_numpy(dtype=object))[attempts["customer_row"].to_numpy()]
    at = attempts["attempted_at"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[s]").astype("int64")
    codes = pd.Categorical(attempts["outcome"], categories=OUTCOMES).codes.astype("int64")
    return pd.util.hash_array(people + pd.util.hash_array(at * len(OUTCOMES) + codes))


def _sketch(which: np.ndarray, hashes: np.ndarray, n_days: int) -> np.ndarray:
    """Number and signed counters of each day; (n_days, 33) int64."""
    counter = which * _WIDTH + (hashes % _WIDTH).astype("int64")
    sign = np.where(hashes >> np.uint64(63), 1, -1)
    counters = np.bincount(counter, weights=sign, minlength=n_days * _WIDTH).reshape(n_days, _WIDTH)
    return np.column_stack([np.bincount(which, minlength=n_days), counters]).astype("int64")


def _on_days(held: np.ndarray, counted: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Rows of the chosen days, zeros for a day that is not held; (n_days, 33)."""
    rows = np.zeros((len(days), _WIDTH + 1), dtype="int64")
    is_held = np.isin(days, held)
    rows[is_held] = counted[np.searchsorted(held, days[is_held])]
    return rows


def _share(then: np.ndarray, now: np.ndarray) -> float:
    n_changed, n_in_both = int(((then[:, 1:] - now[:, 1:]) ** 2).sum()), int(then[:, 0].sum() + now[:, 0].sum())
    return n_changed / n_in_both if n_changed > _FEWEST_CHANGED and n_in_both else 0.0
