"""The rest of a day planned again: what a dial today is still worth beside the dials planned for later days."""

from dataclasses import replace

import numpy as np
import pandas as pd

from models.planning.decisions import Decisions
from models.planning.handling import Effort
from models.planning.sequences import Demand, FloatArray, IntArray


def weigh_today(demand: Demand, later_gain: FloatArray) -> Demand:
    """Value dials of today less what their customers would have brought later anyway.

    A contact today brings v and ends the series, and with it the later dial's gain g above its place; a failed dial
    leaves that gain. A dial today is therefore worth p v + (1 - p) g - g = p (v - g), at least 0.

    Parameters
    ----------
    demand
        Of today's slots.
    later_gain : float64 array of shape (n,)
        Gain of each customer's next planned dial on a later day, see :func:`find_later_gains`; 0 without one.

    Examples
    --------
    >>> from models.planning.sequences import build_single_demand
    >>> demand = build_single_demand(np.full((2, 1), 0.5, dtype="float32"), np.ones((2, 1), dtype=bool))
    >>> weigh_today(demand, np.array([0.0, 0.25])).weight[:, 0].tolist()
    [1.0, 0.75]
    """
    weight = np.maximum(demand.weight - later_gain[:, None], 0.0)
    return replace(demand, weight=np.ascontiguousarray(weight, dtype=np.float32))


def find_later_gains(later: pd.DataFrame, prices: pd.Series, customer_ids: pd.Series, effort: Effort) -> FloatArray:
    """What each customer's next dial on a later day is expected to bring above the price of its places.

    Parameters
    ----------
    later
        customer_id · slot_start · p_keyman · value: the plan's dials on later days.
    prices
        Price of a place by ``slot_start``; unknown counts as 0.
    customer_ids
        Whose gains are asked for.
    effort
        How places are counted.

    Returns
    -------
    float64 array of shape (len(customer_ids),)
        At least 0; 0 for those without a later dial.
    """
    following = later.sort_values("slot_start", kind="stable").drop_duplicates("customer_id")
    price = following["slot_start"].map(prices).fillna(0.0).to_numpy(dtype=float)
    price = price * effort.count_places(following["p_keyman"])
    gain = np.maximum(following["value"].to_numpy(dtype=float) * following["p_keyman"].to_numpy() - price, 0.0)
    by_customer = pd.Series(gain, index=following["customer_id"].astype("str"))
    return customer_ids.astype("str").map(by_customer).fillna(0.0).to_numpy(dtype=float)


def keep_owed(decisions: Decisions, owed: pd.DataFrame, customer_ids: pd.Series, slots: pd.DataFrame) -> Decisions:
    """Pin, after people's pins and promises, the dials that the plan owed (``planning.min_attempts``) and has not made.

    The afternoon is planned without ``min_attempts``, or everybody who is owed a dial on a later day would take today's
    places. The pins added have row 0, and are not told of when they cannot be kept.

    Parameters
    ----------
    owed
        customer_id · slot_start of the plan's dials.
    slots
        Slots that are left.
    """
    customer = pd.Index(customer_ids.astype("str")).get_indexer(pd.Index(owed["customer_id"].astype("str")))
    slot = pd.DatetimeIndex(slots["slot_start"]).get_indexer(pd.DatetimeIndex(owed["slot_start"]))
    pins = pd.DataFrame({"row": 0, "customer_row": customer, "slot_row": slot})[(customer >= 0) & (slot >= 0)]
    return replace(decisions, pins=pd.concat([decisions.pins, pins.astype("int64")], ignore_index=True))


def say_why_not_today(unplanned: pd.DataFrame, dialled_rows: IntArray, later_rows: IntArray) -> pd.DataFrame:
    """Name those who were dialled earlier today, and those whom the plan dials on a later day.

    Parameters
    ----------
    unplanned
        customer_row · reason of the plan for the rest of the day.
    dialled_rows, later_rows
        customer_row of those dialled today, and of those listed for a later day.

    Examples
    --------
    >>> left = pd.DataFrame({"customer_row": [0, 1, 2], "reason": ["no_lawful_slot", "no_capacity", "no_capacity"]})
    >>> say_why_not_today(left, np.array([0]), np.array([0, 2]))["reason"].tolist()
    ['dialled_today', 'no_capacity', 'planned_later']
    """
    reason = unplanned["reason"].to_numpy(dtype=object).copy()
    is_dialled = unplanned["customer_row"].isin(dialled_rows).to_numpy()
    is_later = unplanned["customer_row"].isin(later_rows).to_numpy() & ~is_dialled & (reason == "no_capacity")
    reason[is_dialled], reason[is_later] = "dialled_today", "planned_later"
    return unplanned.assign(reason=reason)
