"""Staffing: which slots should have more seats and which fewer, what a seat is worth there, and a hint in words."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from configs.settings import Settings
from models.planning.handling import Effort, count_in_dials
from models.planning.placing import fill_places, lay_free_board, place_by_prices, sum_worth
from models.planning.prices import ROUNDS, mean_best, price_demand, steps_for
from models.planning.sample import Sample, take_sample
from models.planning.schedule import CallPlan
from models.planning.sequences import (
    Demand,
    FloatArray,
    IntArray,
    build_single_demand,
)

LEAST_GAIN = 0.005  # a smaller gain is not worth moving people for
LEAST_AGENTS = 0.5  # half an agent freed or wanted for the slot is the least that a hint speaks of


def recommend_dials(
    p: npt.NDArray[np.float32], lawful: npt.NDArray[np.bool_], capacity: npt.NDArray[np.integer], settings: Settings
) -> IntArray:
    """Recommend places per slot where every customer gets one dial; see ``recommend_for_demand``.

    Parameters
    ----------
    p : array of shape (n, n_slots)
        Value times p_keyman.

    Examples
    --------
    Both are home in the second hour, so one place moves there.

    >>> p = np.array([[0.1, 0.4], [0.1, 0.3]], dtype="float32")
    >>> settings = Settings.model_validate({"planning": {"max_slot_dials": 2}})
    >>> recommend_dials(p, p > 0, np.array([1, 1]), settings).tolist()
    [0, 2]
    """
    return recommend_for_demand(take_sample(build_single_demand(p, lawful)), capacity, settings)[0]


@dataclass(frozen=True)
class SeatBounds:
    """Fewest and most places of each slot; where they are equal the slot stays as it is. int64 (n_slots,) each."""

    least: IntArray
    most: IntArray


@dataclass(frozen=True)
class Worth:
    """What places are worth when the best use is made of them.

    Attributes
    ----------
    value, contacts : float
        Of the dials in them: in value, and in keyman contacts.
    prices : float64 array of shape (n_slots,)
        Value that one more place in each slot would bring.
    """

    value: float
    contacts: float
    prices: FloatArray


def bound_seats(
    capacity: npt.NDArray[np.integer],
    settings: Settings,
    slot_starts: pd.DatetimeIndex | None = None,
    effort: Effort | None = None,
) -> SeatBounds:
    """Read from the settings how few and how many places each slot may have.

    Parameters
    ----------
    capacity : int array of shape (n_slots,)
        Places given. A slot with none is closed and stays so; no other gets more than the busiest given one, or than
        the settings say. Where the fewest are more than the most, the most hold.
    slot_starts
        In the centre's zone; without them no day is frozen and no weekday has its own number of agents.
    effort
        How places are counted, by default in dials.

    Examples
    --------
    >>> settings = Settings.model_validate({"staffing": {"min_agents": 1, "max_agents": 3}})
    >>> bounds = bound_seats(np.array([24, 0, 60]), settings)
    >>> bounds.least.tolist(), bounds.most.tolist()
    ([12, 0, 12], [36, 0, 36])
    """
    given = np.maximum(np.asarray(capacity, dtype=np.int64), 0)
    effort = effort or count_in_dials(settings)
    staffing, per_agent = settings.staffing, effort.per_agent_hour * settings.slot_minutes / 60
    stated = [_most_places(settings, effort)]
    stated += [None if staffing.max_agents is None else math.floor(staffing.max_agents * per_agent)]
    limits = [limit for limit in stated if limit is not None] or [int(given.max(initial=0))]
    most = np.full(len(given), min(limits), dtype=np.int64)
    if slot_starts is not None:
        agents = np.array([staffing.count_agents(weekday) for weekday in slot_starts.day_of_week])
        most = np.minimum(most, np.floor(np.minimum(agents * per_agent, most)).astype(np.int64))
    most = np.where(given > 0, most, 0)
    least = np.minimum(np.where(given > 0, math.ceil(staffing.min_agents * per_agent), 0), most)
    frozen = find_frozen(len(given), settings, slot_starts)
    return SeatBounds(np.where(frozen, given, least), np.where(frozen, given, most))


def _most_places(settings: Settings, effort: Effort) -> int | None:
    """Places in which no more dials than ``max_slot_dials`` can be made, whomever they reach."""
    most = settings.planning.max_slot_dials
    return None if most is None else math.floor(most * float(effort.count_places([0.0, 1.0]).min()))


def find_frozen(n_slots: int, settings: Settings, slot_starts: pd.DatetimeIndex | None) -> npt.NDArray[np.bool_]:
    """Whether each slot lies on one of the first days, whose seats stay as given; (n_slots,) bool."""
    n_days = settings.staffing.n_frozen_days
    if slot_starts is None or n_slots == 0 or n_days == 0:
        return np.zeros(n_slots, dtype=np.bool_)
    days = slot_starts.tz_localize(None).normalize()
    return np.asarray(days < days[0] + pd.Timedelta(days=n_days), dtype=np.bool_)


def recommend_for_demand(
    sample: Sample,
    capacity: npt.NDArray[np.integer],
    settings: Settings,
    bounds: SeatBounds | None = None,
    before: Worth | None = None,
) -> tuple[IntArray, Worth]:
    """Move places between slots so that the plan is worth more.

    Capacity c becomes a variable with least <= c_s <= most and sum c <= sum given. The joint dual, over prices and the
    price mu of a place anywhere, is mu · total + sum_s (least_s (price_s - mu) + (most_s - least_s) max(0, price_s -
    mu)) + the customers' best values; smoothed and minimised like the slot prices. Places nobody wants stay where they
    were.

    Parameters
    ----------
    sample
        What dials are worth.
    capacity : int array of shape (n_slots,)
        Places given. A slot with none is closed and stays so.
    bounds
        Of each slot; by default those of ``bound_seats`` without frozen days.
    before
        What the given places are worth (``judge_places`` on the same sample), when it is at hand already.

    Returns
    -------
    places : int64 array of shape (n_slots,)
        Recommended, their sum at most that of the given; the given ones (brought within the bounds) where
        moving would gain less than 0.5 % by the same estimator. Where the total does not reach the fewest of every
        slot, the busiest given slots have theirs first.
    worth
        Of these places to the sample.
    """
    given = np.maximum(np.asarray(capacity, dtype=np.int64), 0)
    total = int(given.sum())
    bounds = bounds or bound_seats(given, settings)
    least = _cut_to_total(bounds.least, given, total)
    most = np.maximum(bounds.most, least)
    start = _round_to_total(least.astype(float), np.clip(given, least, most), most, total)
    demand, share = sample.demand, sample.share
    known = before if before is not None and np.array_equal(start, given) else judge_places(demand, start * share)
    if len(demand.p_first) == 0 or start.sum() == 0 or mean_best(demand) <= 0:
        return start, known
    bounds_of_sample = (least * share, most * share, total * share)
    wanted = _fit_total(solve_seats(demand, *bounds_of_sample, known.prices) / share, least, total)
    moved = _round_to_total(wanted, start, most, total)
    worth = judge_places(demand, moved * share, known.prices)
    return (moved, worth) if worth.value >= (1 + LEAST_GAIN) * known.value else (start, known)


def _cut_to_total(least: IntArray, given: IntArray, total: int) -> IntArray:
    """The fewest of each slot as far as the total reaches: what is given already, then the busiest slots first."""
    kept = np.minimum(least, given)
    order = np.lexsort((np.arange(len(given)), -given))
    asked = (least - kept)[order]
    raised = np.clip(total - int(kept.sum()) - np.cumsum(asked) + asked, 0, asked)
    reached: IntArray = kept.copy()
    reached[order] += raised
    return reached


def solve_seats(
    demand: Demand, least: npt.NDArray[Any], most: npt.NDArray[Any], total: float, near: FloatArray
) -> FloatArray:
    """Places per slot (not whole) at the minimum of the smoothed joint dual over prices and mu, all >= 0.

    The search begins at prices that are ``near``, such as those of the places as given.
    """
    at = np.append(near, near.mean())
    for step in steps_for(demand.shape[0], is_near=True):
        tau = step * mean_best(demand)
        unit = tau / demand.mean_load()
        asked = (demand, least, most, total, tau, unit)
        bounds, options = [(0.0, None)] * len(at), {"maxiter": ROUNDS}
        with threadpool_limits(1, "blas"):  # as in prices
            found = minimize(_joint_dual, at / unit, asked, "L-BFGS-B", jac=True, bounds=bounds, options=options)
        at = np.maximum(found.x, 0.0) * unit
    places: FloatArray = least + (most - least) * _share_open((at[:-1] - at[-1]) / unit)
    return places


def _joint_dual(
    at: FloatArray, demand: Demand, least: FloatArray, most: FloatArray, total: float, tau: float, unit: float
) -> tuple[float, FloatArray]:
    prices, floor = at[:-1], at[-1]
    value, use = demand.sum_soft(prices * unit, tau)
    above = prices - floor
    places = least + (most - least) * _share_open(above)
    opened = float(least @ above) + float((most - least) @ np.logaddexp(0.0, above))
    dual = total * floor + opened + value / unit
    slope = np.append(places - use, total - places.sum())
    scale = max(total, 1.0)
    return dual / scale, slope / scale


def _share_open(above: FloatArray) -> FloatArray:
    opened: FloatArray = 0.5 * (1.0 + np.tanh(above / 2.0))
    return opened


def _fit_total(wanted: FloatArray, least: IntArray, total: int) -> FloatArray:
    """Lower what is wanted above the fewest where a search that stopped early wants more than the total."""
    if np.floor(wanted + 1e-6).sum() <= total:
        return wanted
    fitted: FloatArray = least + (wanted - least) * (total - least.sum()) / (wanted.sum() - least.sum())
    return fitted


def _round_to_total(wanted: FloatArray, start: IntArray, most: IntArray, total: int) -> IntArray:
    """Whole places: first what is wanted, then what is left over back to where it was given."""
    whole = np.minimum(np.floor(wanted + 1e-6).astype(np.int64), most)
    rest = min(total, max(int(whole.sum()), round(float(wanted.sum())))) - int(whole.sum())
    by_fraction = np.lexsort((np.arange(len(whole)), whole - wanted))
    by_fraction = by_fraction[(whole < most)[by_fraction]]
    whole[by_fraction[:rest]] += 1
    missing = np.maximum(start - whole, 0)
    spare = min(total - int(whole.sum()), int(missing.sum()))
    if spare > 0:
        back = np.floor(missing * (spare / missing.sum())).astype(np.int64)
        short = np.flatnonzero(missing > back)[: spare - int(back.sum())]
        back[short] += 1
        whole += back
    return whole


def round_places(places: npt.NDArray[Any]) -> IntArray:
    """Whole places with the same total, the largest fractions rounded up.

    >>> round_places(np.array([0.5, 1.7, 0.8])).tolist()
    [0, 2, 1]
    """
    whole = np.floor(places + 1e-6).astype(np.int64)
    by_fraction = np.argsort(whole - places, kind="stable")
    whole[by_fraction[: round(float(places.sum())) - int(whole.sum())]] += 1
    return whole


def judge_places(demand: Demand, places: npt.NDArray[Any], near: FloatArray | None = None) -> Worth:
    """Worth of the best plan found on the given places (rounded to whole ones), rules of days and caps kept.

    The search for prices begins at those that are ``near``, by default at the demand's own.
    """
    whole = round_places(places)
    prices = price_demand(demand, whole, near).prices
    board = lay_free_board(whole, demand)
    place_by_prices(board, demand, prices)
    fill_places(board, demand, demand.p_first >= 0, prices)
    once = np.eye(1, demand.weight.shape[1], dtype=np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        reached = np.where(demand.weight[:, :1] > 0, demand.weight / demand.weight[:, :1], once)
    return Worth(sum_worth(board, demand), sum_worth(board, replace(demand, weight=reached)), prices)


def build_staffing(
    slots: pd.DataFrame,
    places_given: npt.NDArray[np.integer],
    places_recommended: npt.NDArray[np.integer],
    prices: FloatArray,
    plan: CallPlan,
    settings: Settings,
    away: pd.DataFrame | None = None,
    effort: Effort | None = None,
) -> pd.DataFrame:
    """Lay out staffing.csv: one row per slot.

    Parameters
    ----------
    places_given, places_recommended : int arrays of shape (n_slots,)
    prices : array of shape (n_slots,)
        Slot prices: contacts (or value) that one more place would bring.
    away
        Of the roster that the recommendation follows: slot_start · breaks · training · one_to_ones (agent-hours).
    effort
        How places are counted, by default in dials. Agent-seconds are told in dials as long as the plan's in the slot.

    Returns
    -------
    DataFrame
        slot_start · dials_given · dials_recommended · agents_recommended (agents) · seat_price (contacts that one more
        agent-hour would bring) · expected_contacts (of the plan) · hint: ``add_seats`` where at least half an agent is
        wanted; where as much is freed, ``break`` in the cheapest such slot of a day, ``training`` in what remains of
        two or more on end, ``one_to_one`` in a single one; else ``hold``. With a roster: what at least half an agent
        is away for in it, mostly.
    """
    effort = effort or count_in_dials(settings)
    per_agent = effort.per_agent_hour * settings.slot_minutes / 60
    recommended = np.asarray(places_recommended, dtype=float)
    reached = np.bincount(
        plan.dials["slot_row"].to_numpy(dtype=np.int64),
        weights=(plan.dials["p_keyman"] * plan.dials["survival"]).to_numpy(dtype=float),
        minlength=len(slots),
    )
    per_dial = _measure_dials(plan, len(slots), effort)
    moved_agents = (recommended - places_given) / per_agent
    starts = pd.DatetimeIndex(slots["slot_start"])
    if away is None:
        hints = _find_hints(starts, moved_agents, prices, settings.slot_minutes)
    else:
        hints = _read_hints(starts, moved_agents, away, settings.slot_minutes)
    return pd.DataFrame(
        {
            "slot_start": slots["slot_start"].to_numpy() if len(slots) == 0 else slots["slot_start"].array,
            "dials_given": _count_whole(places_given, per_dial),
            "dials_recommended": _count_whole(recommended, per_dial),
            "agents_recommended": recommended / per_agent,
            "seat_price": np.asarray(prices, dtype=float) * effort.per_agent_hour,
            "expected_contacts": reached,
            "hint": hints,
        }
    )


def _measure_dials(plan: CallPlan, n_slots: int, effort: Effort) -> FloatArray:
    """Places that the plan's dials take on average in each slot; in slots without dials, those of all its dials."""
    if effort.times is None or len(plan.dials) == 0:
        return np.full(n_slots, float(effort.count_places(0.0)))
    slot_row, taken = plan.dials["slot_row"].to_numpy(dtype=np.int64), plan.dials["places"].to_numpy(dtype=float)
    n_dials = np.bincount(slot_row, minlength=n_slots)
    return np.where(n_dials > 0, np.bincount(slot_row, taken, n_slots) / np.maximum(n_dials, 1), taken.mean())


