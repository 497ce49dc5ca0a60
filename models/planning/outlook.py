"""What is known before a plan is made: who may be called when, what the model says of them, and by which settings."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from configs.settings import Settings
from features.contracts import Tables
from models.planning.eligibility import Eligibility, take_eligible
from models.planning.handling import Effort
from models.planning.sequences import Demand, IntArray
from models.planning.worth import Scorer, build_demand


@dataclass(frozen=True)
class Outlook:
    """What every plan of the same horizon is made from, whatever the places.

    Attributes
    ----------
    scorer
        ``scorer(customer_rows, n_earlier)`` -> float32 (m, n_slots): p_keyman of a dial in each slot after
        ``n_earlier`` failed dials of this plan.
    eligibility
        Who may be called, and when.
    slots
        ``slot_start``, sorted; a slot's position is its slot_row.
    effort
        How places are counted, by default in dials.
    """

    scorer: Scorer
    eligibility: Eligibility
    slots: pd.DataFrame
    tables: Tables
    settings: Settings
    effort: Effort | None = None

    def build_demand(self, capacity: npt.NDArray[np.integer]) -> Demand:
        """Say what dials are worth where each slot has these places; (n_slots,) int."""
        return build_demand(
            self.scorer, self.eligibility, self.slots, capacity, self.tables, self.settings, self.effort
        )

    def keep(self, rows: IntArray) -> "Outlook":
        """Keep only these of the customers who may be called; positions in ``eligibility.eligible_rows``."""
        return replace(self, eligibility=take_eligible(self.eligibility, rows))
