"""Shifts: how many agents on which, and where their breaks, training and one-to-ones go, by Benders' decomposition.

Every dual solve on an even sample of the customers bounds what any seats are worth (DESIGN section 7); the roster
program takes the best roster by these bounds, its seats are priced anew, and so on until bound and worth meet.
"""

import math
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from configs.settings import Settings
from models.planning.duties import Duty, lay_duties
from models.planning.handling import Effort, count_in_dials
from models.planning.prices import bound_value, mean_best, price_demand, steps_for
from models.planning.roster import Away, Cut, RosterProgram, Solution, Terms
from models.planning.sample import Sample
from models.planning.sequences import FloatArray, IntArray
from models.planning.staffing import (
    Worth,
    bound_seats,
    find_frozen,
    judge_places,
    round_places,
    solve_seats,
)

NEAR = 0.003  # bound and worth so near each other are near enough
NEAR_RELAXED = 0.002
WHOLE_GAP = 5e-4  # at which the search for whole agents may stop
MOST_CUTS = 30  # on the way, with agents parted
MOST_ROSTERS = 3
KINDS = ("breaks", "training", "one_to_ones")


@dataclass(frozen=True)
class Roster:
    """Agents on shifts, and what that leaves on the phone.

    Attributes
    ----------
    shifts
        The rows of shifts.csv: date · shift · agents · breaks · training · one_to_ones (how many, by start).
    away
        slot_start · breaks · training · one_to_ones: agent-hours off the phone in each slot that a shift touches.
    places : int64 array of shape (n_slots,)
        Places that the roster leaves in each slot; those of frozen days as given.
    worth, bound : float
        Value of these places, and what no roster can exceed, both for the sample.
    short
        slot_start · agents_short · why (no shift covers it, too few agents): slots below the fewest agents.
    skipped : dict
        training · one_to_one: sessions that find no room, of how many.
    paid_hours, most_hours : float
        Agent-hours paid, and those that the given places take at least.
    """

    shifts: pd.DataFrame
    away: pd.DataFrame
    places: IntArray
    worth: Worth
    bound: float
    short: pd.DataFrame
    skipped: dict[str, tuple[int, int]]
    paid_hours: float
    most_hours: float

    @property
    def gap(self) -> float:
        """How much more than this roster any roster can be worth, as a share; by the cuts, on the sample."""
        return max(0.0, 1.0 - self.worth.value / self.bound) if self.bound > 0 else 0.0


def plan_shifts(
    sample: Sample,
    capacity: npt.NDArray[np.integer],
    slot_starts: pd.DatetimeIndex,
    settings: Settings,
    effort: Effort | None = None,
) -> Roster:
    """Find the roster of the templates whose seats are worth most.

    Parameters
    ----------
    demand
        What dials are worth; of many customers an even sample is looked at.
    capacity : int array of shape (n_slots,)
        Places given: the opening hours, the busiest slot, and the hours that may be paid.
    slot_starts
        In the centre's zone, sorted.
    settings
        ``staffing`` with shifts.
    effort
        How places are counted, by default in dials.

    Returns
    -------
    Roster
        Where not everything can be kept, as little as possible is short, and named.
    """
    given = np.maximum(np.asarray(capacity, dtype=np.int64), 0)
    terms = build_terms(given, slot_starts, settings, effort)
    program = RosterProgram(terms)
    search = _Search(program, sample, settings.staffing.max_seconds / MOST_ROSTERS)
    solution, places, worth, bound = search.run(given)
    return Roster(
        shifts=list_shifts(terms.duties, solution),
        away=list_away(terms, solution),
        places=places,
        worth=worth,
        bound=bound,
        short=_list_short(terms, solution, slot_starts, given, settings),
        skipped={
            name: (round(skipped), kind.n_sessions)
            for name, skipped, kind in zip(
                ("training", "one_to_one"), solution.skipped, (terms.training, terms.one_to_one), strict=True
            )
        },
        paid_hours=float(sum(n * duty.shift.hours for n, duty in zip(solution.agents, terms.duties, strict=True))),
        most_hours=terms.most_hours,
    )


