"""The scorer against LightGBM on the cross join, and against everything that must not matter to it."""

from collections.abc import Callable
from dataclasses import replace

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from small_centre import AS_OF, SETTINGS, build_centre, fit_centre, score_centre

from models.contact import scorer as scorer_module
from models.contact.model import ContactModel, build_rows
from models.contact.scorer import Scorer, build_scorer

ROWS = np.arange(0, 3_000, 60)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    """Of a few slots of every part of the week, so that the slow way stays short."""
    return few_slots()


def few_slots(
    attempts: pd.DataFrame | None = None, as_of: pd.Timestamp = AS_OF, change: Callable = lambda customers: customers
) -> Scorer:
    tables, slots = build_centre().tables, build_centre().slots
    chosen = slots.groupby("part").head(2).reset_index(drop=True)
    log = tables.call_attempts if attempts is None else attempts
    return build_scorer(fit_centre().model, log, change(tables.customers), as_of, chosen, SETTINGS)


def predict_cross_join(scorer: Scorer, customer_rows: np.ndarray, n_earlier: int) -> np.ndarray:
    """The same probabilities the slow way, slot by slot with LightGBM's own predict."""
    evidence = scorer.evidence.take(customer_rows, n_earlier)
    slots = [scorer.slots.iloc[np.full(len(customer_rows), slot_row)] for slot_row in range(len(scorer.slots))]
    rows = [build_rows(evidence, same, scorer.model.attributes) for same in slots]
    return np.stack([scorer.model.predict_rows(each) for each in rows], axis=1)


@pytest.mark.parametrize("n_earlier", [0, 3])
def test_it_says_what_lightgbm_says_of_the_cross_join(scorer: Scorer, n_earlier: int) -> None:
    slow = predict_cross_join(scorer, ROWS, n_earlier)
    assert np.abs(scorer(ROWS, n_earlier) - slow).max() < 1e-6
    assert slow.shape == (50, len(scorer.slots))
    assert len(set(scorer.slots["part"])) >= 6


def wild_model(scorer: Scorer) -> ContactModel:
    """The centre's model with trees grown on noise, so that every feature is split on, earlier dials foremost."""
    rng = np.random.default_rng(4)
    evidence = replace(scorer.evidence, n_between=rng.integers(0, 6, 3_000))
    rows = build_rows(evidence, scorer.slots.iloc[rng.integers(0, len(scorer.slots), 3_000)], scorer.model.attributes)
    features = rows[list(scorer.model.feature_names)]
    is_contact = rng.random(3_000) < 0.1 + 0.1 * features["n_dialled_between"]
    options = {"objective": "binary", "verbose": -1, "min_data_in_leaf": 5, "num_leaves": 31, "num_threads": 1}
    grown = lgb.train(options, lgb.Dataset(features.to_numpy(), is_contact), 40)
    assert (grown.feature_importance() > 0).sum() > 20
    return replace(scorer.model, trees=grown.model_to_string())


@pytest.mark.parametrize("n_earlier", [0, 1, 3])
def test_also_with_trees_that_split_on_everything(scorer: Scorer, n_earlier: int) -> None:
    wild = Scorer(wild_model(scorer), scorer.evidence, scorer.slots)
    slow = predict_cross_join(wild, ROWS, n_earlier)
    assert np.abs(wild(ROWS, n_earlier) - slow).max() < 1e-6
    assert (wild(ROWS, 5) > wild(ROWS, 0)).mean() > 0.9


def test_each_customer_may_have_had_its_own_number_of_dials(scorer: Scorer) -> None:
    wild = Scorer(wild_model(scorer), scorer.evidence, scorer.slots)
    n_earlier = np.arange(50) % 4
    expected = np.stack([wild(ROWS, int(n))[k] for k, n in enumerate(n_earlier)])
    assert np.abs(wild(ROWS, n_earlier) - expected).max() < 1e-6


def test_answers_are_probabilities(scorer: Scorer) -> None:
    p = scorer(np.arange(3_000))
    assert p.dtype == "float32"
    assert 0 < p.min() < p.max() < 1
    assert p.std() > 0.005


def test_blocks_change_nothing(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scorer(np.arange(100))
    monkeypatch.setattr(scorer_module, "_BLOCK", 7)
    assert (scorer(np.arange(100)) == whole).all()


def test_rows_may_come_in_any_order_and_twice(scorer: Scorer) -> None:
    rows = np.array([9, 3, 3, 700, 0])
    assert (scorer(rows) == scorer(np.arange(701))[rows]).all()
    assert scorer(np.zeros(0, dtype=int)).shape == (0, len(scorer.slots))


def test_shuffled_attempts_change_no_answer(scorer: Scorer) -> None:
    mixed = build_centre().tables.call_attempts.sample(frac=1.0, random_state=2)
    assert (few_slots(mixed)(ROWS) == scorer(ROWS)).all()


def test_what_happens_after_the_night_is_not_known(scorer: Scorer) -> None:
    attempts = build_centre().tables.call_attempts
    night = AS_OF - pd.Timedelta(days=14)
    known = attempts[attempts["attempted_at"] < night]
    assert 100 < len(known) < len(attempts) - 100
    blind = few_slots(known, night)(np.arange(3_000), 1)
    assert (few_slots(attempts, night)(np.arange(3_000), 1) == blind).all()
    assert (scorer(np.arange(3_000), 1) != blind).any()


def test_failures_since_lower_the_chance_of_who_failed(scorer: Scorer) -> None:
    """The same customers with five more failures the night before: nobody becomes easier to reach."""
    attempts = build_centre().tables.call_attempts
    last = attempts[attempts["customer_row"].isin(ROWS)].drop_duplicates("customer_row", keep="last")
    more = [
        last.assign(
            attempted_at=AS_OF - pd.Timedelta(days=k, hours=5),
            outcome="no_answer",
            attempt_id=last["attempt_id"] + f"x{k}",
        )
        for k in range(1, 6)
    ]
    rows = last["customer_row"].to_numpy()
    tried = few_slots(pd.concat([attempts, *more], ignore_index=True)).evidence
    assert (tried.mean[rows] < scorer.evidence.mean[rows]).all()


def test_unknown_attributes_and_unseen_regions_are_scored_alike(scorer: Scorer) -> None:
    nobody = few_slots(change=lambda c: c.assign(region=pd.Series([None] * len(c), dtype="str")))(ROWS)
    atlantis = few_slots(change=lambda c: c.assign(region="Atlantis"))(ROWS)
    assert (nobody == atlantis).all()
    bare = few_slots(change=lambda c: c.assign(age=np.float32("nan"), gender=pd.Series([None] * len(c), dtype="str")))(
        ROWS
    )
    assert ((bare > 0) & (bare < 1)).all()
    assert (bare != scorer(ROWS)).any()


def test_scores_rank_as_the_truth_does() -> None:
    centre = build_centre("carrier")
    p = score_centre()(np.arange(3_000))
    truth = centre.world.true_p(np.arange(3_000), centre.slots["slot_start"])
    assert np.corrcoef(p.mean(axis=1), truth.mean(axis=1))[0, 1] > 0.2
    assert np.corrcoef(p.ravel(), truth.ravel())[0, 1] > 0.15


def test_where_time_does_not_matter_the_hours_of_a_customer_hardly_differ() -> None:
    def spread(kind: str) -> float:
        p = score_centre(kind)(np.arange(3_000))
        return float(np.mean(p.std(axis=1) / p.mean(axis=1)))

    assert spread("no_time") < 0.08
    assert spread("no_time") < 0.7 * spread("carrier")
