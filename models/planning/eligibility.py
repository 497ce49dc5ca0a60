"""Who may be called, in which slots, and how often still: DESIGN section 3 and the rule packs, vectorised."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from configs.settings import Settings
from features.contracts import Tables
from features.outcomes import CONTACT, OUTCOMES, WRONG_NUMBER
from models.planning.limits import (
    HOUR_US,
    BoolArray,
    DialLimits,
    IntArray,
    days_of,
    describe_limits,
    find_zone,
    list_zones,
    parts_of,
)
from models.planning.rules import Gap, RulePack, Rules, combine_packs, name_packs

NEVER = np.iinfo(np.int64).min  # also what pandas writes for NaT
REASONS = ("do_not_call", "refused", "wrong_number", "contacted", "attempt_cap")


@dataclass(frozen=True)
class Eligibility:
    """Who is out and why, and what those who are in may still receive.

    Attributes
    ----------
    excluded : DataFrame
        customer_row · reason: listed customers who are barred, with the first of ``REASONS`` that applies, or
        ``blocked`` (``models.planning.decisions``).
    eligible_rows : int64 array of shape (n_eligible,)
        customer_row of those who may be dialled, rising.
    attempt_number : int64 array of shape (n_eligible,)
        Dials of the current listing so far, those to customers with the same phone included.
    attempts_left : int64 array of shape (n_eligible,)
        Dials left under the cap, per phone, at least 1.
    lawful : bool array of shape (n_eligible, n_slots)
        Whether a dial in the slot breaks no rule, given the past; planned dials are weighed by ``limits``.
    phone_group : int64 array of shape (n_eligible,)
        The same number is the same phone, 0 to n_phones - 1.
    limits : DialLimits
        For the planner: days and rolling windows.
    allowed_because : str
        The rule packs that were asked, with their versions.
    """

    excluded: pd.DataFrame
    eligible_rows: IntArray
    attempt_number: IntArray
    attempts_left: IntArray
    lawful: BoolArray
    phone_group: IntArray
    limits: DialLimits
    allowed_because: str


@dataclass(frozen=True)
class _Past:
    """Every dial before ``as_of``, good rows and rejected ones: customer_row, microseconds, and what it said.

    ``outcome`` counts in ``OUTCOMES``, -1 where nobody can read it.
    """

    row: IntArray
    at_us: IntArray
    is_contact: BoolArray
    is_refusal: BoolArray
    is_wrong_number: BoolArray
    is_held: BoolArray
    outcome: IntArray


def find_eligible(
    tables: Tables,
    slots: pd.DataFrame,
    as_of: pd.Timestamp,
    packs: Sequence[RulePack],
    settings: Settings,
    contacted_since: pd.Timestamp | None = None,
) -> Eligibility:
    """Decide for every listed customer whether and when they may be called.

    A rejected attempt counts as well, and one without a readable time as if made just before ``as_of``; a rejected
    contact never sets the attempt count back. A refusal and a wrong number are a person's and bar that customer alone;
    attempts are the phone's, so customers who share a number share cap, day, rolling windows and quiet days.
    Dials to a rejected customer count for whoever shares the phone.
    A time zone that nobody knows could be any zone, and no slot is lawful in all of them; where the settings name
    candidates, a slot must be lawful in each.

    Parameters
    ----------
    tables
        Checked tables.
    slots
        ``slot_start`` of every slot of the plan, sorted.
    as_of
        Attempts at or after it are unknown.
    contacted_since
        Whoever was contacted since is out, whatever the list says of them: 00:00 when a day is planned again.

    Returns
    -------
    Eligibility
        Unlisted customers appear nowhere in it.
    """
    rules = combine_packs(packs, settings.planning.max_attempts)
    past = _gather_past(tables, as_of)
    customers = _add_strangers(tables)
    phone = _number_phones(customers["phone"], settings.country)
    attempts_so_far = _count_attempts(customers, past, phone)
    since = NEVER if contacted_since is None else _microseconds(pd.Series([contacted_since]))[0]
    reasons = _find_reasons(customers, past, attempts_so_far, rules.max_attempts, int(since))
    listed = customers["listed"].to_numpy(dtype=bool)
    excluded_rows = np.flatnonzero(listed & (reasons >= 0))
    rows = np.flatnonzero(listed & (reasons < 0))
    phone_group = pd.factorize(phone[rows])[0].astype(np.int64)
    limits, windows = describe_limits(list_zones(customers.iloc[rows], settings), slots, rules, settings)
    lawful = windows[limits.zone_row]
    _forbid_by_past(lawful, past, phone, rows, limits, rules)
    return Eligibility(
        excluded=pd.DataFrame({"customer_row": excluded_rows, "reason": np.array(REASONS)[reasons[excluded_rows]]}),
        eligible_rows=rows,
        attempt_number=attempts_so_far[rows],
        attempts_left=rules.max_attempts - attempts_so_far[rows],
        lawful=lawful,
        phone_group=phone_group,
        limits=_add_past(limits, past, phone, rows, phone_group),
        allowed_because=name_packs(packs),
    )


def _microseconds(times: pd.Series) -> IntArray:
    return pd.DatetimeIndex(times).as_unit("us").asi8


def _add_strangers(tables: Tables) -> pd.DataFrame:
    """Put an unlisted stranger below the customers for every dial to the phone of somebody rejected."""
    used = ["do_not_call", "listed", "listed_at", "timezone", "phone", "region"]
    customers = tables.customers[[name for name in used if name in tables.customers]]
    phones = tables.phone_dials["phone"]
    if phones.empty:
        return customers
    strangers = pd.DataFrame({"do_not_call": True, "listed": False, "phone": phones})
    strangers = strangers.reindex(columns=customers.columns).astype(customers.dtypes.to_dict())
    return pd.concat([customers, strangers], ignore_index=True)


def take_eligible(eligibility: Eligibility, chosen: IntArray, **changed: Any) -> Eligibility:
    """Keep the customers at the chosen positions; further fields may be replaced by name."""
    kept = replace(
        eligibility,
        eligible_rows=eligibility.eligible_rows[chosen],
        attempt_number=eligibility.attempt_number[chosen],
        attempts_left=eligibility.attempts_left[chosen],
        lawful=eligibility.lawful[chosen],
        phone_group=eligibility.phone_group[chosen],
        limits=replace(eligibility.limits, zone_row=eligibility.limits.zone_row[chosen]),
    )
    return replace(kept, **changed)


def _gather_past(tables: Tables, as_of: pd.Timestamp) -> _Past:
    good, held, strange = tables.call_attempts, tables.held_attempts, tables.phone_dials
    now_us = int(pd.DatetimeIndex([as_of]).as_unit("us").asi8[0])
    at_us = np.concatenate([_microseconds(dials["attempted_at"]) for dials in (good, held, strange)])
    at_us = np.where(at_us == NEVER, now_us - 1, at_us)
    outcome = pd.concat([good["outcome"], held["outcome"], strange["outcome"]], ignore_index=True)
    codes, words = pd.factorize(outcome)
    code = np.append(pd.Index(OUTCOMES).get_indexer(pd.Index(words)), -1)[codes]
    strangers = len(tables.customers) + np.arange(len(strange))
    known = at_us < now_us
    return _Past(
        row=np.concatenate([good["customer_row"], held["customer_row"], strangers]).astype(np.int64)[known],
        at_us=at_us[known],
        is_contact=code[known] == OUTCOMES.index(CONTACT),
        is_refusal=np.concatenate([good["refused"], held["refused"], np.zeros(len(strange))]).astype(bool)[known],
        is_wrong_number=code[known] == OUTCOMES.index(WRONG_NUMBER),
        is_held=np.repeat([False, True], [len(good), len(held) + len(strange)])[known],
        outcome=code[known],
    )


def _number_phones(phones: pd.Series, country: str) -> IntArray:
    """Give equal numbers the same id, however they are written; a customer without a number has one of their own."""
    is_odd = ~phones.str.isascii().astype(bool) & phones.notna()  # the digits of all others can be read at once
    if country == "JP":
        is_odd |= phones.str.lstrip().str.startswith(("+81", "0081"), na=False)
    key = phones.str.replace("[^0-9]", "", regex=True)
    if is_odd.any():
        key[is_odd] = phones[is_odd].map(lambda phone: _digits(phone, country))
    ids, unique = pd.factorize(key.where(key != ""))
    return np.where(ids >= 0, ids, len(unique) + np.arange(len(ids))).astype(np.int64)


def _digits(phone: str, country: str) -> str:
    plain = phone if phone.isascii() else unicodedata.normalize("NFKC", phone)
    digits = "".join(filter(str.isdigit, plain))
    if country == "JP" and plain.lstrip().startswith(("+81", "0081")):
        return "0" + digits.removeprefix("00").removeprefix("81").removeprefix("0")
    return digits


def _latest(n: int, index: IntArray, at_us: IntArray) -> IntArray:
    latest = np.full(n, NEVER, dtype=np.int64)
    np.maximum.at(latest, index, at_us)
    return latest


def _count_attempts(customers: pd.DataFrame, past: _Past, phone: IntArray) -> IntArray:
    """Dials of the current listing: since listed_at, else after the last (readable) contact; summed over the phone."""
    n = len(customers)
    listed_at = _microseconds(customers["listed_at"])
    teaches = past.is_contact & ~past.is_held
    after_contact = _latest(n, past.row[teaches], past.at_us[teaches]) + 1
    since = np.where(listed_at != NEVER, listed_at, after_contact)
    own = np.bincount(past.row[past.at_us >= since[past.row]], minlength=n)
    return np.bincount(phone, weights=own)[phone].astype(np.int64)


def _find_reasons(
    customers: pd.DataFrame, past: _Past, attempts_so_far: IntArray, max_attempts: int, since_us: int
) -> IntArray:
    """Index into REASONS of the first that applies, -1 where none does."""
    n = len(customers)
    listed_at = _microseconds(customers["listed_at"])
    last_contact = _latest(n, past.row[past.is_contact], past.at_us[past.is_contact])
    is_fresh = (last_contact >= since_us) & (since_us != NEVER)
    conditions = [
        customers["do_not_call"].to_numpy(dtype=bool),
        np.bincount(past.row[past.is_refusal], minlength=n) > 0,
        np.bincount(past.row[past.is_wrong_number], minlength=n) > 0,
        (last_contact != NEVER) & (((listed_at != NEVER) & (last_contact >= listed_at)) | is_fresh),
        attempts_so_far >= max_attempts,
    ]
    return np.select(conditions, np.arange(len(conditions)), default=-1)


def _forbid_by_past(
    lawful: BoolArray, past: _Past, phone: IntArray, rows: IntArray, limits: DialLimits, rules: Rules
) -> None:
    """Strike the slots that past dials forbid: gaps, the day's cap, rolling windows and quiet days, all per phone."""
    n_phones = int(phone.max(initial=-1)) + 1
    starts = limits.slot_start_us
    if rules.quiet_days:
        contacts = _latest(n_phones, phone[past.row[past.is_contact]], past.at_us[past.is_contact])[phone[rows]]
        hit = np.flatnonzero(contacts != NEVER)
        lawful[hit] &= starts >= contacts[hit, None] + rules.quiet_days * 24 * HOUR_US
    for outcome, gap in rules.gaps:
        is_meant = (past.outcome == OUTCOMES.index(outcome)) | (past.outcome < 0)
        latest = _latest(n_phones, phone[past.row[is_meant]], past.at_us[is_meant])[phone[rows]]
        _forbid_gap(lawful, latest, gap, limits)
    horizon_us = int(starts.min(initial=np.iinfo(np.int64).max))
    for cap in rules.rolling:
        recent = _nth_latest(past, phone, n_phones, cap.max_attempts, horizon_us - cap.hours * HOUR_US)[phone[rows]]
        hit = np.flatnonzero(recent != NEVER)
        lawful[hit] &= starts > recent[hit, None] + cap.hours * HOUR_US
    per_day = rules.max_attempts_per_day or 1  # the planner's own measure where no pack allows more
    recent = _nth_latest(past, phone, n_phones, per_day, horizon_us - 48 * HOUR_US)[phone[rows]]
    _forbid_same_day(lawful, recent, limits)


