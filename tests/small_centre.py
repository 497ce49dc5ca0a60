"""One small simulated centre per kind, checked and fitted once for all tests of a session; nothing may change it."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from configs.settings import Settings
from features.contracts import Tables, check_tables
from features.slots import build_slots
from models.contact.fitting import FittedNight, fit_night
from models.contact.scorer import Scorer, build_scorer
from pipelines.world import World, build_world

SETTINGS = Settings()
AS_OF = pd.Timestamp("2026-11-02", tz=SETTINGS.timezone)


@dataclass(frozen=True)
class SmallCentre:
    """Tables of a simulated centre of 3,000 customers and two months, and the truth behind them."""

    world: World
    tables: Tables
    slots: pd.DataFrame
    capacity: np.ndarray


@cache
def build_centre(kind: str = "carrier") -> SmallCentre:
    """Build the centre of a kind of world and check its tables."""
    world = build_world(3_000, 2, np.random.default_rng(7), kind=kind)
    raw = {"customers": world.customers, "call_attempts": world.call_attempts}
    tables, _ = check_tables(raw, AS_OF, SETTINGS)
    week = world.capacity[world.capacity["slot_start"] < AS_OF + pd.Timedelta(days=7)]
    slots = build_slots(pd.DatetimeIndex(week["slot_start"]), SETTINGS)
    return SmallCentre(world, tables, slots, week["dials"].to_numpy() if "dials" in week else np.full(len(slots), 12))


@cache
def fit_centre(kind: str = "carrier") -> FittedNight:
    """Fit the night of the centre."""
    return fit_night(build_centre(kind).tables, AS_OF, SETTINGS, np.random.default_rng(1))


@cache
def score_centre(kind: str = "carrier") -> Scorer:
    """Get the scorer of the centre's night, for all slots of its week."""
    tables = build_centre(kind).tables
    customers, slots = tables.customers, build_centre(kind).slots
    return build_scorer(fit_centre(kind).model, tables.call_attempts, customers, AS_OF, slots, SETTINGS)
