"""The past way of calling: which segments the log called in which hours, and slots filled like that again."""

import numpy as np
import pandas as pd

from configs.settings import Settings
from features.slots import add_slot_features
from models.contact.encoding import build_encoding

_PAST_DAYS = 56
_SOME = 1e-9  # weight of a customer whose segment was never dialled in the slot: taken last


def code_segments(customers: pd.DataFrame, settings: Settings) -> np.ndarray:
    """Segment of every customer by ``segment_by``, counted from 0; (n_customers,) int."""
    codes = build_encoding(customers, (), settings.segment_by).encode(customers)
    return codes["×".join(settings.segment_by)] if settings.segment_by else codes[""]


def read_past_way(attempts: pd.DataFrame, segment: np.ndarray, slots: pd.DataFrame, settings: Settings) -> np.ndarray:
    """Share of each segment among the dials of the last eight weeks, per slot of the horizon.

    Parameters
    ----------
    attempts
        Checked attempts.
    segment : (n_customers,) int
        Segment of every customer.

    Returns
    -------
    (n_slots, n_segments) float
        Rows sum to 1; a weekday × hour that was never dialled has the shares of all dials.
    """
    newest = attempts["attempted_at"].max()
    recent = attempts[attempts["attempted_at"] > newest - pd.Timedelta(days=_PAST_DAYS)]
    dialled = add_slot_features(recent[["attempted_at"]], "attempted_at", settings)
    n_segments = int(segment.max(initial=0)) + 1
    counts = np.zeros((168, n_segments))
    np.add.at(counts, (dialled["hour_of_week"].to_numpy(), segment[recent["customer_row"].to_numpy()]), 1.0)
    cells = counts[slots["hour_of_week"].to_numpy()]
    cells = np.where(cells.sum(axis=1, keepdims=True) > 0, cells, counts.sum(axis=0))
    shares: np.ndarray = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1.0)
    return shares


def simulate_past_way(
    shares: np.ndarray,
    segment: np.ndarray,
    lawful: np.ndarray,
    dials_left: np.ndarray,
    day: np.ndarray,
    places: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Fill the places slot by slot as the log filled them, at most one dial a customer and day.

    Parameters
    ----------
    shares : (n_slots, n_segments)
    segment, dials_left : (m,) int
        Of the customers; ``dials_left`` is how many each may still get.
    lawful : (m, n_slots) bool
    day : (n_slots,) int
    places : (n_slots,) int

    Returns
    -------
    rows, slot_rows : (n_dials,) int
        In time order.

    Examples
    --------
    >>> rows, _ = simulate_past_way(np.ones((1, 1)), np.zeros(3, int), np.ones((3, 1), bool), np.ones(3, int),
    ...     np.zeros(1, int), np.array([2]), np.random.default_rng(7))
    >>> len(rows)
    2
    """
    left, last_day, may_be_dialled = dials_left.copy(), np.full(len(segment), -1), np.ascontiguousarray(lawful.T)
    rows, slot_rows = [np.zeros(0, dtype="int64")], [np.zeros(0, dtype="int64")]
    for slot in range(len(places)):
        free = np.flatnonzero(may_be_dialled[slot] & (left > 0) & (last_day != day[slot]))
        n_of_segment = np.bincount(segment[free], minlength=shares.shape[1])
        weight = np.log(shares[slot] / np.maximum(n_of_segment, 1) + _SOME)
        keys = weight[segment[free]] + rng.gumbel(size=len(free))
        first = np.arange(len(free))
        if 0 < places[slot] < len(free):  # sorting all of them takes ten times as long
            first = np.sort(np.argpartition(-keys, places[slot] - 1)[: places[slot]])
        taken = free[first[np.argsort(-keys[first], kind="stable")[: places[slot]]]]
        left[taken] -= 1
        last_day[taken] = day[slot]
        rows.append(taken)
        slot_rows.append(np.full(len(taken), slot))
    return np.concatenate(rows), np.concatenate(slot_rows)
