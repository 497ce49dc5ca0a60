"""The search for better settings of the trees."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL_RUN_DATE

from models.contact.tuning import build_objective, tune
from pipelines.intake import check, read
from pipelines.order import build_order
from pipelines.search import search
from pipelines.train import find_tuned_params


def bowl(params: dict[str, float | int]) -> float:
    """Best at num_leaves 8; without parameters, the settings' own, rather bad."""
    return abs(np.log2(params["num_leaves"]) - 3) if params else 2.0


def test_a_search_finds_the_bottom_of_a_bowl(tmp_path: Path) -> None:
    found = tune(bowl, tmp_path / "studies.db", "bowl", seed=7, n_trials=25)
    assert 6 <= found.params["num_leaves"] <= 11
    assert found.log_loss < 0.5 < found.default_log_loss == 2.0


def test_a_search_never_ends_worse_than_the_settings_it_began_with(tmp_path: Path) -> None:
    found = tune(lambda params: 1.0 if params else 0.5, tmp_path / "studies.db", "flat", seed=7, n_trials=3)
    assert (found.params, found.log_loss) == ({}, 0.5)


def test_a_search_goes_on_where_it_ended(tmp_path: Path) -> None:
    tune(bowl, tmp_path / "studies.db", "bowl", seed=7, n_trials=4)
    asked = []

    def count(params: dict[str, float | int]) -> float:
        asked.append(params)
        return bowl(params)

    found = tune(count, tmp_path / "studies.db", "bowl", seed=7, n_trials=3)
    assert found.n_trials == 7
    assert len(asked) == 3
    assert {} not in asked


def test_no_trial_begins_after_the_timeout(tmp_path: Path) -> None:
    found = tune(bowl, tmp_path / "studies.db", "bowl", seed=7, n_trials=10_000, timeout_seconds=1.0)
    assert 1 <= found.n_trials < 10_000


def test_progress_is_told_after_every_trial(tmp_path: Path) -> None:
    told: list[tuple[int, float]] = []
    tune(bowl, tmp_path / "studies.db", "bowl", seed=7, n_trials=3, progress=lambda n, best: told.append((n, best)))
    assert [n for n, _ in told] == [1, 2, 3]
    assert [best for _, best in told] == sorted((best for _, best in told), reverse=True)


def test_the_objective_is_the_log_loss_of_the_forward_fold_and_answers_to_its_parameters(small_source: Path) -> None:
    order = build_order(str(small_source), None, SMALL_RUN_DATE, Path("unused"))
    intake = check(order, read(order))
    measure = build_objective(intake.tables, order.as_of, order.settings, np.random.default_rng(7))
    base, wild = measure({}), measure({"learning_rate": 0.9, "min_data_in_leaf": 1, "num_leaves": 63, "n_trees": 1})
    assert 0.1 < base < 0.6
    assert base != wild
    assert measure({}) == base


def test_what_was_found_lies_where_the_next_night_looks(
    small_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAKEDOKI_HOME", str(tmp_path))
    found, file = search(str(small_source), SMALL_RUN_DATE, 2, None, [])
    assert file == find_tuned_params(build_order(str(small_source), None, SMALL_RUN_DATE, tmp_path))
    assert json.loads(file.read_text())["params"] == found.params
