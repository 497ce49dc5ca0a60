"""The stages that plan: who is dialled when, how many seats each hour should have, and what that gains."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.contact.reasons import explain_dials
from models.contact.scorer import Scorer, build_scorer
from models.contact.trust import Trust
from models.planning.advice import StaffingAdvice, advise_staffing
from models.planning.arms import EXPLORE
from models.planning.believing import believe, believe_chances, find_usual
from models.planning.contenders import plan_contenders
from models.planning.control import CONTROL
from models.planning.decisions import apply_blocks
from models.planning.eligibility import Eligibility, find_eligible
from models.planning.experiment import Experiment, measure_experiment, prefer_measured
from models.planning.gains import measure_gains
from models.planning.outlook import Outlook
from models.planning.rules import read_rule_packs
from models.planning.sample import take_sample
from models.planning.schedule import CallPlan, build_call_plan
from models.planning.staffing import build_staffing
from models.planning.worth import build_demand
from pipelines.cluster import Cluster
from pipelines.exports.page_tables import NOT_LAWFUL, PER_UNIT
from pipelines.intake import Intake
from pipelines.kept_folder import find_kept
from pipelines.kept_model import write_model
from pipelines.kept_persons import read_persons, write_persons
from pipelines.listing import is_firm
from pipelines.order import Order
from pipelines.partitions import PartitionedDemand, PartitionedScorer, spread_scorer
from pipelines.stages import stage

if TYPE_CHECKING:  # it brings MLflow along, which a replan does without
    from pipelines.train import NightModel

_BLOCK = 8192
NOT_THE_PLANS = {
    EXPLORE: ("drawn by lot, to learn when people answer", "応答しやすい時間を学ぶための抽選"),
    CONTROL: ("called as in the past, to compare", "比較のため従来どおりに架電"),
}


@dataclass(frozen=True)
class Planned:
    """A plan with everything it was made from.

    Attributes
    ----------
    places_given, places_obeyed : (n_slots,) int
        Places of each slot, dials or agent-seconds: given, and those that the plan obeys.
    advice
        Places recommended, the roster behind them if there are shifts, and what they are worth.
    reasons
        Why each dial of the firm day was chosen: reason (English) · reason_ja (Japanese), indexed as ``plan.dials``.
    chances : (m, n_slots) uint16
        p_keyman × 10,000 of a first dial, by ``outlook.eligibility.eligible_rows``; 65535 where no call is lawful.
    """

    outlook: Outlook
    plan: CallPlan
    places_given: np.ndarray
    places_obeyed: np.ndarray
    advice: StaffingAdvice
    reasons: pd.DataFrame
    chances: npt.NDArray[np.uint16]


@stage("plan", tell=lambda planned: _tell_plan(planned))
def place(order: Order, intake: Intake, model: "NightModel", cluster: Cluster | None = None) -> Planned:
    """Find who may be called, score them, and place their dials; with a cluster its workers score and price."""
    settings, tables = order.settings, intake.tables
    packs = read_rule_packs(settings.rule_packs)
    eligibility = find_eligible(tables, intake.slots, order.as_of, packs, settings)
    eligibility = apply_blocks(eligibility, intake.decisions.blocks)
    scorer, weigh = _score(order, intake, model, eligibility, cluster)
    given, effort = intake.capacity["places"].to_numpy(), intake.effort
    demand = weigh(given)
    advice = advise_staffing(take_sample(demand), given, pd.DatetimeIndex(intake.slots["slot_start"]), settings, effort)
    is_reshaped = order.staffing_mode == "reshape"
    obeyed = advice.places if is_reshaped else given
    outlook = Outlook(scorer, eligibility, intake.slots, tables, settings, effort)
    asked = (outlook, obeyed, weigh(obeyed) if is_reshaped else demand, intake.decisions, seed_lots(order))
    made = build_call_plan(*asked) if cluster is None else plan_contenders(*asked)
    trust = model.model.trust
    if isinstance(demand, PartitionedDemand):  # the page shows everybody's chances
        demand = demand.take(np.arange(demand.shape[0]))
    made = believe(made, demand, eligibility, trust)
    told, chances = explain(order, intake, scorer, made), pack_chances(demand.p_first, trust)
    return Planned(outlook, made, given, obeyed, advice, told, chances)


def pack_chances(p_first: npt.NDArray[np.float32], trust: Trust) -> npt.NDArray[np.uint16]:
    """Believable probabilities as whole ten-thousandths, in half the memory; 65535 where no dial is lawful.

    >>> pack_chances(np.array([[0.1234, -1.0]], dtype="float32"), Trust(1.0, 1.0)).tolist()
    [[1234, 65535]]
    """
    packed = np.empty(p_first.shape, dtype=np.uint16)
    usual = find_usual(p_first)
    everyone = float(np.nanmean(usual)) if np.isfinite(usual).any() else 0.0
    for begin in range(0, len(p_first), _BLOCK):
        block = believe_chances(p_first[begin : begin + _BLOCK], usual[begin : begin + _BLOCK], everyone, trust)
        packed[begin : begin + _BLOCK] = np.where(block < 0, NOT_LAWFUL, np.rint(block * PER_UNIT))
    return packed


def _score(
    order: Order, intake: Intake, model: "NightModel", eligibility: Eligibility, cluster: Cluster | None
) -> tuple[Scorer | PartitionedScorer, Callable[[np.ndarray], Any]]:
    """The scorer, and what says for given places what dials are worth, here or on the workers."""
    settings, tables, slots = order.settings, intake.tables, intake.slots
    if cluster is not None:
        spread = spread_scorer(cluster, model.model, tables, order.as_of, slots, settings)
        return spread, lambda places: spread.build_demand(eligibility, places, intake.effort)
    kept = find_kept(order.var, order.source)
    known = read_persons(kept, model.model.hierarchy)
    scorer = build_scorer(model.model, tables.call_attempts, tables.customers, order.as_of, slots, settings, known)
    write_persons(kept, scorer.evidence)
    write_model(kept, model.name, model.version, model.model)
    return scorer, lambda places: build_demand(scorer, eligibility, slots, places, tables, settings, intake.effort)


def seed_lots(order: Order, minute: int = 0) -> np.random.Generator:
    """Give the generator of exploration's lots: the same for the same seed, run date and minute of the day."""
    return np.random.default_rng([order.settings.seed, order.run_date.toordinal(), minute])


