"""Arms of a plan: which dials were drawn by lot, which are the plan's own, and how likely each was.

The plan is made first, as if nobody explored. Then the winners of the lots (``models.planning.exploring``) are placed,
and the plan's dials after them where they still fit, best first: an explorer's own dials of the day fall away, and
where a slot is full, its least. What that frees on the first day stays free: a fill would make places hang on the
lots of others in a way that no formula tells.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.planning.eligibility import Eligibility
from models.planning.exploring import Lots, draw_lots, find_chances, find_winners
from models.planning.placing import Board, fill_places, lay_board, place_fixed
from models.planning.sequences import Demand, FloatArray, IntArray

PLAN, EXPLORE = "plan", "explore"


@dataclass(frozen=True)
class Given:
    """What is placed before anything is priced.

    Attributes
    ----------
    rows, slots : int64 arrays of shape (n_given,)
        Pins and promised call-backs, pairs (eligible_row, slot_row) in order.
    owed : int64 array of shape (n_phones,)
        Dials that each phone is owed before others are dialled again.
    """

    rows: IntArray
    slots: IntArray
    owed: IntArray


@dataclass(frozen=True)
class Ground:
    """What a plan stands on: worth of dials, places (n_slots,), who may be called when, and what is given.

    Places are dials or agent-seconds, as ``demand`` counts them.
    """

    demand: Demand
    places: IntArray
    eligibility: Eligibility
    given: Given

    def lay_board(self) -> Board:
        """Lay a board with what is given on it."""
        eligible = self.eligibility
        board = lay_board(self.places, self.demand, eligible.phone_group, eligible.attempts_left, eligible.limits)
        place_fixed(board, self.given.rows, self.given.slots, np.zeros(len(self.given.rows), dtype=np.bool_))
        return board


def draw_arms(ground: Ground, share: float, rng: np.random.Generator | None) -> Lots | None:
    """Draw lots for a share of the first day's places, met on average; phones with a pin or a promise take no part.

    None without a generator, a share, or anybody who may be called.
    """
    eligibility = ground.eligibility
    if rng is None or share == 0 or len(eligibility.eligible_rows) == 0 or len(ground.places) == 0:
        return None
    board = ground.lay_board()
    is_firm = np.arange(len(ground.places)) < ground.demand.day_start[1]
    mean, most = measure_slots(ground.demand, eligibility.lawful)
    room = np.where(is_firm, np.floor(np.maximum(board.room, 0) / most), 0)
    is_free = board.n_planned[eligibility.phone_group] == 0
    takes_part = eligibility.lawful & is_free[:, None] & (room > 0)
    return draw_lots(takes_part, eligibility.phone_group, room, ground.places * is_firm * share / mean, rng)


def measure_slots(demand: Demand, lawful: npt.NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Mean and most places that a lawful dial takes in each slot; 1 where there is none. Both (n_slots,)."""
    n, n_slots = lawful.shape
    if len(demand.extra) == 0:
        return np.ones(n_slots), np.ones(n_slots)
    loads = demand.measure_loads(np.arange(n)[:, None], np.arange(n_slots))
    n_lawful = lawful.sum(axis=0)
    mean = np.where(n_lawful > 0, (loads * lawful).sum(axis=0) / np.maximum(n_lawful, 1), 1.0)
    return mean, np.where(n_lawful > 0, (loads * lawful).max(axis=0, initial=0.0), 1.0)


def replay(ground: Ground, planned: IntArray, prices: FloatArray, lots: Lots, without: int = -1) -> Board:
    """Place the winners, then the plan's dials by worth where they still fit; later days are filled up.

    Parameters
    ----------
    planned : int64 array of shape (n_dials, 2)
        (eligible_row, slot_row) of the plan without lots.
    without
        A phone that is taken to win nothing.
    """
    board, demand = ground.lay_board(), ground.demand
    winners = find_winners(lots, without)
    place_fixed(board, lots.row[winners], lots.slot[winners], np.zeros(len(winners), dtype=np.bool_))
    worth = demand.weight[planned[:, 0], 0] * demand.p_first[planned[:, 0], planned[:, 1]]
    again = planned[np.lexsort((planned[:, 0], -worth, planned[:, 1]))]
    place_fixed(board, again[:, 0].copy(), again[:, 1].copy(), np.zeros(len(again), dtype=np.bool_))
    is_later = np.arange(len(ground.places)) >= demand.day_start[1]
    fill_places(board, demand, ground.eligibility.lawful & is_later, prices)
    return board


def add_arms(dials: pd.DataFrame, ground: Ground, planned: IntArray, prices: FloatArray, lots: Lots) -> pd.DataFrame:
    """Arm and propensity of every dial; the formula is in ``models.planning.exploring``.

    Parameters
    ----------
    dials
        eligible_row · slot_row of the plan after the lots.
    planned : int64 array of shape (n_dials, 2)
        (eligible_row, slot_row) before them.
    """
    pair, nothing = find_chances(lots)
    rows, slots = dials["eligible_row"].to_numpy(), dials["slot_row"].to_numpy()
    phones = ground.eligibility.phone_group[rows]
    winners = find_winners(lots)
    n_slots = len(ground.places)
    at = rows * n_slots + slots
    explores = np.isin(at, lots.row[winners] * n_slots + lots.slot[winners])
    chance = pair[phones, slots] * ground.eligibility.lawful[rows, slots] + np.where(explores, 0.0, nothing[phones])
    wanted_anyway = explores & np.isin(at, planned[:, 0] * n_slots + planned[:, 1])
    for dial in np.flatnonzero(wanted_anyway):  # would the plan have kept it, had the phone won nothing?
        board = replay(ground, planned, prices, lots, int(phones[dial]))
        placed = board.dials[: board.n_dials[0]]
        chance[dial] += nothing[phones[dial]] * ((placed[:, 0] * n_slots + placed[:, 1]) == at[dial]).any()
    is_firm = slots < ground.demand.day_start[1]
    return dials.assign(arm=np.where(explores, EXPLORE, PLAN), propensity=np.where(is_firm, chance, 1.0))
