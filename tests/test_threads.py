"""Every block of the work is walked once, whatever goes wrong in one of them."""

import threading
from collections.abc import Iterator

import numba
import numpy as np
import pytest

from features.threads import on_threads


@pytest.fixture(params=sorted({1, numba.config.NUMBA_NUM_THREADS}))
def n_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = numba.get_num_threads()
    numba.set_num_threads(request.param)
    yield request.param
    numba.set_num_threads(before)


@numba.njit(nogil=True)
def count(first, last, counts):  # type: ignore[no-untyped-def]
    for block in range(first, last):
        counts[block] += 1


@pytest.mark.parametrize("n_blocks", [0, 1, 2, 7, 64, 1001])
def test_every_block_is_walked_once(n_threads: int, n_blocks: int) -> None:
    counts = np.zeros(n_blocks, dtype=np.int64)
    on_threads(count, n_blocks, counts)
    assert counts.tolist() == [1] * n_blocks


def test_one_thread_is_one_call_by_the_caller_and_more_of_them_share_the_work(n_threads: int) -> None:
    walked = []
    all_here = threading.Barrier(n_threads, timeout=60)

    def walk(first: int, last: int) -> None:
        if threading.current_thread() not in [thread for thread, *_ in walked]:
            walked.append((threading.current_thread(), first, last))
            all_here.wait()  # each thread gets something to do

    on_threads(walk, 64)
    assert threading.current_thread() in [thread for thread, *_ in walked]
    assert len(walked) == n_threads
    if n_threads == 1:
        assert walked[0][1:] == (0, 64)


def test_a_failure_is_raised_once_all_have_ended(n_threads: int) -> None:
    walked = []

    def fail_at_first(first: int, last: int) -> None:
        if first == 0:
            raise ZeroDivisionError("here")
        walked.extend(range(first, last))

    with pytest.raises(ZeroDivisionError, match="here"):
        on_threads(fail_at_first, 64)
    assert len(walked) == (0 if n_threads == 1 else 60), "the others go on; nobody still writes"
    assert not any(thread.name.endswith("(run)") for thread in threading.enumerate())
