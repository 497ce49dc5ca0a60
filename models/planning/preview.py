"""Who will not be called and why, before any model is asked."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from configs.settings import Settings
from features.contracts import Tables
from models.planning.eligibility import REASONS, Eligibility, find_eligible
from models.planning.limits import IntArray
from models.planning.rules import RulePack

NO_PACK = "no pack"


def count_reasons(eligibility: Eligibility, n_quarantined: int, n_places: int) -> pd.DataFrame:
    """Count the listed customers who cannot be called, by the first reason that applies.

    Parameters
    ----------
    n_places
        Places of the whole horizon. More customers than places cannot all be called: at least the difference is
        ``no_capacity``; that some are dialled more than once is not foreseen here.

    Returns
    -------
    DataFrame
        reason · n, in the order in which reasons are looked for, those that apply to nobody left out.

    Examples
    --------
    Of two who may be called, one has no lawful slot, and for the other there is no place.

    >>> from types import SimpleNamespace
    >>> barred = pd.DataFrame({"customer_row": [7], "reason": ["refused"]})
    >>> found = SimpleNamespace(excluded=barred, lawful=np.array([[False], [True]]))
    >>> count_reasons(found, n_quarantined=0, n_places=0).to_dict("list")
    {'reason': ['refused', 'no_lawful_slot', 'no_capacity'], 'n': [1, 1, 1]}
    """
    n_callable = int(eligibility.lawful.any(axis=1).sum())
    counted = {str(reason): int(n) for reason, n in eligibility.excluded["reason"].value_counts().items()} | {
        "quarantined": n_quarantined,
        "no_lawful_slot": len(eligibility.lawful) - n_callable,
        "no_capacity": max(0, n_callable - n_places),
    }
    known = ["quarantined", *REASONS]
    order = [*known, *sorted(set(counted) - {*known, "no_lawful_slot", "no_capacity"}), "no_lawful_slot", "no_capacity"]
    rows = [(reason, counted[reason]) for reason in order if counted.get(reason, 0)]
    return pd.DataFrame(rows, columns=["reason", "n"])


def find_last_words(
    tables: Tables,
    slots: pd.DataFrame,
    as_of: pd.Timestamp,
    packs: Sequence[RulePack],
    settings: Settings,
    customer_rows: IntArray,
) -> pd.Series:
    """Find which rule pack took the last slot of each customer, packs laid over one another in their order.

    Parameters
    ----------
    customer_rows
        Those who have no lawful slot under all packs together, rising.

    Returns
    -------
    Series
        Name of the pack by customer_row; ``NO_PACK`` where no slot was lawful even before: a time zone that nobody
        knows, or a dial on each day already.
    """
    last_word = pd.Series(NO_PACK, index=customer_rows, dtype="str")
    rest = customer_rows
    for n_packs in range(len(packs) + 1):
        found = find_eligible(tables, slots, as_of, packs[:n_packs], settings)
        is_open = np.isin(rest, found.eligible_rows[found.lawful.any(axis=1)])
        if n_packs > 0:
            last_word[rest[~is_open]] = packs[n_packs - 1].name
        rest = rest[is_open]
    return last_word
