"""How good the contact model is against known truth, beside its rivals: ``make bench-model``.

In each sample world every rival learns from the same three months and plans the same week at fixed staffing. Its
predictions are judged on the dials that the past way of calling would make in that week, its plan by the true contacts
per dial made. The reference knows the laws of the world but not its persons: nobody can be expected to do better. Share
of the attainable gain = (lift - 1) / (lift of the reference - 1), per dial made and, as plans are made for, per place:
a second dial takes its place even where the first one has reached the customer.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import astuple, replace
from functools import partial
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))

from centres import KINDS, Centre, build_centre

from features.history import HISTORY_FEATURES, PART_FEATURES
from features.slots import SLOT_FEATURES
from features.table import DialLog, build_dial_log
from models.contact.boosting import fit_boosting, lightgbm_params
from models.contact.calibration import Calibration
from models.contact.effects import slot_codes
from models.contact.folds import split_folds, split_production
from models.contact.hierarchy import Hierarchy, codes_of_dials, fit_hierarchy
from models.contact.memory import fit_with_best_memory
from models.contact.metrics import judge
from models.contact.model import ContactModel, Evidence, build_rows
from models.contact.persons import NeverReached, PriorVariances
from models.contact.rivals import build_training_rows
from models.contact.scorer import Scorer, know_tonight
from models.contact.segment_table import fit_segment_table
from pipelines.world.reference import Reference

Predict = Callable[[np.ndarray, int], np.ndarray]
_BLOCK = 2_000


def main() -> None:
    """Print one table per world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=40_000, help="150,000 make 600,000 attempts")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--quick", action="store_true", help="only ours and the reference")
    parser.add_argument("--ablate", action="store_true", help="ours with one part taken away at a time")
    asked = parser.parse_args()
    for kind in asked.kinds:
        print(f"\n{kind}: {asked.customers:,} customers, three months, seed {asked.seed} (simulated)", flush=True)
        with pd.option_context("display.width", 200, "display.max_columns", 20):
            print(judge_rivals(build_centre(kind, asked.customers, asked.seed), asked).to_string(), flush=True)


def judge_rivals(centre: Centre, asked: argparse.Namespace) -> pd.DataFrame:
    """One row per rival: measures on the week ahead, true lift of its plan, share of the attainable gain, seconds."""
    rng = np.random.default_rng(1)
    past = centre.value_past_way(rng)
    rows, slot_rows = centre.draw_past_way(rng)
    truth = centre.world.true_p(np.arange(len(centre.tables.customers)), centre.slots["slot_start"])
    dialled = pd.DataFrame({"row": rows, "slot": slot_rows}).drop_duplicates("row")  # first dials: nothing failed yet
    rows, slot_rows = dialled["row"].to_numpy(), dialled["slot"].to_numpy()
    is_contact = rng.random(len(rows)) < truth[rows, slot_rows]
    told = {}
    for name, fit in list_rivals(centre, asked).items():
        began = time.perf_counter()
        predict = fit()
        fitted = time.perf_counter()
        own = predict(rows, 0)[np.arange(len(rows)), slot_rows]
        measured = judge(own, is_contact)
        told[name] = {
            **{key: measured[key] for key in ("log_loss", "auc", "brier", "calibration_error")},
            "expected/true": own.mean() / truth[rows, slot_rows].mean(),
            **dict(zip(("lift", "lift_by_place"), centre.value_plan(predict) / past, strict=True)),
            "fit_s": fitted - began,
            "plan_s": time.perf_counter() - fitted,
        }
    table = pd.DataFrame(told).T
    for lift in ("lift", "lift_by_place"):
        best = table[lift].iloc[-1] - 1.0
        table[lift.replace("lift", "share")] = (table[lift] - 1.0) / best if best > 0.005 else np.nan
    return table.round({"log_loss": 4, "auc": 3, "brier": 4, "calibration_error": 4, "fit_s": 0, "plan_s": 0}).round(3)


def list_rivals(centre: Centre, asked: argparse.Namespace) -> dict[str, Callable[[], Predict]]:
    """Name and how to fit; the reference is the last."""
    log = build_dial_log(centre.tables.call_attempts, centre.tables.customers, centre.settings)
    day = np.datetime64(centre.as_of.tz_localize(None).date(), "D")
    judging, folds = split_folds(log, day, centre.settings), split_production(log, day, centre.settings)
    judged, with_move = fit_with_best_memory(log, judging.learn, judging.forward, centre.settings)
    hierarchy = fit_hierarchy(log.subset(folds[0]), centre.settings, judged, with_move=with_move)
    attributes = centre.settings.attributes
    history = (*attributes, *HISTORY_FEATURES, *PART_FEATURES, *SLOT_FEATURES)
    wide = {"num_leaves": 31, "min_data_in_leaf": 20, "feature_fraction": 1.0, "lambda_l2": 0.0}
    ours = {
        "person filter": lambda: fit_ours(centre, log, folds, hierarchy, {"n_trees": 1, "learning_rate": 1e-9}),
        "contact model": lambda: fit_ours(centre, log, folds, hierarchy, {}),
        "reference": lambda: Reference(centre.world, centre.slots["slot_start"]),
    }
    if asked.quick:
        return ours
    if asked.ablate:
        bare = {"n_trees": 1, "learning_rate": 1e-9}
        less = {name: partial(fit_ours, centre, log, folds, poorer, bare) for name, poorer in ablate(hierarchy).items()}
        return less | ours
    return {
        "segment table": lambda: fit_table(centre, log, folds, hierarchy),
        "LightGBM, attributes": lambda: fit_trees(
            centre, log, folds, hierarchy, (*attributes, *SLOT_FEATURES), wide, 100
        ),
        "LightGBM, history, 31 leaves": lambda: fit_trees(centre, log, folds, hierarchy, history, wide, 100),
        "LightGBM, history, small trees": lambda: fit_trees(centre, log, folds, hierarchy, history, {}, 400),
        **ours,
    }


