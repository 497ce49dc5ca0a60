"""A plan of more customers than fit into memory: chunk by chunk from Parquet to Parquet, with one certificate for all.

Every chunk goes through the same check, rules, features, model and placing as a night (``pipelines.planned``); only the
prices and the sharing of places are those of ``models.planning.streaming``. Plain functions: no flow, no registry.
"""

import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from configs.errors import NoCapacityError, UsageError
from configs.settings import Settings
from features.contracts import Tables, check_tables
from features.seats import check_capacity
from features.slots import build_slots
from models.contact.model import ContactModel
from models.contact.scorer import Scorer, build_scorer
from models.planning.arms import PLAN
from models.planning.capacity import build_capacity
from models.planning.eligibility import Eligibility, find_eligible
from models.planning.gains import scale_places
from models.planning.given import list_promises
from models.planning.rules import RulePack, name_packs, read_rule_packs
from models.planning.schedule import list_dials, list_unplanned
from models.planning.sequences import FloatArray, IntArray, build_single_demand, take_customers
from models.planning.streaming import (
    SAMPLE_OF_STREAM,
    Chunk,
    Stream,
    fill_chunk,
    is_worth_another_look,
    open_stream,
    place_chunk,
)
from models.planning.worth import build_demand, price_first_dials
from pipelines.chunks import read_chunk, read_sorted, split_source, write_sorted
from pipelines.exports.folders import replace_folder
from pipelines.exports.record import as_plain, spell_record
from pipelines.exports.tables import call_list_schema
from pipelines.sources.folders import read_folder

PER_CHUNK = 100_000
"""Customers planned together: a few hundred MB, whatever the size of the whole."""
SAMPLE_OF_FIRST = 8_000
"""Customers on whom the coarse prices of first dials are found."""
_RANKED = """
SELECT *, CAST(row_number() OVER (PARTITION BY slot_row ORDER BY value * contacts DESC, customer_id) AS INTEGER) AS rank
FROM parts ORDER BY slot_row, rank
"""


@dataclass(frozen=True)
class StreamedPlan:
    """What a plan in chunks came to.

    Attributes
    ----------
    n_customers, n_eligible, n_dials, places_left
        Customers read, those who may be called, their planned dials, and places that nobody could lawfully take.
    prices : (n_slots,) float64
        Expected value of one more place.
    expected_contacts
        Keyman contacts that the list should bring.
    objective, upper_bound, gap
        Worth of the plan as the search weighs it, what none can exceed, and 1 - their ratio.
    seconds
        By kind of work.
    """

    n_customers: int
    n_eligible: int
    n_dials: int
    places_left: int
    prices: FloatArray
    expected_contacts: float
    objective: float
    upper_bound: float
    gap: float
    seconds: dict[str, float]


