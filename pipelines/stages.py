"""The stages of a night: each is timed, measured, told in one line, and a Prefect task when a flow is running."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from uuid import UUID

from httpx import TransportError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pipelines.memory import read_peak_memory_mb, reset_peak_memory
from pipelines.progress import ProgressFile, show_progress

if TYPE_CHECKING:  # a flow imports Prefect; a command that runs none does without its two seconds
    from prefect import Flow

Inputs = ParamSpec("Inputs")
Result = TypeVar("Result")
STAGES_OF_A_NIGHT = 7


class StageLog:
    """What the stages of one run have taken so far, and who is told about it."""

    def __init__(self, progress: Progress, n_stages: int, shown: ProgressFile | None = None) -> None:
        self._shown = shown
        self.entries: list[dict[str, Any]] = []
        self._progress = progress
        self._n_stages = n_stages
        self._bar = progress.add_task("starting", total=n_stages)
        self._artifact = _create_artifact() if _in_flow() else None

    def open(self, name: str) -> None:
        """Show the stage that begins."""
        self._progress.update(self._bar, description=name)
        if self._shown is not None:
            self._shown.tell(name, len(self.entries))

    def step(self, words: str) -> None:
        """Say how far the stage has come."""
        self._progress.update(self._bar, description=words)

    def close(self, name: str, seconds: float, peak_mb: float, told: str) -> None:
        """Keep the stage that has ended and tell it in one line."""
        self.entries.append({"stage": name, "seconds": round(seconds, 3), "peak_mb": round(peak_mb, 1)})
        line = f"{name:<9} {seconds:7.1f} s {peak_mb:7,.0f} MB  {told}"
        logging.getLogger("kakedoki").info(line)
        if _in_flow():
            from prefect import get_run_logger

            get_run_logger().info(line)
        self._progress.console.print(line, highlight=False, markup=False)
        self._progress.update(self._bar, advance=1)
        if self._artifact is not None:
            from prefect.artifacts import update_progress_artifact

            try:
                update_progress_artifact(self._artifact, progress=100.0 * len(self.entries) / self._n_stages)
            except TransportError as error:
                self._artifact = None
                logging.getLogger("kakedoki").warning("Prefect is gone, its page shows no more progress: %s", error)


def _create_artifact() -> UUID | None:
    from prefect.artifacts import create_progress_artifact

    artifact = create_progress_artifact(0.0, key="night", description="the night")
    return artifact if isinstance(artifact, UUID) else None


_LOG: ContextVar[StageLog | None] = ContextVar("stage log of the run", default=None)


@contextmanager
def record_stages(n_stages: int = STAGES_OF_A_NIGHT, var: Path | None = None) -> Iterator[list[dict[str, Any]]]:
    """Collect one entry per stage while the body runs, with a bar on the terminal (stderr) if there is one.

    Parameters
    ----------
    var
        Folder of run artefacts, where the page reads what the run is at; None tells the page nothing.

    Yields
    ------
    The growing list of ``{"stage", "seconds", "peak_mb"}``.
    """
    shown = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True, soft_wrap=True)
    progress = Progress(*shown, console=console, transient=True)
    page = show_progress(var, n_stages) if var is not None else nullcontext()
    with progress if console.is_terminal else nullcontext(), page as file:
        log = StageLog(progress, n_stages, file)
        token = _LOG.set(log)
        try:
            yield log.entries
        finally:
            _LOG.reset(token)


def stage(
    name: str,
    *,
    tell: Callable[[Any], str] = lambda _: "",
    retries: int = 0,
    retry_when: Callable[[BaseException], bool] = lambda _: True,
    retry_delay_seconds: float = 5.0,
) -> Callable[[Callable[Inputs, Result]], Callable[Inputs, Result]]:
    """Make a plain function a stage: a Prefect task inside a flow, itself outside, measured in both.

    Parameters
    ----------
    tell
        From the result to the words that follow seconds and memory in the stage's line.
    retries, retry_when, retry_delay_seconds
        Only Prefect retries; only errors for which ``retry_when`` is true.

    Examples
    --------
    >>> @stage("add", tell=lambda total: f"{total} in all")
    ... def add(a: int, b: int) -> int:
    ...     return a + b
    >>> add(1, 2)
    3
    """

    def build(function: Callable[Inputs, Result]) -> Callable[Inputs, Result]:
        @wraps(function)
        def measured(*args: Inputs.args, **kwargs: Inputs.kwargs) -> Result:
            return _measure(name, tell, lambda: function(*args, **kwargs))

        @cache
        def build_task() -> Callable[Inputs, Result]:
            from prefect import task
            from prefect.cache_policies import NO_CACHE

            return task(
                name=name,
                retries=retries,
                retry_delay_seconds=retry_delay_seconds,
                retry_condition_fn=lambda _task, _run, state: _is_worth_a_retry(state, retry_when),
                cache_policy=NO_CACHE,
                persist_result=False,
            )(measured)

        @wraps(function)
        def call(*args: Inputs.args, **kwargs: Inputs.kwargs) -> Result:
            return build_task()(*args, **kwargs) if _in_flow() else measured(*args, **kwargs)

        return call

    return build


def _measure(name: str, tell: Callable[[Any], str], call: Callable[[], Result]) -> Result:
    log = _LOG.get()
    if log is not None:
        log.open(name)
    reset_peak_memory()
    began = time.perf_counter()
    result = call()
    if log is not None:
        log.close(name, time.perf_counter() - began, read_peak_memory_mb(), tell(result))
    return result


def tell_step(words: str) -> None:
    """Show on the terminal how far the stage that is going on has come; nothing outside a run."""
    log = _LOG.get()
    if log is not None:
        log.step(words)


def run_flow(flow: "Flow[Inputs, Result]", *args: Inputs.args, **kwargs: Inputs.kwargs) -> Result:
    """Run a flow under Prefect; where its server cannot start, or goes away meanwhile, run it all the same, unwatched.

    A run that lost its server begins anew, which is safe at any time: the night matters more than its bookkeeping. The
    flow's own errors are raised as they are.
    """
    from prefect import get_client

    logger = logging.getLogger("kakedoki")
    try:
        with get_client(sync_client=True) as client:
            failure = client.api_healthcheck()
    except RuntimeError as error:
        failure = error
    if failure is not None:
        logger.warning("Prefect cannot be reached, the run goes on without it: %s", failure)
        return flow.fn(*args, **kwargs)
    try:
        return flow(*args, **kwargs)
    except TransportError as error:
        logger.warning("Prefect went away, the run begins anew without it: %s", error)
        return flow.fn(*args, **kwargs)


def _in_flow() -> bool:
    context = sys.modules.get("prefect.context")
    return context is not None and context.FlowRunContext.get() is not None


def _is_worth_a_retry(state: Any, retry_when: Callable[[BaseException], bool]) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, BaseException) and retry_when(error)
