"""What the experiment has measured: customers of the control arm beside all others, by outcomes that came back.

Both arms share every slot's places, so the ratio of their contact rates is timing times list: what the plan adds to the
past way where seats are the same. Customers belong to the arm that they were drawn into, whatever was dialled and why:
a call-back promised to one of the control arm counts for the control arm, or the plan would be credited with it. So the
log need not say which list a dial came from; the first day of the experiment (``planning.control_since``) is enough.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from configs.settings import Settings
from features.outcomes import CONTACT
from models.planning.control import find_control

EXPERIMENT_DAYS = 56
"""Outcomes that count: as old as the past way's (``models.planning.past_way``)."""
LEAST_CONTACTS = 100
"""Keyman contacts that each arm must have before its rate is believed."""


@dataclass(frozen=True)
class Experiment:
    """Dials and keyman contacts of both arms, and the plan's rate over the past way's.

    ``first_day`` and ``last_day`` are ISO dates of the dials that count. The ratio and its 90 % interval, over
    customers, are None while either arm has fewer than ``LEAST_CONTACTS`` contacts.
    """

    first_day: str
    last_day: str
    plan_dials: int
    plan_contacts: int
    control_dials: int
    control_contacts: int
    ratio: float | None = None
    low: float | None = None
    high: float | None = None


def measure_experiment(
    attempts: pd.DataFrame, customers: pd.DataFrame, settings: Settings, rng: np.random.Generator
) -> Experiment | None:
    """Compare the arms by the outcomes since the experiment began, of the last eight weeks.

    Parameters
    ----------
    attempts
        Checked attempts: customer_row · attempted_at · outcome.
    customers
        Checked customers, who are drawn into the arms by ``models.planning.control.find_control``.
    rng
        Draws the resamples.

    Returns
    -------
    Experiment or None
        None where no experiment is going on: no ``planning.control_share`` or ``control_since``, or no dial since then.

    Examples
    --------
    >>> customers = pd.DataFrame({"customer_id": [f"c{k}" for k in range(2_000)]})
    >>> settings = Settings(planning={"control_share": 0.5, "control_since": "2026-11-02"})
    >>> every = np.where(find_control(customers, 0.5, settings.seed), 6, 4)
    >>> attempts = pd.DataFrame({"customer_row": range(2_000),
    ...     "attempted_at": pd.Timestamp("2026-11-02 10:00", tz="Asia/Tokyo"),
    ...     "outcome": np.where(np.arange(2_000) % every == 0, "keyman_contact", "busy")})
    >>> found = measure_experiment(attempts, customers, settings, np.random.default_rng(7))
    >>> 1.1 < found.ratio < 2.0, found.low < found.ratio < found.high
    (True, True)
    """
    planning = settings.planning
    if planning.control_share == 0 or planning.control_since is None:
        return None
    newest = attempts["attempted_at"].max()
    since = max(pd.Timestamp(planning.control_since, tz=newest.tz), newest - pd.Timedelta(days=EXPERIMENT_DAYS))
    dials = attempts.loc[attempts["attempted_at"] >= since, ["customer_row", "attempted_at", "outcome"]]
    if dials.empty:
        return None
    per_customer = np.zeros((2, len(customers)))
    np.add.at(per_customer[0], dials["customer_row"].to_numpy(), 1.0)
    np.add.at(per_customer[1], dials.loc[dials["outcome"] == CONTACT, "customer_row"].to_numpy(), 1.0)
    is_control = find_control(customers, planning.control_share, settings.seed)
    return _compare(per_customer, is_control, dials["attempted_at"], settings.gains.n_resamples, rng)


