"""Where runs leave their traces (``var/``), and the lock that keeps two of them apart."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from configs.errors import LockedError

SPOOL = "spool"
"""Folder under ``var`` in which a run keeps what it cannot hold in memory."""


def find_var() -> Path:
    """Return the folder of run artefacts: ``KAKEDOKI_HOME`` unless empty, else ``var`` where we are; not created.

    >>> find_var().is_absolute()
    True
    """
    return Path(os.environ.get("KAKEDOKI_HOME") or "var").resolve()


@contextmanager
def hold_lock(var: Path) -> Iterator[None]:
    """Hold ``var/kakedoki.lock`` while the body runs; the system lets go of it when the holder dies, however it dies.

    Parameters
    ----------
    var
        Folder of run artefacts; created if needed.

    Raises
    ------
    LockedError
        Another run holds the lock; the message names its process and its start.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with hold_lock(folder):
    ...     (folder / "kakedoki.lock").exists()
    True
    """
    var.mkdir(parents=True, exist_ok=True)
    file = var / "kakedoki.lock"
    with file.open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockedError(f"{file}: {_describe_holder(file)}: wait for it to end, or stop it") from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def open_spool(var: Path) -> Iterator[Path]:
    """Give an empty folder of the owner's alone under ``var``, and remove it afterwards; the lock must be held.

    What a killed run left there is removed first.

    >>> import tempfile
    >>> with open_spool(Path(tempfile.mkdtemp())) as spool:
    ...     oct(spool.stat().st_mode)[-3:]
    '700'
    """
    spool = var / SPOOL
    shutil.rmtree(spool, ignore_errors=True)
    spool.mkdir(mode=0o700, parents=True)
    try:
        yield spool
    finally:
        shutil.rmtree(spool, ignore_errors=True)


def _describe_holder(file: Path) -> str:
    """The holder wrote its process id when it began, so the file's time is the start."""
    try:
        since = datetime.fromtimestamp(file.stat().st_mtime).astimezone()
        return f"another run (process {file.read_text()}, started {since:%Y-%m-%d %H:%M:%S}) holds the lock"
    except OSError:
        return "another run holds the lock"
