"""The engine dask on two real workers: the scores, plans and trees of one machine, also when a worker dies."""

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL_RUN_DATE

from configs.errors import ClusterError, UsageError
from features.table import DialLog, build_dial_log
from models.contact.boosting import grow_trees, lightgbm_params
from models.contact.effects import list_tables, start_tables
from models.contact.encoding import build_encoding
from models.contact.fitting import fit_trees
from models.contact.folds import split_production
from models.contact.hierarchy import Hierarchy
from models.contact.metrics import judge
from models.contact.model import BASE, ContactModel
from models.contact.persons import NeverReached, PriorVariances
from models.contact.rivals import build_training_rows
from models.contact.scorer import Scorer, build_scorer
from models.planning.eligibility import find_eligible
from models.planning.prices import price_demand
from models.planning.rules import read_rule_packs
from pipelines.cluster import Cluster, open_cluster
from pipelines.forests import grow_on
from pipelines.intake import Intake, check, read
from pipelines.nightly import nightly
from pipelines.order import Order, build_order
from pipelines.partitions import PartitionedScorer, spread_scorer
from pipelines.plan import plan
from pipelines.planned import place
from pipelines.train import NightModel


@dataclass(frozen=True)
class Centre:
    """A small centre, and a model of it whose hierarchy is drawn by lot: what it says matters, not that it is true."""

    order: Order
    intake: Intake
    log: DialLog
    hierarchy: Hierarchy
    model: ContactModel

    def grow(self, grow=None) -> ContactModel:
        folds = split_production(self.log, np.datetime64(str(SMALL_RUN_DATE)), self.order.settings)
        return fit_trees(
            self.hierarchy, self.log, *folds, self.order.settings, np.random.default_rng(3), {"n_trees": 40}, grow
        )


@pytest.fixture(scope="module")
def centre(small_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Centre:
    order = build_order(str(small_source), None, SMALL_RUN_DATE, tmp_path_factory.mktemp("var"), horizon_days=3)
    intake, settings = check(order, read(order)), order.settings
    encoding = build_encoding(intake.tables.customers, settings.attributes, settings.segment_by)
    rng = np.random.default_rng(2)
    tables = [
        replace(table, values=rng.normal(-0.3, 0.15, table.values.shape).astype("float32"))
        for table in start_tables(
            list_tables(settings.attributes, settings.segment_by, encoding.n_levels), encoding.n_levels
        )
    ]
    hierarchy = Hierarchy(encoding, tables, PriorVariances(), NeverReached(0.03, 0.1), (-0.02, -0.01, -0.05, -0.02))
    log = build_dial_log(intake.tables.call_attempts, intake.tables.customers, settings)
    unfinished = Centre(order, intake, log, hierarchy, None)  # type: ignore[arg-type]
    return replace(unfinished, model=unfinished.grow())


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 2)
        with open_cluster("dask", None, tmp_path_factory.mktemp("workers")) as started:
            assert started is not None
            yield started


@pytest.fixture(scope="module")
def spread(centre: Centre, cluster: Cluster) -> PartitionedScorer:
    made, tables = centre.order, centre.intake.tables
    return spread_scorer(cluster, centre.model, tables, made.as_of, centre.intake.slots, made.settings)


@pytest.fixture(scope="module")
def single(centre: Centre) -> Scorer:
    tables, order = centre.intake.tables, centre.order
    known = (tables.call_attempts, tables.customers, order.as_of, centre.intake.slots, order.settings)
    return build_scorer(centre.model, *known)


def test_two_workers_say_what_one_machine_says(spread: PartitionedScorer, single: Scorer) -> None:
    rows = np.random.default_rng(0).permutation(3_000)[:500]
    assert len(spread.parts) == 2
    for n_earlier in (0, 2):
        assert np.abs(spread(rows, n_earlier) - single(rows, n_earlier)).max() < 1e-6
    slots = np.arange(500) % len(single.slots)
    assert np.abs(spread.score_series(rows, slots) - single.score_series(rows, slots)).max() < 1e-6


def test_what_is_known_of_customers_can_be_brought_home(spread: PartitionedScorer, single: Scorer) -> None:
    rows = np.array([2_999, 4, 5, 1_000])
    assert np.abs(spread.bring_home(rows)(np.arange(4)) - single(rows)).max() < 1e-6


