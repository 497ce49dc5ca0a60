"""The control arm: a share of the customers is called the past way, so that gains can be measured by experiment.

Who belongs to it is drawn once and for all, by a hash of the seed and the customer (all customers of one phone go
together). Its customers compete for no place of the plan; on the first day they get their share of every slot's places,
and who of them is called when follows the log: with n_s of these places in slot s,

    r_is = n_s · w_is / Σ_j w_js,    w_is = share of i's segment among the log's dials in s / customers of the segment,

scaled down where Σ_s r_is exceeds 1. Each draws at most one slot, s with chance r_is, and a key; where a slot has too
little room the smallest keys win. So the chance of a dial, given the arm and what the others drew, is r_is times the
chance that its key is small enough, exactly as for ``models.planning.exploring``.
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.planning.arms import Given, Ground, measure_slots
from models.planning.exploring import Lots, find_chances, find_winners
from models.planning.outlook import Outlook
from models.planning.past_way import code_segments, read_past_way
from models.planning.sequences import FloatArray, IntArray

CONTROL = "control"
_SOME = 1e-9  # weight of a customer whose segment the log never called in the slot


@dataclass(frozen=True)
class Control:
    """The dials of the control arm.

    Attributes
    ----------
    rows, slots : int64 arrays of shape (n_dials,)
        (eligible_row, slot_row) of each.
    propensity : float64 array of shape (n_dials,)
        Chance of the dial, given the arm.
    """

    rows: IntArray
    slots: IntArray
    propensity: FloatArray


def find_control(customers: pd.DataFrame, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Whether each customer belongs to the control arm, the same every night; (n_customers,).

    >>> customers = pd.DataFrame({"customer_id": ["a", "b", "c"], "phone": [None, "1", "1"]})
    >>> find_control(customers, 0.5, 1).tolist()
    [False, True, True]
    """
    names = customers["customer_id"].astype("str")
    if "phone" in customers:
        names = ("phone " + customers["phone"].astype("str")).where(customers["phone"].notna(), names)
    drawn = [int.from_bytes(hashlib.blake2b(f"{seed}|{name}".encode(), digest_size=8).digest()) for name in names]
    return np.array(drawn, dtype=np.float64) / 2.0**64 < share


def set_control_apart(
    ground: Ground, outlook: Outlook, rng: np.random.Generator | None
) -> tuple[Ground, Control | None]:
    """Give the control arm its dials of the first day and its share of later places, and the plan what is left.

    Nothing changes without a generator or ``planning.control_share``.
    """
    eligible, tables, slots, settings = ground.eligibility, outlook.tables, outlook.slots, outlook.settings
    if rng is None or settings.planning.control_share == 0 or len(eligible.eligible_rows) == 0 or len(slots) == 0:
        return ground, None
    everybody = find_control(tables.customers, settings.planning.control_share, settings.seed)
    is_control = everybody[eligible.eligible_rows]
    segment = code_segments(tables.customers, settings)
    shares = read_past_way(tables.call_attempts, segment, slots, settings)
    control = draw_control(ground, is_control, shares, segment[eligible.eligible_rows], rng)
    is_later = np.arange(len(slots)) >= ground.demand.day_start[1]
    kept = np.where(is_later, 1 - is_control.mean(), 1.0)
    given = ground.given
    rest = Ground(
        demand=replace(ground.demand, most_dials=np.where(is_control, 0, ground.demand.most_dials)),
        places=np.floor(ground.places * kept).astype(np.int64),
        eligibility=replace(eligible, lawful=eligible.lawful & ~is_control[:, None]),
        given=Given(
            np.concatenate([given.rows, control.rows]), np.concatenate([given.slots, control.slots]), given.owed
        ),
    )
    return rest, control


def draw_control(
    ground: Ground, is_control: npt.NDArray[np.bool_], shares: FloatArray, segment: IntArray, rng: np.random.Generator
) -> Control:
    """Draw the control arm's dials of the first day; phones with a pin or a promise take no part.

    Parameters
    ----------
    is_control : bool array of shape (n_eligible,)
    shares : float64 array of shape (n_slots, n_segments)
        Of each segment among the log's dials in the slot (``models.planning.past_way.read_past_way``).
    segment : int array of shape (n_eligible,)
    """
    board, eligible, firm = ground.lay_board(), ground.eligibility, slice(0, int(ground.demand.day_start[1]))
    mean, most = measure_slots(ground.demand, eligible.lawful)
    room = np.floor(np.maximum(board.room, 0) / most).astype(np.int64)[firm]
    rows = np.flatnonzero(is_control & (board.n_planned[eligible.phone_group] == 0))
    rows = rows[np.unique(eligible.phone_group[rows], return_index=True)[1]]
    wanted = is_control.mean() * ground.places[firm] / mean[firm]
    chance = spread_past_way(shares[firm], segment[rows], eligible.lawful[rows, firm] & (room > 0), wanted)
    reached = chance.cumsum(axis=1)
    slot = (rng.random(len(rows))[:, None] >= reached).sum(axis=1)
    slot = np.where(slot < chance.shape[1], slot, -1)
    n_pairs = (chance > 0).astype(np.int64)
    lots = Lots(room, np.ones(len(room)), n_pairs, rows, slot, rng.random(len(rows)), chance)
    winners = find_winners(lots)
    return Control(rows[winners], slot[winners], find_chances(lots)[0][winners, slot[winners]])


def spread_past_way(
    shares: FloatArray, segment: IntArray, lawful: npt.NDArray[np.bool_], wanted: FloatArray
) -> FloatArray:
    """Chance of each customer to be called in each slot if ``wanted`` dials are made there as the log made them.

    Returns
    -------
    float64 array of shape (n, n_slots)
        Rows sum to 1 at most.

    Examples
    --------
    The log called segment 0 three times as often; the second customer's hour is barred for the third.

    >>> lawful = np.array([[True], [True], [False]])
    >>> spread_past_way(np.array([[0.75, 0.25]]), np.array([0, 1, 1]), lawful, np.array([1.0])).round(2).tolist()
    [[0.75], [0.25], [0.0]]
    """
    n_of_segment = np.stack([np.bincount(segment[free], minlength=shares.shape[1]) for free in lawful.T], axis=1)
    weight = shares.T[segment] / np.maximum(n_of_segment[segment], 1) + _SOME
    weight = np.where(lawful, weight, 0.0)
    chance = np.minimum(weight * (wanted / np.maximum(weight.sum(axis=0), _SOME)), 1.0)
    return np.asarray(chance / np.maximum(chance.sum(axis=1, keepdims=True), 1.0))


def mark_control(dials: pd.DataFrame, control: Control, n_slots: int) -> pd.DataFrame:
    """Name the arm of the control arm's dials and their propensity."""
    order = np.argsort(control.rows * n_slots + control.slots, kind="stable")
    drawn = (control.rows * n_slots + control.slots)[order]
    at = (dials["eligible_row"] * n_slots + dials["slot_row"]).to_numpy()
    found = np.searchsorted(drawn, at)
    is_control = np.append(drawn, -1)[found] == at
    arm, propensity = dials["arm"].to_numpy(dtype=object).copy(), dials["propensity"].to_numpy().copy()
    arm[is_control] = CONTROL
    propensity[is_control] = control.propensity[order][found[is_control]]
    return dials.assign(arm=arm, propensity=propensity)
