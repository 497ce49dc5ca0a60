"""How a command ends: one line for people with the remedy, an exit code by cause, and the details in a log file."""

import logging
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import FrameType

from configs.errors import KakedokiError, UsageError

INTERRUPTED = 130
TERMINATED = 143
UNEXPECTED = 20
_NUMBER = re.compile(r"(?<![\w.])\+?0?\d(?:[-() ]?\d){8,14}(?![\w.])")


@contextmanager
def end_with_exit_code(command: str, var: Path, started_at: datetime) -> Iterator[Path]:
    """Run the body; when it fails, say so in one line on stderr and leave with the code of DESIGN section 9.

    Yields
    ------
    The log file, ``var/logs/<start>-<command>.log``, which receives every log line and every traceback.

    Raises
    ------
    SystemExit
        With the error's ``exit_code``; 20 for what nobody foresaw, 130 after Ctrl-C, 143 when told to end.
    """
    log_file = var / "logs" / f"{started_at:%Y%m%dT%H%M%S}-{command}.log"
    logger = logging.getLogger("kakedoki")
    _make_folder(log_file.parent)
    with _log_to(log_file), _die_cleanly_when_told():
        try:
            yield log_file
        except KakedokiError as error:
            logger.debug("%s failed", command, exc_info=True)
            logger.error("%s: %s", type(error).__name__, error)
            _say(str(error))
            raise SystemExit(error.exit_code) from error
        except KeyboardInterrupt:
            logger.error("interrupted")
            _say("interrupted; nothing was left half-written, run it again at any time")
            raise SystemExit(INTERRUPTED) from None
        except Exception as error:
            logger.exception("%s failed for a cause nobody foresaw", command)
            _say(f"unexpected {type(error).__name__}; the details are in {log_file}: please report them")
            raise SystemExit(UNEXPECTED) from error


def mask_numbers(text: str) -> str:
    """Replace what may be a telephone number, 9 to 15 digits with or without separators, by dots.

    >>> mask_numbers("call 090-1234-5678 on 2026-11-21")
    'call ••• on 2026-11-21'
    """
    return _NUMBER.sub("•••", text)


class _MaskingFormatter(logging.Formatter):
    """Log lines and tracebacks without telephone numbers."""

    def format(self, record: logging.LogRecord) -> str:
        return mask_numbers(super().format(record))

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802, ARG002
        return datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="seconds")


@contextmanager
def _log_to(file: Path) -> Iterator[None]:
    """Send our lines to the file, and the warnings of libraries, which write there and not on the screen."""
    root = logging.getLogger()
    level = root.level
    writer = logging.FileHandler(file, encoding="utf-8", delay=True)
    writer.addFilter(lambda line: line.levelno >= logging.WARNING or line.name.startswith("kakedoki"))
    writer.setFormatter(_MaskingFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root.addHandler(writer)
    root.setLevel(logging.INFO)
    ours = logging.getLogger("kakedoki")
    ours.setLevel(logging.DEBUG)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(writer)
        root.setLevel(level)
        writer.close()


@contextmanager
def _die_cleanly_when_told() -> Iterator[None]:
    """Turn SIGTERM into an exit that unwinds, so that folders being written are swept away."""

    def leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _say(f"{folder}: cannot be made ({error.strerror}): set KAKEDOKI_HOME to a folder that can be written")
        raise SystemExit(UsageError.exit_code) from error


def _say(sentence: str) -> None:
    line = " ".join(sentence.split())
    sys.stderr.write(f"kakedoki: {line}\n")