def test_the_plan_is_that_of_one_machine_within_the_gap_and_always_the_same(centre: Centre, cluster: Cluster) -> None:
    planner = NightModel(centre.model, "m", "1", None)
    one = place(centre.order, centre.intake, planner)
    two, again = (place(centre.order, centre.intake, planner, cluster) for _ in range(2))
    assert two.plan.objective >= one.plan.upper_bound * (1 - one.plan.gap - two.plan.gap) - 1e-9
    assert two.plan.gap < 0.01
    assert two.plan.expected_contacts == pytest.approx(one.plan.expected_contacts, rel=0.005)
    assert len(two.plan.dials) == len(one.plan.dials)
    assert np.array_equal(two.advice.places, one.advice.places)
    assert (np.abs(two.chances.astype(int) - one.chances) <= 1).all()
    assert len(two.reasons) == len(one.reasons) > 0
    pd.testing.assert_frame_equal(two.plan.dials, again.plan.dials)
    pd.testing.assert_frame_equal(two.reasons, again.reasons)


def test_a_worker_that_dies_changes_nothing(centre: Centre, cluster: Cluster, spread: PartitionedScorer) -> None:
    tables, settings, slots = centre.intake.tables, centre.order.settings, centre.intake.slots
    packs = read_rule_packs(settings.rule_packs)
    eligible = find_eligible(tables, slots, centre.order.as_of, packs, settings)
    places = centre.intake.capacity["places"].to_numpy()
    demand = spread.build_demand(eligible, places)
    before = price_demand(demand, places, steps=(0.03,))
    victim = sorted(cluster.client.run(os.getpid).values())[0]
    os.kill(victim, signal.SIGKILL)
    after = price_demand(demand, places, steps=(0.03,))
    assert np.array_equal(after.prices, before.prices)
    assert victim not in cluster.client.run(os.getpid).values()


def test_trees_grown_together_predict_like_those_of_one_machine(centre: Centre, cluster: Cluster) -> None:
    cluster.client.wait_for_workers(2, timeout=60)
    order, rng = centre.order, np.random.default_rng(3)
    folds = split_production(centre.log, np.datetime64(str(SMALL_RUN_DATE)), order.settings)
    shown = [build_training_rows(centre.log, np.flatnonzero(f), centre.hierarchy, order.settings, rng) for f in folds]
    learn, kept_apart = ((rows.features, rows.is_contact) for rows in shown)
    eager = {"min_data_in_leaf": 50, "feature_fraction": 1.0, "lambda_l2": 1.0}  # much to grow, nothing left to lots
    asked = (lightgbm_params(order.settings.model, 7) | eager, 25, learn, kept_apart, ())
    one, two, again = grow_trees(*asked), *(grow_on(cluster)(*asked) for _ in range(2))
    assert two.model_to_string() == again.model_to_string()
    assert "127.0.0.1" not in two.model_to_string()
    assert two.num_trees() == 25
    features, base = learn[0].drop(columns=BASE).to_numpy(), learn[0][BASE].to_numpy("float64")
    added = [np.asarray(booster.predict(features, raw_score=True, num_iteration=25)) for booster in (one, two)]
    losses = [np.logaddexp(0.0, base + logit).mean() - (base + logit)[learn[1]].sum() / len(base) for logit in added]
    assert losses[1] == pytest.approx(losses[0], rel=0.005)
    assert np.corrcoef(*added)[0, 1] > 0.8
    assert 1 <= two.best_iteration <= 25


def test_a_model_fitted_on_the_cluster_is_calibrated(centre: Centre, cluster: Cluster) -> None:
    fitted = centre.grow(grow_on(cluster))
    rows = np.arange(0, len(centre.log.dials), 3)
    shown = build_training_rows(centre.log, rows, centre.hierarchy, centre.order.settings, np.random.default_rng(1))
    one, two = (judge(model.predict_rows(shown.features), shown.is_contact) for model in (centre.model, fitted))
    assert two["log_loss"] == pytest.approx(one["log_loss"], rel=0.01)


def test_without_dask_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"pip install 'kakedoki\[dask\]'"), open_cluster("dask", None, tmp_path):
        pass


@pytest.mark.parametrize("flow", [plan, nightly])
def test_a_scheduler_that_does_not_answer_ends_the_run_with_code_10(
    flow, small_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAKEDOKI_HOME", str(tmp_path / "var"))
    monkeypatch.setattr("pipelines.cluster.LONGEST_WAIT", 0.5)
    with pytest.raises(ClusterError, match="no Dask scheduler answers there") as failed:
        flow.fn(str(small_source), str(tmp_path / "out"), SMALL_RUN_DATE, engine="dask", scheduler="tcp://127.0.0.1:9")
    assert failed.value.exit_code == 10
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("engine", "scheduler", "told"),
    [
        ("spark", None, "write one of local, dask"),
        ("local", "tcp://127.0.0.1:9", "--engine dask"),
        ("dask", "carrier pigeon", "such as tcp"),
    ],
)
def test_wrong_options_are_refused_with_the_remedy(
    engine: str, scheduler: str | None, told: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=told), open_cluster(engine, scheduler, tmp_path):
        pass
