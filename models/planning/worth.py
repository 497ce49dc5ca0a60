"""What dials are worth: p_keyman of first dials everywhere, and the weights of later ones."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pandas as pd

from configs.settings import Settings
from features.contracts import Tables
from features.outcomes import CONTACT, WRONG_NUMBER
from models.planning.eligibility import Eligibility
from models.planning.handling import Effort
from models.planning.prices import SMOOTHING, price_demand
from models.planning.sequences import Demand, FloatArray, IntArray, take_customers

Scorer = Callable[[npt.NDArray[np.int64], int], npt.NDArray[np.float32]]


@runtime_checkable
class SeriesScorer(Protocol):
    """A scorer that also knows what each dial of a known series is worth (``models.contact.scorer.Scorer`` is one)."""

    def __call__(self, customer_rows: IntArray, n_earlier: int) -> npt.NDArray[np.float32]:
        """P(keyman contact) in every slot after ``n_earlier`` failed dials, wherever those stood; (m, n_slots)."""
        ...

    def score_series(self, customer_rows: IntArray, slot_rows: IntArray) -> npt.NDArray[np.float32]:
        """P(keyman contact) of each planned dial given that the customer's earlier ones have failed; (m,)."""
        ...


DEEPEST = 10  # most dials of one series that are weighed against other customers
CHUNK = 20_000  # customers scored at a time where only a sum or a few slots are kept
COARSE = 8_000  # customers on whom the prices behind the weights of a series are found


@dataclass(frozen=True)
class SeriesFacts:
    """What the weights of series take from all customers together, so that the rest is each customer's own affair.

    Attributes
    ----------
    prices : float64 array of shape (n_slots,)
        Coarse prices of single dials.
    fade : float
        Ratio of p_keyman of a second dial to a first, for customers not worth a first.
    stop_rate : float
        Share of dials that end a series without a contact.
    deepest : int
        Most dials of one series that are weighed.
    """

    prices: FloatArray
    fade: float
    stop_rate: float
    deepest: int


def build_demand(
    scorer: Scorer,
    eligibility: Eligibility,
    slots: pd.DataFrame,
    capacity: npt.NDArray[np.integer],
    tables: Tables,
    settings: Settings,
    effort: Effort | None = None,
    first_prices: FloatArray | None = None,
    facts: SeriesFacts | None = None,
) -> Demand:
    """Score first dials everywhere, and later dials where a customer is worth dialling at all.

    A later dial is weighed as ``value · survival_k · fade^k`` times p_keyman of a first dial in its slot: ``fade`` is
    the model's own ratio of a second dial to a first, and survival follows p_keyman in the customer's best slot at
    coarse prices, or ``first_prices``. The weights only steer the search; the plan's p_keyman are scored anew. A dial
    takes the places that ``effort`` says of a first one, by default one. Where these are not all customers, ``facts``
    says what the weights take from all together.
    """
    rows = eligibility.eligible_rows
    value = np.maximum(tables.customers["value"].to_numpy(dtype=np.float32)[rows], 0)
    p_first = np.where(eligibility.lawful, scorer(rows, 0), np.float32(-1)).astype(np.float32, copy=False)
    day_start = _start_of_days(slots, settings)
    deepest = facts.deepest if facts else _count_deepest(day_start, eligibility)
    most = np.minimum(eligibility.attempts_left, deepest)
    once = _demand_once(p_first, value, effort)
    weight: npt.NDArray[np.floating] = once.weight
    prices = facts.prices if facts else first_prices
    if deepest > 1 and len(rows):
        if prices is None:
            prices = price_first_dials(once, np.asarray(capacity, dtype=np.int64))
        best_slot, is_wanted = _find_first_choice(once, prices)
        fade = _measure_fade(scorer, rows, p_first, is_wanted, facts.fade if facts else None)
        p_best = np.maximum(p_first[np.arange(len(rows)), best_slot], 0)
        weight = _weigh_depths(value, p_best, fade, facts.stop_rate if facts else rate_of_stops(tables), deepest)
    weight = np.ascontiguousarray(weight, dtype=np.float32)
    near = np.zeros(0) if prices is None else prices
    return replace(once, weight=weight, most_dials=most.astype(np.int64), day_start=day_start, near=near)


