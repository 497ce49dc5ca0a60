"""Person ← segment ← slot: shrunk effects of segment and slot, and the filter of person effects, learned together.

The tables are fitted given what the filter believed of each person *before* each dial, and the filter runs given the
tables; a few turns of each settle both. So a habit of supervisors to call hard people in the evening is not mistaken
for a bad evening. Counts of earlier failures are left to the trees: beside the filter they only blur who is hard to
reach (docs/decisions/0004).
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
from scipy.special import expit

from configs.settings import Settings
from features.slots import N_SPANS
from features.table import DialLog
from models.contact.effects import (
    SLOT_KEYS,
    EffectTable,
    fit_effects,
    list_tables,
    slot_codes,
    start_shapes,
    start_tables,
    sum_effects,
)
from models.contact.encoding import Encoding, build_encoding
from models.contact.fatigue import N_WEIGHTS, fade, fatigue_columns
from models.contact.moved import Dials, find_loadings, find_move
from models.contact.persons import (
    Beliefs,
    FailedDials,
    Foreseen,
    NeverReached,
    PersonStates,
    PriorVariances,
    advance_persons,
    attenuate,
    filter_persons,
    foresee_dials,
    join_kinds,
    tell_last,
    trace_never,
)
from models.contact.population import learn_never, learn_persons

_TURNS = 3
_FIRST_SWEEPS, _LATER_SWEEPS = 8, 5
_NEVER_STEPS = 8
_DOUBT_OWN_MOVE = 3.0  # less than of what always holds: that something has moved is known
_DAYS_BETWEEN, _SAME_PART = 2.0, 0.5  # of planned dials whose slots are not known


@dataclass(frozen=True)
class Hierarchy:
    """The learned hierarchy.

    Attributes
    ----------
    encoding
        Customer columns to levels.
    tables
        Effects of segment and slot, logits.
    variances
        How much persons differ.
    never
        The kind that no dial reaches.
    fatigue : (N_WEIGHTS,) tuple
        Weights of ``models.contact.fatigue.fatigue_columns``, logits.
    """

    encoding: Encoding
    tables: list[EffectTable]
    variances: PriorVariances
    never: NeverReached = field(default_factory=NeverReached)
    fatigue: tuple[float, ...] = (0.0,) * N_WEIGHTS

    @property
    def moved_since(self) -> int:
        """Since when habits are other ones, epoch seconds; 0: they have not moved."""
        return max(table.since for table in self.tables)

    def read(self, log: DialLog) -> "Reading":
        """What the hierarchy says of a log; of every log the newest reading is kept for who asks next."""
        kept = _READINGS.get(log)
        if kept is None or kept.hierarchy is not self:
            is_alike = kept is not None and kept.hierarchy.encoding is self.encoding
            codes = kept.codes if kept is not None and is_alike else self.encoding.encode(log.customers)
            kept = _READINGS[log] = Reading(self, replace(log), codes)  # a copy: the key itself would never be let go
        return kept

    def person_states(self, log: DialLog) -> PersonStates:
        """What is believed of every person around every dial of the log."""
        return self.read(log).states

    def foresee(self, log: DialLog) -> Foreseen:
        """What is believed of the dialled span just before every dial of the log."""
        return foresee_dials(log.history, self.read(log).logit, self.variances.covariance())

    def never_at_last(self, log: DialLog, foreseen: Foreseen) -> np.ndarray:
        """Chance of every dial's customer, after everything in the log, of being never reached; (n_dials,) float32."""
        return tell_last(log.history, trace_never(log.history, foreseen.p_reached, self.never)[1])

    def believe_nothing(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean and variance of all spans (n, n_spans), chance of never (n,), of customers without any dial."""
        variance = np.broadcast_to(np.diag(self.variances.covariance()).astype("float32"), (n, N_SPANS))
        return np.zeros((n, N_SPANS), dtype="float32"), variance, np.full(n, self.never.share, dtype="float32")

    def advance(self, log: DialLog, start: Beliefs, customer_rows: np.ndarray, path: FailedDials) -> Beliefs:
        """What will be believed of customers once the dials of a path have failed; see ``advance_persons``."""
        laws = (self.variances.covariance(), self.never, np.array(self.fatigue))
        is_few = len(customer_rows) < len(log.customers) // 4
        theirs = log.of_customers(customer_rows) if is_few else log
        return advance_persons(theirs.history, self.read(theirs).logit, *laws, start, customer_rows, path)

    def table_logit(self, codes: dict[str, np.ndarray], slots: dict[str, np.ndarray]) -> np.ndarray:
        """What segment and slot say of each row, without person and fatigue; (m,) float32."""
        return sum_effects(self.tables, codes, slots)

    def base_logit(
        self,
        codes: dict[str, np.ndarray],
        slots: dict[str, np.ndarray],
        beliefs: Beliefs,
        part: np.ndarray,
        span: np.ndarray,
        seconds: np.ndarray,
        n_failed: np.ndarray | int = 0,
    ) -> np.ndarray:
        """Log-odds of a contact per row, the person's uncertainty integrated out; (m,).

        Parameters
        ----------
        codes, slots
            Levels of customer and slot keys, (m,) each.
        beliefs
            Of the m customers.
        part, span, seconds : (m,)
            Of the dial.
        n_failed : (m,) int or 0
            Further planned dials that will have failed by then and of which nothing else is known.
        """
        own = np.arange(len(span)), span
        worn = fatigue_columns(beliefs.faded, beliefs.seconds, part, seconds) @ np.array(self.fatigue, dtype="float32")
        logit = self.table_logit(codes, slots) + beliefs.mean[own] + worn
        return self.join(logit, beliefs.variance[own], beliefs.never, n_failed)

    def join(
        self, logit: np.ndarray, variance: np.ndarray, never: np.ndarray, n_failed: np.ndarray | int
    ) -> np.ndarray:
        """Log-odds of a contact: persons integrated out, the two kinds joined; all inputs broadcast.

        Before each dial with ``n_failed`` > 0 that many planned dials will have failed, at hours that are not known
        here. What they teach is the filter's own step with the mean share of variance that two spans have in common,
        and of their fatigue the half falls into the dial's own part, for plans like a person's good hours.
        """
        kappa = attenuate(variance)
        if np.any(n_failed):
            covariance = self.variances.covariance()
            in_common = (covariance.sum() / np.trace(covariance) - 1) / (N_SPANS - 1)
            never = self.never.updated(never, expit(kappa * logit), np.asarray(n_failed))
            fresh = fade(np.zeros(1), np.full(1, _DAYS_BETWEEN * 86_400))[0]
            worn = float(np.tile(fresh, 2) * np.repeat([1.0, _SAME_PART], len(fresh)) @ np.array(self.fatigue))
            learned = np.float32(in_common) * variance * kappa * expit(kappa * logit)
            logit = logit + n_failed * (np.float32(worn) - learned)
        return np.asarray(join_kinds(kappa * logit, never), dtype="float32")


@dataclass(frozen=True)
class Reading:
    """What a hierarchy says of a log, each part worked out when it is first asked for.

    ``codes`` holds every customer's level for every customer key, (n_customers,) int32 each.
    """

    hierarchy: Hierarchy
    log: DialLog
    codes: dict[str, np.ndarray]

    @cached_property
    def tables(self) -> np.ndarray:
        """Log-odds of every dial from segment and slot alone; (n_dials,) float32."""
        rows = self.log.history.customer_row
        codes = {key: levels[rows] for key, levels in self.codes.items()}
        return self.hierarchy.table_logit(codes, slot_codes(self.log.dials))

    @cached_property
    def logit(self) -> np.ndarray:
        """The same with fatigue, without the person; (n_dials,) float32."""
        weights = np.array(self.hierarchy.fatigue, dtype="float32")
        worn = zip(self.log.history.failures_before.T, weights, strict=True)
        return sum(
            (column * weight for column, weight in worn), start=self.tables
        )  # BLAS adds otherwise in other sizes

    @cached_property
    def states(self) -> PersonStates:
        """What is believed of every person around every dial."""
        laws = (self.hierarchy.variances.covariance(), self.hierarchy.never)
        return filter_persons(self.log.history, self.logit, *laws)


_READINGS: WeakKeyDictionary[DialLog, Reading] = WeakKeyDictionary()


def fit_hierarchy(
    log: DialLog, settings: Settings, start: Hierarchy | None = None, *, with_move: bool = False
) -> Hierarchy:
    """Learn tables and prior from every dial of the log.

    Parameters
    ----------
    log
        Dials to learn from; leave out what must stay unseen with ``DialLog.subset``.
    start
        An earlier fit on much the same log: fewer turns are needed.
    with_move
        How habits have moved in the last weeks is learned too, see :func:`add_move`.
    """
    if start is None:
        encoding = build_encoding(log.customers, settings.attributes, settings.segment_by)
        keys = list_tables(settings.attributes, settings.segment_by, encoding.n_levels)
        fitted = Hierarchy(encoding, start_tables(keys, encoding.n_levels), PriorVariances(), NeverReached(0.03, 0.1))
        sweeps = [_FIRST_SWEEPS] + [_LATER_SWEEPS] * (_TURNS - 1)
    else:
        fitted, sweeps = replace(start, tables=[t for t in start.tables if not t.since]), [_LATER_SWEEPS]
    codes = {key: level[log.history.customer_row] for key, level in fitted.read(log).codes.items()}
    slots, worn = slot_codes(log.dials), log.history.failures_before
    weights = np.array(fitted.fatigue)
    foreseen = None if start is None else fitted.foresee(log)
    for n_sweeps in sweeps:
        if foreseen is None:  # nothing is known of persons yet
            mean, counts = np.zeros(len(log.dials), dtype="float32"), np.ones(len(log.dials))
            variance = mean + fitted.variances.covariance()[0, 0]
        else:
            mean, counts = foreseen.mean + worn @ weights, 1.0 - fitted.never_at_last(log, foreseen)
            variance = foreseen.variance
        tables = fit_effects(fitted.tables, codes, slots, log.is_contact, mean, variance, n_sweeps, counts)
        logit = sum_effects(tables, codes, slots)
        variances, weights, shift = learn_persons(log.history, logit, worn, (fitted.variances, weights), fitted.never)
        logit += (worn @ weights).astype("float32")
        logit += np.float32(shift)
        tables = [_shift(table, shift) for table in tables]
        foreseen = foresee_dials(log.history, logit, variances.covariance())
        never = learn_never(log.history, foreseen.p_reached, fitted.never, _NEVER_STEPS)
        fitted = Hierarchy(fitted.encoding, tables, variances, never, tuple(map(float, weights)))
    return add_move(fitted, log, settings) if with_move else fitted


def add_move(fitted: Hierarchy, log: DialLog, settings: Settings) -> Hierarchy:
    """Learn how habits have moved in the last weeks of the log, if they have: tables that hold since then.

    First segments that lived alike move alike (``models.contact.moved``), then each on its own, shrunk like all tables
    by a variance that these days teach.
    """
    reading, foreseen = fitted.read(log), fitted.foresee(log)
    codes = {key: level[log.history.customer_row] for key, level in reading.codes.items()}
    slots, segment = slot_codes(log.dials), "×".join(settings.segment_by)
    known, counts = reading.logit + foreseen.mean, 1.0 - fitted.never_at_last(log, foreseen)
    shapes = start_shapes(fitted.tables, slots["day_hour"])
    evidence = (known.astype("float64"), attenuate(foreseen.variance).astype("float64"), log.is_contact, counts)
    dials = Dials(codes[segment], slots["day_hour"], slots["seconds"], *evidence)
    move = find_move(dials, _find_loadings(fitted, reading.codes, segment, slots["day_hour"]), shapes)
    if move is None:
        return fitted
    alike = EffectTable(segment, "day_hour", move.values, move.variance, move.since)
    rows = np.flatnonzero(slots["seconds"] >= move.since)
    codes, slots = ({key: level[rows] for key, level in some.items()} for some in (codes, slots))
    known = known[rows] + sum_effects([alike], codes, slots)
    keys = list_tables(settings.attributes, settings.segment_by, fitted.encoding.n_levels)
    start = start_tables(keys, fitted.encoding.n_levels, move.since)
    given = (log.is_contact[rows], known, foreseen.variance[rows], _FIRST_SWEEPS, counts[rows])
    own = fit_effects(start, codes, slots, *given, _DOUBT_OWN_MOVE, fitted.tables)
    return replace(fitted, tables=[*fitted.tables, alike, *own])


def _find_loadings(fitted: Hierarchy, codes: dict[str, np.ndarray], segment: str, day_hours: np.ndarray) -> np.ndarray:
    """How much each segment lives by the main habits of the whole past; (n_levels, n_loadings)."""
    n_levels = fitted.encoding.n_levels[segment]
    weight = np.bincount(codes[segment], minlength=n_levels)
    curves = np.zeros((n_levels, SLOT_KEYS["day_hour"]))
    for table in fitted.tables:
        if table.customer_key and table.slot_key == "day_hour":
            pair = codes[segment].astype("int64") * len(table.values) + codes[table.customer_key]
            shared = np.bincount(pair, minlength=n_levels * len(table.values)).reshape(n_levels, -1)
            curves += shared @ table.values / np.maximum(weight, 1)[:, None]
    return find_loadings(curves[:, np.unique(day_hours)], weight)


def _shift(table: EffectTable, shift: float) -> EffectTable:
    is_overall = (table.customer_key, table.slot_key) == ("", "")
    return replace(table, values=table.values + np.float32(shift)) if is_overall else table


def codes_of_dials(encoding: Encoding, log: DialLog) -> dict[str, np.ndarray]:
    """Level of every dial's customer for every customer key; (n,) int32 each."""
    rows = log.history.customer_row
    return {key: levels[rows] for key, levels in encoding.encode(log.customers).items()}


def attribute_effects(hierarchy: Hierarchy, codes: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Main effect of each customer's level of an attribute, logits, NaN where unknown; (n,) float32."""
    table = next(t for t in hierarchy.tables if (t.customer_key, t.slot_key) == (name, ""))
    level = codes[name]
    return np.where(level > 0, table.values[level, 0], np.float32("nan")).astype("float32")
