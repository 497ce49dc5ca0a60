"""Customers spread over the workers of a cluster: every k-th customer with all that is known of them is one partition.

Features, scores and the worth of dials are made where the customer is, and stay there. Prices, sums and positions
travel, and the rows of those who can win a place. Nothing in a partition says who its customers are.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from configs.settings import Settings
from features.contracts import Tables
from features.table import build_dial_log
from models.contact.model import ContactModel, Evidence
from models.contact.persons import Beliefs
from models.contact.scorer import Scorer, build_scorer
from models.planning.contenders import find_takers, put_customers
from models.planning.eligibility import Eligibility, take_eligible
from models.planning.handling import Effort
from models.planning.sequences import Demand, FloatArray, IntArray
from models.planning.worth import SeriesFacts, build_demand, learn_series_facts
from pipelines.cluster import Cluster

MOST_CUSTOMERS = 100_000
"""Of one partition: some tenths of a second of work for one step of the prices."""
_OF_ATTEMPTS = ["attempt_id", "customer_row", "attempted_at", "outcome"]
_AT_HOME = ["customer_id", "phone"]


def count_partitions(n_customers: int, n_workers: int) -> int:
    """Count the partitions: the same number for every worker, none of more than 100,000 customers.

    >>> count_partitions(150_000, 2), count_partitions(250_000, 2)
    (2, 4)
    """
    return n_workers * max(1, -(-n_customers // (MOST_CUSTOMERS * n_workers)))


def take_partition(tables: Tables, part: int, n_parts: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Attempts and customers of one partition; a customer's row in it is ``customer_row // n_parts``."""
    customers = tables.customers.drop(columns=_AT_HOME, errors="ignore").iloc[part::n_parts].reset_index(drop=True)
    rows = tables.call_attempts["customer_row"].to_numpy()
    attempts = tables.call_attempts.loc[rows % n_parts == part, _OF_ATTEMPTS].reset_index(drop=True)
    return attempts.assign(customer_row=attempts["customer_row"] // n_parts), customers


@dataclass(frozen=True)
class PartitionedScorer:
    """The scorer of customers who are spread: asked by customer_row, like ``models.contact.scorer.Scorer``.

    Attributes
    ----------
    parts
        Stand-ins for the scorer of each partition.
    """

    cluster: Cluster
    parts: tuple[Any, ...]
    model: ContactModel
    slots: pd.DataFrame
    tables: Tables
    settings: Settings

    def __call__(self, customer_rows: IntArray, n_earlier: int = 0) -> npt.NDArray[np.float32]:
        """P(keyman contact) of one dial per customer × slot after ``n_earlier`` failed ones; (m, n_slots) float32."""
        p = np.empty((len(customer_rows), len(self.slots)), dtype="float32")
        for at, answer in self._ask(_score, customer_rows, lambda _: n_earlier):
            p[at] = answer
        return p

    def score_series(self, customer_rows: IntArray, slot_rows: IntArray) -> npt.NDArray[np.float32]:
        """P(keyman contact) of planned dials, given that the customer's earlier ones have failed; (m,) float32."""
        p = np.empty(len(customer_rows), dtype="float32")
        for at, answer in self._ask(_score_series, customer_rows, lambda at: slot_rows[at]):
            p[at] = answer
        return p

    def build_demand(
        self, eligibility: Eligibility, capacity: npt.NDArray[np.integer], effort: Effort | None = None
    ) -> "PartitionedDemand":
        """Score and weigh everybody who may be called, where they are."""
        slots, settings, k = self.slots, self.settings, len(self.parts)
        facts = learn_series_facts(self, eligibility, slots, capacity, self.tables, settings, effort)
        demands = []
        for part, scorer in enumerate(self.parts):
            theirs = take_eligible(eligibility, np.flatnonzero(eligibility.eligible_rows % k == part))
            demands.append(self.cluster.keep(_weigh, scorer, _lighten(theirs, k), capacity, settings, effort, facts))
        return PartitionedDemand(self.cluster, tuple(demands), eligibility.eligible_rows, len(slots), facts.prices)

    def bring_home(self, customer_rows: IntArray) -> Scorer:
        """Give a scorer of chosen customers, m of them, in this process: its customer_row is the position among them.

        What is believed of them comes from their partitions; the log, with which people are compared, is all here.
        """
        log = build_dial_log(self.tables.call_attempts, self.tables.customers, self.settings)
        answers = list(self._ask(_recall, customer_rows, lambda _: None))
        order = np.argsort(np.concatenate([at for at, _ in answers]), kind="stable")
        beliefs = _join_beliefs([believed for _, believed in answers]).take(order)
        none = np.zeros(len(customer_rows), dtype="int64")
        evidence = Evidence(log, self.model.hierarchy, customer_rows, beliefs.seconds, none, beliefs)
        return Scorer(self.model, evidence, self.slots)

    def _ask(
        self, function: Callable[..., Any], customer_rows: IntArray, further: Callable[[IntArray], Any]
    ) -> list[tuple[IntArray, Any]]:
        """Ask every partition for its customers among those asked for: their positions, and the answer."""
        k = len(self.parts)
        places = [np.flatnonzero(customer_rows % k == part) for part in range(k)]
        calls = [(p, customer_rows[at] // k, further(at)) for p, at in zip(self.parts, places, strict=True)]
        return list(zip(places, self.cluster.ask(function, calls), strict=True))


def spread_scorer(
    cluster: Cluster,
    model: ContactModel,
    tables: Tables,
    as_of: pd.Timestamp,
    slots: pd.DataFrame,
    settings: Settings,
) -> PartitionedScorer:
    """Send every partition to a worker, and let it learn all that is known there of its customers at ``as_of``."""
    k = count_partitions(len(tables.customers), cluster.n_workers)
    parts = tuple(
        cluster.keep(build_scorer, model, *take_partition(tables, part, k), as_of, slots, settings) for part in range(k)
    )
    return PartitionedScorer(cluster, parts, model, slots, tables, settings)


@dataclass(frozen=True)
class PartitionedDemand:
    """What dials are worth, in partitions: a ``models.planning.contenders.SpreadMarket``.

    Sums are taken partition by partition in their order, so that the same partitions give the same prices.

    Attributes
    ----------
    parts
        Stand-ins for the ``Demand`` of each partition.
    eligible_rows : (n,) int
        customer_row of those who may be called, rising.
    near
        Prices to begin a search at, (n_slots,), or empty.
    """

    cluster: Cluster
    parts: tuple[Any, ...]
    eligible_rows: IntArray
    n_slots: int
    near: FloatArray = field(default_factory=lambda: np.zeros(0))

    @property
    def shape(self) -> tuple[int, int]:
        """Customers and slots."""
        return len(self.eligible_rows), self.n_slots

    def mean_best(self) -> float:
        """Mean over customers of what their best first dial is worth."""
        return float(sum(self._ask(_sum_best_first))) / max(len(self.eligible_rows), 1)

    def mean_load(self) -> float:
        """Mean over customers of the places that a first dial takes where it takes most; at least 1."""
        return max(1.0, float(sum(self._ask(_sum_first_loads))) / max(len(self.eligible_rows), 1))

    def sum_soft(self, prices: FloatArray, tau: float) -> tuple[float, FloatArray]:
        """Smoothed best values, summed, and the places expected to be taken per slot."""
        answers = self._ask(Demand.sum_soft, prices, tau)
        return sum(value for value, _ in answers), np.sum([use for _, use in answers], axis=0)

    def sum_best(self, prices: FloatArray) -> float:
        """Best values, summed."""
        return float(sum(self._ask(Demand.sum_best, prices)))

    def take(self, rows: IntArray) -> Demand:
        """Bring the demand of some customers here, in the order asked."""
        mine = self._split(rows)
        found = self.cluster.ask(Demand.take, [(part, at) for part, (_, at) in zip(self.parts, mine, strict=True)])
        order = np.argsort(np.concatenate([asked for asked, _ in mine]), kind="stable")
        return _join_demands(found).take(order)

    def list_takers(self, prices: FloatArray) -> IntArray:
        """Rows of all who are worth a dial at the prices, rising."""
        found = self._ask(find_takers, prices)
        return np.sort(np.concatenate([rows[at] for rows, at in zip(self._rows, found, strict=True)]))

    def put(self, rows: IntArray, theirs: Demand) -> "PartitionedDemand":
        """Give the same with other demands of some customers."""
        changed = [
            self.cluster.keep(put_customers, part, at, theirs.take(asked))
            for part, (asked, at) in zip(self.parts, self._split(rows), strict=True)
        ]
        return replace(self, parts=tuple(changed))

    @cached_property
    def _rows(self) -> list[IntArray]:
        """Rows of each partition's customers."""
        return [np.flatnonzero(self.eligible_rows % len(self.parts) == part) for part in range(len(self.parts))]

    def _split(self, rows: IntArray) -> list[tuple[IntArray, IntArray]]:
        """Per partition the positions in ``rows`` that are its own, and their rows in it."""
        part_of = self.eligible_rows[rows] % len(self.parts)
        own = [np.flatnonzero(part_of == part) for part in range(len(self.parts))]
        return [(asked, np.searchsorted(mine, rows[asked])) for asked, mine in zip(own, self._rows, strict=True)]

    def _ask(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        return self.cluster.ask(function, [(part, *args) for part in self.parts])


def _score(scorer: Scorer, rows: IntArray, n_earlier: int) -> npt.NDArray[np.float32]:
    return scorer(rows, n_earlier)


def _score_series(scorer: Scorer, rows: IntArray, slot_rows: IntArray) -> npt.NDArray[np.float32]:
    return scorer.score_series(rows, slot_rows)


def _recall(scorer: Scorer, rows: IntArray, _: None) -> Beliefs:
    return scorer.evidence.beliefs.take(rows)


def _weigh(
    scorer: Scorer,
    eligibility: Eligibility,
    capacity: npt.NDArray[np.integer],
    settings: Settings,
    effort: Effort | None,
    facts: SeriesFacts,
) -> Demand:
    log = scorer.evidence.log
    tables = Tables(log.customers, log.dials, None, None, log.dials.iloc[:0])
    return build_demand(scorer, eligibility, scorer.slots, capacity, tables, settings, effort, facts=facts)


def _sum_best_first(demand: Demand) -> float:
    return demand.mean_best() * len(demand.p_first)


def _sum_first_loads(demand: Demand) -> float:
    return demand.mean_load() * len(demand.p_first)


def _lighten(eligibility: Eligibility, n_parts: int) -> Eligibility:
    """Eligibility of a partition's customers by their rows in it, without what only the placing of dials needs."""
    none = np.zeros(0, dtype=np.int64)
    return replace(
        eligibility,
        eligible_rows=eligibility.eligible_rows // n_parts,
        excluded=eligibility.excluded.iloc[:0],
        limits=replace(eligibility.limits, past_start=none, past_us=none),
    )


def _join_demands(demands: list[Demand]) -> Demand:
    some = [demand for demand in demands if len(demand.p_first)] or demands[:1]
    return Demand(
        np.concatenate([demand.p_first for demand in some]),
        np.concatenate([demand.weight for demand in some]),
        np.concatenate([demand.most_dials for demand in some]),
        some[0].day_start,
        np.concatenate([demand.base for demand in some]),
        np.concatenate([demand.extra for demand in some]),
        some[0].near,
    )


def _join_beliefs(beliefs: list[Beliefs]) -> Beliefs:
    names = ("mean", "variance", "never", "faded", "seconds")
    return Beliefs(**{name: np.concatenate([getattr(b, name) for b in beliefs]) for name in names})
