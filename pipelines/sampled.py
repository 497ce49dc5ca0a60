"""Sources too large to be held whole: which they are, their log kept, and the sample that their model is fitted on."""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from features.contracts import check_tables
from features.slots import build_slots
from models.planning.capacity import build_capacity
from models.planning.handling import find_effort
from pipelines.chunks import count_chunks, count_customers, read_share
from pipelines.intake import Intake, is_passing
from pipelines.kept_shards import KeptShards, find_kept_shards, keep_log
from pipelines.order import Order, reveal_password
from pipelines.runs import open_spool
from pipelines.sources.folders import read_folder
from pipelines.sources.laid_out import estimate_customers, lay_out
from pipelines.stages import stage

CHUNKS_IN_ONE_PIECE = 5
"""Customers are planned in one piece up to this many chunks: half a million, some 5 GB."""
FITTED_ON = 250_000
"""Most customers that the model of a large source is fitted on."""


@dataclass(frozen=True)
class LargeSource:
    """A source too large to be held whole.

    Attributes
    ----------
    folder, fingerprint
        Its tables as Parquet files, as of :class:`pipelines.sources.laid_out.LaidOut`.
    log
        Its attempts, judged and kept.
    """

    folder: Path
    fingerprint: dict[str, str]
    log: KeptShards


@stage("count", retries=2, retry_when=is_passing)
def is_large(order: Order) -> bool:
    """Say whether the source has more customers than are planned in one piece; the lock must be held.

    Raises
    ------
    SourceError, ContractError, UsageError
        The source cannot be reached, or is damaged; its map is wrong.
    """
    most = CHUNKS_IN_ONE_PIECE * order.settings.planning.per_chunk
    with open_spool(order.var) as room:
        return estimate_customers(reveal_password(order.source), order.settings, most, room) > most


@stage(
    "read",
    tell=lambda large: f"{large.log.n_rows:,} call_attempts, {large.log.n_read:,} of them not kept before",
    retries=2,
    retry_when=is_passing,
)
def keep(order: Order, room: Path) -> LargeSource:
    """Read a large source: its log as far as it was not kept before, judged.

    Parameters
    ----------
    room
        Empty folder in which the source is laid out where it is no folder of Parquet files.

    Raises
    ------
    SourceError, ContractError, UsageError
        The source cannot be reached, is damaged, or lacks a table or column; its map is wrong.
    """
    settings = order.settings
    laid = lay_out(reveal_password(order.source), settings, room)
    n_chunks = count_chunks(count_customers(laid.folder), settings.planning.per_chunk)
    kept = find_kept_shards(order.var, order.source)
    log = keep_log(laid.folder / "call_attempts.parquet", kept, settings.timezone, n_chunks, rebuild=order.rebuild)
    return LargeSource(laid.folder, laid.fingerprint, log)


@stage("sample", tell=lambda intake: f"{len(intake.tables.customers):,} customers to fit on")
def take_sample(order: Order, large: LargeSource) -> Intake:
    """Check every k-th customer of a large source, k a power of two so that all nights see the same people.

    Raises
    ------
    ContractError, TooManyBadRowsError, NoCapacityError
        As any check.
    """
    n_shares, n_customers = 1, count_customers(large.folder)
    while n_customers > FITTED_ON * n_shares:
        n_shares *= 2
    others, _ = read_folder(large.folder, ("capacity", "agents").__contains__)
    customers = {"customers": read_share(large.folder, n_shares)}
    tables, report = check_tables(customers | others, order.as_of, order.settings, large.log.read(0, n_shares))
    effort = find_effort(tables.capacity, tables.call_attempts, order.settings)
    capacity = build_capacity(tables.capacity, tables.call_attempts, order.as_of, order.settings, effort)
    slots = build_slots(pd.DatetimeIndex(capacity["slot_start"]), order.settings)
    told = f"the model is fitted on one customer in {n_shares:,}"
    report = replace(report, notes=(*report.notes, *([told] if n_shares > 1 else [])))
    return Intake(order.source, large.fingerprint, tables, report, slots, capacity, effort=effort)
