"""The tables of a run as files: columns and types are a contract that diallers and spreadsheets rely on."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from configs.settings import Settings
from features.quarantine import REJECT_COLUMNS
from pipelines.exports.lines import FORMULA_STARTS, write_lines

if TYPE_CHECKING:
    from pipelines.night import Night

EXCLUDED_COLUMNS = ("customer_id", "reason")
STAFFING_COLUMNS = (
    "slot_start",
    "dials_given",
    "dials_recommended",
    "agents_recommended",
    "seat_price",
    "expected_contacts",
    "hint",
)
SHIFTS_COLUMNS = ("date", "shift", "agents", "breaks", "training", "one_to_ones")
_BATCH = 100_000  # rows spelled at once: Arrow's texts hold 2 GB
_PROTECTED = r"\A'([" + re.escape("".join(FORMULA_STARTS)) + "])"


class Listing(Protocol):
    """What the list and the excluded are written from: a whole night, or the rest of a day planned again."""

    @property
    def as_of(self) -> pd.Timestamp:
        """00:00 of the run date."""
        ...

    @property
    def settings(self) -> Settings:
        """Of the run; the centre's time zone is taken from them."""
        ...

    @property
    def call_list(self) -> pd.DataFrame:
        """One row per planned dial."""
        ...

    @property
    def excluded(self) -> pd.DataFrame:
        """customer_id · reason."""
        ...


def call_list_schema(timezone: str) -> pa.Schema:
    """Columns and types of ``call_list.parquet``; the zone of ``slot_start`` is the centre's.

    >>> call_list_schema("Asia/Tokyo").field("slot_start").type
    TimestampType(timestamp[us, tz=Asia/Tokyo])
    """
    fields: dict[str, pa.DataType] = {
        "run_date": pa.date32(),
        "slot_start": pa.timestamp("us", tz=timezone),
        "rank": pa.int32(),
        "customer_id": pa.string(),
        "p_keyman": pa.float32(),
        "attempt_number": pa.int32(),
        "value": pa.float64(),
        "is_firm": pa.bool_(),
        "arm": pa.string(),
        "propensity": pa.float64(),
        "reason": pa.string(),
        "allowed_because": pa.string(),
        "reason_ja": pa.string(),
    }
    return pa.schema(fields)


def write_call_list(night: Listing, folder: Path) -> None:
    """Write ``call_list.parquet`` and ``call_list.csv``: the same rows in the same order, one per planned dial."""
    zone = night.settings.timezone
    schema = call_list_schema(zone)
    rows = night.call_list.assign(
        run_date=night.as_of.date(),
        slot_start=_in_zone(night.call_list["slot_start"], zone),
        customer_id=night.call_list["customer_id"].astype("str"),
    )
    table = pa.Table.from_pandas(rows[schema.names], schema=schema, preserve_index=False)
    pq.write_table(table, folder / "call_list.parquet", compression="zstd")
    write_csv(rows[schema.names], folder / "call_list.csv")


def write_excluded(night: Listing, folder: Path) -> None:
    """Write ``excluded.csv``: customer_id · reason, one row per listed customer who is not in the list."""
    write_csv(night.excluded[list(EXCLUDED_COLUMNS)], folder / "excluded.csv")


def write_staffing(night: "Night", folder: Path) -> None:
    """Write ``staffing.csv``: one row per slot, given against recommended, with seat price and hint."""
    rows = night.staffing[list(STAFFING_COLUMNS)]
    write_csv(rows.assign(slot_start=_in_zone(rows["slot_start"], night.settings.timezone)), folder / "staffing.csv")


def write_shifts(night: "Night", folder: Path) -> None:
    """Write ``shifts.csv`` when shifts are planned: agents per day and shift, and when they are off the phone."""
    if night.advice is not None and night.advice.roster is not None:
        write_csv(night.advice.roster.shifts[list(SHIFTS_COLUMNS)], folder / "shifts.csv")


def write_rejects(rejects: pd.DataFrame, folder: Path) -> None:
    """Write ``rejects.csv`` (table · row · column · value · reason) into ``folder``, which is made; even when empty."""
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(rejects[list(REJECT_COLUMNS)], folder / "rejects.csv")


def write_csv(frame: pd.DataFrame, file: Path) -> None:
    r"""Write UTF-8 with a byte order mark, so that Japanese Excel reads it, and with no cell that can run.

    Text that starts with ``= + - @``, their full-width forms, a tab or a line break gets a ``'`` in front, in every
    text column, ids too: strip one leading ``'`` when reading back. Times are ISO 8601 with their offset; shares and
    other fractions have six decimals; ``value`` is written in full. Lines end in CR LF (RFC 4180), without which a lone
    CR inside a text would not be quoted and would break its row.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "x.csv"
    >>> write_csv(pd.DataFrame({"customer_id": ["=1+1", "C7"], "p_keyman": [0.25, 1 / 3]}), file)
    >>> file.read_text(encoding="utf-8-sig").split()
    ['customer_id,p_keyman', "'=1+1,0.250000", 'C7,0.333333']
    """
    table = pa.Table.from_pandas(frame, preserve_index=False)
    batches = (table.slice(first, _BATCH) for first in range(0, len(table), _BATCH))
    write_lines(batches, tuple(table.column_names), file)


def read_csv_back(file: Path, types: Mapping[str, pa.DataType]) -> pa.Table:
    r"""Read columns of a file of :func:`write_csv`, typed, without the ``'`` that kept text from running.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "x.csv"
    >>> write_csv(pd.DataFrame({"customer_id": ["=1+1", "C7"], "n": [1, 2]}), file)
    >>> read_csv_back(file, {"customer_id": pa.string(), "n": pa.int64()}).to_pydict()
    {'customer_id': ['=1+1', 'C7'], 'n': [1, 2]}
    """
    table = csv.read_csv(
        file,
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(column_types=dict(types), include_columns=list(types)),
    )
    for place, (name, kind) in enumerate(types.items()):
        if pa.types.is_string(kind):
            bare = pc.replace_substring_regex(table[name], pattern=_PROTECTED, replacement=r"\1")
            table = table.set_column(place, name, bare)
    return table


def _in_zone(instants: pd.Series, zone: str) -> pd.Series:
    return pd.to_datetime(instants, utc=True).dt.tz_convert(zone).dt.as_unit("us")
