"""Plans of any number of customers, chunk by chunk: prices from a sample, one pass that places everyone, a certificate.

The slot prices of a sample of some ten thousand customers are nearly those of all. At these prices every chunk of
customers says how many places it wants, and gets of the places that are left the share that it wants beside all those
still to come; inside, its customers are served as in a plan made in one piece (``models.planning.placing``). So no slot
is overfilled, errors of the sample are made good while the stream goes on, and the memory is that of one chunk. The
unsmoothed dual at the sample's prices, summed over all chunks, bounds what any plan for everyone is worth.

Chunks must be alike for the plan to be good, such as customers by the hash of their phone; in any other order it is as
lawful and the bound as true, but the gap is wide. Sharing out what is left by what is still expected comes from Jasin
and Kumar, A re-solving heuristic with bounded revenue loss (2012); here the sample's prices stay.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.planning.eligibility import Eligibility
from models.planning.placing import (
    Board,
    demand_after,
    fill_places,
    find_takers,
    lay_board,
    place_by_prices,
    place_fixed,
    sum_worth,
)
from models.planning.prices import FINER, bound_value, mean_best, price_demand
from models.planning.sequences import Demand, FloatArray, IntArray

SAMPLE_OF_STREAM = 50_000
"""Customers whose prices are good enough for all: the certified gap they cost falls as one over their number."""
_SMOOTHING = FINER[0]
_PLENTY = 100_000  # of places in a slot, for a single chunk
_EVEN = 1e-6  # places wanted per customer at the least, so that what nobody wants is shared by heads


@dataclass(frozen=True)
class Chunk:
    """Customers who are planned together; a phone's customers all belong to one chunk.

    Attributes
    ----------
    demand
        What their dials are worth.
    eligibility
        Who they are and which dials are lawful; row by row as ``demand``.
    given_rows, given_slots : int64 arrays of shape (n_given,)
        Promised call-backs, placed before anything else.
    n_customers : int
        Customers it was made from, whether they may be called or not.
    """

    demand: Demand
    eligibility: Eligibility
    given_rows: IntArray
    given_slots: IntArray
    n_customers: int


@dataclass(frozen=True)
class Stream:
    """How far a stream of chunks has come.

    Attributes
    ----------
    prices : float64 array of shape (n_slots,)
        Of the sample; they stay.
    tau : float
        Smoothing under which demand for places is counted.
    room : int64 array of shape (n_slots,)
        Places left.
    n_ahead : int
        Customers still to come.
    use : float64 array of shape (n_slots,)
        Places that ``n_counted`` customers want at the prices.
    objective : float
        Worth of the dials placed so far, as the search weighs them.
    upper_bound : float
        What no plan of the chunks so far and all places can be worth more than.
    takers : tuple of bool arrays of shape (n_slots,)
        Per chunk, in which slots somebody could still take a place.
    """

    prices: FloatArray
    tau: float
    room: IntArray
    n_ahead: int
    use: FloatArray
    n_counted: int
    objective: float
    upper_bound: float
    takers: tuple[npt.NDArray[np.bool_], ...] = ()

    @property
    def gap(self) -> float:
        """1 - objective / upper_bound: certified once every chunk has been placed."""
        return max(0.0, 1.0 - self.objective / self.upper_bound) if self.upper_bound > 0 else 0.0


def open_stream(sample: Demand, n_sampled: int, capacity: npt.NDArray[np.integer], n_customers: int) -> Stream:
    """Price the slots with a sample of the customers to come.

    Parameters
    ----------
    sample
        Of customers drawn evenly or at random; ``SAMPLE_OF_STREAM`` of them are plenty.
    n_sampled
        Customers it was made from, whether they may be called or not.
    capacity : int array of shape (n_slots,)
        Places for everyone.
    n_customers
        How many the chunks will hold together.

    Examples
    --------
    >>> from models.planning.sequences import build_single_demand
    >>> demand = build_single_demand(np.array([[0.4], [0.2]], dtype="float32"), np.ones((2, 1), dtype=bool))
    >>> stream = open_stream(demand, 2, np.array([1000]), 2000)
    >>> bool(0.2 <= stream.prices[0] <= 0.4), stream.n_ahead
    (True, 2000)
    """
    places = np.asarray(capacity, dtype=np.int64)
    of_sample = np.asarray(places * (n_sampled / max(n_customers, 1)), dtype=np.float64)
    coarse = price_demand(sample, of_sample).prices
    prices = price_demand(sample, of_sample, coarse, (_SMOOTHING,)).prices
    tau = max(_SMOOTHING * mean_best(sample), 1e-12)
    use = _count_wanted(sample, prices, tau)
    return Stream(prices, tau, places, n_customers, use, n_sampled, 0.0, float(places @ prices))


def place_chunk(stream: Stream, chunk: Chunk) -> tuple[Stream, IntArray]:
    """Place one chunk's dials on the places that the stream has for it.

    Returns
    -------
    stream
        With this chunk behind it.
    dials : int64 array of shape (n_dials, 2)
        (row of the chunk, slot_row).

    Raises
    ------
    ValueError
        More customers have come than the stream was opened for.
    """
    demand, n = chunk.demand, chunk.n_customers
    if n > stream.n_ahead:
        raise ValueError(f"a chunk of {n:,} customers where {stream.n_ahead:,} were still to come")
    board = _lay(stream.room, chunk)
    place_fixed(board, chunk.given_rows, chunk.given_slots, np.zeros(len(chunk.given_rows), dtype=np.bool_))
    left, rest, kept = _count_room(board), demand_after(board, demand), sum_worth(board, demand)
    wanted = _count_wanted(rest, stream.prices, stream.tau)
    ahead = replace(stream, n_ahead=stream.n_ahead - n, use=stream.use + wanted, n_counted=stream.n_counted + n)
    allotted = _share_out(left, wanted, n, ahead)
    board.room[:] = allotted
    place_by_prices(board, rest, stream.prices)
    fill_places(board, demand, chunk.eligibility.lawful, stream.prices)
    best = bound_value(rest, left - stream.room, stream.prices)  # less what the places given away were priced at
    placed = replace(
        ahead,
        room=left - allotted + _count_room(board),
        objective=stream.objective + sum_worth(board, demand),
        upper_bound=stream.upper_bound + kept + best,
        takers=(*stream.takers, _find_takers(board, chunk)),
    )
    return placed, board.dials[: board.n_dials[0]].copy()


def is_worth_another_look(stream: Stream, number: int) -> bool:
    """Whether the chunk of that number (from 0) has somebody who could take a place that is left."""
    return bool((stream.takers[number] & (stream.room > 0)).any())


def fill_chunk(stream: Stream, number: int, chunk: Chunk, dials: IntArray) -> tuple[Stream, IntArray]:
    """Give places that are left at the end of the stream to a chunk that has been placed already.

    Parameters
    ----------
    number
        Of the chunk, from 0.
    dials : int64 array of shape (n_dials, 2)
        What :func:`place_chunk` returned for it, in any order.

    Returns
    -------
    stream
        With these places taken.
    more : int64 array of shape (n_more, 2)
        The dials added.
    """
    board = _lay(np.full_like(stream.room, _PLENTY), chunk)
    place_fixed(board, dials[:, 0].copy(), dials[:, 1].copy(), np.zeros(len(dials), dtype=np.bool_))
    before, n_before = sum_worth(board, chunk.demand), int(board.n_dials[0])
    board.room[:] = stream.room
    fill_places(board, chunk.demand, chunk.eligibility.lawful, stream.prices)
    room, more = _count_room(board), board.dials[n_before : board.n_dials[0]].copy()
    takers = list(stream.takers)
    takers[number] = _find_takers(board, chunk)
    objective = stream.objective + sum_worth(board, chunk.demand) - before
    return replace(stream, room=room, objective=objective, takers=tuple(takers)), more


def _lay(room: IntArray, chunk: Chunk) -> Board:
    who = chunk.eligibility
    return lay_board(room, chunk.demand, who.phone_group, who.attempts_left, who.limits)


def _count_room(board: Board) -> IntArray:
    """Whole places left: a stream counts dials, not agent-seconds."""
    return np.rint(board.room).astype(np.int64)


def _count_wanted(demand: Demand, prices: FloatArray, tau: float) -> FloatArray:
    """Places that customers want at the prices, a customer in doubt counted in parts; (n_slots,)."""
    return demand.sum_soft(prices, tau)[1]


def _share_out(room: IntArray, wanted: FloatArray, n: int, ahead: Stream) -> IntArray:
    """Places of each slot for a chunk of n: of those left, what it wants beside everybody still to come."""
    per_customer = ahead.use / max(ahead.n_counted, 1)
    own, others = wanted + _EVEN * n, (per_customer + _EVEN) * ahead.n_ahead
    share = own / np.maximum(own + others, 1e-300)
    return np.minimum(room, np.floor(room * share + 0.5).astype(np.int64))


def _find_takers(board: Board, chunk: Chunk) -> npt.NDArray[np.bool_]:
    """In which slots somebody could take a place, if there is one left in the end."""
    room = board.room.copy()
    board.room[:] = _PLENTY
    found = np.asarray(find_takers(board, chunk.eligibility.lawful), dtype=np.bool_)
    board.room[:] = room
    return found