def build_terms(
    given: IntArray, slot_starts: pd.DatetimeIndex, settings: Settings, effort: Effort | None = None
) -> Terms:
    """What a roster must keep, from the settings and the places given.

    Unless the settings say it, the hours that may be paid are those that the given places of the free days take at
    least with these shifts: their hours on the phone, the time away, and the smallest share of breaks on top.
    """
    staffing, places_per_hour = settings.staffing, (effort or count_in_dials(settings)).per_agent_hour
    frozen_day = find_frozen(len(given), settings, slot_starts)
    days = slot_starts.tz_localize(None).normalize()
    free_days = [day.date() for day in days[~frozen_day].unique()]
    duties = lay_duties(slot_starts, free_days, settings)
    frozen = frozen_day | _touched_by_earlier(slot_starts, free_days, settings)
    n_open = days.unique().size
    agents = np.array([staffing.count_agents(duty.day.weekday()) for duty in duties], dtype=float)
    on_shift = np.array([duty.shift.max_agents if duty.shift.max_agents is not None else np.inf for duty in duties])
    share = settings.horizon_days / 7 * len(free_days) / max(n_open, 1)
    heads = max((staffing.count_agents(day.weekday()) for day in free_days), default=0) * share
    training = _count_sessions(staffing.training_minutes, heads, settings.slot_minutes)
    one_to_one = _count_sessions(staffing.one_to_one_minutes, heads, settings.slot_minutes)
    away_hours = sum(away.n_sessions * away.hours for away in (training, one_to_one))
    free_places = float(given[~frozen].sum())
    break_share = min((duty.shift.break_minutes / 60 / duty.shift.hours for duty in duties), default=0.0)
    least_paid = (free_places / places_per_hour + away_hours) / (1 - break_share)
    bounds = bound_seats(given, settings, slot_starts, effort)
    least = np.where(given > 0, staffing.min_agents * settings.slot_minutes / 60, 0.0)
    return Terms(
        duties=duties,
        most_on_day=agents,
        most_on_shift=np.minimum(agents, on_shift),
        most_hours=least_paid if staffing.paid_hours_per_week is None else staffing.paid_hours_per_week * share,
        least=np.where(frozen, 0.0, np.minimum(least, bounds.most / places_per_hour)),
        most=bounds.most.astype(float),
        fixed=np.where(frozen, given, np.nan),
        most_places=free_places,
        places_per_hour=places_per_hour,
        training=training,
        one_to_one=one_to_one,
    )


def _touched_by_earlier(slot_starts: pd.DatetimeIndex, days: list[date], settings: Settings) -> npt.NDArray[np.bool_]:
    """Slots of the free days in which shifts of the day before, which is not planned here, are still on."""
    touched = np.zeros(len(slot_starts), dtype=np.bool_)
    if days:
        for duty in lay_duties(slot_starts, [days[0] - pd.Timedelta(days=1)], settings):
            touched[duty.slot_row[duty.slot_row >= 0]] = True
    return touched


def _count_sessions(minutes: int, heads: float, slot_minutes: int) -> Away:
    """Minutes per agent parted into sessions no longer than a slot.

    >>> _count_sessions(90, 10, 60)
    Away(n_sessions=20, hours=0.75)
    """
    each = math.ceil(minutes / slot_minutes)
    return Away(math.ceil(each * heads - 1e-9), minutes / each / 60) if each else Away(0, 0.0)


class _Search:
    """Cuts and rosters in turn, until the best roster's worth and the bound meet; values are those of the sample."""

    def __init__(self, program: RosterProgram, sample: Sample, seconds: float) -> None:
        self._program, self._sample, self._share, self._seconds = program, sample.demand, sample.share, seconds
        self._cuts: list[Cut] = []
        self._near = sample.demand.near  # the newest cut's prices, as the sample sees them

    def run(self, given: IntArray) -> tuple[Solution, IntArray, Worth, float]:
        self._cut(given.astype(float))
        if mean_best(self._sample) > 0:
            self._cut(self._free_seats(given))
            self._add_cuts_relaxed()
        best: tuple[Solution, IntArray, Worth] | None = None
        bound = math.inf
        for _ in range(MOST_ROSTERS):
            solution = _in_whole_agents(self._program.solve(self._cuts, gap=WHOLE_GAP, seconds=self._seconds))
            bound = min(bound, solution.bound)
            places = fill_seats(self._program.terms, solution, self._cuts[-1].prices)
            worth = judge_places(self._sample, places * self._share, self._near)
            if best is None or worth.value > best[2].value:
                best = (solution, places, worth)
            if best[2].value >= bound * (1 - NEAR):
                break
            self._cut(places.astype(float))
        assert best is not None
        return *best, bound

    def _cut(self, places: FloatArray) -> float:
        """Price the places, keep the bound that the prices prove, and return it at the places."""
        whole = round_places(places * self._share)
        steps = steps_for(self._sample.shape[0], is_near=True)[-1:] if self._cuts else None  # seats moved a little
        self._near = prices = price_demand(self._sample, whole, self._near, steps).prices
        rest = bound_value(self._sample, np.zeros_like(whole), prices)
        self._cuts.append(Cut(prices * self._share, rest))
        return float(prices @ places) * self._share + rest

    def _free_seats(self, given: IntArray) -> FloatArray:
        most = np.where(np.isnan(self._program.terms.fixed), self._program.terms.most, given)
        least = np.where(np.isnan(self._program.terms.fixed), 0.0, given)
        share, total = self._share, float(given.sum())
        return solve_seats(self._sample, least * share, most * share, total * share, self._near) / share

    def _add_cuts_relaxed(self) -> None:
        """Cuts between the relaxed optimum and the best seats so far, which wander less than the optimum itself."""
        centre, reached = None, -math.inf
        for _ in range(MOST_CUTS):
            found = self._program.solve(self._cuts, is_relaxed=True)
            if reached >= found.bound * (1 - NEAR_RELAXED):
                return
            at = found.places if centre is None else 0.5 * (found.places + centre)
            value = self._cut(at)
            if value > reached:
                centre, reached = at, value


