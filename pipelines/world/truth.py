"""What is true in the sample world: P(keyman contact) of any dial. For tests and benchmarks only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from pipelines.world.people import People
from pipelines.world.rhythms import PARTS, TIMEZONE, assign_parts, rhythm_effects
from pipelines.world.sizes import Sizes

_BLOCK_ROWS = 20_000


@dataclass(frozen=True)
class Truth:
    """Hidden traits and dial history of every customer, as of the run date ``end``.

    Attributes
    ----------
    overall, by_part
        Fatigue (n,) and (n, 6): earlier dials that did not reach the keyman, each counted as 0.5 ** (days before
        ``end`` / half-life), in all and by part of the week.
    attempt_p, attempt_number, listing_number
        One entry per row of ``World.call_attempts``: the true P(keyman contact) when it was dialled, and which dial of
        which listing of that customer it was (both from 1).
    """

    people: People
    sizes: Sizes
    end: date
    overall: NDArray[np.float32]
    by_part: NDArray[np.float32]
    attempt_p: NDArray[np.float32]
    attempt_number: NDArray[np.int16]
    listing_number: NDArray[np.int16]

    def true_p(
        self, customer_rows: Sequence[int] | NDArray[Any], slot_starts: Any, n_failed: int = 0
    ) -> NDArray[np.float32]:
        """P(keyman contact) of one dial to each customer in each slot, made on or after the run date.

        Formula: ``expit(base + level + rhythm effect of the slot + person's effect in that part of the week
        - fatigue_per_dial * f - fatigue_same_part * f_part)``, and 0 where the number belongs to somebody else;
        f and f_part have faded from the run date to the slot's day.

        Parameters
        ----------
        customer_rows
            (n,) rows of ``World.customers``.
        slot_starts
            (S,) instants on or after the run date; naive ones are Asia/Tokyo.
        n_failed
            Further failed dials before this one: as if made on the n days just before the slot's day, one a day, each
            counted as one sixth of a dial in every part of the week. For known slots use ``true_plan_p``.

        Returns
        -------
        numpy.ndarray
            (n, S) float32 in [0, 1].

        Raises
        ------
        ValueError
            A slot lies before the run date.
        """
        rows = np.asarray(customer_rows, dtype=np.int64)
        slots = read_slots(slot_starts)
        effects, parts, faded = rhythm_effects(slots, self.sizes, self.end), assign_parts(slots), self._faded(slots)
        further = (daily_decay(self.sizes) ** np.arange(1, n_failed + 1)).sum()
        p = np.empty((len(rows), len(slots)), np.float32)
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = rows[start : start + _BLOCK_ROWS, None]
            fatigue = weigh_fatigue(
                self.overall[block] * faded + further,
                self.by_part[block, parts] * faded + further / len(PARTS),
                self.sizes,
            )
            own = effects[self.people.rhythm[block[:, 0]]]
            p[start : start + _BLOCK_ROWS] = dial_p(self.people, block, own, parts, fatigue, self.sizes)
        return p

    def true_plan_p(self, customer_rows: Sequence[int] | NDArray[Any], slot_starts: Any) -> NDArray[np.float32]:
        """P(keyman contact) of every dial of a plan, given that the plan's earlier dials to that customer failed.

        Parameters
        ----------
        customer_rows, slot_starts
            (m,) customer row and slot of each planned dial, in any order.

        Returns
        -------
        numpy.ndarray
            (m,) float32 in the order given. Dials of a customer on one day all count the fatigue of earlier days only.

        Raises
        ------
        ValueError
            A slot lies before the run date, or the two lengths differ.
        """
        rows, slots = np.asarray(customer_rows, dtype=np.int64), read_slots(slot_starts)
        if len(rows) != len(slots):
            raise ValueError(f"{len(rows)} customer rows against {len(slots)} slots: one slot for each row")
        parts, faded = assign_parts(slots), self._faded(slots)
        overall = self.overall[rows] * faded
        same_part = self.by_part[rows, parts] * faded
        earlier, later, decayed = self._earlier_dials(rows, slots)
        np.add.at(overall, later, decayed)
        same = parts[earlier] == parts[later]
        np.add.at(same_part, later[same], decayed[same])
        effects = rhythm_effects(slots, self.sizes, self.end)[self.people.rhythm[rows], np.arange(len(rows))]
        return dial_p(self.people, rows, effects, parts, weigh_fatigue(overall, same_part, self.sizes), self.sizes)

    def _earlier_dials(
        self, rows: NDArray[np.int64], slots: pd.DatetimeIndex
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Pairs (earlier, later) of planned dials to one customer on different days; how far the first faded."""
        day = days_since(slots, self.end)
        order = np.lexsort((day, rows))
        pairs = []
        for step in range(1, int(np.bincount(rows).max(initial=0))):
            earlier, later = order[:-step], order[step:]
            kept = (rows[earlier] == rows[later]) & (day[earlier] < day[later])
            pairs.append(np.stack([earlier[kept], later[kept]]))
        earlier, later = np.concatenate([np.empty((2, 0), np.int64), *pairs], axis=1)
        return earlier, later, (daily_decay(self.sizes) ** (day[later] - day[earlier])).astype(np.float32)

    def _faded(self, slots: pd.DatetimeIndex) -> NDArray[np.float32]:
        ahead = days_since(slots, self.end)
        if len(ahead) and ahead.min() < 0:
            raise ValueError(
                f"slot {slots[int(ahead.argmin())]} lies before the run date {self.end}: ask for later slots"
            )
        return (daily_decay(self.sizes) ** ahead).astype(np.float32)


