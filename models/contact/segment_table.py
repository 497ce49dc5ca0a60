"""The reference case's model: one contact rate per combination of segment and slot, shrunk towards coarser ones."""

from dataclasses import dataclass

import numpy as np

_PRIOR_DIALS = 30.0


@dataclass(frozen=True)
class SegmentTable:
    """Rates of weekday × hour × week of the month per segment, as the reference case kept them.

    Attributes
    ----------
    levels
        From coarse to fine: (combined key values, shrunk rates), both sorted by key.
    overall
        Rate of everyone, what an unseen cell of the coarsest level falls back to.
    """

    levels: tuple[tuple[np.ndarray, np.ndarray], ...]
    overall: float

    def predict(self, segment: np.ndarray, slots: dict[str, np.ndarray]) -> np.ndarray:
        """Rate of each dial's cell, or of the finest coarser cell that was seen; (n,) float."""
        rate = np.full(len(segment), self.overall)
        for cell, (known, rates) in zip(_cells(segment, slots), self.levels, strict=False):
            at = np.clip(np.searchsorted(known, cell), 0, len(known) - 1)
            rate = np.where(known[at] == cell, rates[at], rate)
        return rate


def fit_segment_table(segment: np.ndarray, slots: dict[str, np.ndarray], is_contact: np.ndarray) -> SegmentTable:
    """Count contacts per cell; each cell is shrunk towards the next coarser one as if by 30 more dials.

    Parameters
    ----------
    segment : (n,) int
        Segment level of every dial.
    slots
        Slot keys of every dial (``models.contact.effects.slot_codes``).

    Examples
    --------
    >>> slots = {key: np.zeros(60, dtype=int) for key in ("part", "hour_of_week", "week_of_month")}
    >>> table = fit_segment_table(np.zeros(60, dtype=int), slots, np.arange(60) < 30)
    >>> table.predict(np.array([0]), {key: level[:1] for key, level in slots.items()}).tolist()
    [0.5]
    """
    overall = float(is_contact.mean())
    levels: list[tuple[np.ndarray, np.ndarray]] = []
    for cell in _cells(segment, slots):
        parent = SegmentTable(tuple(levels), overall).predict(segment, slots)
        known, first, which = np.unique(cell, return_index=True, return_inverse=True)
        n_dials, n_contacts = np.bincount(which), np.bincount(which, weights=is_contact)
        levels.append((known, (n_contacts + _PRIOR_DIALS * parent[first]) / (n_dials + _PRIOR_DIALS)))
    return SegmentTable(tuple(levels), overall)


def _cells(segment: np.ndarray, slots: dict[str, np.ndarray]) -> list[np.ndarray]:
    base = segment.astype("int64")
    by_part = base * 8 + slots["part"]
    by_hour = base * 168 + slots["hour_of_week"]
    return [base, by_part, by_hour, by_hour * 6 + slots["week_of_month"]]
