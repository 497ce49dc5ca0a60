"""What is wrong with a source, told before a night is wasted on it."""

from dataclasses import dataclass

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from configs.errors import ContractError, KakedokiError, NoCapacityError, NoModelError, TooManyBadRowsError
from configs.settings import Settings
from features.contracts import CheckReport, Tables, check_tables
from features.outcomes import CONTACT, OUTCOMES
from features.quarantine import REJECT_COLUMNS
from pipelines.sources import read_source

CAPACITY_WEEKS = 4
"""Without a capacity table the night takes the mean of this many weeks of the log."""


@dataclass(frozen=True)
class SourceCheck(CheckReport):
    """A ``CheckReport`` with what people ask about a log, and how a night on it would end.

    Attributes
    ----------
    where
        Folder or address, passwords masked.
    first_attempt_at, last_attempt_at
        Of the good attempts before ``as_of``; None without any.
    outcomes
        Number of good attempts by outcome, in the order of ``OUTCOMES``.
    contact_rate
        Keyman contacts per good attempt; NaN without any.
    capacity
        One sentence on where the places of the horizon come from.
    verdict
        One sentence: the night goes on, or why it stops.
    exit_code
        0 when the night goes on, else that of the error it would stop with (DESIGN section 9).
    """

    where: str
    first_attempt_at: pd.Timestamp | None
    last_attempt_at: pd.Timestamp | None
    outcomes: dict[str, int]
    contact_rate: float
    capacity: str
    verdict: str
    exit_code: int


def check_source(source: str, settings: Settings, as_of: pd.Timestamp) -> SourceCheck:
    """Read and judge a source as the night of ``as_of`` would, and tell how that night would end.

    What would stop the night after reading does not stop the check: it becomes the verdict and its exit code.

    Raises
    ------
    SourceError, ContractError, UsageError
        The source cannot be read at all, lacks a required table, or its maps do not fit.
    """
    raw = read_source(source, settings)
    stop: KakedokiError | None = None
    tables: Tables | None
    try:
        tables, report = check_tables(raw.tables, as_of, settings)
    except (ContractError, TooManyBadRowsError) as error:
        stop = error
        tables, report = _check_leniently(raw.tables, as_of, settings)
    stop = stop or _foresee(tables, as_of, settings)
    return _summarise(raw.where, tables, report, stop, _tell_capacity(tables, as_of, settings))


def describe_check(check: SourceCheck, n_examples: int = 20) -> RenderableType:
    """Lay a check out for the terminal: rows, log, rejects by reason with their first example, verdict.

    Parameters
    ----------
    n_examples
        Most kinds of rejects to show, commonest first.
    """
    parts: list[RenderableType] = [Text(f"Source  {check.where}"), _list_counts(check)]
    parts += [Text(line) for line in _tell_log(check)]
    if len(check.rejects):
        parts.append(_list_rejects(check.rejects, n_examples))
    parts += [Text(f"Note: {note}") for note in check.notes]
    parts.append(Text(check.verdict, style="bold green" if check.exit_code == 0 else "bold red"))
    return Group(*parts)


def summarise_rejects(rejects: pd.DataFrame) -> pd.DataFrame:
    """Count rejects by table, column and reason, commonest first, each with its first example.

    >>> rejects = pd.DataFrame([("customers", 2, "age", "x", "not a number")], columns=list(REJECT_COLUMNS))
    >>> summarise_rejects(rejects).values.tolist()
    [['customers', 'age', 'not a number', 1, 2, 'x']]
    """
    kinds = rejects.sort_values("row", kind="stable").groupby(["table", "column", "reason"], sort=True)
    counted = kinds.agg(n=("row", "size"), first_row=("row", "first"), first_value=("value", "first"))
    return counted.reset_index().sort_values("n", ascending=False, kind="stable", ignore_index=True)


def _check_leniently(
    raw: dict[str, pd.DataFrame], as_of: pd.Timestamp, settings: Settings
) -> tuple[Tables | None, CheckReport]:
    lenient = settings.model_copy(update={"max_bad_share": 1.0, "max_log_age_days": 40_000})
    try:
        return check_tables(raw, as_of, lenient)
    except ContractError:
        rejects = pd.DataFrame(columns=list(REJECT_COLUMNS))
        counts = {f"{name}_read": len(frame) for name, frame in raw.items()}
        return None, CheckReport(rejects, (), counts, ())


