"""What the page shows besides the list: people, their dials and their week, without any telephone number."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.contracts import Tables
from features.outcomes import CONTACT

if TYPE_CHECKING:
    from pipelines.night import Chances, Night

NOT_LAWFUL = 65535
PER_UNIT = 10_000
_SHOWN = ("attempt_id", "attempted_at", "outcome", "ring_seconds", "talk_seconds", "wrap_seconds", "agent_id")
_ENDED = ("converted", "refused")
_ROWS_OF_ATTEMPTS, _ROWS_OF_CHANCES = 50_000, 10_000


def write_page_tables(night: "Night", folder: Path) -> None:
    """Write ``page/`` into the folder of a run: customers, attempts, chances and slots, as Parquet.

    The first three are sorted by customer_id, so that one person is found without reading everybody. The same night
    gives the same bytes.
    """
    page = folder / "page"
    page.mkdir()
    _write(build_customers(night.tables, night.settings.attributes), page / "customers.parquet")
    _write(build_attempts(night.tables), page / "attempts.parquet", _ROWS_OF_ATTEMPTS)
    if night.chances is not None:
        _write(build_chances(night.tables, night.chances), page / "chances.parquet", _ROWS_OF_CHANCES)
        _write(build_slots_table(night.slots, night.chances), page / "slots.parquet")


def build_customers(tables: Tables, attributes: tuple[str, ...]) -> pa.Table:
    """One row per customer, with what is known of them and how often they were dialled.

    customer_id · age · gender · region · further attributes · listed · n_attempts · n_contacts · last_attempted_at.
    Counts are of the whole log. A telephone number is left out even where the settings name it an attribute.
    """
    customers, attempts = tables.customers, tables.call_attempts
    further = (name for name in attributes if name not in ("customer_id", "age", "gender", "region", "phone", "listed"))
    rows, n = attempts["customer_row"].to_numpy(), len(customers)
    is_contact = (attempts["outcome"] == CONTACT).to_numpy()
    last = np.full(n, np.datetime64("NaT", "us"))
    last[rows] = _instants(attempts["attempted_at"])  # in the order of time: the last one stays
    columns = {name: customers[name] for name in ("customer_id", "age", "gender", "region", *further, "listed")}
    counts: dict[str, pa.Array[Any]] = {
        "n_attempts": pa.array(np.bincount(rows, minlength=n), pa.int32()),
        "n_contacts": pa.array(np.bincount(rows[is_contact], minlength=n), pa.int32()),
        "last_attempted_at": pa.array(last, pa.timestamp("us", tz=_zone_of(attempts))),
    }
    arrays = {name: _as_array(column) for name, column in columns.items()}
    return pa.table({**arrays, **counts})


def build_attempts(tables: Tables) -> pa.Table:
    """One row per dial, by customer_id and time.

    attempt_id · customer_id · attempted_at · outcome · ring_seconds · talk_seconds · wrap_seconds · agent_id · team ·
    converted · refused; ``team`` is null where the agents table does not tell it.
    """
    attempts = tables.call_attempts
    order = np.argsort(attempts["customer_row"].to_numpy(), kind="stable")
    ids = _as_array(tables.customers["customer_id"])
    columns = {name: _as_array(attempts[name]).take(order) for name in (*_SHOWN, *_ENDED)}
    columns["customer_id"] = ids.take(attempts["customer_row"].to_numpy()[order])
    columns["team"] = _teams_of(tables, attempts["agent_id"]).take(order)
    return pa.table({name: columns[name] for name in ("attempt_id", "customer_id", *_SHOWN[1:], "team", *_ENDED)})


def build_chances(tables: Tables, chances: "Chances") -> pa.Table:
    """One row per customer who may be called: customer_id · p, p_keyman × 10,000 of a first dial in every slot.

    65535 stands where no call is lawful. The slots are those of ``slots.parquet``, in its order.
    """
    ids = _as_array(tables.customers["customer_id"]).take(chances.customer_rows)
    n_slots = chances.p.shape[1]
    return pa.table({"customer_id": ids, "p": pa.FixedSizeListArray.from_arrays(pa.array(chances.p.ravel()), n_slots)})


def build_slots_table(slots: pd.DataFrame, chances: "Chances") -> pa.Table:
    """One row per slot of the horizon: slot_row · slot_start · price (value of one more dial) · places."""
    starts = pa.array(_instants(slots["slot_start"]), pa.timestamp("us", tz=str(slots["slot_start"].dt.tz)))
    return pa.table(
        {
            "slot_row": pa.array(np.arange(len(slots)), pa.int32()),
            "slot_start": starts,
            "price": pa.array(np.asarray(chances.prices, dtype=float)),
            "places": pa.array(np.asarray(chances.places), pa.int64()),
        }
    )


def _teams_of(tables: Tables, agent_ids: "pd.Series[str]") -> "pa.Array[Any]":
    if tables.agents is None:
        return pa.nulls(len(agent_ids), pa.string())
    teams = tables.agents.drop_duplicates("agent_id").set_index("agent_id")["team"]
    return pa.array(agent_ids.map(teams), pa.string(), from_pandas=True)


def _as_array(column: "pd.Series[str]") -> "pa.Array[Any]":
    """Texts as text, whatever pandas keeps them as; missing values null."""
    if pd.api.types.is_string_dtype(column) or column.dtype == "object":
        return pa.array(column, pa.string(), from_pandas=True)
    return pa.array(column, from_pandas=True)


def _instants(times: "pd.Series[pd.Timestamp]") -> np.ndarray:
    """UTC as numpy keeps it, in microseconds."""
    return times.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[us]")


def _zone_of(attempts: pd.DataFrame) -> str:
    return str(attempts["attempted_at"].dt.tz)


def _write(table: pa.Table, file: Path, row_group_size: int | None = None) -> None:
    pq.write_table(table, file, compression="zstd", row_group_size=row_group_size)
