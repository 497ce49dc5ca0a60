"""Person ← segment ← slot: shrunk effects of segment and slot, and the filter of person effects, learned together.

The tables are fitted given what the filter believed of each person *before* each dial, and the filter runs given the
tables; a few turns of each settle both. So a habit of supervisors to call hard people in the evening is not mistaken
for a bad evening. Counts of earlier failures are left to the trees: beside the filter they only blur who is hard to
reach (docs/decisions/0004).
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from configs.settings import Settings
from features.table import DialLog
from models.contact.effects import EffectTable, fit_effects, list_tables, slot_codes, start_tables, sum_effects
from models.contact.encoding import Encoding, build_encoding
from models.contact.persons import PersonStates, PriorVariances, expect_failures, filter_persons, learn_variances

_TURNS = 3
_FIRST_SWEEPS, _LATER_SWEEPS = 8, 4


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
    """

    encoding: Encoding
    tables: list[EffectTable]
    variances: PriorVariances

    def person_states(self, log: DialLog) -> PersonStates:
        """What is believed of every person around every dial of the log."""
        return filter_persons(log.history, self._logit_of_dials(log), self.variances.covariance())

    def base_logit(
        self,
        codes: dict[str, np.ndarray],
        slots: dict[str, np.ndarray],
        mean: np.ndarray,
        variance: np.ndarray,
        n_between: np.ndarray,
    ) -> np.ndarray:
        """Logit of P(contact) per row, the person's uncertainty integrated out; all inputs and output (m,).

        ``n_between`` dials are planned, and must have failed, before this one.
        """
        logit = sum_effects(self.tables, codes, slots) + mean
        return expect_failures(logit, variance, n_between, self.variances)

    def _logit_of_dials(self, log: DialLog) -> np.ndarray:
        return sum_effects(self.tables, codes_of_dials(self.encoding, log), slot_codes(log.dials))


def fit_hierarchy(log: DialLog, settings: Settings, start: Hierarchy | None = None) -> Hierarchy:
    """Learn tables and prior from every dial of the log.

    Parameters
    ----------
    log
        Dials to learn from; leave out what must stay unseen with ``DialLog.subset``.
    start
        An earlier fit on much the same log: fewer turns are needed.
    """
    if start is None:
        encoding = build_encoding(log.customers, settings.attributes, settings.segment_by)
        keys = list_tables(settings.attributes, settings.segment_by)
        fitted = Hierarchy(encoding, start_tables(keys, encoding.n_levels), PriorVariances())
        mean = np.zeros(len(log.dials), dtype="float32")
        variance = mean + fitted.variances.covariance()[0, 0]
        sweeps = [_FIRST_SWEEPS] + [_LATER_SWEEPS] * (_TURNS - 1)
    else:
        fitted, states = start, start.person_states(log)
        mean, variance = states.mean_before, states.variance_before
        sweeps = [_LATER_SWEEPS]
    codes, slots = codes_of_dials(fitted.encoding, log), slot_codes(log.dials)
    for n_sweeps in sweeps:
        tables = fit_effects(fitted.tables, codes, slots, log.is_contact, mean, variance, n_sweeps)
        logit = sum_effects(tables, codes, slots)
        variances, shift = learn_variances(log.history, logit, fitted.variances)
        fitted = replace(fitted, tables=[_shift(table, shift) for table in tables], variances=variances)
        states = filter_persons(log.history, logit + np.float32(shift), variances.covariance())
        mean, variance = states.mean_before, states.variance_before
    return fitted


def _shift(table: EffectTable, shift: float) -> EffectTable:
    is_overall = (table.customer_key, table.slot_key) == ("", "")
    return replace(table, values=table.values + np.float32(shift)) if is_overall else table


def codes_of_dials(encoding: Encoding, log: DialLog) -> dict[str, np.ndarray]:
    """Level of every dial's customer for every customer key; (n,) int32 each."""
    rows = log.history.customer_row
    return {key: levels[rows] for key, levels in encoding.encode(log.customers).items()}


def attribute_effects(hierarchy: Hierarchy, customers: pd.DataFrame, name: str) -> np.ndarray:
    """Main effect of each customer's level of an attribute, logits, NaN where unknown; (n,) float32."""
    table = next(t for t in hierarchy.tables if (t.customer_key, t.slot_key) == (name, ""))
    level = hierarchy.encoding.encode(customers)[name]
    return np.where(level > 0, table.values[level, 0], np.float32("nan")).astype("float32")
