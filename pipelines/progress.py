"""What the run going on is at, and how the newest one failed: two small files under ``var/`` that the page reads.

A run whose progress cannot be written goes on all the same.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from configs.errors import KakedokiError
from pipelines.failures import mask_numbers

PROGRESS = "progress.json"
FAILURE = "last_failure.json"
_TICKS_FIELD = 19  # starttime in /proc/PID/stat, counted after the name in brackets


@dataclass(frozen=True)
class Progress:
    """What a run is at.

    Attributes
    ----------
    stage
        Name of the stage that is going on; "" before the first.
    n_done, n_stages
        Stages that have ended, of how many.
    started_at
        Seconds since 1970: when the run's first file was written.
    pid, born
        Of the process, and when the system started it, so that another one with the same number is not taken for it.
    """

    stage: str
    n_done: int
    n_stages: int
    started_at: float
    pid: int
    born: str


@dataclass(frozen=True)
class Failure:
    """How the newest run failed: in which stage, what was told (no telephone number), and when (seconds since 1970)."""

    stage: str
    message: str
    failed_at: float


class ProgressFile:
    """The file of one run, written anew with each stage."""

    def __init__(self, var: Path, n_stages: int) -> None:
        self.stage = ""
        self._var, self._n_stages = var, n_stages
        self._started_at, self._pid = 0.0, os.getpid()
        self.tell("", 0)
        self._started_at = _read_time(var / PROGRESS)
        self.tell("", 0)

    def tell(self, stage: str, n_done: int) -> None:
        """Write which stage goes on and how many have ended; whole or not at all."""
        self.stage = stage
        told = Progress(stage, n_done, self._n_stages, self._started_at, self._pid, _read_birth(self._pid))
        _write(self._var / PROGRESS, asdict(told))

    def end(self, error: BaseException | None) -> None:
        """Take the file away; leave word of the failure, or take away that of an earlier one."""
        _remove(self._var / PROGRESS)
        if error is None:
            _remove(self._var / FAILURE)
        else:
            message = mask_numbers(str(error)) if isinstance(error, KakedokiError) else type(error).__name__
            _write(self._var / FAILURE, {"stage": self.stage, "message": message})


@contextmanager
def show_progress(var: Path, n_stages: int) -> Iterator[ProgressFile]:
    """Keep ``var/progress.json`` while the body runs, and ``var/last_failure.json`` after one that failed.

    >>> import tempfile
    >>> var = Path(tempfile.mkdtemp())
    >>> with show_progress(var, 7) as shown:
    ...     shown.tell("fit", 2)
    ...     (read_progress(var).stage, read_progress(var).n_done)
    ('fit', 2)
    >>> read_progress(var) is None
    True
    """
    shown = ProgressFile(var, n_stages)
    try:
        yield shown
    except BaseException as error:
        shown.end(error)
        raise
    shown.end(None)


def read_progress(var: Path) -> Progress | None:
    """Tell what the run going on is at; None when nothing runs, also when a killed run has left its file."""
    try:
        told = Progress(**json.loads((var / PROGRESS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return told if is_alive(told.pid) and told.born == _read_birth(told.pid) else None


def read_failure(var: Path) -> Failure | None:
    """Tell how the newest run failed; None when it ended well, or there was none."""
    try:
        told = json.loads((var / FAILURE).read_text(encoding="utf-8"))
        return Failure(str(told["stage"]), str(told["message"]), _read_time(var / FAILURE))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def is_alive(pid: int) -> bool:
    """Say whether a process of this number runs, whoever owns it.

    >>> is_alive(os.getpid())
    True
    """
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _read_birth(pid: int) -> str:
    """When the process started, in ticks since the boot, and which boot; "" where the system does not say."""
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[_TICKS_FIELD]
        return f"{ticks} {Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"
    except (OSError, IndexError):
        return ""


def _read_time(file: Path) -> float:
    """When the file was written, in seconds since 1970; 0 where it could not be."""
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _write(file: Path, told: dict[str, Any]) -> None:
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(told, ensure_ascii=False) + "\n", encoding="utf-8")
        beside.replace(file)
    except OSError as error:
        logging.getLogger("kakedoki").warning("%s: cannot be written, the run goes on: %s", file, error)


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        logging.getLogger("kakedoki").warning("%s: cannot be removed: %s", file, error)