def ablate(hierarchy: Hierarchy) -> dict[str, Hierarchy]:
    """The fitted hierarchy with one part taken away; what is left is calibrated anew."""
    spread = astuple(hierarchy.variances)
    flat = [
        t if t.slot_key == "" or t.customer_key == "" else replace(t, values=0 * t.values) for t in hierarchy.tables
    ]
    return {
        "without persons": replace(hierarchy, variances=PriorVariances(1e-6, 1e-6, 1e-6, 1e-6)),
        "persons in level only": replace(hierarchy, variances=PriorVariances(sum(spread), 1e-6, 1e-6, 1e-6)),
        "without the never reached": replace(hierarchy, never=NeverReached()),
        "without fatigue": replace(hierarchy, fatigue=(0.0,) * len(hierarchy.fatigue)),
        "without curves of segments": replace(hierarchy, tables=flat),
        "without what has moved": replace(hierarchy, tables=[t for t in hierarchy.tables if not t.since]),
    }


def fit_ours(
    centre: Centre, log: DialLog, folds: tuple[np.ndarray, np.ndarray], hierarchy: Hierarchy, params: dict[str, float]
) -> Predict:
    """Return the scorer of the contact model of a night."""
    rng = np.random.default_rng(2)
    rows = [build_training_rows(log, np.flatnonzero(mask), hierarchy, centre.settings, rng) for mask in folds]
    learn, calibrate = ((r.features, r.is_contact) for r in rows)
    settings = centre.settings
    model = fit_boosting(hierarchy, settings.attributes, learn, calibrate, settings.model, settings.seed, params)
    return Scorer(model, know_tonight(model, log, centre.as_of), centre.slots)


def fit_table(centre: Centre, log: DialLog, folds: tuple[np.ndarray, np.ndarray], hierarchy: Hierarchy) -> Predict:
    """Return the reference case's segment × slot table as a scorer."""
    segment = "×".join(centre.settings.segment_by)
    known = {key: levels[folds[0]] for key, levels in slot_codes(log.dials).items()}
    codes = codes_of_dials(hierarchy.encoding, log)[segment][folds[0]]
    table = fit_segment_table(codes, known, log.is_contact[folds[0]])
    levels, slots = hierarchy.encoding.encode(log.customers)[segment], slot_codes(centre.slots)
    n_slots = len(centre.slots)

    def predict(rows: np.ndarray, _n_earlier: int) -> np.ndarray:
        tiled = {key: np.tile(levels, len(rows)) for key, levels in slots.items()}
        return table.predict(np.repeat(levels[rows], n_slots), tiled).reshape(-1, n_slots).astype("float32")

    return predict


def fit_trees(
    centre: Centre,
    log: DialLog,
    folds: tuple[np.ndarray, np.ndarray],
    hierarchy: Hierarchy,
    names: tuple[str, ...],
    params: dict[str, float],
    n_trees: int,
) -> Predict:
    """Return plain LightGBM on the named features as a scorer, predicting on the cross join."""
    rng = np.random.default_rng(2)
    learn, stop = (build_training_rows(log, np.flatnonzero(mask), hierarchy, centre.settings, rng) for mask in folds)
    sets = [lgb.Dataset(r.features[list(names)].to_numpy(), r.is_contact.astype("float32")) for r in (learn, stop)]
    options = lightgbm_params(centre.settings.model, centre.settings.seed) | params
    booster = lgb.train(options, sets[0], n_trees, valid_sets=sets[1:], callbacks=[lgb.early_stopping(30, False)])
    evidence = know_tonight_plain(hierarchy, log, centre.as_of)
    n_slots = len(centre.slots)

    def predict(rows: np.ndarray, n_earlier: int) -> np.ndarray:
        blocks = []
        for begin in range(0, len(rows), _BLOCK):
            block = np.repeat(rows[begin : begin + _BLOCK], n_slots)
            slots = centre.slots.iloc[np.tile(np.arange(n_slots), len(block) // n_slots)]
            built = build_rows(evidence.take(block, n_earlier), slots, centre.settings.attributes)
            blocks.append(np.asarray(booster.predict(built[list(names)].to_numpy())).reshape(-1, n_slots))
        return np.concatenate(blocks).astype("float32") if blocks else np.zeros((0, n_slots), dtype="float32")

    return predict


def know_tonight_plain(hierarchy: Hierarchy, log: DialLog, as_of: pd.Timestamp) -> Evidence:
    """What is known of everyone at ``as_of``, for rivals that have no contact model of ours."""
    return know_tonight(ContactModel(hierarchy, "", Calibration(0.0, 1.0), ()), log, as_of)


if __name__ == "__main__":
    main()
