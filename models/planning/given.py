"""What is placed before anything is priced: people's pins, promised call-backs, and dials that are owed."""

import numpy as np
import pandas as pd

from configs.settings import Settings
from features.contracts import Tables
from models.planning.arms import Given, Ground
from models.planning.decisions import list_pins
from models.planning.eligibility import Eligibility
from models.planning.outlook import Outlook
from models.planning.placing import Board, place_fixed, place_owed
from models.planning.sequences import Demand, IntArray


def list_given(
    pins: pd.DataFrame,
    demand: Demand,
    outlook: Outlook,
) -> Given:
    """People's pins in the order of their file, promised call-backs, the plan's own pins; and dials owed to phones."""
    eligibility = outlook.eligibility
    pinned, pinned_slots = list_pins(pins, eligibility, demand.p_first)
    customers, promised = list_promises(eligibility, outlook.slots, outlook.tables, outlook.settings)
    had = np.full(int(eligibility.phone_group.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(had, eligibility.phone_group, eligibility.attempt_number)
    is_kept, is_own = pinned >= 0, pins["row"].to_numpy() == 0
    first, last = is_kept & ~is_own, is_kept & is_own
    return Given(
        rows=np.concatenate([pinned[first], customers, pinned[last]]),
        slots=np.concatenate([pinned_slots[first], promised, pinned_slots[last]]),
        owed=np.maximum(outlook.settings.planning.min_attempts - had, 0),
    )


def find_owed(ground: Ground) -> IntArray:
    """Find dials for the phones that are owed some: (customer, slot), (n_dials, 2)."""
    return place_owed(ground.lay_board(), ground.demand, ground.eligibility.lawful, ground.given.owed)


def lay_given(ground: Ground, owed: IntArray) -> Board:
    """Lay a board with all that is placed before anything is priced: what is given, and the dials that are owed."""
    board = ground.lay_board()
    place_fixed(board, owed[:, 0], owed[:, 1], np.zeros(len(owed), dtype=np.bool_))
    return board


def list_promises(
    eligibility: Eligibility, slots: pd.DataFrame, tables: Tables, settings: Settings
) -> tuple[IntArray, IntArray]:
    """Promised call-backs that a lawful slot of the horizon holds: (eligible_row, slot_row), by time, then customer."""
    times = pd.DatetimeIndex(tables.customers["callback_at"].iloc[eligibility.eligible_rows]).as_unit("us")
    starts = pd.DatetimeIndex(slots["slot_start"]).as_unit("us").asi8
    slot = np.searchsorted(starts, times.asi8, side="right") - 1
    length = settings.slot_minutes * 60_000_000
    is_inside = np.asarray(times.notna()) & (slot >= 0)
    is_inside[is_inside] = times.asi8[is_inside] < starts[slot[is_inside]] + length
    rows = np.flatnonzero(is_inside)
    rows = rows[eligibility.lawful[rows, slot[rows]]]
    rows = rows[np.lexsort((rows, times.asi8[rows]))]
    return rows.astype(np.int64), slot[rows].astype(np.int64)
