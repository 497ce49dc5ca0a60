"""Outcomes that dialers post: kept in ``var/outcomes``, and counted when the rest of the day is planned again.

One SQLite file in WAL mode holds them, so that many readers and one writer get along; a post is kept whole or not at
all, and ``attempt_id`` makes it safe to post again.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from configs.errors import KakedokiError
from features.judged import JudgedLog, join_logs, judge_log
from features.outcomes import CONTACT, WRONG_NUMBER

FILE = Path("outcomes") / "outcomes.sqlite"
_BUSY_SECONDS = 10.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS posted (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    attempt_id TEXT NOT NULL UNIQUE,
    customer_id TEXT NOT NULL,
    attempted_at TEXT NOT NULL,
    outcome TEXT NOT NULL,
    ring_seconds REAL, talk_seconds REAL, wrap_seconds REAL,
    agent_id TEXT,
    converted INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    posted_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS posted_by_time ON posted (attempted_at);
CREATE INDEX IF NOT EXISTS posted_by_customer ON posted (customer_id);
CREATE INDEX IF NOT EXISTS posted_bars ON posted (customer_id) WHERE refused OR outcome = 'wrong_number';
"""


class OutcomeConflictError(KakedokiError):
    """Attempts that were posted before come again and say something else.

    Attributes
    ----------
    attempt_ids
        Of these attempts, in the order of the post.
    """

    def __init__(self, attempt_ids: Sequence[str]) -> None:
        self.attempt_ids = tuple(attempt_ids)
        super().__init__(f"attempt_id {', '.join(self.attempt_ids[:5])}: was posted before with another content")


@dataclass(frozen=True)
class PostedAttempt:
    """One dial as a dialer tells it; ``attempted_at`` knows its zone. Seconds and flags as in ``call_attempts``."""

    attempt_id: str
    customer_id: str
    attempted_at: datetime
    outcome: str
    ring_seconds: float | None = None
    talk_seconds: float | None = None
    wrap_seconds: float | None = None
    agent_id: str | None = None
    converted: bool = False
    refused: bool = False


COLUMNS = tuple(each.name for each in fields(PostedAttempt))


def post_outcomes(var: Path, attempts: Sequence[PostedAttempt], posted_at: datetime) -> int:
    """Keep the attempts, all or none; the ones that are known already, word by word, change nothing.

    Returns
    -------
    How many are new.

    Raises
    ------
    OutcomeConflictError
        An ``attempt_id`` is known, or stands twice in ``attempts``, with another content; nothing is kept.

    Examples
    --------
    >>> import tempfile
    >>> from datetime import UTC
    >>> var, at = Path(tempfile.mkdtemp()), datetime(2026, 11, 2, 10, 5, tzinfo=UTC)
    >>> dial = PostedAttempt("A1", "C1", at, "keyman_contact")
    >>> post_outcomes(var, [dial], at), post_outcomes(var, [dial], at)
    (1, 0)
    """
    rows = [_as_row(attempt) for attempt in attempts]
    with _open(var) as store:
        known = _find_known(store, [row[0] for row in rows])
        new: dict[str, tuple[Any, ...]] = {}
        conflicts: list[str] = []
        for row in rows:
            before = known.get(row[0], new.get(row[0]))
            if before is None:
                new[row[0]] = row
            elif before != row:
                conflicts.append(row[0])
        if conflicts:
            raise OutcomeConflictError(list(dict.fromkeys(conflicts)))
        marks = ", ".join("?" * (len(COLUMNS) + 1))
        stamp = _spell(posted_at)
        store.executemany(
            f"INSERT INTO posted ({', '.join(COLUMNS)}, posted_at) VALUES ({marks})",
            [(*row, stamp) for row in new.values()],
        )
    return len(new)


def read_outcomes(var: Path, since: datetime | None = None, after: int = 0, limit: int = -1) -> pd.DataFrame:
    """Read what was posted, in the order of posting.

    Parameters
    ----------
    since
        Only what was posted at or after this instant.
    after
        Only what has a larger ``sequence``, for reading in pages of ``limit`` rows (-1: all).

    Returns
    -------
    DataFrame
        sequence · the columns of :class:`PostedAttempt` (``attempted_at`` UTC) · posted_at (UTC).
    """
    asked = "SELECT * FROM posted WHERE posted_at >= ? AND sequence > ? ORDER BY sequence LIMIT ?"
    return _read(var, asked, ["" if since is None else _spell(since), after, limit])


def read_outcomes_between(var: Path, start: datetime, end: datetime) -> pd.DataFrame:
    """Read the dials that began in [start, end), sorted by time; columns as :func:`read_outcomes`."""
    asked = "SELECT * FROM posted WHERE attempted_at >= ? AND attempted_at < ? ORDER BY attempted_at, attempt_id"
    return _read(var, asked, [_spell(start), _spell(end)])


def read_outcomes_of(var: Path, customer_id: str) -> pd.DataFrame:
    """Read what was posted about one customer, sorted by time; columns as :func:`read_outcomes`."""
    asked = "SELECT * FROM posted WHERE customer_id = ? ORDER BY attempted_at, attempt_id"
    return _read(var, asked, [customer_id])


