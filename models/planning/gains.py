"""What the plan gains over the past way of calling, split into timing, list and staffing, without flattering itself.

The best of many noisy predictions looks better than it is (the winner's curse). So the plan that is judged here is
chosen by one model and valued by another that learned from other customers, both ways round. The past way fills the
given places as the log did: the share of segments per slot, customers at random within. Ratios are of keyman contacts
per dial made; intervals (90 %) come from resampling customers and from which of the two models judges.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from configs.settings import Settings
from features.contracts import Tables
from features.slots import add_slot_features
from models.contact.encoding import build_encoding
from models.planning.eligibility import Eligibility
from models.planning.rules import RulePack
from models.planning.schedule import Scorer, build_call_plan

MOST_CUSTOMERS = 40_000
"""Customers on whom gains are measured; of more, a random sample, with places in proportion."""

_PAST_DAYS = 56
_DEEPEST = 4
_SOME = 1e-9  # weight of a customer whose segment was never dialled in the slot: taken last


@dataclass(frozen=True)
class _Ground:
    """Where all ways of calling are compared: the same customers, slots and places."""

    eligibility: Eligibility
    shares: np.ndarray
    segment: np.ndarray
    day: np.ndarray
    given: np.ndarray
    obeyed: np.ndarray


def measure_gains(
    scorers: tuple[Scorer, Scorer],
    eligibility: Eligibility,
    slots: pd.DataFrame,
    given: np.ndarray,
    obeyed: np.ndarray,
    tables: Tables,
    settings: Settings,
    packs: Sequence[RulePack],
    rng: np.random.Generator,
) -> dict[str, dict[str, Any]]:
    """Measure the gains of a plan made and judged by two models of different customers.

    Parameters
    ----------
    scorers
        Two models, each fitted on half of the customers: one chooses, the other values, and the other way round.
    eligibility
        Who may be called, as of the night.
    slots
        Slots of the horizon (``features.slots.build_slots``).
    given, obeyed : (n_slots,) int
        Places given, and places that the plan obeys (the same unless seats are moved).
    rng
        Draws the sample, the past way and the resamples.

    Returns
    -------
    dict
        ``timing``, ``list``, ``staffing`` and ``total``, each ``{ratio, low, high, basis}``; total is the product of
        the three. Ratios are None where nothing can be planned.
    """
    ground = _prepare(eligibility, slots, given, obeyed, tables, settings, rng)
    sums = [_compare(ground, scorers[d], scorers[1 - d], slots, tables, settings, packs, rng) for d in (0, 1)]
    if any(s["plan"][:, 1].sum() == 0 or s["past"][:, 0].sum() == 0 for s in sums):
        return {part: dict.fromkeys(("ratio", "low", "high")) | {"basis": "model"} for part in PARTS_OF_GAIN}
    everyone = np.ones(len(ground.segment))
    point = {part: np.exp(np.mean([np.log(_ratios(s, everyone)[part]) for s in sums])) for part in PARTS_OF_GAIN}
    weights = [rng.poisson(1.0, size=len(everyone)) for _ in range(settings.gains.n_resamples)]
    drawn = pd.DataFrame([_ratios(sums[int(rng.integers(2))], weight) for weight in weights])
    low, high = drawn.quantile(0.05), drawn.quantile(0.95)
    point["total"] = point["timing"] * point["list"] * point["staffing"]
    return {
        part: {
            "ratio": float(point[part]),
            "low": float(min(low[part], point[part])),
            "high": float(max(high[part], point[part])),
            "basis": "model",
        }
        for part in PARTS_OF_GAIN
    }


PARTS_OF_GAIN = ("timing", "list", "staffing", "total")


def _prepare(
    eligibility: Eligibility,
    slots: pd.DataFrame,
    given: np.ndarray,
    obeyed: np.ndarray,
    tables: Tables,
    settings: Settings,
    rng: np.random.Generator,
) -> _Ground:
    n_eligible = len(eligibility.eligible_rows)
    chosen = np.arange(n_eligible)
    if n_eligible > MOST_CUSTOMERS:
        chosen = np.sort(rng.choice(n_eligible, MOST_CUSTOMERS, replace=False))
    sampled = _sample(eligibility, chosen)
    share = len(chosen) / max(n_eligible, 1)
    encoding = build_encoding(tables.customers, (), settings.segment_by)
    codes = encoding.encode(tables.customers)
    segment = codes["×".join(settings.segment_by)] if settings.segment_by else codes[""]
    return _Ground(
        eligibility=sampled,
        shares=read_past_way(tables.call_attempts, segment, slots, settings),
        segment=segment[sampled.eligible_rows],
        day=pd.DatetimeIndex(slots["slot_start"]).tz_localize(None).to_numpy("datetime64[D]").astype("int64"),
        given=scale_places(given, share),
        obeyed=scale_places(obeyed, share),
    )


def _sample(eligibility: Eligibility, chosen: np.ndarray) -> Eligibility:
    return replace(
        eligibility,
        eligible_rows=eligibility.eligible_rows[chosen],
        attempt_number=eligibility.attempt_number[chosen],
        attempts_left=eligibility.attempts_left[chosen],
        lawful=eligibility.lawful[chosen],
        phone_group=eligibility.phone_group[chosen],
        limits=replace(eligibility.limits, zone_row=eligibility.limits.zone_row[chosen]),
    )


def scale_places(places: np.ndarray, share: float) -> np.ndarray:
    """Places for a share of the customers, whole, their sum rounded as one; (n_slots,) int.

    >>> scale_places(np.array([1, 1, 1, 1]), 0.5).tolist()
    [0, 1, 0, 1]
    """
    return np.diff(np.floor(np.cumsum(places) * share + 1e-9), prepend=0.0).astype("int64")


def read_past_way(attempts: pd.DataFrame, segment: np.ndarray, slots: pd.DataFrame, settings: Settings) -> np.ndarray:
    """Share of each segment among the dials of the last eight weeks, per slot of the horizon.

    Parameters
    ----------
    attempts
        Checked attempts.
    segment : (n_customers,) int
        Segment of every customer.

    Returns
    -------
    (n_slots, n_segments) float
        Rows sum to 1; a weekday × hour that was never dialled has the shares of all dials.
    """
    newest = attempts["attempted_at"].max()
    recent = attempts[attempts["attempted_at"] > newest - pd.Timedelta(days=_PAST_DAYS)]
    dialled = add_slot_features(recent[["attempted_at"]], "attempted_at", settings)
    n_segments = int(segment.max(initial=0)) + 1
    counts = np.zeros((168, n_segments))
    np.add.at(counts, (dialled["hour_of_week"].to_numpy(), segment[recent["customer_row"].to_numpy()]), 1.0)
    cells = counts[slots["hour_of_week"].to_numpy()]
    cells = np.where(cells.sum(axis=1, keepdims=True) > 0, cells, counts.sum(axis=0))
    shares: np.ndarray = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1.0)
    return shares


def simulate_past_way(
    shares: np.ndarray,
    segment: np.ndarray,
    lawful: np.ndarray,
    dials_left: np.ndarray,
    day: np.ndarray,
    places: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Fill the places slot by slot as the log filled them, at most one dial a customer and day.

    Parameters
    ----------
    shares : (n_slots, n_segments)
    segment, dials_left : (m,) int
        Of the customers; ``dials_left`` is how many each may still get.
    lawful : (m, n_slots) bool
    day : (n_slots,) int
    places : (n_slots,) int

    Returns
    -------
    rows, slot_rows : (n_dials,) int
        In time order.

    Examples
    --------
    >>> rows, _ = simulate_past_way(np.ones((1, 1)), np.zeros(3, int), np.ones((3, 1), bool), np.ones(3, int),
    ...     np.zeros(1, int), np.array([2]), np.random.default_rng(7))
    >>> len(rows)
    2
    """
    left, last_day = dials_left.copy(), np.full(len(segment), -1)
    rows, slot_rows = [np.zeros(0, dtype="int64")], [np.zeros(0, dtype="int64")]
    for slot in range(len(places)):
        free = np.flatnonzero(lawful[:, slot] & (left > 0) & (last_day != day[slot]))
        n_of_segment = np.bincount(segment[free], minlength=shares.shape[1])
        weight = shares[slot, segment[free]] / n_of_segment[segment[free]] + _SOME
        keys = np.log(weight) + rng.gumbel(size=len(free))
        taken = free[np.argsort(-keys, kind="stable")[: places[slot]]]
        left[taken] -= 1
        last_day[taken] = day[slot]
        rows.append(taken)
        slot_rows.append(np.full(len(taken), slot))
    return np.concatenate(rows), np.concatenate(slot_rows)


