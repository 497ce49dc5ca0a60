"""A plan of more customers than fit into memory: chunk by chunk from Parquet to Parquet, with one certificate for all.

Every chunk goes through the same check, rules, features, model and placing as a night (``pipelines.planned``), in as
many processes as there are cores (``pipelines.relay``); only the prices and the sharing of places are those of
``models.planning.streaming``.
"""

import shutil
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from configs.errors import NoCapacityError, UsageError
from configs.settings import Settings
from features.seats import check_capacity
from features.slots import build_slots
from models.contact.model import ContactModel
from models.planning.capacity import build_capacity
from models.planning.rules import read_rule_packs
from models.planning.schedule import CallPlan
from models.planning.sequences import FloatArray
from models.planning.staffing import build_staffing
from models.planning.streaming import Stream
from pipelines.chunks import count_chunks, count_customers, move_strays, split_customers
from pipelines.exports.folders import replace_folder
from pipelines.exports.record import as_plain, spell_record
from pipelines.exports.tables import STAFFING_COLUMNS, write_csv
from pipelines.joined import Joined, join_chunks
from pipelines.kept_shards import KeptShards
from pipelines.memory import read_peak_memory_mb
from pipelines.relay import Leg, count_processes, place_all
from pipelines.site import Opening, Site
from pipelines.sources.folders import list_tables, read_folder
from pipelines.sources.laid_out import fingerprint_files
from pipelines.stages import stage, tell_step

LEFT_OUT = (
    "planned in chunks: there is no report.html, nothing for the page, no reason beside a dial and no gain; "
    "call_list, excluded.csv, staffing.csv, quarantine/ and run.json are those of any plan"
)


@dataclass(frozen=True)
class StreamedPlan:
    """What a plan in chunks came to.

    Attributes
    ----------
    n_customers, n_eligible, n_dials, n_firm, places_left
        Customers read, those who may be called, their planned dials, those of the run date, and places that nobody
        could lawfully take.
    excluded
        Customers who are not called, by reason.
    prices : (n_slots,) float64
        Expected value of one more place.
    expected_contacts
        Keyman contacts that the list should bring.
    objective, upper_bound, gap
        Worth of the plan as the search weighs it, what none can exceed, and 1 - their ratio.
    seconds
        Processor seconds by kind of work, all processes together.
    elapsed
        Seconds on the clock.
    n_processes, peak_mb
        How many processes planned, and the most memory of any stage, the largest of all its processes added up.
    notes
        What people must know.
    """

    n_customers: int
    n_eligible: int
    n_dials: int
    n_firm: int
    places_left: int
    excluded: dict[str, int]
    prices: FloatArray
    expected_contacts: float
    objective: float
    upper_bound: float
    gap: float
    seconds: dict[str, float]
    elapsed: float
    n_processes: int
    peak_mb: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Placed:
    """What the processes have come to."""

    opening: Opening
    stream: Stream
    legs: list[Leg]

    @property
    def counts(self) -> Counter[str]:
        return sum((leg.counts for leg in self.legs), Counter())

    def measure_peak_mb(self, n_processes: int) -> float:
        peaks = [leg.peak_mb for leg in self.legs]
        return max(peaks) if n_processes == 1 else sum(peaks)

    @property
    def seconds(self) -> dict[str, float]:
        works = dict.fromkeys(work for leg in self.legs for work in leg.seconds)
        return {work: sum(leg.seconds.get(work, 0.0) for leg in self.legs) for work in works}


