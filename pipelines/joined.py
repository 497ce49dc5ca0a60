"""What all chunks have found put together: the ranked list, the excluded and the rejects, within a limit of memory."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.quarantine import REJECT_COLUMNS
from models.planning.arms import PLAN
from models.planning.rules import name_packs
from models.planning.sequences import FloatArray, IntArray
from pipelines.chunks import read_sorted
from pipelines.exports.lines import write_lines
from pipelines.exports.tables import EXCLUDED_COLUMNS, call_list_schema
from pipelines.site import Site

_RANKED = """
SELECT *, CAST(row_number() OVER (PARTITION BY slot_row ORDER BY loss DESC, customer_id) AS INTEGER) AS rank
FROM parts ORDER BY slot_row, rank
"""


@dataclass(frozen=True)
class Joined:
    """What the files of a plan in chunks hold.

    Attributes
    ----------
    dials, contacts : (n_slots,)
        Planned dials of each slot, and the keyman contacts that they should bring.
    n_firm
        Dials of the run date.
    excluded
        Customers by reason.
    n_rejects
        Rejected rows.
    """

    dials: IntArray
    contacts: FloatArray
    n_firm: int
    excluded: Counter[str]
    n_rejects: int


def join_chunks(site: Site, folder: Path) -> Joined:
    """Write call_list.parquet, call_list.csv, excluded.csv and quarantine/rejects.csv into ``folder``."""
    dials, contacts = _join_list(site, folder)
    firm = (site.slots["slot_start"] < site.as_of + pd.DateOffset(days=1)).to_numpy()
    reasons: Counter[str] = Counter()
    write_lines(_count_reasons(site, reasons), EXCLUDED_COLUMNS, folder / "excluded.csv")
    (folder / "quarantine").mkdir()
    rejects = _read_parts(site, "rejects")
    n_rejects = write_lines(rejects, tuple(REJECT_COLUMNS), folder / "quarantine" / "rejects.csv")
    return Joined(dials, contacts, int(dials[firm].sum()), reasons, n_rejects)


def _join_list(site: Site, folder: Path) -> tuple[IntArray, FloatArray]:
    """Rank all dials and write the list in order; dials and contacts of each slot."""
    schema = call_list_schema(site.settings.timezone)
    dials, contacts = np.zeros(len(site.slots), dtype=np.int64), np.zeros(len(site.slots))
    with pq.ParquetWriter(folder / "call_list.parquet", schema, compression="zstd") as writer:

        def keep() -> Iterator[pa.Table]:
            for batch in read_sorted(site.spool, "dials-*", _RANKED):
                slot_row = batch["slot_row"].to_numpy()
                dials[:] += np.bincount(slot_row, minlength=len(dials))
                contacts[:] += np.bincount(slot_row, batch["contacts"].to_numpy(), len(dials))
                listed = _complete(site, batch, schema)
                writer.write_table(listed)
                yield listed

        write_lines(keep(), tuple(schema.names), folder / "call_list.csv")
    return dials, contacts


def _complete(site: Site, batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    """Add the columns that are the same for all dials, or all of a slot."""
    utc = pd.DatetimeIndex(site.slots["slot_start"]).as_unit("us").tz_convert(None).to_numpy()
    constants = {"run_date": site.as_of.date(), "arm": PLAN, "propensity": 1.0}
    constants |= {"reason": None, "allowed_because": name_packs(site.packs), "reason_ja": None}
    columns = {name: batch[name] for name in batch.schema.names if name in schema.names}
    columns["slot_start"] = pa.array(utc, schema.field("slot_start").type).take(batch["slot_row"])
    for name, value in constants.items():
        columns[name] = pa.repeat(pa.scalar(value, schema.field(name).type), len(batch))
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _count_reasons(site: Site, reasons: Counter[str]) -> Iterator[pa.Table]:
    for part in _read_parts(site, "excluded"):
        reasons.update({str(reason): n for reason, n in part["reason"].to_pandas().value_counts().items()})
        yield part


def _read_parts(site: Site, name: str) -> Iterator[pa.Table]:
    for number in range(len(site.sizes)):
        yield pq.read_table(site.spool / f"{name}-{number}.parquet")