@stage("staffing", tell=lambda seats: f"{int((seats['hint'] != 'hold').sum())} of {len(seats)} slots have a hint")
def staff(order: Order, intake: Intake, planned: Planned) -> pd.DataFrame:
    """Recommend seats per slot, with their price and a hint."""
    advice, made = planned.advice, planned.plan
    away = advice.roster.away if advice.roster is not None and advice.is_adopted else None
    return build_staffing(
        intake.slots, planned.places_given, advice.places, made.prices, made, order.settings, away, intake.effort
    )


@dataclass(frozen=True)
class Measured:
    """Gains of timing, list, staffing and in total, and the experiment behind them, if one is going on."""

    gains: dict[str, dict[str, Any]]
    experiment: Experiment | None


@stage("gains", tell=lambda measured: _tell_gains(measured.gains))
def measure(order: Order, intake: Intake, planned: Planned, model: "NightModel") -> Measured:
    """Measure what timing, list and staffing gain over the past way of calling (DESIGN section 8).

    The plan is valued with what held-out dials say is believable of the model, never with what chose it; where an
    experiment has measured it, by that.
    """
    settings, tables = order.settings, intake.tables
    rng = np.random.default_rng(settings.seed)
    found = measure_experiment(tables.call_attempts, tables.customers, settings, rng.spawn(1)[0])
    modelled = measure_gains(planned.outlook, model.model.trust, planned.places_given, planned.places_obeyed, rng)
    return Measured(prefer_measured(modelled, found), found)


def explain(order: Order, intake: Intake, scorer: Scorer | PartitionedScorer, made: CallPlan) -> pd.DataFrame:
    """Say in English and Japanese why each dial of the firm day was chosen, indexed as the plan's dials."""
    firm = made.dials[is_firm(order, intake, made)]
    who = firm["customer_row"].to_numpy()
    if isinstance(scorer, PartitionedScorer):
        scorer, who = scorer.bring_home(who), np.arange(len(who))
    told = explain_dials(scorer, who, firm["slot_row"].to_numpy())
    told = told.set_axis(firm.index)
    for arm, words in NOT_THE_PLANS.items():
        told.loc[(firm["arm"] == arm).to_numpy(), ["reason", "reason_ja"]] = words
    return told


def _tell_gains(gains: dict[str, dict[str, Any]]) -> str:
    known = {name: gain["ratio"] for name, gain in gains.items() if gain["ratio"] is not None}
    return ", ".join(f"{name} {ratio:.2f}" for name, ratio in known.items()) or "nothing to compare"


def _tell_plan(planned: Planned) -> str:
    n_dials, made = len(planned.plan.dials), planned.plan
    return f"{n_dials:,} dials, {made.expected_contacts:,.0f} contacts expected, gap {made.gap:.2%} at most"
