"""The workers of dask.distributed, and nothing else that knows of Dask; see docs/decisions/0014."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba

from configs.errors import ClusterError, UsageError

ENGINES = ("local", "dask")
LONGEST_WAIT = 20.0  # seconds until a scheduler has to answer and to have a worker
ANY_PORT = "127.0.0.1:0"
LARGE_TASK = "1GiB"  # a partition travels inside its task, so that Dask can make it again when a worker is lost


class Cluster:
    """Workers to whom functions are sent.

    What they are told to keep stays with them; should one be lost, Dask makes anew what it kept.
    """

    def __init__(self, client: Any) -> None:
        self.client = client

    @property
    def n_workers(self) -> int:
        """Workers that are there now."""
        return len(self.client.scheduler_info(n_workers=-1)["workers"])

    def scatter(self, pieces: list[Any]) -> list[Any]:
        """Send one piece to each worker, the same to the same every time; stand-ins for them."""
        workers = sorted(self.client.scheduler_info(n_workers=-1)["workers"])
        return [self.client.scatter(piece, workers=[at]) for piece, at in zip(pieces, workers, strict=True)]

    def keep(self, function: Callable[..., Any], *args: Any) -> Any:
        """Let a worker call the function and keep the answer; a stand-in for it, to be used among later arguments."""
        return self.client.submit(_run_alone, function, *args, pure=False)

    def ask(self, function: Callable[..., Any], calls: Iterable[tuple[Any, ...]]) -> list[Any]:
        """Let workers call the function with each of ``calls``; the answers in that order.

        Raises
        ------
        ClusterError
            Workers were lost again and again.
        """
        from distributed.scheduler import KilledWorker

        asked = [self.keep(function, *args) for args in calls]
        try:
            return list(self.client.gather(asked))
        except KilledWorker as error:
            raise ClusterError(
                f"Dask lost its workers again and again, most often for want of memory ({error}): give them more, or "
                "use more of them"
            ) from error


def _run_alone(function: Callable[..., Any], *args: Any) -> Any:
    """Keep to one core: other partitions use the others."""
    numba.set_num_threads(1)
    return function(*args)


@contextmanager
def open_cluster(engine: str, scheduler: str | None, folder: Path) -> Iterator[Cluster | None]:
    """Connect to the scheduler at an address, or start one worker per core of this machine; None for one process.

    Parameters
    ----------
    engine
        "local" or "dask".
    scheduler
        Address such as tcp://10.0.0.5:8786; its workers need the same version of kakedoki, and one thread each.
    folder
        Where workers of this machine put what does not fit into memory.

    Raises
    ------
    UsageError
        Dask is not installed, the engine is another, or the address is none.
    ClusterError
        No scheduler answers there, or it has no workers.

    Examples
    --------
    >>> with open_cluster("local", None, Path("unused")) as cluster:
    ...     print(cluster)
    None
    """
    _check_options(engine, scheduler)
    if engine == "local":
        yield None
        return
    dask, distributed = _import_dask()
    logging.getLogger("distributed").setLevel(logging.ERROR)
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": LARGE_TASK}):
        if scheduler is not None:
            with _connect(distributed, scheduler) as client:
                yield Cluster(client)
            return
        folder.mkdir(parents=True, exist_ok=True)
        with (
            distributed.LocalCluster(
                n_workers=os.cpu_count(),
                threads_per_worker=1,
                dashboard_address=ANY_PORT,  # its own, 8787, may be another cluster's
                local_directory=str(folder),
            ) as workers,
            distributed.Client(workers) as client,
        ):
            yield Cluster(client)


def _check_options(engine: str, scheduler: str | None) -> None:
    if engine not in ENGINES:
        raise UsageError(f"--engine {engine}: write one of {', '.join(ENGINES)}")
    if engine == "local" and scheduler is not None:
        raise UsageError(f"--scheduler {scheduler}: only with --engine dask")


def _import_dask() -> tuple[Any, Any]:
    try:
        import dask
        import distributed
    except ImportError as error:
        raise UsageError(f"--engine dask: {error.name} is not installed: pip install 'kakedoki[dask]'") from error
    return dask, distributed


def _connect(distributed: Any, scheduler: str) -> Any:
    """Connect to a scheduler that has at least one worker."""
    try:
        client = distributed.Client(scheduler, timeout=LONGEST_WAIT)
    except (ValueError, TypeError) as error:
        raise UsageError(f"--scheduler {scheduler}: {error}: write an address such as tcp://10.0.0.5:8786") from error
    except OSError as error:
        raise ClusterError(
            f"--scheduler {scheduler}: no Dask scheduler answers there: check the address and that it runs, or leave "
            "--scheduler out to use the cores of this machine"
        ) from error
    try:
        client.wait_for_workers(1, timeout=LONGEST_WAIT)
    except TimeoutError as error:
        client.close()
        raise ClusterError(
            f"--scheduler {scheduler}: has no workers: start some with dask worker {scheduler}"
        ) from error
    return client
