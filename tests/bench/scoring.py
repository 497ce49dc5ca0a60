"""How fast customers × slots are scored, beside LightGBM's own predict and compiled C: ``make bench-scoring``.

A model is trained by LightGBM on simulated dials of customers (sixteen features: skewed counts, shares, ages, codes,
some missing) in the 84 real slots of a week. Ours scores every customer in every slot. The rivals score the rows of the
cross join, for a sample of the customers, and their seconds are scaled up to all of them; building those rows is not
counted against them. tl2cgen is no dependency and is left out where it cannot be imported. Every way is timed in every
round. Printed: seconds and ratio (median of the rounds, its least and most), greatest difference of the probability,
how ours grows (best of as many runs), peak memory, and the load of the machine, which slows everyone.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd

from configs.settings import ModelSettings, Settings
from features.slots import SLOT_FEATURES, build_slots
from models.contact.boosting import lightgbm_params
from models.contact.scoring import compile_forest

N_FEATURES = 16
N_THREADS = 2
BATCHES = (1_000, 10_000, 100_000)


def main() -> None:
    """Print the table of the asked size, of the trainer's own size, and how ours grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=60_000)
    parser.add_argument("--trees", type=int, default=400)
    parser.add_argument("--leaves", type=int, default=31)
    parser.add_argument("--sample", type=int, default=1_000, help="customers that the rivals score")
    parser.add_argument("--runs", type=int, default=5, help="rounds, of each of which every way is timed once")
    asked = parser.parse_args()
    print(
        f"load average {os.getloadavg()}, {os.cpu_count()} cores; rivals on {asked.sample:,} customers, scaled up",
        flush=True,
    )
    rng = np.random.default_rng(7)
    customers, slots = draw_customers(asked.customers, rng), draw_slots(7)
    booster = train(asked.trees, asked.leaves, rng)
    for n_trees, n_leaves in [(asked.trees, asked.leaves), (40, ModelSettings().n_leaves)]:
        model = booster if n_leaves == asked.leaves else train(n_trees, n_leaves, rng)
        print(
            f"\n{asked.customers:,} customers × {len(slots)} slots × {n_trees} trees of {n_leaves} leaves (simulated)"
        )
        print(
            compare(model, customers, slots, asked.sample, asked.runs).to_string(float_format="{:.3g}".format),
            flush=True,
        )
    print("\nhow ours grows: " + tell_growth(booster, customers, asked.runs))
    print(f"load average {os.getloadavg()}; peak memory {peak_gb():.2f} GB", flush=True)


def draw_customers(n: int, rng: np.random.Generator) -> np.ndarray:
    """Features of customers, some missing; (n, N_FEATURES) float32."""
    counts = rng.poisson(rng.gamma(1.0, 4.0, (n, 4)))
    levels = np.column_stack([rng.normal(size=(n, 6)), rng.beta(2, 8, (n, 3)), rng.integers(20, 80, (n, 1))])
    features = np.column_stack([counts, levels, rng.integers(0, 8, (n, 2))]).astype("float32")
    features[:, 10:13][rng.random((n, 3)) < 0.2] = np.nan
    return features


def draw_slots(n_days: int) -> np.ndarray:
    """Slot features of twelve hours a day; (12 * n_days, n_slot_features) float32."""
    days = pd.date_range("2026-11-23", periods=n_days, tz=Settings().timezone)
    starts = pd.DatetimeIndex([day + pd.Timedelta(hours=hour) for day in days for hour in range(9, 21)])
    return build_slots(starts, Settings())[list(SLOT_FEATURES)].to_numpy("float32")


def train(n_trees: int, n_leaves: int, rng: np.random.Generator, n: int = 40_000) -> lgb.Booster:
    """Trees with the trainer's settings on dials whose best hour differs between customers."""
    customers, slots = draw_customers(n, rng), draw_slots(28)[rng.integers(0, 28 * 12, n)]
    evening = 1 / (1 + np.exp(17 - slots[:, 0]))
    logit = customers[:, 4] * evening + customers[:, 5] * slots[:, 2] - 0.1 * customers[:, 0] + customers[:, 6] - 1
    is_contact = rng.random(n) < 1 / (1 + np.exp(-logit))
    params = lightgbm_params(ModelSettings(), 7) | {"num_leaves": n_leaves, "min_data_in_leaf": 40}
    return lgb.train(params, lgb.Dataset(np.column_stack([customers, slots]), is_contact), n_trees)


