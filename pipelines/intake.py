"""The first two stages of every run: read the source, check it, and find the slots to be filled."""

from dataclasses import dataclass, field, replace

import pandas as pd

from configs.errors import SourceError, TooManyBadRowsError
from configs.settings import Settings
from features.contracts import CheckReport, Tables, check_tables
from features.slots import build_slots
from models.planning.capacity import build_capacity
from models.planning.decisions import Decisions
from models.planning.handling import Effort, count_in_dials, find_effort
from pipelines.decisions import read_decisions
from pipelines.exports.writing import write_failed
from pipelines.kept_folder import find_kept
from pipelines.kept_log import LogReading, read_log
from pipelines.order import Order, reveal_password
from pipelines.sources import open_source
from pipelines.stages import stage


@dataclass(frozen=True)
class Intake:
    """What a run stands on.

    Attributes
    ----------
    where, fingerprint
        Of the source; passwords masked.
    tables, report
        Checked tables and what the check found.
    slots
        Slots of the horizon with their calendar features, in order; a plan's ``slot_row`` counts in it.
    capacity
        slot_start · dials · places given, row by row as ``slots``; empty for runs that plan nothing.
    decisions
        What people have pinned and blocked.
    effort
        How places are counted: in dials, or in agent-seconds.
    """

    where: str
    fingerprint: dict[str, str]
    tables: Tables
    report: CheckReport
    slots: pd.DataFrame
    capacity: pd.DataFrame
    decisions: Decisions = field(default_factory=Decisions)
    effort: Effort = field(default_factory=lambda: count_in_dials(Settings()))


@dataclass(frozen=True)
class ReadSource:
    """What a run has read of its source, before it is checked.

    Attributes
    ----------
    tables
        customers, and agents and capacity where they exist, as ``pipelines.sources`` reads them.
    reading
        The log, its cells judged.
    fingerprint, where
        As of :class:`Intake`.
    """

    tables: dict[str, pd.DataFrame]
    reading: LogReading
    fingerprint: dict[str, str]
    where: str


def is_passing(error: BaseException) -> bool:
    """Whether a run may try again: a server may be back in a moment; a folder that is missing now stays missing."""
    return isinstance(error, SourceError) and "://" in str(error)


@stage(
    "read",
    tell=lambda raw: _tell_read(raw),
    retries=2,
    retry_when=is_passing,
)
def read(order: Order) -> ReadSource:
    """Read the raw tables of the order's source; of the log only what was not there on the last run.

    Raises
    ------
    SourceError, ContractError
        The source cannot be reached, or lacks a table.
    """
    opened = open_source(reveal_password(order.source), order.settings)
    kept = find_kept(order.var, order.source)
    reading = read_log(opened.blocks, kept, order.settings.timezone, rebuild=order.rebuild)
    return ReadSource(opened.tables, reading, opened.fingerprint, opened.where)


@stage("check", tell=lambda intake: _tell_check(intake))
def check(order: Order, raw: ReadSource) -> Intake:
    """Check the tables against their contract and count the places of the horizon, before hours are spent on them.

    Raises
    ------
    ContractError, TooManyBadRowsError, NoCapacityError
        See DESIGN section 9; the rejected rows of too many bad ones are kept in ``OUT.failed/``. A wrong row of the
        decisions breaks a contract, too.
    """
    tables, report = judge(order, raw)
    effort = find_effort(tables.capacity, tables.call_attempts, order.settings)
    capacity = build_capacity(tables.capacity, tables.call_attempts, order.as_of, order.settings, effort)
    slots = build_slots(pd.DatetimeIndex(capacity["slot_start"]), order.settings)
    decisions = read_order_decisions(order, tables, slots)
    return Intake(raw.where, raw.fingerprint, tables, report, slots, capacity, decisions, effort)


def read_order_decisions(order: Order, tables: Tables, slots: pd.DataFrame) -> Decisions:
    """Read what people have decided about these slots; nothing without a file."""
    if order.decisions is None:
        return Decisions()
    return read_decisions(order.decisions, tables.customers["customer_id"], slots, order.settings.slot_minutes)


def judge(order: Order, raw: ReadSource, as_of: pd.Timestamp | None = None) -> tuple[Tables, CheckReport]:
    """Check the tables as known at ``as_of`` (else the order's); too many bad rows are kept beside OUT."""
    try:
        tables, report = check_tables(
            raw.tables, order.as_of if as_of is None else as_of, order.settings, raw.reading.log
        )
        return tables, replace(report, notes=(*report.notes, raw.reading.note)) if raw.reading.note else report
    except TooManyBadRowsError as error:
        if order.out is None or error.rejects is None:
            raise
        failed = write_failed(order.out, error.rejects)
        raise TooManyBadRowsError(f"{error}; all {len(error.rejects):,} are in {failed}", error.rejects) from error


def _tell_read(raw: ReadSource) -> str:
    told = [f"{len(table):,} {name}" for name, table in raw.tables.items()]
    return ", ".join([*told, f"{len(raw.reading.log):,} call_attempts, {raw.reading.n_read:,} of them not kept before"])


def _tell_check(intake: Intake) -> str:
    counts = intake.report.counts
    kept = f"{counts['call_attempts_kept']:,} attempts and {counts['customers_kept']:,} customers kept"
    places = f"{int(intake.capacity['dials'].sum()):,} places in {len(intake.slots)} slots"
    told = f"{kept}, {len(intake.report.rejects):,} rows rejected, {places}"
    times = intake.effort.times
    if times is None:
        return told
    return f"{told}, a dial takes {times.contacted:.0f} s with a contact and {times.not_contacted:.0f} s without"
