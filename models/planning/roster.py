"""The roster as a mixed-integer program: agents per shift, their breaks and time away, and the seats that are left.

The worth of the seats enters through cuts (Benders): every set of slot prices bounds what any seats can be worth.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from models.planning.duties import Duty
from models.planning.sequences import FloatArray, IntArray

SLACK = 1e-6
MOST_NODES = 2_000  # at which a search stops, the same on every machine; seconds are a backstop
HEAVIER = 10.0  # an agent-hour short on the phone weighs as much as this many of training that find no room


@dataclass(frozen=True)
class Away:
    """Time off the phone: ``n_sessions`` of ``hours`` each over the horizon, each held by one agent in one slot."""

    n_sessions: int
    hours: float


@dataclass(frozen=True)
class Terms:
    """What a roster must keep.

    Attributes
    ----------
    most_on_day : float64 array of shape (n_duties,)
        Agents who can come on the day of each duty.
    most_on_shift : float64 array of shape (n_duties,)
        Most agents on each duty.
    most_hours : float
        Paid agent-hours in all.
    least, most, fixed : float64 arrays of shape (n_slots,)
        Fewest agent-hours on the phone, most places, and the places of slots that stay as given (NaN: free).
    most_places : float
        Places in all, over the free slots.
    places_per_hour : float
        Places that an agent-hour on the phone fills.
    training, one_to_one : Away
        Time off the phone.
    """

    duties: tuple[Duty, ...]
    most_on_day: FloatArray
    most_on_shift: FloatArray
    most_hours: float
    least: FloatArray
    most: FloatArray
    fixed: FloatArray
    most_places: float
    places_per_hour: float
    training: Away
    one_to_one: Away


@dataclass(frozen=True)
class Cut:
    """``prices · places + rest`` is at least what any places are worth."""

    prices: FloatArray
    rest: float


@dataclass(frozen=True)
class Solution:
    """One roster, whole unless the program was relaxed.

    Attributes
    ----------
    agents : array of shape (n_duties,)
    breaks : per duty, array over its break starts
    training, one_to_one : per duty, arrays over the slots it touches: sessions
    places : float64 array of shape (n_slots,)
    bound : float
        No roster is worth more, by the cuts.
    missing : float64 array of shape (n_slots,)
        Agent-hours short of the fewest.
    skipped : (float, float)
        Sessions of training and of one-to-ones that find no room.
    """

    agents: FloatArray
    breaks: tuple[FloatArray, ...]
    training: tuple[FloatArray, ...]
    one_to_one: tuple[FloatArray, ...]
    places: FloatArray
    bound: float
    missing: FloatArray
    skipped: tuple[float, float]


@dataclass
class _Table:
    """Columns and rows of a program while it is written down."""

    upper: list[float] = field(default_factory=list)
    is_whole: list[bool] = field(default_factory=list)
    entries: list[tuple[int, int, float]] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)

    def add_columns(self, upper: Iterable[float], is_whole: bool = False) -> IntArray:
        first = len(self.upper)
        self.upper += [float(most) for most in upper]
        self.is_whole += [is_whole] * (len(self.upper) - first)
        return np.arange(first, len(self.upper))

    def add_row(self, terms: Iterable[tuple[int, float]], low: float, high: float) -> None:
        row = len(self.low)
        self.entries += [(row, int(column), float(factor)) for column, factor in terms if factor != 0.0]
        self.low.append(low)
        self.high.append(high)

    def matrix(self) -> Any:
        rows, columns, factors = zip(*self.entries, strict=True) if self.entries else ((), (), ())
        return csr_array((factors, (rows, columns)), shape=(len(self.low), len(self.upper)))


class RosterProgram:
    """The program of one set of terms; solved again and again as cuts come in.

    Parameters
    ----------
    terms
        What a roster must keep. Where that cannot be, as little as possible is short.
    """

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._table = _Table()
        add, n_slots = self._table.add_columns, len(terms.most)
        is_free = np.isnan(terms.fixed)
        self._agents = add(terms.most_on_shift, is_whole=True)
        self._places = add(np.where(is_free, terms.most, 0.0))
        self._missing = add(np.where(is_free, terms.least, 0.0))
        self._skipped = add([terms.training.n_sessions, terms.one_to_one.n_sessions], is_whole=True)
        self._worth = int(add([np.inf])[0])
        away = (terms.training, terms.one_to_one)
        self._breaks = [add([most] * len(d.break_at), True) for d, most in self._each_duty()]
        self._away = [[add(_room(d, kind, most), True) for d, most in self._each_duty()] for kind in away]
        self._write_days()
        on_phone = self._write_duties(n_slots)
        self._write_slots(on_phone)
        for skipped, kind, columns in zip(self._skipped, away, self._away, strict=True):
            every = [(int(column), 1.0) for of_duty in columns for column in of_duty]
            self._table.add_row([*every, (int(skipped), 1.0)], kind.n_sessions, kind.n_sessions)
        self._shortage = self._weigh_shortage()
        self._least_shortage = self._find_least_shortage()

    def solve(self, cuts: Sequence[Cut], is_relaxed: bool = False, gap: float = 1e-4, seconds: float = 60) -> Solution:
        """Find the roster worth most by the cuts, with no more short than must be.

        Parameters
        ----------
        is_relaxed
            Agents may be parted: quick, for the way to good cuts.
        gap
            Relative gap at which the search may stop.
        seconds
            A limit for hard cases; the best roster found so far is taken.

        Raises
        ------
        RuntimeError
            No roster was found in time.
        """
        objective = np.zeros(len(self._table.upper))
        objective[self._worth] = -1.0
        cost = (self._shortage, self._least_shortage + SLACK * (1.0 + self._least_shortage))
        found = self._search(objective, cuts, cost, is_relaxed, gap, seconds)
        return self._read(found.x, -float(found.mip_dual_bound if found.mip_dual_bound is not None else found.fun))

    def _each_duty(self) -> Iterable[tuple[Duty, float]]:
        return zip(self.terms.duties, self.terms.most_on_shift, strict=True)

    def _write_days(self) -> None:
        duties, table = self.terms.duties, self._table
        for day in sorted({duty.day for duty in duties}):
            today = [k for k, duty in enumerate(duties) if duty.day == day]
            table.add_row([(self._agents[k], 1.0) for k in today], 0.0, float(self.terms.most_on_day[today[0]]))
        paid = [(self._agents[k], duty.shift.hours) for k, duty in enumerate(duties)]
        table.add_row(paid, 0.0, self.terms.most_hours)

    def _write_duties(self, n_slots: int) -> list[list[tuple[int, float]]]:
        """One break for each agent, nobody away who is not there; returns who is on the phone, per slot."""
        on_phone: list[list[tuple[int, float]]] = [[] for _ in range(n_slots)]
        for k, duty in enumerate(self.terms.duties):
            breaks = self._breaks[k]
            if len(breaks):
                self._table.add_row([*((b, 1.0) for b in breaks), (self._agents[k], -1.0)], 0.0, 0.0)
            for at, slot in enumerate(duty.slot_row):
                there = [(int(self._agents[k]), float(duty.present[at]))]
                there += [(int(b), -float(hours)) for b, hours in zip(breaks, duty.break_hours[:, at], strict=True)]
                there.append((int(self._away[0][k][at]), -self.terms.training.hours))
                there.append((int(self._away[1][k][at]), -self.terms.one_to_one.hours))
                self._table.add_row(there, 0.0, np.inf)
                if slot >= 0:
                    on_phone[slot] += there
        return on_phone

    def _write_slots(self, on_phone: list[list[tuple[int, float]]]) -> None:
        terms, table = self.terms, self._table
        for slot in np.flatnonzero(np.isnan(terms.fixed)):
            seats = [(column, -terms.places_per_hour * hours) for column, hours in on_phone[slot]]
            table.add_row([(self._places[slot], 1.0), *seats], -np.inf, 0.0)
            if terms.least[slot] > 0:
                table.add_row([*on_phone[slot], (self._missing[slot], 1.0)], float(terms.least[slot]), np.inf)
        table.add_row([(column, 1.0) for column in self._places], 0.0, terms.most_places)

    def _weigh_shortage(self) -> FloatArray:
        weights = np.zeros(len(self._table.upper))
        weights[self._missing] = HEAVIER
        weights[self._skipped] = (self.terms.training.hours, self.terms.one_to_one.hours)
        return weights

    def _find_least_shortage(self) -> float:
        found = self._search(self._shortage, (), None, False, 1e-4, 20.0)
        return max(float(found.fun), 0.0)

    def _search(
        self,
        objective: FloatArray,
        cuts: Sequence[Cut],
        cost: tuple[FloatArray, float] | None,
        is_relaxed: bool,
        gap: float,
        seconds: float,
    ) -> Any:
        table = self._table
        rules = [LinearConstraint(table.matrix(), np.array(table.low), np.array(table.high))]
        if cuts:
            rules.append(self._write_cuts(cuts))
        if cost is not None:
            rules.append(LinearConstraint(cost[0], -np.inf, cost[1]))
        upper = np.array(table.upper)
        upper[self._worth] = np.inf if cuts else 0.0
        found = milp(
            objective,
            integrality=np.zeros(len(upper)) if is_relaxed else np.array(table.is_whole, dtype=float),
            bounds=Bounds(np.zeros(len(upper)), upper),
            constraints=rules,
            options={"mip_rel_gap": gap, "time_limit": seconds, "node_limit": MOST_NODES},
        )
        if found.x is None:
            raise RuntimeError(f"no roster was found: {found.message}")
        return found

    def _write_cuts(self, cuts: Sequence[Cut]) -> LinearConstraint:
        factors = np.zeros((len(cuts), len(self._table.upper)))
        fixed = np.nan_to_num(self.terms.fixed)
        for row, cut in enumerate(cuts):
            factors[row, self._places] = -cut.prices
            factors[row, self._worth] = 1.0
        return LinearConstraint(factors, -np.inf, np.array([cut.rest + float(cut.prices @ fixed) for cut in cuts]))

    def _read(self, x: npt.NDArray[np.float64], bound: float) -> Solution:
        return Solution(
            agents=x[self._agents],
            breaks=tuple(x[columns] for columns in self._breaks),
            training=tuple(x[columns] for columns in self._away[0]),
            one_to_one=tuple(x[columns] for columns in self._away[1]),
            places=np.where(np.isnan(self.terms.fixed), x[self._places], self.terms.fixed),
            bound=bound,
            missing=x[self._missing],
            skipped=(float(x[self._skipped[0]]), float(x[self._skipped[1]])),
        )


def _room(duty: Duty, away: Away, most: float) -> list[float]:
    """Most sessions at once in each slot of a duty: none where the session does not fit."""
    return [most if away.n_sessions and away.hours <= hours + SLACK else 0.0 for hours in duty.present]
