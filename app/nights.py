"""Which night is shown: the newest complete run, opened once and opened anew when another takes its place."""

import json
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import duckdb
import pandas as pd

from configs.errors import KakedokiError
from pipelines.exports.folders import read_latest, read_replanned
from pipelines.exports.run_tables import open_run

MOST_ANSWERS, MOST_KEPT = 512, 64
Made = TypeVar("Made")


class NoNightError(KakedokiError):
    """No night has been run yet, or its folder is gone: pages say what to do."""


@dataclass(frozen=True)
class OpenNight:
    """One complete run, open for reading.

    Attributes
    ----------
    folder
        What ``kakedoki nightly --out`` wrote.
    record
        Its ``run.json``.
    stamp
        Changes when another run takes the folder's place.
    """

    folder: Path
    record: dict[str, Any]
    stamp: tuple[str, int]
    _connection: duckdb.DuckDBPyConnection = field(repr=False, compare=False)
    _answers: dict[tuple[str, tuple[Any, ...]], pd.DataFrame] = field(default_factory=dict, repr=False, compare=False)
    _kept: dict[tuple[Hashable, ...], Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def run_id(self) -> str:
        """Of the run."""
        return str(self.record["run_id"])

    @property
    def night_record(self) -> dict[str, Any]:
        """The record under the night's own run_id, also where the rest of its first day was planned again."""
        return self.record | {"run_id": self.record.get("night_id", self.run_id)}

    @property
    def zone(self) -> ZoneInfo:
        """The centre's time zone."""
        return ZoneInfo(self.record["settings"]["timezone"])

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """Of ``open_run``: for exports, which take a cursor of it."""
        return self._connection

    def ask(self, sql: str, values: Sequence[Any] = ()) -> pd.DataFrame:
        """Answer a query over the run's tables; safe from several threads, one cursor each.

        ``sql`` is ours; what people typed goes into ``values``.
        """
        with self._connection.cursor() as cursor:
            return cursor.execute(sql, list(values)).df()

    def keep(self, key: tuple[Hashable, ...], make: Callable[[], Made]) -> Made:
        """Give what ``make`` has made for a key of this night; the newest few keys are remembered. Never change it."""
        if key not in self._kept:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            made = self._kept[key] = make()
            return made
        kept: Made = self._kept[key]
        return kept

    def ask_once(self, sql: str, values: Sequence[Any] = ()) -> pd.DataFrame:
        """Answer like ``ask``, and remember it: for short answers to what many readers ask. Never change the frame."""
        key = (sql, tuple(values))
        if key not in self._answers:
            if len(self._answers) >= MOST_ANSWERS:
                self._answers.clear()
            answer = self._answers[key] = self.ask(sql, values)
            return answer
        return self._answers[key]


class Nights:
    """Gives the night that is shown.

    Parameters
    ----------
    var
        Folder of run artefacts, whose ``runs/latest.json`` names the newest run, and ``runs/replanned.json`` the
        newest plan of the rest of its day, which is laid over it.
    folder
        Shows this run instead.
    """

    def __init__(self, var: Path, folder: Path | None = None) -> None:
        self.var = var
        self._folder = folder
        self._open: OpenNight | None = None
        self._night: tuple[tuple[Path, int], dict[str, Any]] | None = None
        self._lock = threading.Lock()

    def current(self) -> OpenNight:
        """Open the night, or give the one that is open already if nothing has changed.

        Raises
        ------
        NoNightError
            There is no complete run; the message says how to make one.
        """
        folder = self._folder or read_latest(self.var / "runs")
        if folder is None:
            raise NoNightError("no night has been run yet: kakedoki nightly --source FOLDER --out OUT")
        try:
            written = _written_at(folder)
            with self._lock:
                if self._night is None or self._night[0] != (folder, written):
                    self._night = ((folder, written), _read_record(folder))
                record = self._night[1]
                rest = None if self._folder else read_replanned(self.var / "runs", str(record["run_id"]))
                stamp = (str(rest or folder), max(written, 0 if rest is None else _written_at(rest)))
                if self._open is None or self._open.stamp != stamp:
                    shown = record if rest is None else join_records(record, _read_record(rest))
                    self._open = OpenNight(folder, shown, stamp, open_run(folder, rest))
                return self._open
        except OSError as error:
            raise NoNightError(f"{folder}: holds no complete run: run kakedoki nightly again ({error})") from error


def join_records(night: dict[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
    """Give the record of a night whose first day was planned again: the night's, under the name of the replan.

    >>> joined = join_records({"run_id": "a", "gains": 1}, {"run_id": "a-1210", "replanned_at": "12:10", "gap": 0})
    >>> joined
    {'run_id': 'a-1210', 'gains': 1, 'night_id': 'a', 'replanned_at': '12:10'}
    """
    return night | {"run_id": rest["run_id"], "night_id": night["run_id"], "replanned_at": rest["replanned_at"]}


def _read_record(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return record


def _written_at(folder: Path) -> int:
    return (folder / "run.json").stat().st_mtime_ns
