"""Rows of a run as the interface for dialers gives them: questions to DuckDB, answers as plain values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from app.api_answers import Dial, StaffedSlot
from app.nights import OpenNight
from pipelines.exports.filters import ListFilter
from pipelines.exports.page_tables import NOT_LAWFUL, PER_UNIT

Row = dict[str, Any]

_DIAL = ", ".join(
    f"round(CAST({name} AS DOUBLE), 6) AS {name}" if name in ("p_keyman", "propensity") else name
    for name in Dial.model_fields
)
_EVERYBODY = ("customers", "call_list", "excluded")


@dataclass(frozen=True)
class Slot:
    """[start, end) of a slot of the plan."""

    start: pd.Timestamp
    end: pd.Timestamp


def list_dials(night: OpenNight, wanted: ListFilter, after: tuple[datetime, int] | None, limit: int) -> list[Row]:
    """Rows of the list in the order of slot and rank, at most ``limit``, those after (slot_start, rank) only."""
    where, values = wanted.to_sql()
    if after is not None:
        where += " AND slot_start >= ? AND (slot_start > ? OR rank > ?)"
        values = [*values, after[0], *after]
    found = night.ask(
        f"SELECT {_DIAL} FROM call_list WHERE {where} ORDER BY slot_start, rank LIMIT ?", [*values, limit]
    )
    return as_rows(night, found)


def list_plan(night: OpenNight, customer_id: str) -> list[Row]:
    """All rows of one customer, earliest first."""
    sql = f"SELECT {_DIAL} FROM call_list WHERE customer_id = ? ORDER BY slot_start, rank"
    return as_rows(night, night.ask(sql, [customer_id]))


def list_waiting(night: OpenNight, slot: Slot, finished: Sequence[str], count: int) -> tuple[list[Row], int]:
    """The first ``count`` rows of a slot whose customers are not finished, and how many such rows there are."""
    found = night.ask(
        f"SELECT {_DIAL}, count(*) OVER () AS n_waiting FROM call_list WHERE slot_start = ? "
        "AND customer_id NOT IN (SELECT unnest(CAST(? AS VARCHAR[]))) ORDER BY rank LIMIT ?",
        [slot.start, list(finished), count],
    )
    n_waiting = int(found["n_waiting"].iloc[0]) if len(found) else 0
    return as_rows(night, found.drop(columns="n_waiting")), n_waiting


def find_slot(night: OpenNight, moment: datetime) -> Slot | None:
    """Find the slot of the plan that holds a moment; None between slots and after the last."""
    found = night.ask("SELECT max(slot_start) AS start FROM slots WHERE slot_start <= ?", [moment])["start"].iloc[0]
    if pd.isna(found):
        return None
    start = pd.Timestamp(found).tz_convert(night.zone)
    end = start + pd.Timedelta(minutes=int(night.record["settings"]["slot_minutes"]))
    return Slot(start, end) if pd.Timestamp(moment) < end else None


def list_excluded(night: OpenNight, reason: str | None, after: str | None, limit: int) -> list[Row]:
    """Customers who are not called, by id, those after an id only."""
    found = night.ask(
        "SELECT customer_id, reason FROM excluded WHERE (? IS NULL OR reason = ?) AND (? IS NULL OR customer_id > ?) "
        "ORDER BY customer_id LIMIT ?",
        [reason, reason, after, after, limit],
    )
    return as_rows(night, found)


def list_staffing(night: OpenNight) -> list[Row]:
    """Every slot, given against recommended."""
    return as_rows(night, night.ask(f"SELECT {', '.join(StaffedSlot.model_fields)} FROM staffing ORDER BY slot_start"))


def is_known(night: OpenNight, customer_id: str) -> bool:
    """Tell whether the night knows a customer: planned, excluded, or only in the tables."""
    return not list_unknown(night, [customer_id])


def list_unknown(night: OpenNight, customer_ids: Iterable[str]) -> set[str]:
    """Those customers whom the night does not know."""
    asked = sorted(set(customer_ids))
    among = "customer_id IN (SELECT unnest(CAST(? AS VARCHAR[])))"
    sql = " UNION ".join(f"SELECT customer_id FROM {table} WHERE {among}" for table in _EVERYBODY)
    return set(asked) - set(night.ask(sql, [asked] * len(_EVERYBODY))["customer_id"])


def find_excluded_reason(night: OpenNight, customer_id: str) -> str | None:
    """Why a customer is not called; None when planned."""
    found = night.ask("SELECT reason FROM excluded WHERE customer_id = ? LIMIT 1", [customer_id])
    return str(found["reason"].iloc[0]) if len(found) else None


def list_chances(night: OpenNight, customer_id: str) -> list[Row]:
    """Chance of a contact by a first dial in every slot, None where no call is lawful; empty without chances."""
    found = night.ask("SELECT p FROM chances WHERE customer_id = ? LIMIT 1", [customer_id])
    if found.empty:
        return []
    slots = as_rows(night, night.ask("SELECT slot_start FROM slots ORDER BY slot_row"))
    p = found["p"].iloc[0].tolist()
    return [
        slot | {"p_keyman": None if each == NOT_LAWFUL else each / PER_UNIT}
        for slot, each in zip(slots, p, strict=True)
    ]


def as_rows(night: OpenNight, frame: pd.DataFrame) -> list[Row]:
    """Plain values, nothing for what is missing, times in the centre's zone."""
    if "slot_start" in frame:
        frame = frame.assign(slot_start=frame["slot_start"].dt.tz_convert(night.zone))
    plain = frame.astype("object").where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]
