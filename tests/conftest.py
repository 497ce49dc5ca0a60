"""Shared by all tests: a home of their own for Prefect, MLflow and runs, one small sample world, one finished night."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import hypothesis
import pytest

_HOME = Path(tempfile.mkdtemp(prefix="kakedoki-tests-"))
os.environ["KAKEDOKI_HOME"] = str(_HOME)
os.environ["PREFECT_HOME"] = str(_HOME / "prefect")
os.environ.pop("PREFECT_API_URL", None)
if "PYTEST_XDIST_WORKER" in os.environ:  # a worker per core: threads of their own would only wait for each other
    for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(threads, "1")

from pipelines.servers import set_environment  # noqa: E402 - Prefect reads its environment when it is imported

set_environment(_HOME)
# A Prefect or MLflow server that happens to be up on this machine is none of the tests' business.
os.environ.pop("PREFECT_API_URL", None)

# A slow minute of the machine is no failure; in CI the examples are the same every time.
hypothesis.settings.register_profile("kakedoki", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("kakedoki")

SMALL_RUN_DATE = date(2026, 11, 2)


@dataclass(frozen=True)
class FinishedNight:
    """A night that has run on the small world."""

    source: Path
    out: Path
    var: Path
    run_date: date


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this test session share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@contextmanager
def built_once(folder: Path) -> Iterator[bool]:
    """Yield whether the folder is still to be built; the other workers wait."""
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not folder.exists()


@pytest.fixture(scope="session")
def small_source(shared_folder: Path) -> Path:
    """A simulated centre of 3,000 customers and two months, as CSV; never to be changed."""
    folder = shared_folder / "small_source"
    with built_once(folder) as is_missing:
        if is_missing:
            from pipelines.sample import write_sample

            assert write_sample(folder, 3000, 2, seed=7) == SMALL_RUN_DATE
    return folder


@pytest.fixture(scope="session")
def small_night(small_source: Path, shared_folder: Path) -> FinishedNight:
    """A whole night on the small world, without Prefect; its files are never to be changed."""
    home = shared_folder / "small_night"
    finished = FinishedNight(small_source, home / "out", home / "var", SMALL_RUN_DATE)
    with built_once(home) as is_missing:
        if is_missing:
            from pipelines.nightly import nightly

            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("KAKEDOKI_HOME", str(finished.var))
                nightly.fn(str(small_source), str(finished.out), SMALL_RUN_DATE)
    return finished


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A real Prefect server with an empty database, for this worker."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=90):
        yield
