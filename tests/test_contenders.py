"""Customers who are spread are planned as if they were together: same certificate, nobody lost, all given kept."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from configs.settings import Settings
from features.contracts import Tables
from models.planning.contenders import find_takers, plan_contenders, put_customers
from models.planning.decisions import ANYWHERE, Decisions
from models.planning.eligibility import Eligibility, find_eligible
from models.planning.outlook import Outlook
from models.planning.rules import read_rule_packs
from models.planning.schedule import CallPlan, build_call_plan
from models.planning.worth import build_demand, learn_series_facts
from pipelines.partitions import PartitionedDemand

ZONE = "Asia/Tokyo"
AS_OF = pd.Timestamp("2026-11-02", tz=ZONE)
PACKS = read_rule_packs(("house",))
N, N_DAYS, HOURS = 600, 3, (10, 14, 18, 20)


class Here:
    """A cluster of three workers that are this very process."""

    n_workers = 3

    def keep(self, function, *args):
        return function(*args)

    def ask(self, function, calls):
        return [function(*args) for args in calls]


def times(values) -> pd.Series:
    return pd.Series(pd.DatetimeIndex(values, tz=ZONE).as_unit("us"))


SLOTS = pd.DataFrame(
    {"slot_start": times([AS_OF + pd.Timedelta(days=d, hours=h) for d in range(N_DAYS) for h in HOURS])}
)


@pytest.fixture(scope="module")
def tables() -> Tables:
    nobody = times([None] * N)
    customers = pd.DataFrame({"customer_id": pd.Series([f"c{i:03d}" for i in range(N)], dtype="str")}).assign(
        do_not_call=False,
        listed=True,
        listed_at=nobody,
        timezone=pd.Series([None] * N, dtype="str"),
        value=1.0,
        callback_at=nobody.mask(np.arange(N) == 599, AS_OF + pd.Timedelta(hours=14)),
        phone=pd.Series([None] * N, dtype="str"),
    )
    no_dials = pd.DataFrame(
        {"customer_row": np.array([], dtype="int32"), "attempted_at": times([]), "outcome": pd.Series([], dtype="str")}
    ).assign(refused=False)
    return Tables(customers, no_dials, None, None, no_dials)


def score(rows: np.ndarray, n_earlier: int) -> np.ndarray:
    """Easy and hard people with good and bad hours, a tenth less with every dial."""
    rng = np.random.default_rng(5)
    logit = rng.normal(-2.0, 0.8, (N, 1)) + rng.normal(0, 0.5, (N, len(SLOTS)))
    return ((1 / (1 + np.exp(-logit)))[rows] * 0.9**n_earlier).astype("float32")


def spread(demand, eligibility: Eligibility) -> PartitionedDemand:
    parts = [demand.take(np.flatnonzero(eligibility.eligible_rows % 3 == part)) for part in range(3)]
    return PartitionedDemand(Here(), tuple(parts), eligibility.eligible_rows, len(SLOTS))


def plan_both(tables: Tables, places: int, settings=None, decisions=None, seed=None) -> tuple[CallPlan, CallPlan]:
    settings = settings or Settings()
    eligible = find_eligible(tables, SLOTS, AS_OF, PACKS, settings)
    outlook, given = Outlook(score, eligible, SLOTS, tables, settings), np.full(len(SLOTS), places)
    demand = outlook.build_demand(given)

    def rng():
        return None if seed is None else np.random.default_rng(seed)

    together = build_call_plan(outlook, given, demand, decisions, rng())
    return together, plan_contenders(outlook, given, spread(demand, eligible), decisions, rng())


def pairs(made: CallPlan) -> set[tuple[int, int]]:
    return set(zip(made.dials["customer_row"], made.dials["slot_row"], strict=True))


def test_the_plan_is_the_one_of_a_single_machine_within_the_gap(tables: Tables) -> None:
    together, apart = plan_both(tables, 15)
    assert apart.objective >= together.upper_bound * (1 - together.gap - apart.gap) - 1e-9
    assert apart.objective == pytest.approx(together.objective, rel=0.003)
    assert apart.gap < 0.005
    assert np.allclose(apart.prices, together.prices, atol=2e-3)
    assert len(pairs(apart) & pairs(together)) > 0.9 * len(pairs(together))


def test_the_bound_holds_for_those_who_were_not_brought_too(tables: Tables) -> None:
    plain = replace(tables, customers=tables.customers.assign(callback_at=times([None] * N)))
    _, apart = plan_both(plain, 15)
    eligible = find_eligible(plain, SLOTS, AS_OF, PACKS, Settings())
    everybody = build_demand(score, eligible, SLOTS, np.full(len(SLOTS), 15), plain, Settings())
    assert apart.upper_bound == pytest.approx(15 * apart.prices.sum() + everybody.sum_best(apart.prices))
    n_brought = len(spread(everybody, eligible).list_takers(0.9 * apart.prices))
    assert n_brought < 0.6 * N
    assert set(apart.dials["customer_row"]) | set(apart.unplanned["customer_row"]) == set(range(N))


@pytest.mark.parametrize("places", [15, 120, 400])
def test_no_place_stays_empty_that_one_machine_would_fill(tables: Tables, places: int) -> None:
    together, apart = plan_both(tables, places)
    assert len(apart.dials) == len(together.dials)


def test_who_is_worth_nothing_is_brought_where_a_place_would_stay_empty(tables: Tables) -> None:
    half = replace(tables, customers=tables.customers.assign(value=np.repeat([1.0, 0.0], N // 2)))
    together, apart = plan_both(half, 200)
    assert len(apart.dials) == len(together.dials) > len(SLOTS) * 100
    assert (apart.dials["value"] == 0).any()


def test_pins_and_promises_are_kept_whatever_they_are_worth(tables: Tables) -> None:
    worst = np.argsort(score(np.arange(N), 0).max(axis=1))[:2]
    pins = pd.DataFrame({"row": [1, 2], "customer_row": worst, "slot_row": [7, ANYWHERE]})
    together, apart = plan_both(tables, 15, decisions=Decisions(pins=pins))
    assert {(worst[0], 7), (599, 1)} <= pairs(apart) & pairs(together)
    assert worst[1] in set(apart.dials["customer_row"])
    assert apart.gap < 0.01
    assert apart.notes == together.notes == ()


def test_dials_that_are_owed_come_first(tables: Tables) -> None:
    settings = Settings.model_validate({"planning": {"min_attempts": 1}})
    together, apart = plan_both(tables, 30, settings)
    n_reached = [made.dials["customer_row"].nunique() for made in (together, apart)]
    assert n_reached[0] == n_reached[1] == 360


def test_lots_are_drawn_among_everybody_with_the_same_chances(tables: Tables) -> None:
    settings = Settings.model_validate({"planning": {"explore_share": 0.2}})
    together, apart = plan_both(tables, 15, settings, seed=3)
    drawn = [made.dials[made.dials["arm"] == "explore"] for made in (together, apart)]
    assert len(drawn[0]) > 5
    assert set(drawn[0]["customer_row"]) == set(drawn[1]["customer_row"])
    assert apart.dials["propensity"].between(0, 1, inclusive="right").all()


def test_taking_and_putting_rows_leaves_every_other_row_alone(tables: Tables) -> None:
    eligible = find_eligible(tables, SLOTS, AS_OF, PACKS, Settings())
    demand = build_demand(score, eligible, SLOTS, np.full(len(SLOTS), 15), tables, Settings())
    rows = np.array([599, 3, 4, 300])
    changed = replace(demand.take(rows), most_dials=np.zeros(4, dtype="int64"))
    apart = spread(demand, eligible).put(rows, changed)
    again = apart.take(np.arange(N))
    assert np.array_equal(again.p_first, demand.p_first)
    assert np.flatnonzero(again.most_dials != demand.most_dials).tolist() == sorted(rows)
    assert apart.take(rows).most_dials.tolist() == [0] * 4
    assert np.array_equal(again.most_dials, put_customers(demand, rows, changed).most_dials)


def test_the_sums_of_parts_are_those_of_the_whole(tables: Tables) -> None:
    eligible = find_eligible(tables, SLOTS, AS_OF, PACKS, Settings())
    demand = build_demand(score, eligible, SLOTS, np.full(len(SLOTS), 15), tables, Settings())
    apart, prices = spread(demand, eligible), np.linspace(0.0, 0.4, len(SLOTS))
    value, use = demand.sum_soft(prices, 0.01)
    assert apart.sum_soft(prices, 0.01)[0] == pytest.approx(value, rel=1e-12)
    assert np.allclose(apart.sum_soft(prices, 0.01)[1], use, rtol=1e-9)
    assert apart.sum_best(prices) == pytest.approx(demand.sum_best(prices), rel=1e-12)
    assert apart.mean_best() == pytest.approx(demand.mean_best(), rel=1e-6)
    assert apart.list_takers(prices).tolist() == find_takers(demand, prices).tolist()


def test_parts_weighed_with_facts_of_a_sample_are_weighed_as_all_together(tables: Tables) -> None:
    eligible = find_eligible(tables, SLOTS, AS_OF, PACKS, Settings())
    known = (score, eligible, SLOTS, np.full(len(SLOTS), 15), tables, Settings())
    facts = learn_series_facts(*known)
    assert np.array_equal(build_demand(*known, facts=facts).weight, build_demand(*known).weight)
