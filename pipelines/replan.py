"""The rest of a day planned again: this morning's outcomes in, a new list for the slots to come out.

Plain functions: no flow, no server, no lock. The night's folder stays as it is and says which model made the plan.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from configs.errors import NoCapacityError, UsageError
from configs.settings import Settings
from features.customers import are_among
from features.slots import build_slots
from models.contact.scorer import Scorer
from models.planning.believing import believe
from models.planning.capacity import build_capacity
from models.planning.decisions import apply_blocks
from models.planning.eligibility import Eligibility, find_eligible
from models.planning.outlook import Outlook
from models.planning.rules import read_rule_packs
from models.planning.schedule import CallPlan, build_call_plan
from models.planning.today import find_later_gains, keep_owed, say_why_not_today, weigh_today
from pipelines.exports.folders import point_replanned, replace_folder
from pipelines.exports.record import as_plain, spell_record
from pipelines.exports.tables import write_call_list, write_excluded
from pipelines.intake import Intake, ReadSource, judge, read, read_order_decisions
from pipelines.listing import build_call_list, build_excluded
from pipelines.morning import Morning, PlanScorer, read_morning, recall
from pipelines.order import Order, build_order
from pipelines.outcomes import add_posted, read_outcomes_between
from pipelines.planned import explain, seed_lots
from pipelines.runs import find_var
from pipelines.stages import record_stages, stage

STAGES_OF_A_DAY = 5


@dataclass(frozen=True)
class Replanned:
    """The rest of a day: its list, who is left out, and the record of the run."""

    as_of: pd.Timestamp
    settings: Settings
    call_list: pd.DataFrame
    excluded: pd.DataFrame
    record: dict[str, Any]


def replan(
    source: str, plan: Path, out: Path, now: datetime, config: Sequence[Path] = (), decisions: Path | None = None
) -> Replanned:
    """Plan the slots of the run date that start at or after ``now`` again, with every outcome logged until then.

    Parameters
    ----------
    plan
        Folder of the night's run; only read.
    now
        An instant of the plan's run date; a naive one is the centre's time.
    config
        Settings files; without any, the settings of the night hold.
    decisions
        What people have pinned and blocked.

    Raises
    ------
    UsageError
        ``plan`` is no night's folder, ``out`` is ``plan`` or something else, or ``now`` is not on the run date.
    NoCapacityError
        No place is left today.
    """
    morning = read_morning(plan)
    order = build_order(source, out, morning.run_date, find_var(), config_files=config, decisions=decisions)
    order = replace(order, settings=order.settings if config else morning.settings, staffing_mode=morning.staffing_mode)
    if order.out == plan.expanduser().resolve():
        raise UsageError(f"--out {out}: is the plan itself, which is needed again: name a folder of its own")
    instant = _place_on_run_date(now, order)
    with record_stages(STAGES_OF_A_DAY) as stages:
        intake = check_rest(order, read(order), morning, instant)
        scorer, note = recall(order, intake, morning, instant)
        eligibility, made = place_rest(order, intake, morning, scorer, instant)
        return write(order, intake, morning, scorer, eligibility, made, instant, note, stages)


def _place_on_run_date(now: datetime, order: Order) -> pd.Timestamp:
    stamp = pd.Timestamp(now)
    zone = order.settings.timezone
    instant = stamp.tz_localize(zone, nonexistent="shift_forward", ambiguous=True) if stamp.tz is None else stamp
    instant = instant.tz_convert(zone).as_unit("us")
    if instant.date() != order.run_date:
        raise UsageError(f"--now {instant:%Y-%m-%d %H:%M}: is not on the plan's run date {order.run_date}")
    return instant


@stage("check", tell=lambda intake: f"{int(intake.capacity['dials'].sum()):,} places in {len(intake.slots)} slots left")
def check_rest(order: Order, raw: ReadSource, morning: Morning, now: pd.Timestamp) -> Intake:
    """Check the tables as known at ``now`` and count the places of the slots that are still to begin today.

    With fixed staffing the source's capacity counts, so that a roster changed since the night is obeyed; a reshaped
    roster is the plan's own. Outcomes posted through the interface count like those of the log.
    """
    log, n_posted = add_posted(raw.reading.log, read_outcomes_between(order.var, order.as_of, now))
    tables, report = judge(order, replace(raw, reading=replace(raw.reading, log=log)), now)
    if n_posted:
        told = f"{n_posted:,} outcomes posted to the interface are not in the log yet: they were counted"
        report = replace(report, notes=(*report.notes, told))
    report = replace(report, counts=report.counts | {"call_attempts_posted": n_posted})
    places = morning.places
    if order.staffing_mode == "fixed":
        today = order.settings.model_copy(update={"horizon_days": 1})
        places = build_capacity(tables.capacity, tables.call_attempts, order.as_of, today, morning.effort)
    ends = order.as_of + pd.DateOffset(days=1)
    rest = places[(places["slot_start"] >= now) & (places["slot_start"] < ends)].reset_index(drop=True)
    if rest["places"].sum() == 0:
        raise NoCapacityError(f"no place is left on {order.run_date} after {now:%H:%M}: there is nothing to plan again")
    slots = build_slots(pd.DatetimeIndex(rest["slot_start"]), order.settings)
    decisions = read_order_decisions(order, tables, slots)
    return Intake(raw.where, raw.fingerprint, tables, report, slots, rest, decisions, morning.effort)


@stage(
    "plan", tell=lambda placed: f"{len(placed[1].dials):,} dials, {placed[1].expected_contacts:,.0f} contacts expected"
)
def place_rest(
    order: Order, intake: Intake, morning: Morning, scorer: Scorer | PlanScorer, now: pd.Timestamp
) -> tuple[Eligibility, CallPlan]:
    """Fill the places that are left: promised call-backs first, nobody who was dialled today, caps counted anew."""
    settings, tables = order.settings, intake.tables
    packs = read_rule_packs(settings.rule_packs)
    eligibility = find_eligible(tables, intake.slots, now, packs, settings, contacted_since=order.as_of)
    eligibility = apply_blocks(eligibility, intake.decisions.blocks)
    places = intake.capacity["places"].to_numpy()
    later = settings.model_copy(update={"planning": settings.planning.model_copy(update={"min_attempts": 0})})
    outlook = Outlook(scorer, eligibility, intake.slots, tables, later, intake.effort)
    ids = tables.customers["customer_id"]
    gains = find_later_gains(morning.later, morning.prices, ids.iloc[eligibility.eligible_rows], intake.effort)
    decided = keep_owed(intake.decisions, morning.owed, ids, intake.slots)
    demand, lots = weigh_today(outlook.build_demand(places), gains), seed_lots(order, now.hour * 60 + now.minute)
    made = build_call_plan(outlook, places, demand, decided, lots)
    if isinstance(scorer, Scorer):  # the plan's own numbers are believable already
        made = believe(made, demand, eligibility, scorer.model.trust)
    later_rows = np.flatnonzero(are_among(ids, morning.later["customer_id"]))
    why = say_why_not_today(made.unplanned, list_dialled(order, intake), later_rows)
    return eligibility, replace(made, unplanned=why)


def list_dialled(order: Order, intake: Intake) -> np.ndarray:
    """customer_row of everybody dialled since 00:00 of the run date, rejected attempts included; rising."""
    attempts, held = intake.tables.call_attempts, intake.tables.held_attempts
    today = [dials.loc[dials["attempted_at"] >= order.as_of, "customer_row"] for dials in (attempts, held)]
    return np.unique(np.concatenate(today).astype(np.int64))


@stage("write", tell=lambda done: str(done.record["run_id"]))
def write(
    order: Order,
    intake: Intake,
    morning: Morning,
    scorer: Scorer | PlanScorer,
    eligibility: Eligibility,
    made: CallPlan,
    now: pd.Timestamp,
    note: str,
    stages: Sequence[dict[str, Any]],
) -> Replanned:
    """Write call_list.parquet, call_list.csv, excluded.csv and run.json, whole or not at all, for the page to show."""
    if order.out is None:
        raise RuntimeError("an order without OUT writes nothing")
    if isinstance(scorer, Scorer):
        reasons = explain(order, intake, scorer, made)
    else:
        reasons = pd.DataFrame({"reason": None, "reason_ja": None}, index=made.dials.index, dtype="object")
    call_list, excluded = build_call_list(order, intake, made, reasons), build_excluded(intake, eligibility, made)
    notes = [*intake.report.notes, *_tell(order, intake, made), *intake.decisions.notes, *made.notes]
    record = {
        "run_id": f"{order.run_id}-{now:%H%M}",
        "run_date": str(order.run_date),
        "replanned_at": now,
        "plan": morning.run_id,
        "source": intake.where,
        "is_simulated": order.settings.simulated,
        "staffing_mode": order.staffing_mode,
        "model": {"name": morning.model_name, "version": morning.model_version},
        "expected_contacts": made.expected_contacts,
        "gap": made.gap,
        "counts": {
            "dialled_before": len(list_dialled(order, intake)),
            "places": int(intake.capacity["dials"].sum()),
            "dials": len(call_list),
            "excluded_by_reason": dict(sorted(excluded["reason"].value_counts().items())),
        },
        "inputs": {"fingerprint": intake.fingerprint, "counts": intake.report.counts},
        "stages": list(stages),
        "notes": [*notes, *([note] if note else [])],
        "settings": order.settings.model_dump(mode="json"),
    }
    done = Replanned(order.as_of, order.settings, call_list, excluded, as_plain(record))
    with replace_folder(order.out, str(record["run_id"])) as folder:
        write_call_list(done, folder)
        write_excluded(done, folder)
        (folder / "run.json").write_text(spell_record(done.record), encoding="utf-8")
    point_replanned(order.var / "runs", order.out)
    return done


def _tell(order: Order, intake: Intake, made: CallPlan) -> list[str]:
    """Say what people would look for: a log without this morning, and promises that no rule lets us keep."""
    told = []
    if len(list_dialled(order, intake)) == 0:
        told.append(f"no attempt of {order.run_date} is in the log: is this morning's part missing?")
    called_back = intake.tables.customers["callback_at"]
    first, ends = intake.slots["slot_start"].iloc[0], order.as_of + pd.DateOffset(days=1)
    is_due = ((called_back >= first) & (called_back < ends)).to_numpy() & intake.tables.customers["listed"].to_numpy()
    is_due[made.dials["customer_row"].to_numpy()] = False
    if is_due.any():
        told.append(f"{int(is_due.sum()):,} call-backs promised for today are not in the list: excluded.csv says why")
    return told
