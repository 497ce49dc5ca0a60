"""Compiled loops on all cores: plain threads, because numba compiles its own parallel loops five times as long.

A kernel is compiled with ``nogil=True``, walks the blocks of the work that it is told, and writes into arrays that it
is given. What a block comes to does not depend on who walks it, so results are the same for any number of threads.
Threads are started anew for each call, in a tenth of a millisecond: none is left to be lost in a forked process.
"""

from collections.abc import Callable
from threading import Thread
from typing import Any

import numba

_PIECES = 8
"""Of the work for each thread: who shares a core with another program takes fewer of them."""


def on_threads(kernel: Callable[..., Any], n_blocks: int, *args: Any) -> None:
    """Call ``kernel(first, last, *args)`` until all blocks are walked, on numba's number of threads.

    Parameters
    ----------
    kernel
        Walks blocks ``first`` to ``last - 1``. With one thread it is called once, for all of them.
    n_blocks
        Parts of the work that can be done in any order; rows, where each stands for itself.

    Raises
    ------
    BaseException
        What the kernel raised first, on whichever thread, once all of them have ended.

    Examples
    --------
    >>> squares = [0] * 10
    >>> def square(first, last, squares):
    ...     for i in range(first, last):
    ...         squares[i] = i * i
    >>> on_threads(square, 10, squares)
    >>> squares
    [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]
    """
    n_threads, failures = min(numba.get_num_threads(), n_blocks), []
    n_pieces = min(n_blocks, _PIECES * n_threads) if n_threads > 1 else n_threads
    pieces = iter(range(n_pieces))  # shared: each piece is handed out once

    def run() -> None:
        try:
            for piece in pieces:
                kernel(piece * n_blocks // n_pieces, (piece + 1) * n_blocks // n_pieces, *args)
        except BaseException as failure:  # an interrupt too: nobody may still write when the caller has its arrays back
            failures.append(failure)

    others = [Thread(target=run) for _ in range(1, n_threads)]
    for other in others:
        other.start()
    run()
    for other in others:
        other.join()
    if failures:
        raise failures[0]
