"""The running book of the sample world's centre: where each customer stands while the days go by."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.world.answers import CONTACT, WRONG_NUMBER, Answers
from pipelines.world.rhythms import PARTS

MAX_ATTEMPTS = 10
_LISTED_AT_START = 0.62  # share of customers on the list when the log begins; the others are listed later, evenly
_REST_DAYS = 28  # earliest day on which somebody without result comes back on the list
_RELIST_RATE = 0.02  # and the daily chance from then on
_NEVER = -10_000


@dataclass
class Book:
    """One entry per customer row; the methods change it in place, for a simulation of months copies nothing.

    ``listed_day`` and ``last_day`` count from the log's first day (listed before: negative) · ``listing`` and
    ``n_attempts`` of the present listing · ``is_done`` nothing more to do in this listing · ``is_barred`` nor ever.
    """

    listed_day: NDArray[np.int64]
    last_day: NDArray[np.int64]
    listing: NDArray[np.int16]
    n_attempts: NDArray[np.int16]
    is_done: NDArray[np.bool_]
    is_barred: NDArray[np.bool_]
    has_refused: NDArray[np.bool_]
    has_converted: NDArray[np.bool_]
    overall: NDArray[np.float32]
    by_part: NDArray[np.float32]

    def begin_day(self, day: int, decay: float, rng: np.random.Generator) -> None:
        """Let a night pass: fatigue fades to ``decay``, rested customers may be listed anew."""
        self.overall *= np.float32(decay)
        self.by_part *= np.float32(decay)
        rested = self.is_done & ~self.is_barred & (day - self.last_day >= _REST_DAYS)
        again = rested & (rng.random(len(rested)) < _RELIST_RATE)
        self.listed_day[again] = day
        self.listing[again] += 1
        self.n_attempts[again] = 0
        self.last_day[again] = _NEVER
        self.is_done[again] = False

    def callable_rows(self, day: int) -> NDArray[np.int64]:
        """Customers who may be dialled today."""
        return np.flatnonzero(~self.is_done & (self.listed_day <= day))

    def note_answers(self, rows: NDArray[np.int64], part: int, day: int, answers: Answers) -> None:
        """Write down what came of one slot's dials; no row twice."""
        failed = rows[answers.outcome != CONTACT]
        self.overall[failed] += 1
        self.by_part[failed, part] += 1
        self.n_attempts[rows] += 1
        self.last_day[rows] = day
        self.has_refused[rows] |= answers.refused
        self.has_converted[rows] |= answers.converted
        stops = answers.refused | answers.converted | (answers.outcome == WRONG_NUMBER)
        self.is_barred[rows] |= stops
        self.is_done[rows] |= stops | (answers.outcome == CONTACT) | (self.n_attempts[rows] >= MAX_ATTEMPTS)


def open_book(is_barred: NDArray[np.bool_], n_days: int, rng: np.random.Generator) -> Book:
    """Begin a book: some customers are listed already, the others will be on a day of the log; the barred never are.

    Examples
    --------
    >>> open_book(np.array([True]), 30, np.random.default_rng(7)).callable_rows(29).tolist()
    []
    """
    n = len(is_barred)
    is_early = rng.random(n) < _LISTED_AT_START
    return Book(
        listed_day=np.where(is_early, rng.integers(-30, 0, n), rng.integers(0, n_days, n)),
        last_day=np.full(n, _NEVER, np.int64),
        listing=np.ones(n, np.int16),
        n_attempts=np.zeros(n, np.int16),
        is_done=is_barred.copy(),
        is_barred=is_barred.copy(),
        has_refused=np.zeros(n, bool),
        has_converted=np.zeros(n, bool),
        overall=np.zeros(n, np.float32),
        by_part=np.zeros((n, len(PARTS)), np.float32),
    )
