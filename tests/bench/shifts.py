"""How fast and how well shifts are placed: ``python tests/bench/shifts.py``.

A centre of 120 agents and four shift templates, seven days of twelve hours. Its week as given is what many centres do:
most agents on the day shift. Customers are of three kinds (by day, in the evening, whenever), made up here.
Printed: seconds, worth before and after on the customers looked at, the bound, and what is short.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))

from configs.settings import Settings
from models.planning.sample import take_sample
from models.planning.sequences import Demand
from models.planning.shifts import plan_shifts
from models.planning.staffing import judge_places

TEMPLATES = [
    {"name": "early", "start": "09:00", "hours": 8, "break_minutes": 60},
    {"name": "day", "start": "10:00", "hours": 8, "break_minutes": 60},
    {"name": "late", "start": "13:00", "hours": 8, "break_minutes": 60},
    {"name": "evening", "start": "17:00", "hours": 4, "break_minutes": 15},
]


def main() -> None:
    """Place the shifts once and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--agents", type=int, default=120)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    settings = build_settings(asked.agents)
    slot_starts = pd.DatetimeIndex(
        [
            pd.Timestamp("2026-11-02", tz="Asia/Tokyo") + pd.Timedelta(days=d, hours=h)
            for d in range(7)
            for h in range(9, 21)
        ]
    )
    given = build_given(asked.agents, settings)
    sample = take_sample(build_demand(asked.customers, slot_starts, np.random.default_rng(asked.seed)))
    began = time.perf_counter()
    roster = plan_shifts(sample, given, slot_starts, settings)
    seconds = time.perf_counter() - began
    before = judge_places(sample.demand, given * sample.share)
    print(f"{asked.agents} agents, {len(TEMPLATES)} templates, {asked.customers:,} customers: {seconds:.1f} s")
    print(
        f"worth on {sample.demand.shape[0]:,} customers: {before.value:.2f} before, {roster.worth.value:.2f} after "
        f"({roster.worth.value / before.value - 1:+.1%}), at most {roster.bound:.2f} (gap {roster.gap:.2%})"
    )
    print(
        f"paid {roster.paid_hours:,.0f} of {roster.most_hours:,.0f} agent-hours; "
        f"places {roster.places.sum():,} of {given.sum():,}"
    )
    print(f"short: {len(roster.short)} slots; {roster.skipped}")
    print(roster.shifts.to_string())


def build_settings(n_agents: int) -> Settings:
    """Four templates, two agents at least, an hour of training and half an hour of one-to-one per agent and week."""
    staffing = {"agents_per_day": n_agents, "min_agents": 2, "shifts": TEMPLATES, "training_minutes": 60}
    return Settings.model_validate({"staffing": {**staffing, "one_to_one_minutes": 30}})


def build_given(n_agents: int, settings: Settings) -> np.ndarray:
    """Places of a week on which six tenths work by day, breaks at noon; fewer at the weekend; (84,) int."""
    by_shift = {"early": 0.3, "day": 0.3, "late": 0.15, "evening": 0.05}
    there = np.zeros(12)
    for name, start, length in (("early", 0, 8), ("day", 1, 8), ("late", 4, 8), ("evening", 8, 4)):
        there[start : start + length] += by_shift[name] * n_agents
    there[3] -= 0.6 * n_agents * 0.5
    there[4] -= 0.6 * n_agents * 0.5
    week = np.concatenate([there * (1.0 if day < 5 else 0.7) for day in range(7)])
    return np.floor(week * settings.planning.dials_per_agent_hour).astype(np.int64)


def build_demand(n_customers: int, slot_starts: pd.DatetimeIndex, rng: np.random.Generator) -> Demand:
    """Customers of three kinds: at home by day, in the evening and at weekends, or whenever; up to five dials each."""
    kind = rng.choice(3, n_customers, p=[0.25, 0.5, 0.25])
    hour, weekday = slot_starts.hour.to_numpy(), slot_starts.day_of_week.to_numpy()
    by_day = np.where((weekday < 5) & (hour < 17), 1.6, 0.8)
    late = np.where((hour >= 18) | (weekday >= 5), 2.0, 0.7)
    shape = np.stack([by_day, late, np.ones(len(hour))])
    level = rng.beta(1.3, 12, n_customers)
    noise = np.exp(rng.normal(0, 0.25, (n_customers, len(hour))))
    p_first = np.clip(level[:, None] * shape[kind] * noise, 0, 0.9).astype(np.float32)
    fade = np.cumprod(np.column_stack([np.ones(n_customers), *[0.9 * (1 - level)] * 4]), axis=1)
    days = np.append(np.flatnonzero(np.append(True, np.diff(weekday) != 0)), len(hour)).astype(np.int64)
    return Demand(p_first, fade.astype(np.float32), np.full(n_customers, 5, dtype=np.int64), days)


if __name__ == "__main__":
    main()
