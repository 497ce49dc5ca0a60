"""What every chunk of a source is planned with, and what becomes of one chunk: checked, weighed, its dials listed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from configs.settings import Settings
from features.contracts import CheckReport, Tables, check_tables
from models.contact.model import ContactModel
from models.contact.scorer import Scorer, build_scorer
from models.planning.advice import StaffingAdvice, advise_staffing
from models.planning.believing import believe
from models.planning.eligibility import Eligibility, find_eligible
from models.planning.gains import scale_places
from models.planning.given import list_promises
from models.planning.rules import RulePack
from models.planning.sample import take_sample
from models.planning.schedule import CallPlan, list_dials, list_unplanned
from models.planning.sequences import FloatArray, IntArray, build_single_demand, take_customers
from models.planning.streaming import SAMPLE_OF_STREAM, Chunk, Stream, open_stream
from models.planning.worth import build_demand, price_first_dials
from pipelines.chunks import read_chunk
from pipelines.kept_shards import KeptShards

SAMPLE_OF_FIRST = 8_000
"""Customers on whom the coarse prices of first dials are found."""


@dataclass(frozen=True)
class Site:
    """What every chunk is planned with.

    Attributes
    ----------
    spool
        Folder of the chunks and of what is found in them.
    log
        Judged, and kept by shards.
    slots, places
        Slots of the horizon with their calendar features, and the dials that each holds; (n_slots,).
    sizes
        Customers of each chunk.
    """

    spool: Path
    log: KeptShards
    model: ContactModel
    as_of: pd.Timestamp
    settings: Settings
    packs: tuple[RulePack, ...]
    slots: pd.DataFrame
    places: IntArray
    sizes: tuple[int, ...]


class Tally(dict[str, float]):
    """Processor seconds of this process by kind of work."""

    @contextmanager
    def count(self, work: str) -> Iterator[None]:
        """Add what the body takes."""
        began = time.process_time()
        yield
        self[work] = self.get(work, 0.0) + time.process_time() - began


@dataclass(frozen=True)
class Known:
    """The customers of a chunk, checked, and ready to be scored."""

    number: int
    n_customers: int
    tables: Tables
    report: CheckReport
    eligibility: Eligibility
    scorer: Scorer


@dataclass(frozen=True)
class Opening:
    """What the first chunk says for all.

    Attributes
    ----------
    first_prices : float64 array of shape (n_slots,)
        Coarse prices of first dials, by which later dials are weighed in every chunk.
    stream
        With its prices, before any dial is placed.
    advice
        Places that each slot should have.
    """

    first_prices: FloatArray
    stream: Stream
    advice: StaffingAdvice


def learn_chunk(site: Site, number: int, tally: Tally) -> Known:
    """Check a chunk's tables, see who may be called, and get ready to score them.

    Raises
    ------
    ContractError, TooManyBadRowsError
        As the check of any source; each chunk is judged by itself.
    """
    with tally.count("reading and checking"):
        customers, log = read_chunk(site.log, site.spool, number, len(site.sizes))
        tables, report = check_tables({"customers": customers}, site.as_of, site.settings, log)
    with tally.count("rules and features"):
        eligibility = find_eligible(tables, site.slots, site.as_of, site.packs, site.settings)
        scorer = build_scorer(site.model, tables.call_attempts, tables.customers, site.as_of, site.slots, site.settings)
    return Known(number, site.sizes[number], tables, report, eligibility, scorer)


def weigh_chunk(site: Site, known: Known, first_prices: FloatArray, tally: Tally) -> Chunk:
    """Score everybody of a chunk who may be called."""
    with tally.count("scoring"):
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


def open_site(site: Site, known: Known, tally: Tally) -> tuple[Opening, Chunk]:
    """Price the slots with the first chunk, or as many of it as are needed; also returns the chunk, weighed."""
    with tally.count("prices"):
        first_prices = _price_first(site, known)
    chunk = weigh_chunk(site, known, first_prices, tally)
    with tally.count("prices"):
        n, n_all = len(chunk.demand.p_first), sum(site.sizes)
        some = np.arange(0, n, max(1, n // SAMPLE_OF_STREAM))
        n_sampled = max(1, round(len(some) / max(n, 1) * known.n_customers))
        stream = open_stream(take_customers(chunk.demand, some), n_sampled, site.places, n_all)
    with tally.count("staffing"):
        starts, staffing = pd.DatetimeIndex(site.slots["slot_start"]), site.settings.staffing
        free = site.settings.model_copy(update={"staffing": staffing.model_copy(update={"shifts": ()})})
        everyone = take_sample(chunk.demand, max(n, round(n * n_all / max(known.n_customers, 1))))
        advice = advise_staffing(everyone, site.places, starts, free)
    return Opening(first_prices, stream, advice), chunk


def _price_first(site: Site, known: Known) -> FloatArray:
    rows = known.eligibility.eligible_rows
    some = np.arange(0, len(rows), max(1, len(rows) // SAMPLE_OF_FIRST))
    value = np.maximum(known.tables.customers["value"].to_numpy(dtype=np.float32)[rows[some]], 0)
    p = np.where(known.eligibility.lawful[some], known.scorer(rows[some], 0), np.float32(-1))
    share = len(some) / max(len(rows), 1) * known.n_customers / max(sum(site.sizes), 1)
    net = (np.maximum(p, 0) * value[:, None]).astype(np.float32)
    return price_first_dials(build_single_demand(net, p >= 0), scale_places(site.places, share))


def write_chunk(site: Site, known: Known, chunk: Chunk, placed: IntArray, tally: Tally) -> None:
    """Write a chunk's dials, who is left out and which rows were rejected, for ``pipelines.joined``.

    Parameters
    ----------
    placed : int64 array of shape (n_dials, 2)
        (row of the chunk, slot_row).
    """
    with tally.count("listing and writing"):
        np.save(site.spool / f"placed-{known.number}.npy", placed)
        tables, eligibility = known.tables, known.eligibility
        dials = list_dials(placed, known.scorer, chunk.demand, eligibility, tables)
        loss = dials["value"] * dials["p_keyman"] * dials["survival"]  # by which a night ranks: before it is believed
        made = CallPlan(dials, np.zeros(0), 0.0, 0.0, 0.0, 0.0, unplanned=dials.iloc[:0])
        dials = believe(made, chunk.demand, eligibility, site.model.trust).dials
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
                "loss": loss.to_numpy("float64"),
            }
        )
        part.astype({"customer_id": "str"}).to_parquet(site.spool / f"dials-{known.number}.parquet")
        _write_left_out(site, known, dials)


def _write_left_out(site: Site, known: Known, dials: pd.DataFrame) -> None:
    ids, eligibility = known.tables.customers["customer_id"].to_numpy(), known.eligibility
    quarantined = known.report.quarantined_customers
    left_out = pd.concat([eligibility.excluded, list_unplanned(dials, eligibility)], ignore_index=True)
    excluded = pd.DataFrame(
        {
            "customer_id": [*quarantined, *ids[left_out["customer_row"].to_numpy("int64")]],
            "reason": [*["quarantined"] * len(quarantined), *left_out["reason"]],
        }
    )
    excluded.astype("str").to_parquet(site.spool / f"excluded-{known.number}.parquet")
    known.report.rejects.to_parquet(site.spool / f"rejects-{known.number}.parquet")
