"""What people have decided: customers and slots that a supervisor has pinned or blocked."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from models.planning.eligibility import Eligibility, take_eligible
from models.planning.limits import IntArray

BLOCKED = "blocked"
ANYWHERE = -1


def _nothing() -> pd.DataFrame:
    return pd.DataFrame({"row": [], "customer_row": [], "slot_row": []}, dtype="int64")


@dataclass(frozen=True)
class Decisions:
    """Pins and blocks, in the order of their file.

    Attributes
    ----------
    pins, blocks
        row (line of the file, 0 if from none) · customer_row · slot_row. -1 is any slot of a pinned customer; of a
        block, every customer or every slot.
    notes
        What could not be applied, in words.
    """

    pins: pd.DataFrame = field(default_factory=_nothing)
    blocks: pd.DataFrame = field(default_factory=_nothing)
    notes: tuple[str, ...] = ()


def apply_blocks(eligibility: Eligibility, blocks: pd.DataFrame) -> Eligibility:
    """Take out whom and when people have blocked; the eligibility given stays as it is.

    A blocked customer joins the excluded with the reason ``blocked``; a blocked slot is lawful for nobody.
    """
    customer, slot = (blocks[name].to_numpy("int64") for name in ("customer_row", "slot_row"))
    out = np.isin(eligibility.eligible_rows, customer[(customer != ANYWHERE) & (slot == ANYWHERE)])
    left = take_eligible(eligibility, np.flatnonzero(~out))
    lawful = left.lawful.copy()
    lawful[:, slot[(customer == ANYWHERE) & (slot != ANYWHERE)]] = False
    position = pd.Index(left.eligible_rows).get_indexer(pd.Index(customer))
    is_pair = (position >= 0) & (slot != ANYWHERE)
    lawful[position[is_pair], slot[is_pair]] = False
    barred = pd.DataFrame({"customer_row": eligibility.eligible_rows[out], "reason": BLOCKED})
    excluded = pd.concat([left.excluded, barred], ignore_index=True) if out.any() else left.excluded
    return take_eligible(left, np.arange(len(left.eligible_rows)), lawful=lawful, excluded=excluded)


def list_pins(pins: pd.DataFrame, eligibility: Eligibility, worth: np.ndarray) -> tuple[IntArray, IntArray]:
    """Find the dial that each pin asks for: (eligible_row, slot_row), -1 for both where none is lawful.

    Parameters
    ----------
    worth : array of shape (n_eligible, n_slots)
        A pin without a slot takes the best of them; -1 where a dial is not lawful.
    """
    wanted = pd.Index(eligibility.eligible_rows).get_indexer(pd.Index(pins["customer_row"])).astype(np.int64)
    slot = pins["slot_row"].to_numpy("int64").copy()
    is_free = (wanted >= 0) & (slot == ANYWHERE)
    if is_free.any():
        slot[is_free] = worth[wanted[is_free]].argmax(axis=1)
    is_lawful = wanted >= 0
    is_lawful[is_lawful] = eligibility.lawful[wanted[is_lawful], slot[is_lawful]]
    return np.where(is_lawful, wanted, -1), np.where(is_lawful, slot, -1)


def tell_unkept(pins: pd.DataFrame, dials: pd.DataFrame, eligibility: Eligibility) -> list[str]:
    """Say for each pin that the plan does not keep why, by its row of the file; customers are not named.

    Parameters
    ----------
    dials
        customer_row · slot_row of the plan.
    """
    if pins.empty:
        return []
    planned = set(zip(dials["customer_row"], dials["slot_row"], strict=True))
    called = set(dials["customer_row"])
    reasons = dict(zip(eligibility.excluded["customer_row"], eligibility.excluded["reason"], strict=True))
    told = []
    for row, customer, slot in pins.loc[pins["row"] > 0, ["row", "customer_row", "slot_row"]].itertuples(index=False):
        if (customer, slot) in planned or (slot == ANYWHERE and customer in called):
            continue
        why = f"the customer is out ({reasons[customer]})" if customer in reasons else _why(eligibility, customer, slot)
        told.append(f"decisions row {row}: the pin is not kept, because {why}")
    return told


def _why(eligibility: Eligibility, customer: int, slot: int) -> str:
    at = np.flatnonzero(eligibility.eligible_rows == customer)
    if len(at) == 0:
        return "the customer is not on the list"
    lawful = eligibility.lawful[at[0]]
    if not (lawful.any() if slot == ANYWHERE else lawful[slot]):
        return "no rule allows a dial then"
    return "its place, or another dial to the same phone, was decided before it"
