"""Sources too large to be read whole: how many customers they hold, and the sample that their model is fitted on."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from configs.errors import SourceError
from features.contracts import check_tables
from features.slots import build_slots
from models.planning.capacity import build_capacity
from models.planning.handling import find_effort
from pipelines.chunks import read_share
from pipelines.intake import Intake
from pipelines.order import Order
from pipelines.sources.folders import read_folder
from pipelines.stages import stage

CHUNKS_IN_ONE_PIECE = 5
"""Customers of Parquet files are planned in one piece up to this many chunks: half a million, some 5 GB."""
FITTED_ON = 250_000
"""Most customers that the model of a large source is fitted on."""


def is_large(order: Order) -> bool:
    """Say whether the source is a folder of Parquet files with more customers than are planned in one piece."""
    return count_customers(order) > CHUNKS_IN_ONE_PIECE * order.settings.planning.per_chunk


def count_customers(order: Order) -> int:
    """Count the customers of a folder of Parquet files by their footer; 0 for any other source.

    Raises
    ------
    SourceError
        The file is damaged.
    """
    files = [Path(order.source).expanduser() / f"{name}.parquet" for name in ("customers", "call_attempts")]
    if "://" in order.source or order.settings.source is not None or not all(file.is_file() for file in files):
        return 0
    try:
        return int(pq.ParquetFile(files[0]).metadata.num_rows)
    except pa.ArrowException as error:
        raise SourceError(f"{files[0].name}: damaged or cut short: {error}: export it again") from error


@stage("sample", tell=lambda intake: f"{len(intake.tables.customers):,} customers to fit on")
def take_sample(order: Order) -> Intake:
    """Read and check every k-th customer of a large source, k a power of two so that all nights see the same people.

    Raises
    ------
    ContractError, TooManyBadRowsError, NoCapacityError
        As any check.
    """
    folder, n_customers, n_shares = Path(order.source).expanduser(), count_customers(order), 1
    while n_customers > FITTED_ON * n_shares:
        n_shares *= 2
    others, fingerprint = read_folder(folder, ("capacity", "agents").__contains__)
    tables, report = check_tables(read_share(folder, n_shares) | others, order.as_of, order.settings)
    effort = find_effort(tables.capacity, tables.call_attempts, order.settings)
    capacity = build_capacity(tables.capacity, tables.call_attempts, order.as_of, order.settings, effort)
    slots = build_slots(pd.DatetimeIndex(capacity["slot_start"]), order.settings)
    told = f"the model is fitted on one customer in {n_shares:,}"
    report = replace(report, notes=(*report.notes, *([told] if n_shares > 1 else [])))
    return Intake(str(folder), fingerprint, tables, report, slots, capacity, effort=effort)
