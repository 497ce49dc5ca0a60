"""Small files that only their owner may read: written whole or not at all, one writer at a time."""

import fcntl
import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path

from configs.errors import UsageError

_OTHERS = 0o077
_SECRET_BYTES = 32


def read_private(file: Path) -> bytes | None:
    """Read a private file; None when there is none.

    Raises
    ------
    UsageError
        Others on this machine may read or write it, or it cannot be read; the message says what to do.

    Examples
    --------
    >>> read_private(Path("/nowhere/users.json")) is None
    True
    """
    try:
        with file.open("rb") as opened:
            if os.fstat(opened.fileno()).st_mode & _OTHERS:
                raise UsageError(f"{file}: others on this machine may read it: chmod 600 {file}")
            return opened.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror}): run as the user who owns it") from error


def change_private(file: Path, change: Callable[[bytes | None], bytes]) -> None:
    """Replace a private file by what ``change`` makes of it; two processes that change it wait for each other.

    The new content is on the disk before it takes the place of the old, so that a crash leaves one of the two whole.

    Parameters
    ----------
    file
        Mode 600 afterwards; its folder is made if needed. Beside it lies ``<file>.lock``, which is empty.
    change
        Old content (None: no file yet) to new content. What it raises leaves the file as it was.

    Raises
    ------
    UsageError
        The file cannot be read safely or its folder cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(
            f"{file}: cannot be written ({error.strerror}): set KAKEDOKI_HOME to a folder of yours"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _replace(file, change(read_private(file)))
    finally:
        os.close(lock)


def read_or_make_secret(file: Path) -> str:
    """Read the secret that a file holds, 32 random bytes in hexadecimal; made the first time.

    Raises
    ------
    UsageError
        Others may read it, or it is too short to be ours.

    Examples
    --------
    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "secret"
    >>> read_or_make_secret(place) == read_or_make_secret(place)
    True
    """
    found = read_private(file)
    if found is None:
        change_private(file, lambda old: old or secrets.token_hex(_SECRET_BYTES).encode())
        found = read_private(file)
    secret = (found or b"").decode("ascii", errors="replace").strip()
    if len(secret) < _SECRET_BYTES:
        raise UsageError(f"{file}: holds no secret of {_SECRET_BYTES} characters or more: delete it, a new one is made")
    return secret


def _replace(file: Path, content: bytes) -> None:
    """Write beside, to the disk, then rename; ``mkstemp`` makes files of mode 600."""
    number, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(number, "wb") as written:
            written.write(content)
            written.flush()
            os.fsync(written.fileno())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