@dataclass(frozen=True)
class _Site:
    """What every chunk is planned with, and the seconds that each kind of work has taken."""

    spool: Path
    model: ContactModel
    as_of: pd.Timestamp
    settings: Settings
    packs: tuple[RulePack, ...]
    slots: pd.DataFrame
    places: IntArray
    sizes: tuple[int, ...]
    seconds: dict[str, float]

    @contextmanager
    def count(self, work: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[work] += time.perf_counter() - began


@dataclass(frozen=True)
class _Known:
    """The customers of a chunk, checked, and ready to be scored."""

    number: int
    n_customers: int
    tables: Tables
    quarantined: tuple[str, ...]
    eligibility: Eligibility
    scorer: Scorer


def plan_in_chunks(
    source: Path,
    out: Path,
    model: ContactModel,
    as_of: pd.Timestamp,
    settings: Settings,
    per_chunk: int = PER_CHUNK,
) -> StreamedPlan:
    """Plan the customers of a folder of Parquet files, however many they are.

    Leaves ``call_list.parquet`` (the columns of a night's, without reasons), ``excluded.parquet`` and ``run.json`` in
    ``out``, whole or not at all.

    Parameters
    ----------
    source
        customers.parquet, call_attempts.parquet, and capacity as Parquet or CSV.
    as_of
        00:00 of the run date in the centre's zone.
    per_chunk
        Customers planned together, about.

    Raises
    ------
    UsageError
        The settings ask for exploration or for owed dials, which a plan in chunks does not know.
    NoCapacityError
        The source has no table of capacity.
    KakedokiError
        As the check of any source.
    """
    if settings.planning.explore_share or settings.planning.min_attempts:
        raise UsageError("a plan in chunks explores nothing and owes no dials: set explore_share and min_attempts to 0")
    with replace_folder(out, f"{as_of:%Y%m%d}-chunks") as folder:
        site = _survey(source, folder / ".spool", model, as_of, settings, per_chunk)
        stream, n_eligible = _place_all(site)
        with site.count("joining"):
            n_dials, contacts = _join(site, folder)
        plan = StreamedPlan(
            n_customers=sum(site.sizes),
            n_eligible=n_eligible,
            n_dials=n_dials,
            places_left=int(stream.room.sum()),
            prices=stream.prices,
            expected_contacts=contacts,
            objective=stream.objective,
            upper_bound=stream.upper_bound,
            gap=stream.gap,
            seconds={work: round(seconds, 1) for work, seconds in site.seconds.items()},
        )
        record = {"run_date": str(as_of.date()), **vars(plan), "settings": settings.model_dump(mode="json")}
        (folder / "run.json").write_text(spell_record(as_plain(record)), encoding="utf-8")
        shutil.rmtree(site.spool)
    return plan


def _survey(
    source: Path, spool: Path, model: ContactModel, as_of: pd.Timestamp, settings: Settings, per_chunk: int
) -> _Site:
    """Split the source and count the places."""
    began = time.perf_counter()
    capacity, _ = read_folder(source, "capacity".__eq__)
    if not capacity:
        raise NoCapacityError(f"{source}: a plan in chunks needs the table capacity: slot_start, dials")
    sizes = split_source(source, spool, per_chunk)
    places, _ = check_capacity(capacity["capacity"], settings.timezone)
    given = build_capacity(places, pd.DataFrame(), as_of, settings)
    slots = build_slots(pd.DatetimeIndex(given["slot_start"]), settings)
    packs = tuple(read_rule_packs(settings.rule_packs))
    seconds = defaultdict(float, splitting=time.perf_counter() - began)
    dials = given["dials"].to_numpy("int64")
    return _Site(spool, model, as_of, settings, packs, slots, dials, tuple(sizes), seconds)


def _place_all(site: _Site) -> tuple[Stream, int]:
    """Place every chunk, then what is left in those that could take more; also counts who may be called."""
    known = _learn(site, 0)
    first_prices = _price_first(site, known)
    stream, n_eligible = _open(site, known, _weigh(site, known, first_prices)), 0
    for number in range(len(site.sizes)):
        known = known if number == 0 else _learn(site, number)
        chunk = _weigh(site, known, first_prices)
        with site.count("placing"):
            stream, placed = place_chunk(stream, chunk)
        _write_part(site, known, chunk, placed)
        n_eligible += len(chunk.demand.p_first)
    for number in range(len(site.sizes)):
        if is_worth_another_look(stream, number):
            known, placed = _learn(site, number), np.load(site.spool / f"placed-{number}.npy")
            chunk = _weigh(site, known, first_prices)
            stream, more = fill_chunk(stream, number, chunk, placed)
            _write_part(site, known, chunk, np.concatenate([placed, more]))
    return stream, n_eligible


def _learn(site: _Site, number: int) -> _Known:
    """Check a chunk's tables, see who may be called, and get ready to score them."""
    with site.count("reading and checking"):
        tables, report = check_tables(read_chunk(site.spool, number), site.as_of, site.settings)
    with site.count("rules and features"):
        eligibility = find_eligible(tables, site.slots, site.as_of, site.packs, site.settings)
        scorer = build_scorer(site.model, tables.call_attempts, tables.customers, site.as_of, site.slots, site.settings)
    return _Known(number, site.sizes[number], tables, report.quarantined_customers, eligibility, scorer)


def _price_first(site: _Site, known: _Known) -> FloatArray:
    """Coarse prices of first dials, by which later dials are weighed in every chunk."""
    with site.count("prices"):
        rows = known.eligibility.eligible_rows
        some = np.arange(0, len(rows), max(1, len(rows) // SAMPLE_OF_FIRST))
        value = np.maximum(known.tables.customers["value"].to_numpy(dtype=np.float32)[rows[some]], 0)
        p = np.where(known.eligibility.lawful[some], known.scorer(rows[some], 0), np.float32(-1))
        share = len(some) / max(len(rows), 1) * known.n_customers / max(sum(site.sizes), 1)
        net = (np.maximum(p, 0) * value[:, None]).astype(np.float32)
        return price_first_dials(build_single_demand(net, p >= 0), scale_places(site.places, share))


def _weigh(site: _Site, known: _Known, first_prices: FloatArray) -> Chunk:
    with site.count("scoring"):
        demand = build_demand(
            known.scorer,
            known.eligibility,
            site.slots,
            site.places,
            known.tables,
            site.settings,
            first_prices=first_prices,
        )
        promised = list_promises(known.eligibility, site.slots, known.tables, site.settings)
    return Chunk(demand, known.eligibility, *promised, known.n_customers)


def _open(site: _Site, known: _Known, chunk: Chunk) -> Stream:
    """Price the slots with the first chunk, or as many of it as are needed."""
    with site.count("prices"):
        n = len(chunk.demand.p_first)
        some = np.arange(0, n, max(1, n // SAMPLE_OF_STREAM))
        share = len(some) / max(n, 1)
        return open_stream(
            take_customers(chunk.demand, some), max(1, round(share * known.n_customers)), site.places, sum(site.sizes)
        )


def _write_part(site: _Site, known: _Known, chunk: Chunk, placed: IntArray) -> None:
    """Write a chunk's dials, and who is left out, for :func:`_join`."""
    with site.count("listing and writing"):
        np.save(site.spool / f"placed-{known.number}.npy", placed)
        tables, eligibility = known.tables, known.eligibility
        dials = list_dials(placed, known.scorer, chunk.demand, eligibility, tables)
        ids = tables.customers["customer_id"].to_numpy()
        firm = (site.slots["slot_start"] < site.as_of + pd.DateOffset(days=1)).to_numpy()
        part = pd.DataFrame(
            {
                "slot_row": dials["slot_row"].to_numpy("int32"),
                "customer_id": ids[dials["customer_row"]],
                "p_keyman": dials["p_keyman"].to_numpy("float32"),
                "attempt_number": dials["attempt_number"].to_numpy("int32"),
                "value": dials["value"].to_numpy("float64"),
                "is_firm": firm[dials["slot_row"]],
                "contacts": (dials["p_keyman"] * dials["survival"]).to_numpy("float64"),
            }
        )
        part.to_parquet(site.spool / f"dials-{known.number}.parquet")
        left_out = pd.concat([eligibility.excluded, list_unplanned(dials, eligibility)], ignore_index=True)
        excluded = pd.DataFrame(
            {
                "customer_id": [*known.quarantined, *ids[left_out["customer_row"].to_numpy("int64")]],
                "reason": [*["quarantined"] * len(known.quarantined), *left_out["reason"]],
            }
        )
        excluded.astype("str").to_parquet(site.spool / f"excluded-{known.number}.parquet")


def _join(site: _Site, folder: Path) -> tuple[int, float]:
    """Rank all dials and write the list in order; how many there are, and the contacts they should bring."""
    schema = call_list_schema(site.settings.timezone)
    utc = pd.DatetimeIndex(site.slots["slot_start"]).as_unit("us").tz_convert(None).to_numpy()
    starts = pa.array(utc, schema.field("slot_start").type)
    constants = {"run_date": site.as_of.date(), "arm": PLAN, "propensity": 1.0}
    constants |= {"reason": None, "allowed_because": name_packs(site.packs), "reason_ja": None}
    n_dials, contacts = 0, 0.0
    with pq.ParquetWriter(folder / "call_list.parquet", schema) as writer:
        for batch in read_sorted(site.spool, "dials-*", _RANKED):
            columns = {name: batch.column(name) for name in batch.schema.names if name in schema.names}
            columns["slot_start"] = starts.take(batch.column("slot_row"))
            columns |= {
                name: pa.array([value] * len(batch), schema.field(name).type) for name, value in constants.items()
            }
            writer.write_table(pa.table([columns[name] for name in schema.names], schema=schema))
            n_dials, contacts = n_dials + len(batch), contacts + pc.sum(batch.column("contacts")).as_py()
    write_sorted(site.spool, "excluded-*", "SELECT * FROM parts ORDER BY customer_id", folder / "excluded.parquet")
    return n_dials, contacts
