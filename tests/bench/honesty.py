"""Whether the gains that a night claims are true: ``make bench-honesty``.

Sample worlds of several seeds; for each, a night is fitted, its plan made at fixed staffing, its gains claimed, and the
same three ratios counted from the world's truth. Printed per world: how often the 90 % interval holds the truth (18 of
20 are due), mean claim, mean truth, and the rate expected of the plan against the true one.
"""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))

from centres import KINDS, N_PAST_DRAWS, Centre, build_centre

from models.contact.fitting import fit_night
from models.contact.scorer import build_scorer
from models.planning.believing import believe
from models.planning.gains import measure_gains
from models.planning.schedule import build_call_plan
from pipelines.servers import set_environment

PARTS = ("timing", "list", "total")


def main() -> None:
    """Print one line per night and one table per world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=8_000)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    began, told = time.perf_counter(), []
    with ProcessPoolExecutor(asked.workers) as pool:
        asking = [
            pool.submit(judge_night, kind, asked.customers, seed) for seed in range(asked.seeds) for kind in asked.kinds
        ]
        for k, answer in enumerate(as_completed(asking), start=1):
            told.append(answer.result())
            print(f"{k:3} of {len(asking)}, {time.perf_counter() - began:5.0f} s: {tell(told[-1])}", flush=True)
    for kind, nights in pd.DataFrame(told).groupby("kind", sort=False):
        print(f"\n{kind}: {len(nights)} nights of {asked.customers:,} customers (simulated)")
        print(summarise(nights).round(3).to_string(), flush=True)
        print(
            f"rate expected of the plan over the true one: mean {nights['expected'].mean():.3f}, "
            f"from {nights['expected'].min():.3f} to {nights['expected'].max():.3f}; "
            f"uncorrected {nights['raw'].mean():.3f}"
        )


def judge_night(kind: str, n_customers: int, seed: int) -> dict[str, float | int | str]:
    """Claims and truths of one night."""
    set_environment(Path("var"))
    centre = build_centre(kind, n_customers, 100 + seed)
    settings, tables, rng = centre.settings, centre.tables, np.random.default_rng(seed)
    fitted = fit_night(tables, centre.as_of, settings, rng)
    scorer = build_scorer(fitted.model, tables.call_attempts, tables.customers, centre.as_of, centre.slots, settings)
    outlook, places = centre.look_ahead(scorer), centre.places
    claimed = measure_gains(outlook, fitted.model.trust, places, places, rng)
    demand = outlook.build_demand(places)
    raw = build_call_plan(outlook, places, demand)
    plan = believe(raw, demand, centre.eligibility, fitted.model.trust)
    dials = plan.dials
    truth = count_gains(centre, dials["customer_row"].to_numpy(), dials["slot_row"].to_numpy(), rng)
    expected = plan.expected_contacts / float(dials["survival"].sum())
    flattered = raw.expected_contacts / float(raw.dials["survival"].sum())
    told = {f"{name}_{key}": claimed[name][key] for name in PARTS for key in ("ratio", "low", "high")}
    slopes = {"list_slope": fitted.model.trust.list_slope, "timing_slope": fitted.model.trust.timing_slope}
    true = {f"{name}_true": truth[name] for name in PARTS}
    return {
        "kind": kind,
        "seed": seed,
        **told,
        **true,
        **slopes,
        "expected": expected / truth["rate"],
        "raw": flattered / truth["rate"],
    }


def count_gains(centre: Centre, rows: np.ndarray, slot_rows: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """True timing, list and total of a plan, counted as ``models.planning.gains`` defines them, and its true rate."""
    rate, past = centre.value_dials(rows, slot_rows)[0], centre.value_past_way(rng)[0]
    eligible = centre.eligibility.eligible_rows
    dials_of = np.bincount(np.searchsorted(eligible, rows), minlength=len(eligible))
    places = np.bincount(slot_rows, minlength=len(centre.slots))
    moved = [centre.value_dials(*centre.draw_past_way(rng, places, dials_of))[0] for _ in range(N_PAST_DRAWS)]
    same = float(np.mean(moved))
    return {"timing": rate / same, "list": same / past, "total": rate / past, "rate": rate}


def tell(night: dict[str, float | int | str]) -> str:
    """One line about one night."""
    parts = [
        f"{name} {night[f'{name}_ratio']:.3f} ({night[f'{name}_low']:.3f}-{night[f'{name}_high']:.3f}) "
        f"true {night[f'{name}_true']:.3f}"
        for name in PARTS
    ]
    slopes = f"slopes {night['list_slope']:.2f} {night['timing_slope']:.2f}"
    expected = f"expected {night['expected']:.3f}, uncorrected {night['raw']:.3f}"
    return f"{night['kind']} {night['seed']}: {', '.join(parts)}; {slopes}; {expected}"


def summarise(nights: pd.DataFrame) -> pd.DataFrame:
    """One row per part of the gain."""
    rows = {}
    for name in PARTS:
        low, high, true = (nights[f"{name}_{key}"] for key in ("low", "high", "true"))
        rows[name] = {
            "held": f"{int(((low <= true) & (true <= high)).sum())} of {len(nights)}",
            "claimed": nights[f"{name}_ratio"].mean(),
            "true": true.mean(),
            "low": low.mean(),
            "high": high.mean(),
            "too high by": (nights[f"{name}_ratio"] - true).mean(),
        }
    return pd.DataFrame(rows).T


if __name__ == "__main__":
    main()
