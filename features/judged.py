"""The call log read and judged cell by cell: what depends on no other row, table or night, and so can be kept.

What does depend on them (is the customer known, is the id repeated, was it before tonight) is settled every night by
``features.attempts``, over typed columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from features.columns import ATTEMPT_COLUMNS, ParsedTable, parse_table
from features.quarantine import ROW_FAULT, join_rejects
from features.schemas import ATTEMPTS, judge_rows

CODE: pa.DataType = pa.dictionary(pa.int32(), pa.large_string())
_TYPES: dict[str, pa.DataType] = {
    "row": pa.int64(),
    "attempt_id": pa.large_string(),
    "customer_id": pa.large_string(),
    "attempted_at": pa.timestamp("us", "UTC"),
    "outcome": CODE,
    "ring_seconds": pa.float32(),
    "talk_seconds": pa.float32(),
    "wrap_seconds": pa.float32(),
    "agent_id": CODE,
    "converted": pa.bool_(),
    "refused": pa.bool_(),
    "campaign_id": CODE,
    "propensity": pa.float32(),
    "is_faulty": pa.bool_(),
    "is_refusal_unreadable": pa.bool_(),
    "content": pa.uint64(),
}
CELLS = pa.schema(_TYPES)
"""Columns of :class:`JudgedLog`; codes are small integers, so that a row takes some 60 bytes."""


@dataclass(frozen=True)
class JudgedLog:
    """Rows of a log, each judged by itself.

    Attributes
    ----------
    cells : pyarrow.Table
        ``CELLS``, (n,) rows in the order of the source: row (line of the file) · the columns of the contract, null
        where a cell is missing or cannot be read · is_faulty (cut short, too many fields) · is_refusal_unreadable
        (something is said of a refusal that cannot be read) · content (hash of the row as the source holds it).
    rejects
        Cells that break the contract whatever else is in the log: ``REJECT_COLUMNS`` and ``position``.
    """

    cells: pa.Table
    rejects: pd.DataFrame

    def __len__(self) -> int:
        """Rows of the log."""
        return self.cells.num_rows


def judge_log(raw: pd.DataFrame, zone: str) -> JudgedLog:
    """Read and judge every cell of a raw log, or of a stretch of one.

    Raises
    ------
    ContractError
        A required column is missing.

    Examples
    --------
    >>> row = {"attempt_id": 1, "customer_id": "a", "outcome": "bussy", "attempted_at": "2024-09-01"}
    >>> log = judge_log(pd.DataFrame([row]), "Asia/Tokyo")
    >>> len(log), log.rejects["column"].tolist()
    (1, ['outcome'])
    """
    table = parse_table("call_attempts", raw, ATTEMPT_COLUMNS, zone)
    rejects = join_rejects([*table.unreadable, *judge_rows(table, ATTEMPTS, ~table.is_faulty)])
    own = {
        "row": table.rows,
        "is_faulty": table.is_faulty,
        "is_refusal_unreadable": _has_unreadable_refusal(table),
        "content": hash_rows(table.raw),
    }
    read: dict[str, Any] = {name: table.frame[name] for name in ATTEMPT_COLUMNS}
    columns = [pa.array((read | own)[name], from_pandas=True) for name in CELLS.names]
    return JudgedLog(pa.table(columns, names=CELLS.names).cast(CELLS), rejects)


def join_logs(parts: Sequence[JudgedLog]) -> JudgedLog:
    """Put stretches of a log one below the other; no part gives an empty log.

    >>> len(join_logs([]))
    0
    """
    starts = np.cumsum([0, *map(len, parts)])
    cells = pa.concat_tables([part.cells for part in parts]) if parts else CELLS.empty_table()
    shifted = [
        part.rejects.assign(position=part.rejects["position"] + start)
        for part, start in zip(parts, starts[:-1], strict=True)
        if len(part.rejects)
    ]
    return JudgedLog(cells, join_rejects(shifted))


def take_rows(log: JudgedLog, positions: np.ndarray) -> JudgedLog:
    """Take some rows of a log, each at most once, in the order of ``positions``.

    >>> row = {"attempt_id": 1, "customer_id": "a", "outcome": "bussy", "attempted_at": "2024-09-01"}
    >>> log = judge_log(pd.DataFrame([row | {"outcome": "busy"}, row]), "Asia/Tokyo")
    >>> take_rows(log, np.array([1])).rejects["position"].tolist()
    [0]
    """
    now_at = np.full(len(log), -1)
    now_at[positions] = np.arange(len(positions))
    rejects = log.rejects.assign(position=now_at[log.rejects["position"].to_numpy()])
    return JudgedLog(log.cells.take(pa.array(positions)), join_rejects([rejects[rejects["position"] >= 0]]))


def hash_rows(frame: pd.DataFrame) -> np.ndarray:
    """A hash of the cells of every row as they are, the same in every run; (n,) uint64.

    Whether a row can be trusted (``row_fault``) belongs to it; the index does not.

    >>> hashes = hash_rows(pd.DataFrame({"a": ["x", "x", None]}))
    >>> bool(hashes[0] == hashes[1]), bool(hashes[0] == hashes[2])
    (True, False)
    """
    if frame.empty:
        return np.zeros(0, dtype="uint64")
    plain = frame.astype({name: "str" for name in frame.columns if frame[name].dtype == object})
    plain = plain.drop(columns=ROW_FAULT, errors="ignore").reset_index(drop=True)
    faults = frame[ROW_FAULT].to_numpy(dtype=object) if ROW_FAULT in frame else np.full(len(frame), None)
    numbered = plain.set_axis([f"c{at}" for at in range(plain.shape[1])], axis=1)
    given = pa.Table.from_pandas(numbered, preserve_index=False)
    given = given.append_column("fault", pa.array(faults, pa.string(), from_pandas=True))
    return hash_cells(given)


def hash_cells(given: pa.Table) -> np.ndarray:
    """A hash of the cells of every row of an Arrow table, of at least one column; (n,) uint64.

    >>> hashes = hash_cells(pa.table({"a": ["x", "x", None]}))
    >>> bool(hashes[0] == hashes[1]), bool(hashes[0] == hashes[2])
    (True, False)
    """
    numbered = given.rename_columns([f"c{at}" for at in range(given.num_columns)])
    with duckdb.connect(config={"python_enable_replacements": "false"}) as database:
        database.register("given", numbered)
        hashed = database.sql(f"SELECT hash({', '.join(numbered.column_names)}) AS content FROM given").to_arrow_table()
    return np.asarray(hashed["content"].to_numpy())


def _has_unreadable_refusal(table: ParsedTable) -> np.ndarray:
    """What somebody wrote about a refusal and cannot be read bars the customer: better one call too few."""
    if "refused" not in table.raw:
        return np.zeros(len(table.rows), dtype=bool)
    said = table.raw["refused"]
    is_written = said.notna() & (said.astype("str").str.strip() != "")
    return np.asarray(table.frame["refused"].isna() & is_written, dtype=bool)
