"""What the plan gains over the past way of calling, split into timing, list and staffing, without flattering itself.

The best of many noisy predictions looks better than it is (the winner's curse). So the plan is not valued with the
probabilities that chose it, but with what held-out dials say is believable of their differences between customers and
between slots (``models.contact.trust``); how sure that is goes into the intervals. The past way fills the given places
as the log did: the share of segments per slot, customers at random within. See docs/decisions/0005-honest-gains.md.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit

from models.contact.trust import Trust
from models.planning.eligibility import Eligibility
from models.planning.handling import count_in_dials
from models.planning.outlook import Outlook
from models.planning.past_way import code_segments, read_past_way, simulate_past_way
from models.planning.schedule import build_call_plan, score_dials
from models.planning.sequences import compiled
from models.planning.worth import Scorer

PARTS_OF_GAIN = ("timing", "list", "staffing", "total")
MOST_CUSTOMERS = 30_000
"""Customers on whom gains are measured; of more, a random sample, with places in proportion."""


@dataclass(frozen=True)
class _Ground:
    """Where all ways of calling are compared: the same customers, slots and places; ``usual`` are those in dials."""

    outlook: Outlook
    shares: np.ndarray
    segment: np.ndarray
    day: np.ndarray
    given: np.ndarray
    obeyed: np.ndarray
    usual: np.ndarray


def measure_gains(
    outlook: Outlook, trust: Trust, given: np.ndarray, obeyed: np.ndarray, rng: np.random.Generator
) -> dict[str, dict[str, Any]]:
    """Measure the gains of the plan that the scorer's model makes.

    Parameters
    ----------
    outlook
        What the plan is made from. In a slot's agent-seconds the past way makes as many dials as is usual in the log.
    trust
        How far the differences of the scorer's model can be believed.
    given, obeyed : (n_slots,) int
        Places given, and places that the plan obeys (the same unless seats are moved).
    rng
        Draws the sample, the past way and the resamples.

    Returns
    -------
    dict
        ``timing``, ``list``, ``staffing`` and ``total``, each ``{ratio, low, high, basis}``: ratios of keyman contacts
        per dial made, 90 % intervals over customers and over the trust; total is the product of the three. All are
        None where nothing can be planned.
    """
    ground = _prepare(outlook, given, obeyed, rng)
    ways = _draw_ways(ground, rng)
    if len(ways["plan"].usual) == 0 or len(ways["past"].usual) == 0:
        return {part: dict.fromkeys(("ratio", "low", "high")) | {"basis": "model"} for part in PARTS_OF_GAIN}
    everyone = np.ones(len(ground.segment))
    point = _ratios(ways, trust.slopes, everyone)
    drawn = pd.DataFrame(
        [
            _ratios(ways, trust.draw(rng), rng.poisson(1.0, size=len(everyone)).astype("float64"))
            for _ in range(outlook.settings.gains.n_resamples)
        ]
    )
    low, high = drawn.quantile(0.05), drawn.quantile(0.95)
    return {
        part: {
            "ratio": point[part],
            "low": float(min(low[part], point[part])),
            "high": float(max(high[part], point[part])),
            "basis": "model",
        }
        for part in PARTS_OF_GAIN
    }


def _prepare(outlook: Outlook, given: np.ndarray, obeyed: np.ndarray, rng: np.random.Generator) -> _Ground:
    tables, slots, settings = outlook.tables, outlook.slots, outlook.settings
    effort = outlook.effort or count_in_dials(settings)
    n_eligible = len(outlook.eligibility.eligible_rows)
    chosen = np.arange(n_eligible)
    if n_eligible > MOST_CUSTOMERS:
        chosen = np.sort(rng.choice(n_eligible, MOST_CUSTOMERS, replace=False))
    sampled = replace(outlook.keep(chosen), effort=effort)
    share = len(chosen) / max(n_eligible, 1)
    segment = code_segments(tables.customers, settings)
    return _Ground(
        outlook=sampled,
        shares=read_past_way(tables.call_attempts, segment, slots, settings),
        segment=segment[sampled.eligibility.eligible_rows],
        day=pd.DatetimeIndex(slots["slot_start"]).tz_localize(None).to_numpy("datetime64[D]").astype("int64"),
        given=scale_places(given, share),
        obeyed=scale_places(obeyed, share),
        usual=scale_places(effort.count_usual_dials(given), share),
    )


def scale_places(places: np.ndarray, share: float) -> np.ndarray:
    """Places for a share of the customers, whole, their sum rounded as one; (n_slots,) int.

    >>> scale_places(np.array([1, 1, 1, 1]), 0.5).tolist()
    [0, 1, 0, 1]
    """
    return np.diff(np.floor(np.cumsum(places) * share + 1e-9), prepend=0.0).astype("int64")


@dataclass(frozen=True)
class _Way:
    """Dials of one way of calling, customer by customer in time order; all (n_dials,).

    ``usual`` is the customer's usual log-odds, ``difference`` what the slot and earlier dials add to it,
    ``n_earlier`` the dials before it, ``customer`` whom to weigh it with, ``series`` the customer within one draw.
    """

    usual: np.ndarray
    difference: np.ndarray
    n_earlier: np.ndarray
    customer: np.ndarray
    series: np.ndarray


def _draw_ways(ground: _Ground, rng: np.random.Generator) -> dict[str, _Way]:
    eligibility = ground.outlook.eligibility
    lay_out = _Layout(ground.outlook.scorer, eligibility)

    def plan(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        made = build_call_plan(ground.outlook, places)
        dials = made.dials
        return np.searchsorted(eligibility.eligible_rows, dials["customer_row"].to_numpy()), dials[
            "slot_row"
        ].to_numpy()

    def past(places: np.ndarray, dials_left: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        way = (ground.shares, ground.segment, eligibility.lawful, dials_left, ground.day, places)
        return [simulate_past_way(*way, rng) for _ in range(ground.outlook.settings.gains.n_past_draws)]

    rows, slot_rows = plan(ground.given)
    planned = lay_out([(rows, slot_rows)])
    same_places = np.bincount(slot_rows, minlength=len(ground.given))
    same_dials = np.bincount(rows, minlength=len(ground.segment))
    is_moved = not np.array_equal(ground.given, ground.obeyed)
    return {
        "plan": planned,
        "reshaped": lay_out([plan(ground.obeyed)]) if is_moved else planned,
        "same customers": lay_out(past(same_places, same_dials)),
        "past": lay_out(past(ground.usual, eligibility.attempts_left)),
    }


class _Layout:
    """Lays dials out in series, with the model's log-odds split for :class:`models.contact.trust.Trust`."""

    def __init__(self, scorer: Scorer, eligibility: Eligibility) -> None:
        self._scorer = scorer
        self._rows = eligibility.eligible_rows
        self._usual = logit(scorer(self._rows, 0)).mean(axis=1)

    def __call__(self, draws: list[tuple[np.ndarray, np.ndarray]]) -> _Way:
        n_customers = len(self._rows)
        p = np.concatenate([score_dials(self._scorer, self._rows[rows], slot_rows) for rows, slot_rows in draws])
        series = np.concatenate([rows + k * n_customers for k, (rows, _) in enumerate(draws)])
        order = np.lexsort((np.concatenate([slot_rows for _, slot_rows in draws]), series))
        series = series[order]
        begins = np.append(True, series[1:] != series[:-1])[: len(series)]
        position = np.arange(len(series))
        n_earlier = position - np.maximum.accumulate(np.where(begins, position, 0))
        customer = series % max(n_customers, 1)
        usual = self._usual[customer].astype("float64")
        return _Way(usual, logit(p[order].astype("float64")) - usual, n_earlier, customer, series)