def _foresee(tables: Tables | None, as_of: pd.Timestamp, settings: Settings) -> KakedokiError | None:
    if tables is None:
        return None
    if _n_open_slots(tables, as_of, settings) == 0:
        return NoCapacityError("no place in the horizon: add capacity for these days")
    n_rows = len(tables.call_attempts)
    n_contacts = int(tables.call_attempts["outcome"].eq(CONTACT).sum())
    if n_rows < settings.model.min_rows or n_contacts < settings.model.min_contacts:
        return NoModelError(
            f"{n_rows:,} attempts with {n_contacts:,} contacts are too few to fit a model, unless a champion exists "
            f"(model.min_rows {settings.model.min_rows:,}, model.min_contacts {settings.model.min_contacts:,})"
        )
    return None


def _n_open_slots(tables: Tables, as_of: pd.Timestamp, settings: Settings) -> int:
    if tables.capacity is None:
        recent = tables.call_attempts["attempted_at"] >= as_of - pd.Timedelta(weeks=CAPACITY_WEEKS)
        return int(recent.sum())
    starts = tables.capacity["slot_start"]
    ends = (as_of.tz_localize(None) + pd.Timedelta(days=settings.horizon_days)).tz_localize(settings.timezone)
    places = tables.capacity.iloc[:, -1]
    return int(((starts >= as_of) & (starts < ends) & (places > 0)).sum())


def _tell_capacity(tables: Tables | None, as_of: pd.Timestamp, settings: Settings) -> str:
    if tables is None:
        return "not judged"
    n_open = _n_open_slots(tables, as_of, settings)
    if tables.capacity is None:
        return f"no table: the mean of the last {CAPACITY_WEEKS} weeks, {n_open:,} attempts"
    measure = tables.capacity.columns[-1]
    return f"table of {measure}, {n_open:,} slots with places in the {settings.horizon_days} days from {as_of.date()}"


def _summarise(
    where: str, tables: Tables | None, report: CheckReport, stop: KakedokiError | None, capacity: str
) -> SourceCheck:
    attempts = pd.DataFrame({"attempted_at": [], "outcome": []}) if tables is None else tables.call_attempts
    counts = attempts["outcome"].value_counts()
    n_attempts = len(attempts)
    return SourceCheck(
        rejects=report.rejects,
        quarantined_customers=report.quarantined_customers,
        counts=report.counts,
        notes=report.notes,
        where=where,
        first_attempt_at=attempts["attempted_at"].iloc[0] if n_attempts else None,
        last_attempt_at=attempts["attempted_at"].iloc[-1] if n_attempts else None,
        outcomes={outcome: int(counts.get(outcome, 0)) for outcome in OUTCOMES},
        contact_rate=int(counts.get(CONTACT, 0)) / n_attempts if n_attempts else float("nan"),
        capacity=capacity,
        verdict=f"The night would stop, exit code {stop.exit_code}: {stop}" if stop else "The night would go on.",
        exit_code=stop.exit_code if stop else 0,
    )


def _list_counts(check: SourceCheck) -> Table:
    table = Table("table", "read", "kept", "rejected", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name in ("customers", "call_attempts", "agents", "capacity"):
        if f"{name}_read" in check.counts:
            numbers = [check.counts.get(f"{name}_{what}") for what in ("read", "kept", "rejected")]
            table.add_row(name, *("–" if number is None else f"{number:,}" for number in numbers))
    return table


def _tell_log(check: SourceCheck) -> list[str]:
    lines = [f"Capacity  {check.capacity}"]
    if check.first_attempt_at is None or check.last_attempt_at is None:
        return lines
    period = f"{check.first_attempt_at:%Y-%m-%d %H:%M} to {check.last_attempt_at:%Y-%m-%d %H:%M}"
    outcomes = " · ".join(f"{outcome} {n:,}" for outcome, n in check.outcomes.items() if n)
    return [f"Log  {period}, keyman contact rate {check.contact_rate:.1%}", f"Outcomes  {outcomes}", *lines]


def _list_rejects(rejects: pd.DataFrame, n_examples: int) -> Table:
    kinds = summarise_rejects(rejects)
    table = Table("rejected in", "cells", "reason", "first row", "its value", title=None, pad_edge=False)
    for kind in kinds.head(n_examples).to_dict("records"):
        place = f"{kind['table']}.{kind['column']}" if kind["column"] else f"{kind['table']} (row)"
        cells = (place, f"{kind['n']:,}", kind["reason"], f"{kind['first_row']:,}", kind["first_value"])
        table.add_row(*(Text(cell) for cell in cells))
    if len(kinds) > n_examples:
        table.add_row(Text(f"… and {len(kinds) - n_examples} more kinds"))
    return table
