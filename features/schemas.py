"""What must be true of every row, as pandera schemas, and how their failures become rejects."""

from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from features.columns import ParsedTable
from features.outcomes import OUTCOMES
from features.quarantine import list_rejects

GENDERS = ("male", "female", "other")
OLDEST_YEARS = 120
LONGEST_SECONDS = 86_400
EARLIEST, LATEST = pd.Timestamp("1990-01-01", tz="UTC"), pd.Timestamp("2100-01-01", tz="UTC")

_REASONS = {"not_nullable": "missing", "field_uniqueness": "repeated: the first row with this key is kept"}


def _in_range(low: float, high: float) -> pa.Check:
    return pa.Check.in_range(low, high, error=f"outside {low:,g} to {high:,g}")


def _plausible_time() -> pa.Check:
    return pa.Check(
        lambda times: (times >= EARLIEST) & (times < LATEST),
        error=f"outside the years {EARLIEST.year} to {LATEST.year - 1}: is the clock wrong?",
    )


def _one_of(words: Iterable[str], remedy: str) -> pa.Check:
    return pa.Check.isin(list(words), error=remedy)


def _share_above_zero() -> pa.Check:
    return pa.Check.in_range(0, 1, include_min=False, error="not in (0, 1]")


def _known_zone() -> pa.Check:
    return pa.Check(_are_zones, error="not an IANA time zone such as Asia/Tokyo")


def _are_zones(names: "pd.Series[Any]") -> "pd.Series[bool]":
    known = {name for name in names.dropna().unique() if _is_zone(name)}
    return names.isin(known)


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _seconds() -> pa.Column:
    return pa.Column(checks=_in_range(0, LONGEST_SECONDS), nullable=True)


CUSTOMERS = pa.DataFrameSchema(
    {
        "customer_id": pa.Column(nullable=False),
        "age": pa.Column(checks=_in_range(0, OLDEST_YEARS), nullable=True),
        "gender": pa.Column(checks=_one_of(GENDERS, f"not one of {', '.join(GENDERS)}: map the code"), nullable=True),
        "listed_at": pa.Column(checks=_plausible_time(), nullable=True),
        "timezone": pa.Column(checks=_known_zone(), nullable=True),
        "value": pa.Column(checks=_in_range(0, 1e12), nullable=True),
        "callback_at": pa.Column(checks=_plausible_time(), nullable=True),
    }
)
ATTEMPTS = pa.DataFrameSchema(
    {
        "attempt_id": pa.Column(nullable=False),
        "customer_id": pa.Column(nullable=False),
        "attempted_at": pa.Column(checks=_plausible_time(), nullable=False),
        "outcome": pa.Column(
            checks=_one_of(OUTCOMES, "unknown outcome: map the code in a settings file (configs/sources/)"),
            nullable=False,
        ),
        "ring_seconds": _seconds(),
        "talk_seconds": _seconds(),
        "wrap_seconds": _seconds(),
        "propensity": pa.Column(checks=_share_above_zero(), nullable=True),
    }
)
AGENTS = pa.DataFrameSchema(
    {
        "agent_id": pa.Column(nullable=False),
        "age": pa.Column(checks=_in_range(0, OLDEST_YEARS), nullable=True),
        "gender": pa.Column(checks=_one_of(GENDERS, f"not one of {', '.join(GENDERS)}: map the code"), nullable=True),
    }
)
DIALS_CAPACITY = pa.DataFrameSchema(
    {
        "slot_start": pa.Column(checks=_plausible_time(), nullable=False),
        "dials": pa.Column(checks=_in_range(0, 1e9), nullable=False),
    }
)
AGENTS_CAPACITY = pa.DataFrameSchema(
    {
        "slot_start": pa.Column(checks=_plausible_time(), nullable=False),
        "agents": pa.Column(checks=_in_range(0, 1e6), nullable=False),
    }
)


def judge_rows(table: ParsedTable, schema: pa.DataFrameSchema, is_judged: np.ndarray) -> list[pd.DataFrame]:
    """List every cell of the judged rows that breaks the schema.

    Parameters
    ----------
    is_judged
        (n,) bool, rows to judge; the others are left out of the judgement, not accepted.

    Returns
    -------
    Lists of rejects, one per column and reason, each with ``REJECT_COLUMNS`` and ``position``. A cell that could not
    be read has been listed before and is not listed again.
    """
    try:
        schema.validate(table.frame.loc[is_judged], lazy=True)
    except SchemaErrors as broken:
        cases = broken.failure_cases
    else:
        return []
    rejects = []
    for (column, check), group in cases.groupby(["column", "check"], sort=True):
        positions = np.sort(group["index"].astype("int64").unique())
        if check == "not_nullable":
            positions = np.setdiff1d(positions, _unreadable_positions(table, str(column)))
        reason = _REASONS.get(str(check), str(check))
        values = table.raw[column] if column in table.raw else table.frame[column]
        rejects.append(list_rejects(table.name, table.rows, positions, str(column), values, reason))
    return rejects


def _unreadable_positions(table: ParsedTable, column: str) -> np.ndarray:
    parts = [part["position"].to_numpy() for part in table.unreadable if part["column"].iloc[0] == column]
    return np.concatenate([np.empty(0, dtype="int64"), *parts])


def judge_key(table: ParsedTable, key: str, is_judged: np.ndarray) -> list[pd.DataFrame]:
    """List the judged rows that repeat the key of an earlier judged row."""
    unique = pa.DataFrameSchema({key: pa.Column(unique=True, report_duplicates="exclude_first")})
    return judge_rows(table, unique, is_judged)
