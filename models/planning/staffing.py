"""Staffing: which slots should have more seats and which fewer, what a seat is worth there, and a hint in words."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize

from configs.settings import Settings
from models.planning.placing import fill_places, lay_free_board, place_by_prices, sum_worth
from models.planning.prices import FINER, ROUNDS, SMOOTHING, mean_best, price_demand
from models.planning.schedule import CallPlan
from models.planning.sequences import Demand, FloatArray, IntArray, build_single_demand, sum_soft_values, threads_for

SAMPLE = 4_000  # customers on whom seats are moved and the move is judged
FEW = 2_000  # customers few enough for the finest prices
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
    return recommend_for_demand(build_single_demand(p, lawful), capacity, settings)


def recommend_for_demand(demand: Demand, capacity: npt.NDArray[np.integer], settings: Settings) -> IntArray:
    """Move places between slots so that the plan is worth more.

    Capacity c becomes a variable with 0 <= c_s <= most and sum c <= sum given. The joint dual, over prices and the
    price mu of a place anywhere, is mu · total + sum_s most · max(0, price_s - mu) + the customers' best values;
    smoothed and minimised like the slot prices. Places nobody wants stay where they were.

    Parameters
    ----------
    demand
        What dials are worth; of many customers an even sample is looked at.
    capacity : int array of shape (n_slots,)
        Places given. A slot with none is closed and stays so.
    settings
        ``planning.max_slot_dials``: most places of a slot; default the busiest given one.

    Returns
    -------
    int64 array of shape (n_slots,)
        Recommended places, their sum at most that of the given; the given ones (cut to the most) where moving would
        gain less than 0.5 % by the same estimator.
    """
    given = np.maximum(np.asarray(capacity, dtype=np.int64), 0)
    limit = settings.planning.max_slot_dials
    most = np.where(given > 0, int(given.max(initial=0)) if limit is None else limit, 0)
    start = np.minimum(given, most)
    sample = _take_sample(demand)
    if len(sample.p_first) == 0 or start.sum() == 0 or mean_best(sample) <= 0:
        return start
    share = len(sample.p_first) / len(demand.p_first)
    wanted = _solve_seats(sample, most * share, float(given.sum()) * share) / share
    moved = _round_to_total(wanted, start, most, int(given.sum()))
    gains = _value_places(sample, moved * share) >= (1 + LEAST_GAIN) * _value_places(sample, start * share)
    return moved if gains else start


def _take_sample(demand: Demand) -> Demand:
    every = np.arange(0, len(demand.p_first), max(1, len(demand.p_first) // SAMPLE))
    return Demand(demand.p_first[every], demand.weight[every], demand.most_dials[every], demand.day_start)


def _solve_seats(demand: Demand, most: FloatArray, total: float) -> FloatArray:
    """Places per slot (not whole) at the minimum of the smoothed joint dual over prices and mu, all >= 0."""
    at = np.zeros(len(most) + 1)
    for step in _steps(demand):
        tau = step * mean_best(demand)
        found = minimize(
            _joint_dual,
            at / tau,
            args=(demand, most, total, tau),
            jac=True,
            method="L-BFGS-B",
            bounds=[(0.0, None)] * len(at),
            options={"maxiter": ROUNDS},
        )
        at = np.maximum(found.x, 0.0) * tau
    return most * _share_open((at[:-1] - at[-1]) / tau)


def _steps(demand: Demand) -> tuple[float, ...]:
    return SMOOTHING + FINER if len(demand.p_first) <= FEW else SMOOTHING


def _joint_dual(at: FloatArray, demand: Demand, most: FloatArray, total: float, tau: float) -> tuple[float, FloatArray]:
    prices, floor = at[:-1], at[-1]
    with threads_for(demand):
        value, use = sum_soft_values(
            demand.p_first, demand.weight, demand.most_dials, demand.day_start, prices * tau, tau
        )
    above = prices - floor
    places = most * _share_open(above)
    dual = total * floor + float(most @ np.logaddexp(0.0, above)) + float(value) / tau
    slope = np.append(places - use, total - places.sum())
    scale = max(total, 1.0)
    return dual / scale, slope / scale


def _share_open(above: FloatArray) -> FloatArray:
    opened: FloatArray = 0.5 * (1.0 + np.tanh(above / 2.0))
    return opened


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


def _value_places(demand: Demand, places: npt.NDArray[Any]) -> float:
    whole = np.floor(places + 1e-6).astype(np.int64)
    by_fraction = np.argsort(whole - places, kind="stable")
    whole[by_fraction[: round(float(places.sum())) - int(whole.sum())]] += 1
    prices = price_demand(demand, whole, steps=_steps(demand)).prices
    board = lay_free_board(whole, demand)
    place_by_prices(board, demand, prices)
    fill_places(board, demand, demand.p_first >= 0, prices)
    return sum_worth(board, demand)


def build_staffing(
    slots: pd.DataFrame,
    dials_given: npt.NDArray[np.integer],
    dials_recommended: npt.NDArray[np.integer],
    prices: FloatArray,
    plan: CallPlan,
    settings: Settings,
) -> pd.DataFrame:
    """Lay out staffing.csv: one row per slot.

    Parameters
    ----------
    prices : array of shape (n_slots,)
        Slot prices: contacts (or value) that one more dial would bring.

    Returns
    -------
    DataFrame
        slot_start · dials_given · dials_recommended · agents_recommended (agents) · seat_price (contacts that one more
        agent-hour would bring) · expected_contacts (of the plan) · hint: ``add_seats`` where at least half an agent is
        wanted; where as much is freed, ``break`` in the cheapest such slot of a day, ``training`` in what remains of
        two or more on end, ``one_to_one`` in a single one; else ``hold``.
    """
    dials_per_agent = settings.planning.dials_per_agent_hour * settings.slot_minutes / 60
    reached = np.bincount(
        plan.dials["slot_row"].to_numpy(dtype=np.int64),
        weights=(plan.dials["p_keyman"] * plan.dials["survival"]).to_numpy(dtype=float),
        minlength=len(slots),
    )
    moved_agents = (np.asarray(dials_recommended, dtype=float) - dials_given) / dials_per_agent
    return pd.DataFrame(
        {
            "slot_start": slots["slot_start"].to_numpy() if len(slots) == 0 else slots["slot_start"].array,
            "dials_given": np.asarray(dials_given, dtype=np.int64),
            "dials_recommended": np.asarray(dials_recommended, dtype=np.int64),
            "agents_recommended": np.asarray(dials_recommended, dtype=float) / dials_per_agent,
            "seat_price": np.asarray(prices, dtype=float) * settings.planning.dials_per_agent_hour,
            "expected_contacts": reached,
            "hint": _find_hints(pd.DatetimeIndex(slots["slot_start"]), moved_agents, prices, settings.slot_minutes),
        }
    )


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