def _count_whole(places: npt.ArrayLike, per_dial: FloatArray) -> IntArray:
    return np.floor(np.asarray(places, dtype=float) / per_dial + 1e-6).astype(np.int64)


def _find_hints(
    starts: pd.DatetimeIndex, moved_agents: FloatArray, prices: FloatArray, slot_minutes: int
) -> npt.NDArray[Any]:
    hints = np.where(moved_agents >= LEAST_AGENTS, "add_seats", "hold").astype("<U10")
    is_freed = moved_agents <= -LEAST_AGENTS
    day = starts.tz_localize(None).normalize().asi8
    for today in np.unique(day[is_freed]):
        freed = np.flatnonzero(is_freed & (day == today))
        cheapest = freed[np.argmin(prices[freed])]
        rest = freed[freed != cheapest]
        minute = (starts[rest].hour * 60 + starts[rest].minute).to_numpy()
        follows = np.diff(minute) == slot_minutes
        in_block = np.append(follows, False) | np.append(False, follows)
        hints[rest] = np.where(in_block[: len(rest)], "training", "one_to_one")
        hints[cheapest] = "break"
    return hints


def _read_hints(
    starts: pd.DatetimeIndex, moved_agents: FloatArray, away: pd.DataFrame, slot_minutes: int
) -> npt.NDArray[Any]:
    """Hints that a roster bears out: seats added, else what most agents are away for."""
    kinds = {"breaks": "break", "training": "training", "one_to_ones": "one_to_one"}
    agents = away.set_index("slot_start")[list(kinds)].reindex(starts).fillna(0.0).to_numpy() * 60 / slot_minutes
    mostly = np.array(list(kinds.values()))[agents.argmax(axis=1)] if len(agents) else np.zeros(0, dtype="<U10")
    hints = np.where(agents.max(axis=1, initial=0.0) >= LEAST_AGENTS, mostly, "hold").astype("<U10")
    return np.where(moved_agents >= LEAST_AGENTS, "add_seats", hints)