def _forbid_same_day(lawful: BoolArray, recent_us: IntArray, limits: DialLimits) -> None:
    """Strike the slots of a day that has had all its dials, a day of the centre or where the called party lives."""
    for zone_row, hit, local in _by_zone(recent_us, limits):
        lawful[hit] &= limits.local_day[zone_row] != days_of(local)[:, None]


def _forbid_gap(lawful: BoolArray, latest_us: IntArray, gap: Gap, limits: DialLimits) -> None:
    """Strike the slots too soon after a dial of one outcome, or of them those in the same part of the day."""
    length = gap.hours * HOUR_US
    if not gap.or_other_part:
        hit = np.flatnonzero(latest_us != NEVER)
        lawful[hit] &= limits.slot_start_us >= latest_us[hit, None] + length
        return
    for zone_row, hit, local in _by_zone(latest_us, limits):
        is_far = limits.slot_start_us >= latest_us[hit, None] + length
        lawful[hit] &= is_far | (limits.local_part[zone_row] != parts_of(local)[:, None])


def _by_zone(times_us: IntArray, limits: DialLimits) -> Iterator[tuple[int, IntArray, pd.DatetimeIndex]]:
    """Per zone: its row, who may live there (everybody lives in the centre's, too), and their times on its clocks."""
    last = limits.zone_row + limits.n_candidates[limits.zone_row] - 1
    for zone_row, name in enumerate(limits.zone_names):
        lives_there = (limits.zone_row <= zone_row) & (zone_row <= last) | (zone_row == 0)
        hit = np.flatnonzero((times_us != NEVER) & lives_there)
        zone = find_zone(name)
        if len(hit) and zone is not None:
            known = pd.DatetimeIndex(times_us[hit].astype("datetime64[us]")).tz_localize("UTC")
            yield zone_row, hit, known.tz_convert(zone)