def count_outcomes(var: Path) -> int:
    """Count what was ever posted."""
    return int(_read(var, "SELECT count(*) AS n FROM posted", [])["n"].sum())


def list_finished(var: Path, since: datetime, slot_start: datetime, slot_end: datetime) -> list[str]:
    """List the customers who are not to be dialled in a slot any more, by what was posted.

    Parameters
    ----------
    since
        The night's ``as_of``: a contact from then on ends the customer's series, an earlier one the night has judged.
        A refusal or a wrong number ends it whenever it was.
    slot_start, slot_end
        Whoever was dialled in [slot_start, slot_end) is not dialled again in this slot.
    """
    asked = """
        SELECT customer_id FROM posted WHERE refused OR outcome = 'wrong_number'
        UNION SELECT customer_id FROM posted WHERE attempted_at >= ? AND outcome = ?
        UNION SELECT customer_id FROM posted WHERE attempted_at >= ? AND attempted_at < ?
    """
    found = _read(var, asked, [_spell(since), CONTACT, _spell(slot_start), _spell(slot_end)])
    return [str(customer_id) for customer_id in found["customer_id"]]


def has_ended(posted: pd.DataFrame, since: datetime) -> bool:
    """Tell whether what was posted about one customer ends the series; ``since`` as in :func:`list_finished`.

    >>> at = pd.Timestamp("2026-11-02 10:05", tz="UTC")
    >>> dials = pd.DataFrame({"attempted_at": [at], "outcome": ["keyman_contact"], "refused": [False]})
    >>> has_ended(dials, at), has_ended(dials, at + pd.Timedelta(days=1))
    (True, False)
    """
    is_barred = posted["refused"] | (posted["outcome"] == WRONG_NUMBER)
    is_reached = (posted["outcome"] == CONTACT) & (posted["attempted_at"] >= pd.Timestamp(since))
    return bool((is_barred | is_reached).any())


def add_posted(log: JudgedLog, posted: pd.DataFrame) -> tuple[JudgedLog, int]:
    """Lay posted dials beside the log of a source, as far as their ``attempt_id`` is not in it yet.

    Parameters
    ----------
    posted
        As :func:`read_outcomes_between` gives them.

    Returns
    -------
    log, n_added
        A new log; the posted rows follow after the log's own.
    """
    if posted.empty:
        return log, 0
    known = pc.is_in(pa.array(posted["attempt_id"], pa.large_string(), from_pandas=True), log.cells["attempt_id"])
    rows = posted.loc[~known.to_numpy(zero_copy_only=False), list(COLUMNS)]
    if rows.empty:
        return log, 0
    first = (pc.max(log.cells["row"]).as_py() or 1) + 1
    rows = rows.set_axis(pd.RangeIndex(first, first + len(rows), name="row"), axis=0)
    return join_logs([log, judge_log(rows, "UTC")]), len(rows)


def _as_row(attempt: PostedAttempt) -> tuple[Any, ...]:
    return astuple(replace(attempt, attempted_at=_spell(attempt.attempted_at)))  # type: ignore[arg-type]


def _spell(instant: datetime) -> str:
    """UTC, always as long, so that texts sort as the instants do."""
    stamp = pd.Timestamp(instant)
    if stamp.tz is None:
        raise ValueError(f"{instant}: has no time zone")
    return stamp.tz_convert("UTC").strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@contextmanager
def _open(var: Path) -> Iterator[sqlite3.Connection]:
    """Open the store for writing in one transaction, which an exception takes back."""
    file = var / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file, timeout=_BUSY_SECONDS, isolation_level=None)) as store:
        store.execute("PRAGMA journal_mode = WAL")
        store.executescript(_SCHEMA)
        store.execute("BEGIN IMMEDIATE")
        try:
            yield store
        except BaseException:
            store.execute("ROLLBACK")
            raise
        store.execute("COMMIT")


def _find_known(store: sqlite3.Connection, attempt_ids: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    asked = f"SELECT {', '.join(COLUMNS)} FROM posted WHERE attempt_id IN (SELECT value FROM json_each(?))"
    rows = store.execute(asked, [json.dumps(list(attempt_ids))])
    return {row[0]: (*row[:-2], bool(row[-2]), bool(row[-1])) for row in rows}


def _read(var: Path, sql: str, values: Sequence[Any]) -> pd.DataFrame:
    """Answer a query; nothing is made where nobody has posted yet."""
    file = var / FILE
    with closing(sqlite3.connect(file if file.is_file() else ":memory:", timeout=_BUSY_SECONDS)) as store:
        if not file.is_file():
            store.executescript(_SCHEMA)
        found = store.execute(sql, list(values))
        frame = pd.DataFrame(found.fetchall(), columns=[column[0] for column in found.description])
    for name in ("attempted_at", "posted_at"):
        if name in frame:
            frame[name] = pd.to_datetime(frame[name], format="ISO8601", utc=True).dt.as_unit("us")
    return frame.astype({name: "bool" for name in ("converted", "refused") if name in frame})
