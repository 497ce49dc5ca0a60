"""Small logs with known truth for the tests of features and models: people, and dials at random or until answered."""

from typing import Any

import numpy as np
import pandas as pd

from features.outcomes import CONTACT, OUTCOMES

ZONE = "Asia/Tokyo"
START = pd.Timestamp("2026-08-03")  # a Monday


def draw_customers(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Customers as the contract leaves them; some attributes unknown."""
    age = rng.integers(18, 90, n).astype("float32")
    age[rng.random(n) < 0.05] = np.nan
    gender = pd.Series(rng.choice(["female", "male"], n), dtype="str").mask(rng.random(n) < 0.05)
    return pd.DataFrame(
        {
            "customer_id": pd.Series([f"C{row:06d}" for row in range(n)], dtype="str"),
            "age": age,
            "gender": gender,
            "region": pd.Series(rng.choice(["Aomori", "Osaka", "Tokyo"], n), dtype="str"),
        }
    )


def build_attempts(customer_row: Any, at: Any, outcome: Any, zone: str = ZONE) -> pd.DataFrame:
    """Attempts as the contract leaves them (the columns that features read); ``at`` naive local or tz-aware."""
    times = pd.DatetimeIndex(at)
    times = times.tz_localize(zone) if times.tz is None else times.tz_convert(zone)
    frame = pd.DataFrame(
        {
            "customer_row": np.asarray(customer_row, dtype="int32"),
            "attempted_at": pd.Series(times.as_unit("us")),
            "outcome": pd.Series(list(outcome), dtype="str"),
        }
    )
    frame = frame.sort_values("attempted_at", kind="stable", ignore_index=True)
    return frame.assign(attempt_id=pd.Series([f"A{row:07d}" for row in range(len(frame))], dtype="str"))


def draw_attempts(n: int, n_customers: int, rng: np.random.Generator, n_days: int = 50) -> pd.DataFrame:
    """Dials of any outcome at any hour; several share a second, some customers have none."""
    seconds = rng.integers(0, n_days * 24 * 60, n) * 60
    seconds[: n // 10] = seconds[n // 10 : 2 * (n // 10)]
    rows = rng.integers(0, max(n_customers - 2, 1), n)
    rows[: n // 10] = rows[n // 10 : 2 * (n // 10)]
    share = [0.2, 0.16] + [0.64 / (len(OUTCOMES) - 2)] * (len(OUTCOMES) - 2)
    return build_attempts(rows, START + pd.to_timedelta(seconds, unit="s"), rng.choice(OUTCOMES, n, p=share))


def simulate_calls(
    logit: np.ndarray, rng: np.random.Generator, n_dials: int = 10, stops: bool = True, step_days: float = 3.0
) -> pd.DataFrame:
    """Dial every customer ``n_dials`` times from a day of their own on; ``stops``: no more after the first contact.

    ``logit`` is (n,) of each customer or (n, 24) of each customer and hour.
    """
    n = len(logit)
    by_hour = np.broadcast_to(logit[:, None], (n, 24)) if logit.ndim == 1 else logit
    begin, is_open = rng.integers(0, 60, n), np.ones(n, dtype=bool)
    rows, days, hours, contacts = [], [], [], []
    for k in range(n_dials):
        called = np.flatnonzero(is_open)
        hour = rng.integers(9, 21, len(called))
        reached = rng.random(len(called)) < 1 / (1 + np.exp(-by_hour[called, hour]))
        rows.append(called)
        days.append(begin[called] + round(k * step_days))
        hours.append(hour)
        contacts.append(reached)
        if stops:
            is_open[called[reached]] = False
    row, hour = np.concatenate(rows), np.concatenate(hours)
    seconds = np.concatenate(days) * 86_400 + hour * 3600 + rng.integers(0, 3600, len(row))
    outcome = np.where(np.concatenate(contacts), CONTACT, "no_answer")
    return build_attempts(row, START + pd.to_timedelta(seconds, unit="s"), outcome)
