"""Which kinds of people answer well in a part of the week, counted from the log."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from features.slots import PARTS
from features.table import DialLog
from models.contact.encoding import UNKNOWN, Encoding
from models.contact.words import Band

FEWEST_DIALS = 50
"""Of fewer dials nobody can say that they were answered well."""


class SegmentAnswers:
    """Ask it whether a kind of people was reached more often than people at large.

    Parameters
    ----------
    log
        All dials that are known.
    encoding
        Of the model; its levels are the kinds.
    """

    def __init__(self, log: DialLog, encoding: Encoding) -> None:
        self._encoding = encoding
        self._codes = encoding.encode(log.customers)
        self._rows = log.history.customer_row
        self._part = log.dials["part"].to_numpy("int64")
        self._is_contact = log.is_contact
        self._overall = float(log.is_contact.mean()) if len(log.dials) else 0.0

    def is_well(self, names: Sequence[str], customer_rows: np.ndarray, part: np.ndarray) -> np.ndarray:
        """Whether customers alike in the named attributes answered well in a part of the week; (m,) bool.

        Well: of at least 50 dials to them in that part, a larger share was answered than of all dials at any time. A
        customer of whom one of the attributes is unknown is like nobody.

        Parameters
        ----------
        customer_rows, part : (m,) int
        """
        kind, n_kinds = self._cross(names)
        cell = kind[self._rows] * len(PARTS) + self._part
        n_dials = np.bincount(cell, minlength=n_kinds * len(PARTS))
        n_contacts = np.bincount(cell, weights=self._is_contact, minlength=n_kinds * len(PARTS))
        is_well = (n_dials >= FEWEST_DIALS) & (n_contacts > self._overall * n_dials)
        is_known = np.all([self._codes[name][customer_rows] != UNKNOWN for name in names], axis=0)
        return np.asarray(is_well[kind[customer_rows] * len(PARTS) + part] & is_known)

    def name_level(self, name: str, customer_row: int) -> str | Band:
        """Value of a customer's attribute, or the band that it lies in; the attribute must be known."""
        level = int(self._codes[name][customer_row])
        if name in self._encoding.levels:
            return self._encoding.levels[name][level - 1]
        edges = (None, *self._encoding.edges[name], None)
        return Band(edges[level - 1], edges[level])

    def _cross(self, names: Sequence[str]) -> tuple[np.ndarray, int]:
        """A number per customer for their levels of all the attributes together, and how many there are."""
        combined = np.zeros(len(self._codes[""]), dtype="int64")
        for name in names:
            combined = combined * self._encoding.n_levels[name] + self._codes[name]
        kind, seen = pd.factorize(combined)
        return kind, len(seen)
