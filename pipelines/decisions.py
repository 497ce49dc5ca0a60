"""The file in which a supervisor pins and blocks: customer_id · slot_start · decision."""

from pathlib import Path

import numpy as np
import pandas as pd

from configs.errors import ContractError, UsageError
from features.cells import read_times
from features.quarantine import ROW_FAULT
from models.planning.decisions import ANYWHERE, Decisions
from pipelines.sources.delimited import read_csv

KINDS = ("pin", "block")


def read_decisions(file: Path, customer_ids: pd.Series, slots: pd.DataFrame, slot_minutes: int) -> Decisions:
    """Read and judge a file of decisions.

    A row with a mistake stops the run: a block that nobody can read would be a call that somebody has forbidden. Rows
    about customers or hours that this plan does not know are counted in ``notes``; they age, and are no mistake.

    Parameters
    ----------
    slots
        Slots of the plan; a time within a slot means that slot. Naive times are the centre's.

    Raises
    ------
    UsageError
        The file cannot be read.
    ContractError
        A column is missing or a row is wrong; the message names row, column and remedy.
    """
    try:
        content = file.expanduser().read_bytes()
    except OSError as error:
        raise UsageError(f"--decisions {file}: cannot be read: {error.strerror}") from error
    raw = read_csv(file, content)
    raw.columns = raw.columns.str.strip()
    for column in ("customer_id", "decision"):
        if column not in raw:
            raise ContractError(f"{file.name}.{column}: column missing: write customer_id,slot_start,decision")
    cells = {
        name: raw[name].fillna("").astype("str").str.strip() if name in raw else pd.Series("", index=raw.index)
        for name in ("customer_id", "slot_start", "decision")
    }
    zone = str(slots["slot_start"].dt.tz)
    starts = read_times(cells["slot_start"].where(cells["slot_start"] != ""), zone)
    _judge(file.name, raw, cells, starts.unreadable)
    customer = pd.Index(customer_ids.astype("str")).get_indexer(pd.Index(cells["customer_id"]))
    times = pd.DatetimeIndex(starts.values)
    slot = _find_slots(times, slots, slot_minutes)
    unknown = (cells["customer_id"] != "").to_numpy() & (customer < 0)
    elsewhere = np.asarray(times.notna()) & (slot < 0) & ~unknown
    known = ~unknown & ~elsewhere
    rows = pd.DataFrame({"row": raw.index.to_numpy(), "customer_row": customer, "slot_row": slot}).astype("int64")
    is_pin = (cells["decision"].str.lower() == "pin").to_numpy()
    pins = rows[known & is_pin].drop_duplicates(["customer_row", "slot_row"], ignore_index=True)
    notes = {"name a customer whom the customers table does not have": unknown, "name no hour of this plan": elsewhere}
    told = tuple(f"{int(found.sum()):,} rows of {file.name} {what}" for what, found in notes.items() if found.any())
    return Decisions(pins, rows[known & ~is_pin].reset_index(drop=True), told)


def _find_slots(times: pd.DatetimeIndex, slots: pd.DataFrame, slot_minutes: int) -> np.ndarray:
    """Row of the slot that holds each time; -1 where there is none, or no time."""
    starts = pd.DatetimeIndex(slots["slot_start"]).as_unit("us").asi8
    at = times.as_unit("us").asi8
    slot = np.searchsorted(starts, at, side="right") - 1
    is_inside = np.asarray(times.notna()) & (slot >= 0)
    is_inside[is_inside] = at[is_inside] < starts[slot[is_inside]] + slot_minutes * 60_000_000
    return np.where(is_inside, slot, ANYWHERE).astype(np.int64)


def _judge(name: str, raw: pd.DataFrame, cells: dict[str, pd.Series], is_unreadable: np.ndarray) -> None:
    decision, customer, start = cells["decision"], cells["customer_id"], cells["slot_start"]
    faults = raw[ROW_FAULT].notna().to_numpy() if ROW_FAULT in raw else np.zeros(len(raw), dtype=bool)
    mistakes = [
        ("", faults, "the row is cut short or has too many fields: write three fields"),
        ("decision", ~decision.str.lower().isin(KINDS).to_numpy(), "write pin or block"),
        ("slot_start", is_unreadable, "write ISO 8601, such as 2026-11-24T10:00, or leave it empty"),
        (
            "customer_id",
            ((decision.str.lower() == "pin") & (customer == "")).to_numpy(),
            "a pin needs a customer: write an id",
        ),
        ("customer_id", ((customer == "") & (start == "")).to_numpy(), "write a customer, a slot, or both"),
    ]
    found = [
        (row, column, remedy)
        for column, is_wrong, remedy in mistakes
        for row in raw.index.to_numpy()[is_wrong].tolist()
    ]
    if not found:
        return
    row, column, remedy = min(found)
    value = f" {cells[column].loc[row]!r}" if column else ""
    more = len({at for at, *_ in found}) - 1
    raise ContractError(
        f"{name}: row {row}{', ' + column if column else ''}{value}: {remedy}" + (f"; {more} more rows" * (more > 0))
    )
