"""Chunks planned by several processes that hand the stream of places on, as runners hand on a baton.

Every process checks, scores and lists its own chunks; only placing waits for the chunk before. Which process plans a
chunk changes no bit of the plan, nor does their number.
"""

import multiprocessing
import os
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

import numba
import numpy as np

from configs.errors import KakedokiError
from models.planning.sequences import FloatArray
from models.planning.streaming import Stream, fill_chunk, is_worth_another_look, place_chunk
from pipelines.memory import read_peak_memory_mb
from pipelines.site import Opening, Site, Tally, learn_chunk, open_site, weigh_chunk, write_chunk

WORTH_A_PROCESS = 100_000
"""Customers who take as long as a process takes to start."""
MOST_PROCESSES = 8
"""More would wait for one another: placing is a tenth of the work, and goes chunk after chunk."""


@dataclass(frozen=True)
class Leg:
    """What one process has done.

    Attributes
    ----------
    n_eligible
        Customers who may be called.
    counts
        Of the check: rows read, kept, rejected, by table.
    seconds
        Processor seconds by kind of work.
    peak_mb
        Its largest resident memory.
    """

    n_eligible: int
    counts: Counter[str]
    seconds: Tally
    peak_mb: float


def count_processes(sizes: Sequence[int]) -> int:
    """Count the processes that are worth starting: one per core that is ours, chunk, and 100,000 customers.

    >>> count_processes([60_000, 70_000])
    1
    """
    return max(1, min(len(sizes), sum(sizes) // WORTH_A_PROCESS, len(os.sched_getaffinity(0)), MOST_PROCESSES))


def place_all(
    site: Site, n_processes: int, tell: Callable[[int], None] = lambda _: None
) -> tuple[Opening, Stream, list[Leg]]:
    """Place every chunk, then what is left in those that could take more.

    Parameters
    ----------
    n_processes
        One works in a thread of this process.
    tell
        Told after each chunk how many are placed.

    Returns
    -------
    What the first chunk said for all, the stream after the last one, and what each process has done, this one last.

    Raises
    ------
    KakedokiError
        As :func:`pipelines.site.learn_chunk`.
    RuntimeError
        A process died.
    """
    n_chunks = len(site.sizes)
    with ExitStack() as running:
        pipes = [running.enter_context(_start(site, first, n_processes)) for first in range(n_processes)]
        opening: Opening = receive(pipes[0])
        for pipe in pipes[1:]:
            pipe.send(opening.first_prices)
        stream = opening.stream
        for number in range(n_chunks):
            pipe = pipes[number % n_processes]
            pipe.send(stream)
            stream = receive(pipe)
            tell(number + 1)
        legs = [receive(pipe) for pipe in pipes]
    stream, seconds = _fill_rest(site, stream, opening.first_prices)
    return opening, stream, [*legs, Leg(0, Counter(), seconds, read_peak_memory_mb())]


@contextmanager
def _start(site: Site, first: int, n_processes: int) -> Iterator[Connection]:
    """Start whoever plans every ``n_processes``-th chunk from ``first`` on, and give our end of the pipe to them."""
    ours, theirs = multiprocessing.Pipe()
    numbers, n_threads = range(first, len(site.sizes), n_processes), max(1, numba.get_num_threads() // n_processes)
    asked: dict[str, Any] = {"target": _run, "args": (theirs, site, numbers, n_threads), "daemon": True}
    if n_processes == 1:
        thread = Thread(**asked)
        thread.start()
        try:
            yield ours
        finally:
            ours.close()
            thread.join()
        return
    runner = multiprocessing.get_context("spawn").Process(**asked)  # a forked one would share threads of ours
    runner.start()
    theirs.close()
    try:
        yield ours
        runner.join()
    finally:
        ours.close()
        runner.terminate()
        runner.join()


def receive(pipe: Connection) -> Any:
    """Wait for what a process says next.

    Raises
    ------
    KakedokiError, RuntimeError
        What went wrong there; that it died.
    """
    try:
        found = pipe.recv()
    except EOFError as error:
        raise RuntimeError("a process that planned chunks died: is there enough memory?") from error
    if isinstance(found, Exception):
        raise found
    return found


def _run(pipe: Connection, site: Site, numbers: range, n_threads: int) -> None:
    """Plan a share of the chunks; whatever goes wrong is told through the pipe, unless nobody listens any more."""
    numba.set_num_threads(n_threads)
    try:
        try:
            found: Any = _plan_share(pipe, site, numbers)
        except KakedokiError as error:
            found = error
        except EOFError:
            return
        except Exception:
            found = RuntimeError(traceback.format_exc())
        pipe.send(found)
    except BrokenPipeError:
        return
    finally:
        pipe.close()


def _plan_share(pipe: Connection, site: Site, numbers: range) -> Leg:
    tally, counts, n_eligible = Tally(), Counter[str](), 0
    first_prices: FloatArray | None = None
    for number in numbers:
        known = learn_chunk(site, number, tally)
        if number == 0:
            opening, chunk = open_site(site, known, tally)
            first_prices = opening.first_prices
            pipe.send(opening)
        else:
            first_prices = pipe.recv() if first_prices is None else first_prices
            chunk = weigh_chunk(site, known, first_prices, tally)
        stream = pipe.recv()
        with tally.count("placing"):
            stream, placed = place_chunk(stream, chunk)
        pipe.send(stream)
        write_chunk(site, known, chunk, placed, tally)
        counts.update(known.report.counts)
        n_eligible += len(chunk.demand.p_first)
    return Leg(n_eligible, counts, tally, read_peak_memory_mb())


def _fill_rest(site: Site, stream: Stream, first_prices: FloatArray) -> tuple[Stream, Tally]:
    """Give places that are left to chunks that have been placed already."""
    tally = Tally()
    for number in range(len(site.sizes)):
        if is_worth_another_look(stream, number):
            known, placed = learn_chunk(site, number, tally), np.load(site.spool / f"placed-{number}.npy")
            chunk = weigh_chunk(site, known, first_prices, tally)
            stream, more = fill_chunk(stream, number, chunk, placed)
            write_chunk(site, known, chunk, np.concatenate([placed, more]), tally)
    return stream, tally