def _compare(
    ground: _Ground,
    chooser: Scorer,
    judge: Scorer,
    slots: pd.DataFrame,
    tables: Tables,
    settings: Settings,
    packs: Sequence[RulePack],
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """(m, 2) expected contacts and dials made per customer, for each way of calling, as the judge sees them."""
    eligibility = ground.eligibility
    value = _Valuer(judge, eligibility.eligible_rows)

    def plan(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        dials = build_call_plan(chooser, eligibility, slots, places, tables, settings, packs).dials
        rows = np.searchsorted(eligibility.eligible_rows, dials["customer_row"].to_numpy())
        return rows, dials["slot_row"].to_numpy()

    def past(places: np.ndarray, dials_left: np.ndarray) -> np.ndarray:
        n_draws = settings.gains.n_past_draws
        ways = (ground.shares, ground.segment, eligibility.lawful, dials_left, ground.day, places)
        return np.asarray(np.mean([value(*simulate_past_way(*ways, rng)) for _ in range(n_draws)], axis=0))

    rows, slot_rows = plan(ground.given)
    same_places = np.bincount(slot_rows, minlength=len(slots))
    same_customers = np.bincount(rows, minlength=len(ground.segment))
    planned = value(rows, slot_rows)
    is_moved = not np.array_equal(ground.given, ground.obeyed)
    return {
        "plan": planned,
        "reshaped": value(*plan(ground.obeyed)) if is_moved else planned,
        "same customers": past(same_places, same_customers),
        "past": past(ground.given, eligibility.attempts_left),
    }


class _Valuer:
    """Expected contacts and dials made per customer of any set of dials, by one judge."""

    def __init__(self, judge: Scorer, customer_rows: np.ndarray) -> None:
        self._judge = judge
        self._customer_rows = customer_rows
        self._p: list[np.ndarray] = []

    def __call__(self, rows: np.ndarray, slot_rows: np.ndarray) -> np.ndarray:
        order = np.lexsort((slot_rows, rows))
        row, slot = rows[order], slot_rows[order]
        begins = np.append(True, row[1:] != row[:-1])[: len(row)]
        n_earlier = np.arange(len(row)) - np.maximum.accumulate(np.where(begins, np.arange(len(row)), 0))
        reached = np.ones(len(self._customer_rows))
        sums = np.zeros((len(self._customer_rows), 2))
        for depth in range(int(n_earlier.max(initial=-1)) + 1):
            at = n_earlier == depth
            p = self._probabilities(depth)[row[at], slot[at]]
            sums[row[at], 0] += reached[row[at]] * p
            sums[row[at], 1] += reached[row[at]]
            reached[row[at]] *= 1.0 - p
        return sums

    def _probabilities(self, depth: int) -> np.ndarray:
        """The judge's p after ``depth`` failed dials; beyond the deepest kept, the deepest."""
        while len(self._p) <= min(depth, _DEEPEST):
            self._p.append(self._judge(self._customer_rows, len(self._p)))
        return self._p[min(depth, _DEEPEST)]


def _ratios(sums: dict[str, np.ndarray], weight: np.ndarray) -> dict[str, float]:
    rate = {way: float(weight @ s[:, 0]) / max(float(weight @ s[:, 1]), 1e-12) for way, s in sums.items()}
    return {
        "timing": rate["plan"] / rate["same customers"],
        "list": rate["same customers"] / rate["past"],
        "staffing": rate["reshaped"] / rate["plan"],
        "total": rate["reshaped"] / rate["past"],
    }