def plan_in_chunks(
    source: Path,
    log: KeptShards,
    out: Path,
    model: ContactModel,
    as_of: pd.Timestamp,
    settings: Settings,
    *,
    per_chunk: int | None = None,
    n_processes: int | None = None,
    facts: Mapping[str, Any] | None = None,
    notes: tuple[str, ...] = (),
    fingerprint: Mapping[str, str] | None = None,
) -> StreamedPlan:
    """Plan the customers of a folder of Parquet files, however many they are.

    Leaves call_list.parquet and .csv (without reasons), excluded.csv, staffing.csv, quarantine/rejects.csv and run.json
    in ``out``, whole or not at all.

    Parameters
    ----------
    source
        customers.parquet, and capacity as Parquet or CSV.
    log
        Its attempts, judged.
    as_of
        00:00 of the run date in the centre's zone.
    per_chunk
        Customers planned together, about; by default ``planning.per_chunk``.
    n_processes
        By default as many as there are cores; the plan is the same.
    facts, notes
        What run.json says besides.
    fingerprint
        Of the tables' source; by default of the files.

    Raises
    ------
    UsageError
        The settings ask for what a plan in chunks does not know.
    NoCapacityError
        The source has no table of capacity.
    KakedokiError
        As the check of any source.
    """
    refuse_settings(settings)
    began, run_id = time.perf_counter(), str((facts or {}).get("run_id", f"{as_of:%Y%m%d}-chunks"))
    with replace_folder(out, run_id) as folder:
        site = split(source, log, folder / ".spool", model, as_of, settings, per_chunk or settings.planning.per_chunk)
        peaks = [read_peak_memory_mb()]  # of this stage, in which no other process runs
        n = n_processes or count_processes(site.sizes)
        placed = place(site, n)
        joined = write(site, placed, folder)
        peaks += [placed.measure_peak_mb(n), read_peak_memory_mb()]
        plan = _sum_up(site, placed, joined, n, max(peaks), time.perf_counter() - began, notes)
        inputs = {"fingerprint": dict(fingerprint or fingerprint_files(source)), "counts": _count_inputs(log, placed)}
        record = build_record(run_id, site, placed, plan, joined) | {"inputs": inputs, **(facts or {})}
        (folder / "run.json").write_text(spell_record(as_plain(record)), encoding="utf-8")
        shutil.rmtree(site.spool)
    return plan


def refuse_settings(settings: Settings) -> None:
    """Refuse settings that a plan in chunks would have to ignore.

    Raises
    ------
    UsageError
        Each is named.
    """
    planning = settings.planning
    asked = {name: getattr(planning, name) for name in ("explore_share", "control_share", "min_attempts")}
    found = [f"planning.{name}" for name, value in asked.items() if value]
    if found:
        raise UsageError(
            f"a plan in chunks neither draws lots nor owes dials: leave out {', '.join(found)}, or plan in one piece "
            "(--no-chunks), which keeps all customers in memory"
        )


def require_capacity(folder: Path) -> None:
    """Refuse a folder without the table of capacity, before a model is fitted for nothing.

    Raises
    ------
    NoCapacityError
        The message says what to do.
    """
    if "capacity" not in list_tables(folder):
        remedy = "add it, or plan in one piece (--no-chunks), all in memory"
        raise NoCapacityError(f"a plan in chunks needs the table capacity (slot_start, dials): {remedy}")


@stage("split", tell=lambda site: f"{sum(site.sizes):,} customers in {len(site.sizes):,} chunks")
def split(
    source: Path,
    log: KeptShards,
    spool: Path,
    model: ContactModel,
    as_of: pd.Timestamp,
    settings: Settings,
    per_chunk: int,
) -> Site:
    """Split the customers and count the places."""
    require_capacity(source)
    capacity, _ = read_folder(source, "capacity".__eq__)
    places, _ = check_capacity(capacity["capacity"], settings.timezone)
    given = build_capacity(places, pd.DataFrame(), as_of, settings)
    slots = build_slots(pd.DatetimeIndex(given["slot_start"]), settings)
    sizes = split_customers(source, spool, count_chunks(count_customers(source), per_chunk))
    move_strays(log, spool, len(sizes))
    packs = tuple(read_rule_packs(settings.rule_packs))
    return Site(spool, log, model, as_of, settings, packs, slots, given["dials"].to_numpy("int64"), tuple(sizes))


@stage("place", tell=lambda placed: f"{sum(leg.n_eligible for leg in placed.legs):,} may be called")
def place(site: Site, n_processes: int) -> _Placed:
    """Check, score and place everybody."""
    n_chunks = len(site.sizes)
    return _Placed(*place_all(site, n_processes, lambda done: tell_step(f"place: chunk {done:,} of {n_chunks:,}")))


