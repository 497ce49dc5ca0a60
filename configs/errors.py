"""Every way a command can fail, by cause: one exception and one exit code each.

The command line prints ``str(error)``, one line that names the place and the remedy, and exits with ``exit_code``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


class KakedokiError(Exception):
    """Root of the tree; raised itself only for causes nobody foresaw.

    >>> ContractError("customers.customer_id: column missing: add it").exit_code
    11
    """

    exit_code = 20


class UsageError(KakedokiError):
    """The command, its options or the settings file cannot be understood."""

    exit_code = 2


class SourceError(KakedokiError):
    """The source cannot be reached or read at all: no such folder, no server, a damaged file."""

    exit_code = 10


class ClusterError(KakedokiError):
    """The Dask cluster cannot be reached, has no workers, or loses them again and again."""

    exit_code = 10


class ContractError(KakedokiError):
    """The source was read, but a table breaks its contract as a whole: column missing, table empty, log stale."""

    exit_code = 11


class TooManyBadRowsError(KakedokiError):
    """More rows were rejected than ``max_bad_share`` allows; the rejects are kept in ``OUT.failed/``.

    Attributes
    ----------
    rejects
        The rejected rows as ``CheckReport.rejects`` lists them, or None where nobody listed them.
    """

    exit_code = 12

    def __init__(self, message: str, rejects: pd.DataFrame | None = None) -> None:
        super().__init__(message)
        self.rejects = rejects


class NoModelError(KakedokiError):
    """There is no champion yet and the log is too small or too uniform to fit one."""

    exit_code = 13


class NoCapacityError(KakedokiError):
    """The horizon holds no place at all, so there is nothing to plan."""

    exit_code = 14


class LockedError(KakedokiError):
    """Another night holds the lock."""

    exit_code = 15
