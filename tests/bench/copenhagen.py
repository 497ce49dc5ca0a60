"""The contact model on real calls, beside the simplest thing that works: ``make bench-copenhagen``.

The Copenhagen calls (shared/data), forward fold: the last week predicted from the weeks before. AUC with 90 % intervals
by bootstrap over callees, of the contact model, of each callee's own past answer rate (shrunk to the mean as by ten
calls), and of hour and weekday alone.
"""

import argparse
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from features.table import build_dial_log
from models.contact.effects import slot_codes
from models.contact.fitting import fit_trees
from models.contact.folds import split_folds
from models.contact.memory import fit_with_best_memory
from models.contact.rivals import build_training_rows
from models.contact.segment_table import fit_segment_table
from pipelines.intake import judge, read
from pipelines.order import build_order
from pipelines.runs import find_var
from pipelines.servers import set_environment

_PRIOR_CALLS = 10.0
_N_RESAMPLES = 500


def main() -> None:
    """Print one line per rival."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default="../shared/data/copenhagen")
    parser.add_argument("--run-date", type=date.fromisoformat, default=date(2024, 9, 22))
    asked = parser.parse_args()
    set_environment(find_var())
    config = Path(__file__).parents[2] / "configs" / "sources" / "copenhagen.yaml"
    predicted = predict_last_week(asked.source, asked.run_date, config)
    rng = np.random.default_rng(1)
    drawn = [resample(predicted, rng) for _ in range(_N_RESAMPLES)]
    print(f"{len(predicted):,} calls of the last week to {predicted['callee'].nunique():,} callees")
    for rival in ("contact model", "own past answer rate", "hour and weekday"):
        low, high = np.quantile([_auc(sample, rival) for sample in drawn], [0.05, 0.95])
        print(f"{rival:22} AUC {_auc(predicted, rival):.3f} ({low:.3f}-{high:.3f})")
    ahead = [_auc(sample, "contact model") - _auc(sample, "own past answer rate") for sample in drawn]
    low, high = np.quantile(ahead, [0.05, 0.95])
    print(f"the model is ahead of the own rate by {np.mean(ahead):.3f} ({low:.3f} to {high:.3f})")


def predict_last_week(source: str, run_date: date, config: Path) -> pd.DataFrame:
    """One row per call of the forward fold: callee, is_contact and what each rival says."""
    order = build_order(source, None, run_date, find_var(), config_files=[config])
    tables, _ = judge(order, read(order))
    settings, rng = order.settings, np.random.default_rng(order.settings.seed)
    log = build_dial_log(tables.call_attempts, tables.customers, settings)
    folds = split_folds(log, np.datetime64(run_date, "D"), settings)
    hierarchy, _ = fit_with_best_memory(log, folds.learn, folds.forward, settings)
    model = fit_trees(hierarchy, log, folds.learn, folds.calibrate, settings, rng)
    rows = build_training_rows(log, np.flatnonzero(folds.forward), hierarchy, settings, rng)
    overall = log.is_contact[folds.learn].mean()
    counts = rows.features[["n_contacts", "n_attempts"]].to_numpy("float64")
    known = {key: levels[folds.learn] for key, levels in slot_codes(log.dials).items()}
    time = fit_segment_table(np.zeros(int(folds.learn.sum()), dtype="int64"), known, log.is_contact[folds.learn])
    return pd.DataFrame(
        {
            "callee": log.history.customer_row[folds.forward],
            "is_contact": rows.is_contact,
            "contact model": model.predict_rows(rows.features),
            "own past answer rate": (counts[:, 0] + _PRIOR_CALLS * overall) / (counts[:, 1] + _PRIOR_CALLS),
            "hour and weekday": time.predict(np.zeros(len(rows.is_contact), dtype="int64"), rows.slots),
        }
    )


def resample(predicted: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Callees drawn with replacement, each with all calls."""
    callees = predicted["callee"].unique()
    times = pd.Series(rng.multinomial(len(callees), np.full(len(callees), 1 / len(callees))), index=callees)
    return predicted.loc[predicted.index.repeat(predicted["callee"].map(times))]


def _auc(predicted: pd.DataFrame, rival: str) -> float:
    return float(roc_auc_score(predicted["is_contact"], predicted[rival]))


if __name__ == "__main__":
    main()
