"""The stages that plan: who is dialled when, how many seats each hour should have, and what that gains."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from models.contact.scorer import Scorer, build_scorer
from models.planning.eligibility import Eligibility, find_eligible
from models.planning.gains import measure_gains
from models.planning.rules import RulePack, read_rule_packs
from models.planning.schedule import CallPlan, build_call_plan
from models.planning.staffing import build_staffing, recommend_dials
from pipelines.intake import Intake
from pipelines.order import Order
from pipelines.stages import stage
from pipelines.train import NightModel


@dataclass(frozen=True)
class Planned:
    """A plan with everything it was made from.

    Attributes
    ----------
    dials_given, dials_recommended, dials_obeyed : (n_slots,) int
        Places of each slot: given, recommended, and those that the plan obeys.
    """

    scorer: Scorer
    packs: tuple[RulePack, ...]
    eligibility: Eligibility
    plan: CallPlan
    dials_given: np.ndarray
    dials_recommended: np.ndarray
    dials_obeyed: np.ndarray


@stage("plan", tell=lambda planned: _tell_plan(planned))
def place(order: Order, intake: Intake, model: NightModel) -> Planned:
    """Find who may be called, score them, and place their dials."""
    settings, tables = order.settings, intake.tables
    packs = read_rule_packs(settings.rule_packs)
    eligibility = find_eligible(tables, intake.slots, order.as_of, packs, settings)
    scorer = build_scorer(model.model, tables.call_attempts, tables.customers, order.as_of, intake.slots, settings)
    given = intake.capacity["dials"].to_numpy()
    recommended = recommend_dials(scorer(eligibility.eligible_rows, 0), eligibility.lawful, given, settings)
    obeyed = recommended if order.staffing_mode == "reshape" else given
    made = build_call_plan(scorer, eligibility, intake.slots, obeyed, tables, settings, packs)
    return Planned(scorer, packs, eligibility, made, given, recommended, obeyed)


@stage("staffing", tell=lambda seats: f"{int((seats['hint'] != 'hold').sum())} of {len(seats)} slots have a hint")
def staff(order: Order, intake: Intake, planned: Planned) -> pd.DataFrame:
    """Recommend seats per slot, with their price and a hint."""
    return build_staffing(
        intake.slots, planned.dials_given, planned.dials_recommended, planned.plan.prices, planned.plan, order.settings
    )


def _tell_plan(planned: Planned) -> str:
    n_dials, made = len(planned.plan.dials), planned.plan
    return f"{n_dials:,} dials, {made.expected_contacts:,.0f} contacts expected, gap {made.gap:.2%} at most"