def dial_p(
    people: People,
    rows: NDArray[np.int64],
    effects: NDArray[np.float32],
    parts: NDArray[np.int8] | np.int8,
    fatigue: NDArray[np.float32],
    sizes: Sizes,
) -> NDArray[np.float32]:
    """P(keyman contact) of dials; all arrays broadcast, ``rows`` (m,) for dials or (n, 1) against (S,) slots.

    ``effects`` are the rhythm effects of the person's own rhythm in the slot, ``fatigue`` the logits lost by it.
    """
    logits = np.float32(sizes.base_logit) + people.level[rows] + effects + people.part_effects[rows, parts] - fatigue
    return np.asarray(expit(logits) * ~people.has_wrong_number[rows], dtype=np.float32)


def weigh_fatigue(overall: NDArray[np.float32], same_part: NDArray[np.float32], sizes: Sizes) -> NDArray[np.float32]:
    """Logits lost by earlier failed dials, in all and in the same part of the week."""
    return np.asarray(sizes.fatigue_per_dial * overall + sizes.fatigue_same_part * same_part, dtype=np.float32)


def daily_decay(sizes: Sizes) -> float:
    """Share of fatigue left a day later.

    Examples
    --------
    >>> round(daily_decay(Sizes(fatigue_half_life_days=1.0)), 3)
    0.5
    """
    return float(0.5 ** (1 / sizes.fatigue_half_life_days))


def read_slots(slot_starts: Any) -> pd.DatetimeIndex:
    """Instants in the centre's zone; naive ones are taken as Asia/Tokyo.

    Examples
    --------
    >>> read_slots(["2026-11-02 00:00+00:00"]).hour.tolist()
    [9]
    """
    slots = pd.DatetimeIndex(slot_starts)
    return slots.tz_localize(TIMEZONE) if slots.tz is None else slots.tz_convert(TIMEZONE)


def days_since(slots: pd.DatetimeIndex, day: date) -> NDArray[np.int64]:
    """Whole calendar days from ``day`` to each slot, negative before it."""
    first = pd.Timestamp(day)
    return np.asarray((slots.tz_localize(None).normalize() - first) // pd.Timedelta(days=1), dtype=np.int64)
