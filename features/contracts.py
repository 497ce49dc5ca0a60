"""The border: raw tables in, checked tables and a report out. Past it, nothing is checked again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from configs.errors import ContractError, TooManyBadRowsError
from configs.settings import Settings
from features.attempts import CheckedAttempts, check_attempts, find_phone_dials
from features.customers import CheckedCustomers, check_customers
from features.judged import JudgedLog
from features.quarantine import REJECT_COLUMNS, join_rejects, mask_phones
from features.seats import check_agents, check_capacity

LOG = "call_attempts"


def _no_phone_dials() -> pd.DataFrame:
    times = pd.Series([], dtype="datetime64[us, UTC]")
    return pd.DataFrame({"phone": pd.Series([], dtype="str"), "attempted_at": times, "outcome": times.astype("str")})


@dataclass(frozen=True)
class Tables:
    """Checked, clean tables; every time is ``datetime64[us, settings.timezone]``.

    Attributes
    ----------
    customers
        One row per customer, sorted by ``customer_id``, RangeIndex: customer_id · age float32 · gender · region ·
        do_not_call bool (null or unreadable: true) · listed bool · listed_at · timezone · value float64 (missing: 1) ·
        callback_at · phone, and any further attribute of the settings.
    call_attempts
        One row per dial before ``as_of``, sorted by (attempted_at, attempt_id), RangeIndex: attempt_id · customer_id ·
        customer_row int32 (position in ``customers``) · attempted_at · outcome · ring_seconds · talk_seconds ·
        wrap_seconds float32 · agent_id · converted · refused bool · campaign_id · propensity float32.
    agents
        agent_id · age · gender · skill · team, or None.
    capacity
        slot_start · dials (or agents), sorted, or None.
    held_attempts
        Rejected attempts whose customer can be read: customer_row int32 · attempted_at or NaT · outcome or null ·
        refused bool. They count for caps and bars, and never teach.
    phone_dials
        Dials to rejected customers whose phone can be read: phone · attempted_at or NaT · outcome or null. They count
        for the caps of whoever shares the phone, and never teach.
    """

    customers: pd.DataFrame
    call_attempts: pd.DataFrame
    agents: pd.DataFrame | None
    capacity: pd.DataFrame | None
    held_attempts: pd.DataFrame
    phone_dials: pd.DataFrame = field(default_factory=_no_phone_dials)


@dataclass(frozen=True)
class CheckReport:
    """What the check found.

    Attributes
    ----------
    rejects
        table · row (line of the file; the header is line 1) · column · value (phone numbers masked) · reason.
    quarantined_customers
        Ids of refused customers that are listed, or of whom it cannot be told.
    counts
        ``<table>_read``, ``<table>_kept``, ``<table>_rejected`` and what else was counted.
    notes
        Plain sentences worth telling.
    """

    rejects: pd.DataFrame
    quarantined_customers: tuple[str, ...]
    counts: dict[str, int]
    notes: tuple[str, ...]


def check_tables(
    raw: dict[str, pd.DataFrame], as_of: pd.Timestamp, settings: Settings, log: JudgedLog | None = None
) -> tuple[Tables, CheckReport]:
    """Judge raw tables against the contract (DESIGN section 3); the inputs stay as they are.

    Parameters
    ----------
    raw
        ``customers`` and ``call_attempts``, and where they exist ``agents`` and ``capacity``; columns of text (CSV) or
        typed (Parquet, databases). An index named ``row`` holds line numbers; a column ``row_fault`` marks rows that
        cannot be trusted as a whole.
    as_of
        Exclusive instant up to which data are known; later attempts are counted and ignored.
    log
        The cells of call_attempts judged before, in place of the table.

    Raises
    ------
    ContractError
        A table or column is missing, a table is empty, the log is stale.
    TooManyBadRowsError
        More than ``max_bad_share`` of a required table's rows are bad; ``rejects`` lists them.

    Examples
    --------
    >>> raw = {
    ...     "customers": pd.DataFrame({"customer_id": ["a"], "do_not_call": ["no"]}),
    ...     "call_attempts": pd.DataFrame(
    ...         {"attempt_id": ["1"], "customer_id": ["a"], "attempted_at": ["2024-09-01T10:00"], "outcome": ["busy"]}
    ...     ),
    ... }
    >>> tables, report = check_tables(raw, pd.Timestamp("2024-09-02", tz="Asia/Tokyo"), Settings())
    >>> report.counts["call_attempts_kept"], len(report.rejects)
    (1, 0)
    """
    _require_tables(raw if log is None else {**raw, LOG: log})
    zone = settings.timezone
    as_of = as_of.tz_convert(zone)
    customers = check_customers(raw["customers"], settings.attributes, settings.max_bad_share, zone)
    customer_ids = pd.Index(customers.frame["customer_id"])
    attempts = check_attempts(raw[LOG] if log is None else log, customer_ids, customers.refused_ids, as_of, zone)
    nothing = (None, join_rejects([]))
    agents, agent_rejects = check_agents(raw["agents"], zone) if "agents" in raw else nothing
    capacity, capacity_rejects = check_capacity(raw["capacity"], zone) if "capacity" in raw else nothing
    rejects = _list_all([customers.rejects, attempts.rejects, agent_rejects, capacity_rejects], customers)
    counts = _count(raw, customers, attempts, agents, capacity)
    _refuse_bad(rejects, counts, settings.max_bad_share)
    _refuse_stale(attempts.frame, as_of, settings.max_log_age_days)
    phone_dials = find_phone_dials(attempts.of_quarantined, customers.refused_phones)
    tables = Tables(customers.frame, attempts.frame, agents, capacity, attempts.held, phone_dials)
    notes = _tell(counts, customers, as_of)
    return tables, CheckReport(rejects, customers.quarantined, counts, notes)


def _require_tables(raw: Mapping[str, Any]) -> None:
    found = ", ".join(sorted(raw)) or "none"
    for name in ("customers", "call_attempts"):
        if name not in raw:
            raise ContractError(
                f"{name}: table missing (found {found}): add {name}.csv or .parquet, or map it in a settings file"
            )
        if len(raw[name]) == 0:
            raise ContractError(f"{name}: the table is empty: was the export cut off?")


def _list_all(parts: list[pd.DataFrame], customers: CheckedCustomers) -> pd.DataFrame:
    rejects = pd.concat(parts, ignore_index=True)[list(REJECT_COLUMNS)]
    return mask_phones(rejects, customers.phones)


def _count(
    raw: dict[str, pd.DataFrame],
    customers: CheckedCustomers,
    attempts: CheckedAttempts,
    agents: pd.DataFrame | None,
    capacity: pd.DataFrame | None,
) -> dict[str, int]:
    counts = {
        "customers_read": customers.n_read,
        "customers_kept": len(customers.frame),
        "customers_rejected": customers.n_rejected,
        "customers_barred_unreadable": customers.n_barred_unreadable,
        "customers_quarantined": len(customers.quarantined),
        "call_attempts_read": attempts.n_read,
        "call_attempts_kept": len(attempts.frame),
        "call_attempts_rejected": attempts.n_rejected,
        "call_attempts_after_as_of": attempts.n_after_as_of,
        "call_attempts_of_quarantined": attempts.n_of_quarantined,
        "call_attempts_held": len(attempts.held),
    }
    for name, frame in (("agents", agents), ("capacity", capacity)):
        if frame is not None:
            n_read = len(raw[name])
            counts |= {f"{name}_read": n_read, f"{name}_kept": len(frame), f"{name}_rejected": n_read - len(frame)}
    return counts


def _refuse_bad(rejects: pd.DataFrame, counts: dict[str, int], max_bad_share: float) -> None:
    ignored = counts["call_attempts_after_as_of"] + counts["call_attempts_of_quarantined"]
    judged = {"customers": counts["customers_read"], "call_attempts": counts["call_attempts_read"] - ignored}
    for name, n_judged in judged.items():
        n_bad = counts[f"{name}_rejected"] + counts.get(f"{name}_barred_unreadable", 0)
        if n_bad <= max_bad_share * n_judged:
            continue
        here = rejects.loc[rejects["table"] == name]
        n_alike = here.groupby(["column", "reason"])["row"].transform("size").to_numpy()
        first = here.iloc[int(n_alike.argmax())]
        raise TooManyBadRowsError(
            f"{name}: {n_bad:,} of {n_judged:,} rows are bad, more than max_bad_share {max_bad_share:.1%}; most often "
            f"{first['column'] or 'the row'}: {first['reason']}, first {first['value']!r} in row {first['row']}",
            rejects,
        )


def _refuse_stale(attempts: pd.DataFrame, as_of: pd.Timestamp, max_log_age_days: int) -> None:
    if attempts.empty:
        raise ContractError(f"call_attempts: no good attempt before {as_of.date()}: is it the right log?")
    newest = attempts["attempted_at"].iloc[-1]
    if newest < as_of - pd.Timedelta(days=max_log_age_days):
        age_days = (as_of - newest).days
        raise ContractError(
            f"call_attempts: the newest attempt, {newest:%Y-%m-%d %H:%M}, is {age_days} days older than the run date "
            f"{as_of.date()} (max_log_age_days {max_log_age_days}): export a newer log"
        )


def _tell(counts: dict[str, int], customers: CheckedCustomers, as_of: pd.Timestamp) -> tuple[str, ...]:
    listed_later = customers.frame["listed"] & (customers.frame["listed_at"] >= as_of + pd.Timedelta(days=1))
    told = {
        f"attempts at or after {as_of.date()} were ignored": counts["call_attempts_after_as_of"],
        "attempts of quarantined customers were left out": counts["call_attempts_of_quarantined"],
        "rejected attempts still count for caps and bars": counts["call_attempts_held"],
        "customers are barred because do_not_call cannot be read": counts["customers_barred_unreadable"],
        "listed customers carry a listed_at later than the run date": int(listed_later.sum()),
        "rows of capacity were rejected: their slots hold no place": counts.get("capacity_rejected", 0),
    }
    return tuple(f"{n:,} {sentence}" for sentence, n in told.items() if n)