def learn_series_facts(
    scorer: Scorer,
    eligibility: Eligibility,
    slots: pd.DataFrame,
    capacity: npt.NDArray[np.integer],
    tables: Tables,
    settings: Settings,
    effort: Effort | None = None,
) -> SeriesFacts:
    """Learn the facts from the same even sample of customers that the coarse prices are found on.

    Inputs are those of :func:`build_demand`; ``fade`` alone may differ from what all customers would say.
    """
    n, deepest = len(eligibility.eligible_rows), _count_deepest(_start_of_days(slots, settings), eligibility)
    if n == 0:
        return SeriesFacts(np.zeros(len(slots)), 1.0, rate_of_stops(tables), deepest)
    every = np.arange(0, n, max(1, n // COARSE))
    rows, lawful = eligibility.eligible_rows[every], eligibility.lawful[every]
    value = np.maximum(tables.customers["value"].to_numpy(dtype=np.float32)[rows], 0)
    p_first = np.where(lawful, scorer(rows, 0), np.float32(-1)).astype(np.float32, copy=False)
    places = np.floor(np.asarray(capacity) * (len(every) / n)).astype(np.int64)
    once = _demand_once(p_first, value, effort)
    prices = price_first_dials(once, places)
    is_wanted = _find_first_choice(once, prices)[1]
    fade = _measure_fade(scorer, rows[is_wanted], p_first[is_wanted], is_wanted[is_wanted])
    return SeriesFacts(prices, float(np.median(fade)) if len(fade) else 1.0, rate_of_stops(tables), deepest)


def _count_deepest(day_start: IntArray, eligibility: Eligibility) -> int:
    """Most dials of one series that are worth weighing: at most one a day, and no more than anybody has left."""
    return min(len(day_start) - 1, DEEPEST, int(eligibility.attempts_left.max(initial=1)))


def _demand_once(p_first: npt.NDArray[np.float32], value: npt.NDArray[np.float32], effort: Effort | None) -> Demand:
    """One dial per customer in the whole horizon."""
    n, n_slots = p_first.shape
    single = Demand(p_first, value[:, None], np.ones(n, dtype=np.int64), np.array([0, n_slots], dtype=np.int64))
    if effort is None or effort.times is None:
        return single
    none, certain = effort.count_places([0.0, 1.0])
    return replace(single, base=np.full(n, none), extra=np.full(n, certain - none))


def _start_of_days(slots: pd.DataFrame, settings: Settings) -> IntArray:
    local = pd.DatetimeIndex(slots["slot_start"]).tz_convert(settings.timezone).tz_localize(None).normalize()
    starts = np.flatnonzero(np.append(True, np.diff(local.asi8) != 0)) if len(local) else np.zeros(0)
    return np.append(starts, len(local)).astype(np.int64)


def _find_first_choice(demand: Demand, prices: FloatArray) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Best slot of a single dial at coarse prices, and who is worth one."""
    p_first = demand.p_first
    best_slot = np.zeros(len(p_first), dtype=np.int64)
    is_wanted = np.zeros(len(p_first), dtype=np.bool_)
    slots = np.arange(p_first.shape[1])
    for first in range(0, len(p_first), CHUNK):
        part = np.arange(first, min(first + CHUNK, len(p_first)))
        loads = demand.measure_loads(part[:, None], slots).astype(np.float32)
        cost = prices.astype(np.float32) * loads
        margin = np.where(p_first[part] >= 0, p_first[part] * demand.weight[part] - cost, -np.inf)
        best_slot[part] = margin.argmax(axis=1)
        is_wanted[part] = margin.max(axis=1) >= 0
    return best_slot, is_wanted


def price_first_dials(demand: Demand, capacity: IntArray) -> FloatArray:
    """Coarse prices of the slots for one dial per customer, from an even sample of them; (n_slots,)."""
    n = len(demand.p_first)
    every = np.arange(0, n, max(1, n // COARSE))
    places = np.floor(capacity * (len(every) / n)).astype(np.int64)
    return price_demand(take_customers(demand, every), places, steps=SMOOTHING).prices


def _measure_fade(
    scorer: Scorer,
    rows: IntArray,
    p_first: npt.NDArray[np.float32],
    is_wanted: npt.NDArray[np.bool_],
    otherwise: float | None = None,
) -> FloatArray:
    """Ratio of p_keyman of a second dial to a first, 0 to 1, per customer.

    For those not worth a first it is ``otherwise``, by default the median of the others.
    """
    fade = np.full(len(rows), np.nan)
    wanted = np.flatnonzero(is_wanted)
    for first in range(0, len(wanted), CHUNK):
        part = wanted[first : first + CHUNK]
        lawful = p_first[part] >= 0
        second = np.where(lawful, scorer(rows[part], 1), 0).sum(axis=1, dtype=float)
        once = np.where(lawful, p_first[part], 0).sum(axis=1, dtype=float)
        fade[part] = np.clip(second / np.where(once > 0, once, np.inf), 0, 1)
    if otherwise is None:
        otherwise = float(np.nanmedian(fade)) if len(wanted) else 1.0
    return np.where(np.isnan(fade), otherwise, fade)


def _weigh_depths(
    value: npt.NDArray[np.float32], p_best: npt.NDArray[np.float32], fade: FloatArray, stop_rate: float, deepest: int
) -> FloatArray:
    weight = np.empty((len(value), deepest))
    chance, faded = value.astype(float), np.ones(len(value))
    for depth in range(deepest):
        weight[:, depth] = chance * faded
        chance = chance * np.clip(1 - p_best * faded - stop_rate, 0, 1)
        faded = faded * fade
    return weight


def rate_of_stops(tables: Tables) -> float:
    """Share of dials that end a series without a contact: a refusal by another, or a wrong number."""
    attempts = tables.call_attempts
    if len(attempts) == 0:
        return 0.0
    ends = (attempts["refused"].to_numpy(dtype=bool) & (attempts["outcome"] != CONTACT)) | (
        attempts["outcome"] == WRONG_NUMBER
    )
    return float(ends.mean())
