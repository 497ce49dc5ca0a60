"""Simulated centres with known truth, and what a plan is truly worth there: what the quality benchmarks stand on."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from configs.settings import Settings
from features.contracts import Tables, check_tables
from features.slots import build_slots
from models.contact.encoding import build_encoding
from models.planning.eligibility import Eligibility, find_eligible
from models.planning.gains import read_past_way, simulate_past_way
from models.planning.outlook import Outlook
from models.planning.rules import read_rule_packs
from models.planning.schedule import build_call_plan
from models.planning.worth import Scorer
from pipelines.world import World, build_world
from pipelines.world.world import DEFAULT_END

KINDS = ("carrier", "persons", "drift", "no_time")
N_PAST_DRAWS = 5


@dataclass(frozen=True)
class Centre:
    """A simulated centre on the morning of its run date, ready to be planned and judged."""

    world: World
    settings: Settings
    as_of: pd.Timestamp
    tables: Tables
    slots: pd.DataFrame
    places: np.ndarray
    eligibility: Eligibility

    def look_ahead(self, scorer: Scorer) -> Outlook:
        """What the scorer's plans are made from."""
        return Outlook(scorer, self.eligibility, self.slots, self.tables, self.settings)

    def value_plan(self, scorer: Scorer) -> np.ndarray:
        """Value, as of :meth:`value_dials`, of the plan that the scorer makes at the given places."""
        plan = build_call_plan(self.look_ahead(scorer), self.places).dials
        return self.value_dials(plan["customer_row"].to_numpy(), plan["slot_row"].to_numpy())

    def value_past_way(self, rng: np.random.Generator) -> np.ndarray:
        """The same of the past way of calling, mean of a few draws."""
        return np.mean([self.value_dials(*self.draw_past_way(rng)) for _ in range(N_PAST_DRAWS)], axis=0)

    def draw_past_way(
        self, rng: np.random.Generator, places: np.ndarray | None = None, dials_left: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Customer and slot rows of the week as the log would have filled it; (n_dials,) int each.

        ``places`` (n_slots,) and ``dials_left`` of each eligible customer are those of the centre unless given.
        """
        encoding = build_encoding(self.tables.customers, (), self.settings.segment_by)
        segment = encoding.encode(self.tables.customers)["×".join(self.settings.segment_by)]
        shares = read_past_way(self.tables.call_attempts, segment, self.slots, self.settings)
        day = pd.DatetimeIndex(self.slots["slot_start"]).tz_localize(None).to_numpy("datetime64[D]").astype("int64")
        who = self.eligibility
        left = who.attempts_left if dials_left is None else dials_left
        given = self.places if places is None else places
        rows, slot_rows = simulate_past_way(shares, segment[who.eligible_rows], who.lawful, left, day, given, rng)
        return who.eligible_rows[rows], slot_rows

    def value_dials(self, customer_rows: np.ndarray, slot_rows: np.ndarray) -> np.ndarray:
        """True keyman contacts per dial made, and per place; (2,).

        A dial is made when the earlier ones of its series have failed, and takes its place whether it is made or not.
        """
        order = np.lexsort((slot_rows, customer_rows))
        rows, slots = customer_rows[order], slot_rows[order]
        p = self.world.true_plan_p(rows, pd.DatetimeIndex(self.slots["slot_start"])[slots]).astype("float64")
        made = pd.Series(1.0 - p).groupby(rows).cumprod().groupby(rows).shift(1, fill_value=1.0).to_numpy()
        return made @ p / np.array([made.sum(), len(p)])


def build_centre(kind: str, n_customers: int, seed: int, settings: Settings | None = None) -> Centre:
    """Simulate three months of a centre and check its tables."""
    settings = settings or Settings()
    world = build_world(n_customers, 3, np.random.default_rng(seed), kind=kind)
    as_of = pd.Timestamp(DEFAULT_END, tz=settings.timezone)
    raw = {"customers": world.customers, "call_attempts": world.call_attempts, "capacity": world.capacity}
    tables, _ = check_tables(raw, as_of, settings)
    assert tables.capacity is not None
    week = tables.capacity[tables.capacity["slot_start"] < as_of + timedelta(days=settings.horizon_days)]
    slots = build_slots(pd.DatetimeIndex(week["slot_start"]), settings)
    eligibility = find_eligible(tables, slots, as_of, read_rule_packs(settings.rule_packs), settings)
    return Centre(world, settings, as_of, tables, slots, week["dials"].to_numpy("int64"), eligibility)