def _in_whole_agents(solution: Solution) -> Solution:
    """The solver's whole numbers without their last digits."""
    return replace(
        solution,
        agents=np.rint(solution.agents),
        breaks=tuple(np.rint(part) for part in solution.breaks),
        training=tuple(np.rint(part) for part in solution.training),
        one_to_one=tuple(np.rint(part) for part in solution.one_to_one),
    )


def _off_phone(duty: Duty, terms: Terms, solution: Solution, k: int) -> dict[str, FloatArray]:
    """Agent-hours of one duty off the phone, per slot touched, by kind."""
    return {
        "breaks": solution.breaks[k] @ duty.break_hours,
        "training": solution.training[k] * terms.training.hours,
        "one_to_ones": solution.one_to_one[k] * terms.one_to_one.hours,
    }


def count_hours_on_phone(terms: Terms, solution: Solution) -> FloatArray:
    """Agent-hours on the phone per slot of the plan; float64 (n_slots,)."""
    hours = np.zeros(len(terms.most))
    for k, duty in enumerate(terms.duties):
        here = solution.agents[k] * duty.present - sum(_off_phone(duty, terms, solution, k).values())
        inside = duty.slot_row >= 0
        np.add.at(hours, duty.slot_row[inside], here[inside])
    return hours


def fill_seats(terms: Terms, solution: Solution, prices: FloatArray) -> IntArray:
    """Whole places that the roster leaves: those of the program, and what is over where it is dearest."""
    is_free = np.isnan(terms.fixed)
    room = np.minimum(terms.most, terms.places_per_hour * count_hours_on_phone(terms, solution))
    room = np.where(is_free, np.floor(room + 1e-6), 0).astype(np.int64)
    places = np.minimum(np.floor(solution.places + 1e-6).astype(np.int64), room)
    order = np.argsort(-prices, kind="stable")
    spare = terms.most_places - places.sum()
    more = (room - places)[order]
    places[order] += np.clip(spare - np.cumsum(more) + more, 0, more).astype(np.int64)
    filled: IntArray = np.where(is_free, places, np.nan_to_num(terms.fixed)).astype(np.int64)
    return filled


def list_shifts(duties: tuple[Duty, ...], solution: Solution) -> pd.DataFrame:
    """Rows of shifts.csv, one per day and shift with agents; ``11:00×12; 12:00×8`` is twelve at eleven, then eight."""
    rows = [
        {
            "date": duty.day,
            "shift": duty.shift.name,
            "agents": int(solution.agents[k]),
            "breaks": _spell(duty.starts[duty.break_at], solution.breaks[k]),
            "training": _spell(duty.starts, solution.training[k]),
            "one_to_ones": _spell(duty.starts, solution.one_to_one[k]),
        }
        for k, duty in enumerate(duties)
        if solution.agents[k] > 0
    ]
    return pd.DataFrame(rows, columns=["date", "shift", "agents", *KINDS])


def _spell(starts: pd.DatetimeIndex, numbers: FloatArray) -> str:
    told = [f"{start:%H:%M}×{n:.0f}" for start, n in zip(starts, numbers, strict=True) if n > 0]
    return "; ".join(told)


def list_away(terms: Terms, solution: Solution) -> pd.DataFrame:
    """Agent-hours off the phone in each slot that a shift touches, by kind, sorted by time."""
    parts = [
        pd.DataFrame({"slot_start": duty.touched, **_off_phone(duty, terms, solution, k)})
        for k, duty in enumerate(terms.duties)
    ]
    if not parts:
        return pd.DataFrame({"slot_start": [], **{kind: [] for kind in KINDS}})
    return pd.concat(parts).groupby("slot_start", as_index=False)[list(KINDS)].sum()


def _list_short(
    terms: Terms, solution: Solution, slot_starts: pd.DatetimeIndex, given: IntArray, settings: Settings
) -> pd.DataFrame:
    is_covered = ~np.isnan(terms.fixed)
    for duty in terms.duties:
        is_covered[duty.slot_row[duty.slot_row >= 0]] = True
    uncovered = (given > 0) & ~is_covered
    missing = np.clip(terms.least - count_hours_on_phone(terms, solution), 0, None)
    agents_short = missing * 60 / settings.slot_minutes
    is_short = uncovered | (np.isnan(terms.fixed) & (agents_short > 1e-6))
    why = np.where(uncovered, "no shift covers it", "too few agents")
    found: dict[str, Any] = {"slot_start": slot_starts[is_short], "agents_short": agents_short[is_short]}
    return pd.DataFrame({**found, "why": why[is_short]})