def _ratios(ways: dict[str, _Way], slopes: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    everyone = float(ways["past"].usual.mean())
    rate = {name: _rate(way, everyone, slopes, weight) for name, way in ways.items()}
    return {
        "timing": rate["plan"] / rate["same customers"],
        "list": rate["same customers"] / rate["past"],
        "staffing": rate["reshaped"] / rate["plan"],
        "total": rate["reshaped"] / rate["past"],
    }


def _rate(way: _Way, everyone: float, slopes: np.ndarray, weight: np.ndarray) -> float:
    """Keyman contacts per dial made: a dial is made when the earlier ones of its series have failed."""
    p = Trust.correct(way.usual, way.difference, everyone, slopes)
    contacts, made = _count_made(p, way.n_earlier, way.customer, weight)
    return float(contacts) / max(float(made), 1e-12)


@compiled
def _count_made(p: Any, n_earlier: Any, customer: Any, weight: Any) -> Any:
    """Keyman contacts expected, and dials made; the dial before is the row before."""
    contacts, made, reached = 0.0, 0.0, 1.0
    for row in range(len(p)):
        reached = 1.0 if n_earlier[row] == 0 else reached * (1.0 - p[row - 1])
        made += weight[customer[row]] * reached
        contacts += weight[customer[row]] * reached * p[row]
    return contacts, made
