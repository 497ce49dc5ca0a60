"""The columns that a table may have, and how a raw table is read into them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from configs.errors import ContractError
from features.cells import Cells, read_codes, read_flags, read_numbers, read_texts, read_times
from features.quarantine import ROW_FAULT, list_rejects

Kind = Literal["text", "code", "number", "flag", "time"]

UNREADABLE: Mapping[Kind, str] = {
    "number": "not a number",
    "flag": "not yes or no: write true or false",
    "time": "not a time: write ISO 8601, such as 2026-11-21T09:30:00+09:00",
}

CUSTOMER_COLUMNS: Mapping[str, Kind] = {
    "customer_id": "text",
    "age": "number",
    "gender": "code",
    "region": "text",
    "do_not_call": "flag",
    "listed": "flag",
    "listed_at": "time",
    "timezone": "text",
    "value": "number",
    "callback_at": "time",
    "phone": "text",
}
ATTEMPT_COLUMNS: Mapping[str, Kind] = {
    "attempt_id": "text",
    "customer_id": "text",
    "attempted_at": "time",
    "outcome": "code",
    "ring_seconds": "number",
    "talk_seconds": "number",
    "wrap_seconds": "number",
    "agent_id": "text",
    "converted": "flag",
    "refused": "flag",
    "campaign_id": "text",
    "propensity": "number",
}
AGENT_COLUMNS: Mapping[str, Kind] = {
    "agent_id": "text",
    "age": "number",
    "gender": "code",
    "skill": "text",
    "team": "text",
}
CAPACITY_COLUMNS: Mapping[str, Kind] = {"slot_start": "time", "dials": "number", "agents": "number"}

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "customers": ("customer_id", "do_not_call"),
    "call_attempts": ("attempt_id", "customer_id", "attempted_at", "outcome"),
    "agents": ("agent_id",),
    "capacity": ("slot_start",),
}
"""Columns without which a table cannot be used at all."""


@dataclass(frozen=True)
class ParsedTable:
    """A raw table read into typed columns; nothing judged yet but what cannot be read.

    Attributes
    ----------
    rows
        (n,) line of the file of every row.
    frame
        (n, columns of the contract) typed, RangeIndex in the order of ``rows``.
    raw
        The source's own cells in the same order.
    is_faulty
        (n,) bool, rows that cannot be trusted as a whole (cut short, too many fields).
    unreadable
        Rejects for cells that cannot be read (``REJECT_COLUMNS`` and ``position``).
    present
        The contract's columns that the source has.
    """

    name: str
    rows: np.ndarray
    frame: pd.DataFrame
    raw: pd.DataFrame
    is_faulty: np.ndarray
    unreadable: tuple[pd.DataFrame, ...]
    present: frozenset[str]


def parse_table(name: str, raw: pd.DataFrame, kinds: Mapping[str, Kind], zone: str) -> ParsedTable:
    """Read a raw table into the typed columns of its contract; columns that the source lacks are missing throughout.

    An index named ``row`` holds the lines of the file; otherwise rows are numbered from 2 on.

    Raises
    ------
    ContractError
        A required column is missing; the message names it and what was found.

    Examples
    --------
    >>> agents = parse_table("agents", pd.DataFrame({"agent_id": [7], "age": ["x"]}), AGENT_COLUMNS, "Asia/Tokyo")
    >>> agents.frame["agent_id"].tolist(), agents.unreadable[0]["row"].tolist()
    (['7'], [2])
    """
    _require_columns(name, raw)
    rows = raw.index.to_numpy() if raw.index.name == "row" else np.arange(len(raw)) + 2
    order = np.argsort(rows, kind="stable")
    rows, raw = rows[order].astype("int64"), raw.iloc[order].reset_index(drop=True)
    faults = raw[ROW_FAULT] if ROW_FAULT in raw else pd.Series(pd.NA, index=raw.index, dtype="str")
    is_faulty = faults.notna().to_numpy()
    columns: dict[str, Any] = {}
    rejects = [_list_faults(name, rows, faults)] if is_faulty.any() else []
    for column, kind in kinds.items():
        given = raw[column] if column in raw else pd.Series(pd.NA, index=raw.index, dtype="str")
        cells = _read_cells(given, kind, zone)
        columns[column] = cells.values
        positions = np.flatnonzero(cells.unreadable & ~is_faulty)
        if len(positions):
            rejects.append(list_rejects(name, rows, positions, column, given, UNREADABLE[kind]))
    found = frozenset(kinds) & frozenset(raw.columns)
    return ParsedTable(name, rows, pd.DataFrame(columns, index=raw.index), raw, is_faulty, tuple(rejects), found)


def _require_columns(name: str, raw: pd.DataFrame) -> None:
    missing = [column for column in REQUIRED[name] if column not in raw]
    if missing:
        found = ", ".join(str(column) for column in raw.columns if column != ROW_FAULT) or "no column"
        raise ContractError(
            f"{name}.{missing[0]}: column missing (found {found}): add it, or map another column (configs/sources/)"
        )


def _read_cells(given: "pd.Series[Any]", kind: Kind, zone: str) -> Cells:
    if kind == "time":
        return read_times(given, zone)
    readers = {"text": read_texts, "code": read_codes, "number": read_numbers, "flag": read_flags}
    return readers[kind](given)


def _list_faults(name: str, rows: np.ndarray, faults: "pd.Series[Any]") -> pd.DataFrame:
    positions = np.flatnonzero(faults.notna())
    listed = list_rejects(name, rows, positions, "", pd.Series("", index=faults.index, dtype="str"), "")
    return listed.assign(reason=faults.iloc[positions].astype("str").to_numpy())
