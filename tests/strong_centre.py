"""A centre on disk of which much can be learned: people differ by age and by themselves, and answer again and again."""

from pathlib import Path

import numpy as np
import pandas as pd
from simulated_logs import START, draw_customers, simulate_calls

RUN_DATE = (START + pd.Timedelta(days=60)).date()
SETTINGS = """\
attributes: [{attributes}]
segment_by: [gender]
rule_packs: [house]
model: {{n_trees: 40, min_rows_in_leaf: 100}}
gains: {{n_resamples: 20, n_past_draws: 1}}
"""
N_CUSTOMERS = 1_200


def draw_log() -> pd.DataFrame:
    """Seventy days of dials as the centre's system exports them; the same at every call."""
    rng = np.random.default_rng(21)
    age = draw_customers(N_CUSTOMERS, np.random.default_rng(0))["age"].fillna(50).to_numpy()
    log = simulate_calls(-2.2 + 2.4 * (age > 54) + rng.normal(0, 0.6, N_CUSTOMERS), rng, stops=False)
    others = rng.choice(["no_answer", "busy", "third_party", "voicemail"], len(log), p=[0.6, 0.1, 0.1, 0.2])
    outcome = np.where(log["outcome"] == "keyman_contact", "keyman_contact", others)
    ids = draw_customers(N_CUSTOMERS, np.random.default_rng(0))["customer_id"].to_numpy()[log["customer_row"]]
    exported = log.assign(outcome=outcome, customer_id=ids)[["attempt_id", "customer_id", "attempted_at", "outcome"]]
    return exported[exported["attempted_at"].dt.date < RUN_DATE + pd.Timedelta(days=7)]


def write_centre(folder: Path, log: pd.DataFrame) -> None:
    """Write customers and the log; an older log is overwritten."""
    folder.mkdir(exist_ok=True)
    customers = draw_customers(N_CUSTOMERS, np.random.default_rng(0)).assign(do_not_call=False)
    customers.to_csv(folder / "customers.csv", index=False)
    log.to_csv(folder / "call_attempts.csv", index=False)


def write_settings(file: Path, attributes: str) -> str:
    """Write a settings file that learns from the attributes, and return its name."""
    file.write_text(SETTINGS.format(attributes=attributes), encoding="utf-8")
    return str(file)
