"""Sources too large to be held whole: which they are, their log kept, and the sample that their model is fitted on."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from features.contracts import check_tables
from features.slots import build_slots
from models.planning.capacity import build_capacity
from models.planning.handling import find_effort
from pipelines.chunks import count_chunks, count_customers, read_share
from pipelines.intake import Intake
from pipelines.kept_shards import KeptShards, find_kept_shards, keep_log
from pipelines.order import Order
from pipelines.sources.folders import read_folder
from pipelines.stages import stage

CHUNKS_IN_ONE_PIECE = 5
"""Customers of Parquet files are planned in one piece up to this many chunks: half a million, some 5 GB."""
FITTED_ON = 250_000
"""Most customers that the model of a large source is fitted on."""


def is_large(order: Order) -> bool:
    """Say whether the source is a folder of Parquet files with more customers than are planned in one piece.

    Raises
    ------
    SourceError
        The customers' file is damaged.
    """
    folder = Path(order.source).expanduser()
    files = [folder / f"{name}.parquet" for name in ("customers", "call_attempts")]
    if "://" in order.source or order.settings.source is not None or not all(file.is_file() for file in files):
        return False
    return count_customers(folder) > CHUNKS_IN_ONE_PIECE * order.settings.planning.per_chunk


@stage("read", tell=lambda log: f"{log.n_rows:,} call_attempts, {log.n_read:,} of them not kept before")
def keep(order: Order) -> KeptShards:
    """Read and judge what is new in the log of a large source.

    Raises
    ------
    SourceError, ContractError
        The log is missing, damaged, or lacks a column.
    """
    folder, settings = Path(order.source).expanduser(), order.settings
    n_chunks = count_chunks(count_customers(folder), settings.planning.per_chunk)
    kept = find_kept_shards(order.var, order.source)
    return keep_log(folder / "call_attempts.parquet", kept, settings.timezone, n_chunks, rebuild=order.rebuild)


@stage("sample", tell=lambda intake: f"{len(intake.tables.customers):,} customers to fit on")
def take_sample(order: Order, log: KeptShards) -> Intake:
    """Check every k-th customer of a large source, k a power of two so that all nights see the same people.

    Raises
    ------
    ContractError, TooManyBadRowsError, NoCapacityError
        As any check.
    """
    folder, n_shares = Path(order.source).expanduser(), 1
    n_customers = count_customers(folder)
    while n_customers > FITTED_ON * n_shares:
        n_shares *= 2
    others, fingerprint = read_folder(folder, ("capacity", "agents").__contains__)
    customers = {"customers": read_share(folder, n_shares)}
    tables, report = check_tables(customers | others, order.as_of, order.settings, log.read(0, n_shares))
    effort = find_effort(tables.capacity, tables.call_attempts, order.settings)
    capacity = build_capacity(tables.capacity, tables.call_attempts, order.as_of, order.settings, effort)
    slots = build_slots(pd.DatetimeIndex(capacity["slot_start"]), order.settings)
    told = f"the model is fitted on one customer in {n_shares:,}"
    report = replace(report, notes=(*report.notes, *([told] if n_shares > 1 else [])))
    return Intake(str(folder), fingerprint, tables, report, slots, capacity, effort=effort)
