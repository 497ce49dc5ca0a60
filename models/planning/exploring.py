"""Exploration: some places go to pairs of customer and slot drawn by lot, and every dial says how likely it was.

The draw. Each phone g draws one of its L_g lawful pairs (customer, slot) of the first day, all alike, and a key in
(0, 1). In slot s the keys below q_s win: q_s = share · places_s / (sum over phones of their pairs in s / L_g), at most
1, so that the share is met on average. Should more win than the slot has room for, the smallest keys do. The plan fills
the rest.

The chance. Let tau_s be q_s, or, where the *other* phones leave no room, the last of their keys that found room. Given
what the others drew, g wins a pair in s with chance tau_s / L_g, and nothing with chance 1 - sum over its pairs of
tau_s / L_g; whenever it wins nothing the others win the same places, so that the plan is the same. Hence the chance
that customer i is dialled in slot s, over arms and draws, is

    propensity = tau_s / L_g + (1 - sum_pairs tau / L_g) · [the plan dials i in s when g wins nothing],

exactly, given the others. Means weighted by 1 / propensity are unbiased whatever the plan is (Horvitz and Thompson,
1952).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.planning.limits import BoolArray, IntArray

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Lots:
    """What every phone has drawn.

    Attributes
    ----------
    room : int64 array of shape (n_slots,)
        Most winners of each slot.
    threshold : float64 array of shape (n_slots,)
        q_s: keys below it win.
    n_pairs : int64 array of shape (n_phones, n_slots)
        Lawful pairs of each phone in each slot; 0 for phones and slots that take no part.
    row, slot : int64 arrays of shape (n_phones,)
        Pair drawn; -1 without one.
    key : float64 array of shape (n_phones,)
        Smaller wins.
    odds : float64 array of shape (n_phones, n_slots) or None
        Chance that the phone drew one given pair of the slot; None: the same for all its pairs.
    """

    room: IntArray
    threshold: FloatArray
    n_pairs: IntArray
    row: IntArray
    slot: IntArray
    key: FloatArray
    odds: FloatArray | None = None


def draw_lots(lawful: BoolArray, phone: IntArray, room: IntArray, wanted: FloatArray, rng: np.random.Generator) -> Lots:
    """Let every phone draw one of its lawful pairs, and a key.

    Parameters
    ----------
    lawful : bool array of shape (n, n_slots)
        Pairs that take part: lawful, of slots that explore, of phones without a promise or a pin.
    phone : int64 array of shape (n,)
        Phone of each customer, counted from 0.
    room, wanted : arrays of shape (n_slots,)
        Most winners of each slot, and winners expected.
    """
    n_phones = int(phone.max(initial=-1)) + 1
    n_pairs = np.zeros((n_phones, lawful.shape[1]), dtype=np.int64)
    np.add.at(n_pairs, phone, lawful)
    rows, slots = np.nonzero(lawful)
    order = np.argsort(phone[rows], kind="stable")
    rows, slots = rows[order], slots[order]
    total = n_pairs.sum(axis=1)
    begins = np.cumsum(total) - total
    chosen = begins + np.minimum((rng.random(n_phones) * total).astype(np.int64), np.maximum(total - 1, 0))
    key = rng.random(n_phones)
    takes_part = total > 0
    row, slot = np.full(n_phones, -1, dtype=np.int64), np.full(n_phones, -1, dtype=np.int64)
    row[takes_part], slot[takes_part] = rows[chosen[takes_part]], slots[chosen[takes_part]]
    drawers = (n_pairs / np.maximum(total, 1)[:, None]).sum(axis=0)
    threshold = np.minimum(wanted / np.where(drawers > 0, drawers, np.inf), 1.0)
    return Lots(np.asarray(room, dtype=np.int64), threshold, n_pairs, row, slot, key)


def find_winners(lots: Lots, without: int = -1) -> IntArray:
    """Phones that win their pair, by slot and key; ``without`` a phone that is taken to win nothing."""
    winners = [np.zeros(0, dtype=np.int64)]
    for slot in np.flatnonzero(lots.threshold > 0):
        drew = np.flatnonzero((lots.slot == slot) & (lots.key < lots.threshold[slot]))
        drew = drew[drew != without]
        winners.append(drew[np.argsort(lots.key[drew], kind="stable")][: lots.room[slot]])
    return np.concatenate(winners)


def find_chances(lots: Lots) -> tuple[FloatArray, FloatArray]:
    """Chance of each phone to win one given pair of each slot, and to win nothing, given what the others drew.

    Returns
    -------
    pair : float64 array of shape (n_phones, n_slots)
        tau_s / L_g (with ``odds``, tau_s times those); 0 where the phone takes no part or the slot does not explore.
    nothing : float64 array of shape (n_phones,)

    Examples
    --------
    Two phones, one slot with room for one: the one with the smaller key had to beat .6, the other .2.

    >>> ones = np.ones((2, 1), dtype="int64")
    >>> lots = Lots(np.array([1]), np.array([0.9]), ones, np.arange(2), np.zeros(2, "int64"), np.array([0.2, 0.6]))
    >>> find_chances(lots)[0].ravel().tolist()
    [0.6, 0.2]
    """
    tau = np.zeros(lots.n_pairs.shape)
    for slot in np.flatnonzero((lots.threshold > 0) & (lots.room > 0)):
        room, limit = lots.room[slot], lots.threshold[slot]
        drew = np.flatnonzero(lots.slot == slot)
        drew = drew[np.argsort(lots.key[drew], kind="stable")]
        keys = np.append(lots.key[drew], np.ones(2))
        tau[:, slot] = min(limit, keys[room - 1] if room <= len(drew) else 1.0)
        tau[drew[:room], slot] = min(limit, keys[room] if room < len(drew) else 1.0)
    total = lots.n_pairs.sum(axis=1)
    won = tau / np.maximum(total, 1)[:, None] if lots.odds is None else tau * lots.odds
    pair = np.where(lots.n_pairs > 0, won, 0.0)
    return pair, 1.0 - (pair * lots.n_pairs).sum(axis=1)