def _compare(
    per_customer: np.ndarray,
    is_control: np.ndarray,
    attempted_at: "pd.Series[Any]",
    n_resamples: int,
    rng: np.random.Generator,
) -> Experiment:
    """Count both arms; ``per_customer`` (2, n_customers) are dials and contacts."""
    arms = np.stack([~is_control, is_control])
    (plan_dials, control_dials), (plan_contacts, control_contacts) = per_customer @ arms.T
    days = attempted_at.dt.date
    counted = Experiment(
        str(days.min()), str(days.max()), int(plan_dials), int(plan_contacts), int(control_dials), int(control_contacts)
    )
    if min(plan_contacts, control_contacts) < LEAST_CONTACTS:
        return counted
    called = per_customer[0] > 0
    drawn = [
        _rate_ratio(per_customer[:, called] * rng.poisson(1.0, int(called.sum())), arms[:, called])
        for _ in range(n_resamples)
    ]
    low, high = np.quantile(drawn, [0.05, 0.95])
    found = {"ratio": _rate_ratio(per_customer, arms), "low": float(low), "high": float(high)}
    return Experiment(**vars(counted) | found)


def _rate_ratio(per_customer: np.ndarray, arms: np.ndarray) -> float:
    """Contacts per dial of the plan's arm over those of the control arm."""
    dials, contacts = per_customer @ arms.T
    plan, control = contacts / np.maximum(dials, 1.0)
    return float(plan / max(control, 1e-12))


def prefer_measured(gains: dict[str, dict[str, Any]], found: Experiment | None) -> dict[str, dict[str, Any]]:
    """Put what was measured in place of what the model says of it.

    Of timing × list only the product is measured: it is shared out as the model shares its own, so that total stays
    timing × list × staffing. Where seats are moved, staffing and with it the total still rest on the model.

    Examples
    --------
    >>> says = {"ratio": 1.2, "low": 1.1, "high": 1.3, "basis": "model"}
    >>> still = {"ratio": 1.0, "low": 1.0, "high": 1.0, "basis": "model"}
    >>> gains = {"timing": says, "list": says, "staffing": still, "total": says | {"ratio": 1.44}}
    >>> found = Experiment("2026-10-01", "2026-11-01", 9_000, 1_210, 1_000, 100, 1.21, 1.1, 1.4)
    >>> told = prefer_measured(gains, found)
    >>> round(told["timing"]["ratio"], 2), told["total"]["ratio"], told["total"]["basis"]
    (1.1, 1.21, 'experiment')
    """
    if found is None or found.ratio is None or gains["total"]["ratio"] is None:
        return gains
    measured = {key: float(getattr(found, key)) for key in ("ratio", "low", "high")}
    timing, of_list = (np.log(gains[part]["ratio"]) for part in ("timing", "list"))
    of_timing = float(np.clip(timing / (timing + of_list), 0, 1)) if timing + of_list > 0.01 else 0.5
    staffing = gains["staffing"]
    stays = staffing["ratio"] == staffing["low"] == staffing["high"] == 1.0
    return {
        "timing": {key: value**of_timing for key, value in measured.items()} | {"basis": "experiment"},
        "list": {key: value ** (1 - of_timing) for key, value in measured.items()} | {"basis": "experiment"},
        "staffing": staffing,
        "total": {key: value * staffing[key] for key, value in measured.items()}
        | {"basis": "experiment" if stays else "model"},
    }


def tell_experiment(found: Experiment | None) -> tuple[str, ...]:
    """Say what the arms came to, or what is missing until they can be compared.

    >>> tell_experiment(Experiment("2026-10-01", "2026-11-01", 9_000, 900, 800, 50))[0][:60]
    'The experiment (2026-10-01 to 2026-11-01) has 900 keyman con'
    """
    if found is None:
        return ()
    counted = (
        f"The experiment ({found.first_day} to {found.last_day}) has {found.plan_contacts:,} keyman contacts in "
        f"{found.plan_dials:,} dials of the plan's arm, {found.control_contacts:,} in {found.control_dials:,} of the "
        "control arm"
    )
    if found.ratio is None:
        return (f"{counted}: too few to compare, {LEAST_CONTACTS} in each arm are needed. Gains are the model's.",)
    between = f"{found.low:.2f} to {found.high:.2f}"
    return (f"{counted}: {found.ratio:.2f} times the rate of the past way (90 % interval {between}), seats alike.",)