def compare(
    booster: lgb.Booster, customers: np.ndarray, slots: np.ndarray, n_sample: int, n_rounds: int
) -> pd.DataFrame:
    """Per way: seconds for all customers, times ours, and the greatest difference from LightGBM's probability.

    Every round times every way once, one after the other, so that a slow minute of the machine slows them all.
    """
    sample = customers[:n_sample]
    rows = np.column_stack([np.repeat(sample, len(slots), axis=0), np.tile(slots, (len(sample), 1))])
    scale = len(customers) / len(sample)
    truth = np.asarray(booster.predict(rows, num_threads=N_THREADS))
    logits = score(booster, customers, slots)
    apart = float(np.abs(1 / (1 + np.exp(-logits[:n_sample].ravel().astype("float64"))) - truth).max())
    ways: dict[str, tuple[Callable[[], object], float, float]] = {
        "ours": (ready_ours(booster, customers, slots), 1.0, apart),
        "ours, compilation of the trees": (lambda: compile_forest(booster, slots, N_FEATURES), 1.0, apart),
        "LightGBM, one batch": (lambda: booster.predict(rows, num_threads=N_THREADS), scale, 0.0),
    }
    for size in BATCHES:
        ways[f"LightGBM, batches of {size:,} rows"] = (partial(predict_batches, booster, rows, size), scale, 0.0)
    try:
        compiled = compile_c(booster, rows)
        ways["tl2cgen, compiled C"] = (compiled, scale, float(np.abs(compiled().ravel() - truth).max()))
    except ImportError as error:
        print(f"tl2cgen is left out: {error}")
    rounds = pd.DataFrame(
        [{name: scaled * best_of(1, work) for name, (work, scaled, _) in ways.items()} for _ in range(n_rounds)]
    )
    times = rounds.div(rounds["ours"], axis=0)
    return pd.DataFrame(
        {
            "seconds": rounds.median(),
            "times_ours": times.median(),
            "least": times.min(),
            "most": times.max(),
            "max_difference": {name: found for name, (_, _, found) in ways.items()},
        }
    )


def score(booster: lgb.Booster, customers: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """Log-odds of every customer in every slot, ours."""
    logits = np.zeros((len(customers), len(slots)), dtype="float32")
    compile_forest(booster, slots, N_FEATURES).add_to(logits, np.arange(len(slots)), customers)
    return logits


def ready_ours(booster: lgb.Booster, customers: np.ndarray, slots: np.ndarray) -> Callable[[], object]:
    """Our way with a compiled forest, ready to score all customers."""
    forest = compile_forest(booster, slots, N_FEATURES)
    logits, columns = np.zeros((len(customers), len(slots)), dtype="float32"), np.arange(len(slots))
    forest.add_to(logits[:10], columns, customers[:10])  # compile before the clock runs
    return lambda: forest.add_to(logits, columns, customers)


def predict_batches(booster: lgb.Booster, rows: np.ndarray, size: int) -> None:
    """LightGBM in batches."""
    for first in range(0, len(rows), size):
        booster.predict(rows[first : first + size], num_threads=N_THREADS)


def compile_c(booster: lgb.Booster, rows: np.ndarray) -> Callable[[], np.ndarray]:
    """The model as C code compiled by tl2cgen, ready to score the rows."""
    import tl2cgen
    import treelite

    model = treelite.frontend.from_lightgbm(booster)
    library = Path(tempfile.mkdtemp()) / "model.so"
    tl2cgen.export_lib(model, toolchain="gcc", libpath=str(library), params={"parallel_comp": 8}, verbose=False)
    predictor = tl2cgen.Predictor(str(library), nthread=N_THREADS)
    matrix = tl2cgen.DMatrix(rows.astype("float64"), dtype="float64")
    return lambda: np.asarray(predictor.predict(matrix))


def tell_growth(booster: lgb.Booster, customers: np.ndarray, n_runs: int) -> str:
    """Seconds of ten times the customers, twice the slots and twice the trees, as multiples."""
    half = booster.num_trees() // 2
    few = lgb.Booster(model_str=booster.model_to_string(num_iteration=half))
    once = best_of(n_runs, ready_ours(booster, customers, draw_slots(7)))
    people = once / best_of(n_runs, ready_ours(booster, customers[: len(customers) // 10], draw_slots(7)))
    slots = best_of(n_runs, ready_ours(booster, customers, draw_slots(14))) / once
    trees = once / best_of(n_runs, ready_ours(few, customers, draw_slots(7)))
    return f"customers ×10 costs ×{people:.2f}, slots ×2 costs ×{slots:.2f}, trees ×2 costs ×{trees:.2f}"


def best_of(n_runs: int, work: Callable[[], object]) -> float:
    """Least seconds of several runs."""
    seconds = []
    for _ in range(n_runs):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def peak_gb() -> float:
    """Peak memory of this process so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