@stage(
    "write", tell=lambda joined: f"{int(joined.dials.sum()):,} dials, {joined.contacts.sum():,.0f} contacts expected"
)
def write(site: Site, placed: _Placed, folder: Path) -> Joined:
    """Write the tables."""
    joined = join_chunks(site, folder)
    per_slot = pd.DataFrame({"slot_row": np.arange(len(site.slots)), "p_keyman": joined.contacts, "survival": 1.0})
    whole = CallPlan(per_slot, placed.stream.prices, 0.0, 0.0, 0.0, 0.0, unplanned=per_slot.iloc[:0])
    advice = placed.opening.advice
    seats = build_staffing(site.slots, site.places, advice.places, placed.stream.prices, whole, site.settings)
    write_csv(seats[list(STAFFING_COLUMNS)], folder / "staffing.csv")
    return joined


def _sum_up(
    site: Site, placed: _Placed, joined: Joined, n_processes: int, peak_mb: float, elapsed: float, told: tuple[str, ...]
) -> StreamedPlan:
    stream = placed.stream
    notes = [*told, *([site.log.note] if site.log.note else []), LEFT_OUT, *placed.opening.advice.remarks]
    if site.settings.staffing.shifts:
        notes.append("planned in chunks: no roster of shifts is made, seats are moved freely")
    if joined.n_rejects:
        notes.append(f"{joined.n_rejects:,} rows were rejected: quarantine/rejects.csv says why")
    return StreamedPlan(
        n_customers=sum(site.sizes),
        n_eligible=sum(leg.n_eligible for leg in placed.legs),
        n_dials=int(joined.dials.sum()),
        n_firm=joined.n_firm,
        places_left=int(stream.room.sum()),
        excluded=dict(sorted(joined.excluded.items())),
        prices=stream.prices,
        expected_contacts=float(joined.contacts.sum()),
        objective=stream.objective,
        upper_bound=stream.upper_bound,
        gap=stream.gap,
        seconds={work: round(seconds, 1) for work, seconds in placed.seconds.items()},
        elapsed=round(elapsed, 1),
        n_processes=n_processes,
        peak_mb=round(peak_mb, 1),
        notes=tuple(notes),
    )


def build_record(run_id: str, site: Site, placed: _Placed, plan: StreamedPlan, joined: Joined) -> dict[str, Any]:
    """``run.json`` with the keys of a night's where they mean the same, and ``chunks``."""
    return {
        "run_id": run_id,
        "run_date": str(site.as_of.date()),
        "as_of": site.as_of,
        "is_simulated": site.settings.simulated,
        "staffing_mode": "fixed",
        "horizon_days": site.settings.horizon_days,
        "expected_contacts": plan.expected_contacts,
        "gains": None,
        "plan": {
            "expected_contacts": plan.expected_contacts,
            "objective": plan.objective,
            "upper_bound": plan.upper_bound,
            "gap": plan.gap,
            "n_dials": plan.n_dials,
            "n_places": int(site.places.sum()),
        },
        "counts": {
            "customers": plan.n_customers,
            "eligible": plan.n_eligible,
            "dials": plan.n_dials,
            "firm_dials": plan.n_firm,
            "places_left": plan.places_left,
            "excluded": sum(plan.excluded.values()),
            "excluded_by_reason": plan.excluded,
            "slots": len(site.slots),
            "rejected_rows": joined.n_rejects,
        },
        "prices": dict(zip(site.slots["slot_start"].astype("str"), plan.prices, strict=True)),
        "chunks": {"sizes": site.sizes, "processes": [asdict(leg) for leg in placed.legs], "seconds": plan.seconds},
        "elapsed": plan.elapsed,
        "peak_mb": plan.peak_mb,
        "notes": plan.notes,
        "settings": site.settings.model_dump(mode="json"),
    }


def _count_inputs(log: KeptShards, placed: _Placed) -> dict[str, int]:
    return {**placed.counts, "call_attempts_not_kept_before": log.n_read}