def _nth_latest(past: _Past, phone: IntArray, n_phones: int, nth: int, since_us: int) -> IntArray:
    """Time of each phone's ``nth`` latest dial from ``since_us`` on, NEVER where it has fewer."""
    seen = past.at_us >= since_us
    group, at_us = phone[past.row[seen]], past.at_us[seen]
    order = np.lexsort((at_us, group))
    group, at_us = group[order], at_us[order]
    ends = np.searchsorted(group, np.arange(n_phones), side="right")
    counts = np.diff(ends, prepend=0)
    nth_latest = np.full(n_phones, NEVER, dtype=np.int64)
    enough = counts >= nth
    nth_latest[enough] = at_us[ends[enough] - nth]
    return nth_latest


def _add_past(limits: DialLimits, past: _Past, phone: IntArray, rows: IntArray, phone_group: IntArray) -> DialLimits:
    """Keep the past dials that a rolling window over the horizon can still see, sorted by phone and time."""
    n_groups = int(phone_group.max(initial=-1)) + 1
    if len(limits.rolling_us) == 0 or len(limits.slot_start_us) == 0:
        return replace(limits, past_start=np.zeros(n_groups + 1, dtype=np.int64))
    group_of_phone = np.full(int(phone.max(initial=-1)) + 1, -1, dtype=np.int64)
    group_of_phone[phone[rows]] = phone_group
    group = group_of_phone[phone[past.row]]
    seen = (group >= 0) & (past.at_us >= limits.slot_start_us.min() - limits.rolling_us.max())
    order = np.lexsort((past.at_us[seen], group[seen]))
    counts = np.bincount(group[seen], minlength=n_groups)
    return replace(
        limits,
        past_start=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        past_us=past.at_us[seen][order],
    )
