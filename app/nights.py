"""Which night is shown: the newest complete run, opened once and opened anew when another takes its place."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pandas as pd

from configs.errors import KakedokiError
from pipelines.exports import read_latest
from pipelines.exports.run_tables import open_run

MOST_ANSWERS = 512


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

    @property
    def run_id(self) -> str:
        """Of the run."""
        return str(self.record["run_id"])

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
        Folder of run artefacts, whose ``runs/latest.json`` names the newest run.
    folder
        Shows this run instead.
    """

    def __init__(self, var: Path, folder: Path | None = None) -> None:
        self.var = var
        self._folder = folder
        self._open: OpenNight | None = None
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
            stamp = (str(folder), (folder / "run.json").stat().st_mtime_ns)
            with self._lock:
                if self._open is None or self._open.stamp != stamp:
                    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
                    self._open = OpenNight(folder, record, stamp, open_run(folder))
                return self._open
        except OSError as error:
            raise NoNightError(f"{folder}: holds no complete run: run kakedoki nightly again ({error})") from error
