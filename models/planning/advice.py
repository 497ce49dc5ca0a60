"""Advice on staffing: which places each slot should have, by seats alone or by a roster of shifts, and its worth."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from configs.settings import Settings
from models.planning.handling import Effort, count_in_dials
from models.planning.sample import Sample
from models.planning.sequences import IntArray
from models.planning.shifts import Roster, plan_shifts
from models.planning.staffing import Worth, bound_seats, judge_places, recommend_for_demand

NAMED = 4  # slots named one by one in a sentence


@dataclass(frozen=True)
class StaffingAdvice:
    """What is recommended, and what it is worth beside the places given.

    Attributes
    ----------
    places : int64 array of shape (n_slots,)
        Places recommended.
    before, after : Worth
        Of the places given and recommended, for the customers looked at.
    n_customers : int
        Customers looked at: an even sample of all who may be called.
    roster : Roster or None
        The best roster found, when there are shift templates.
    is_adopted : bool
        Whether the places recommended are those of the roster.
    short
        slot_start · agents_short · why: slots with fewer agents than the settings ask for.
    remarks : tuple of str
        What people must know: hours that are short, time away that finds no room, a roster that is not followed.
    """

    places: IntArray
    before: Worth
    after: Worth
    n_customers: int
    roster: Roster | None
    is_adopted: bool
    short: pd.DataFrame
    remarks: tuple[str, ...]

    @property
    def ratio(self) -> float:
        """Keyman contacts with the places recommended over those with the places given; 1 where there are none."""
        return self.after.contacts / self.before.contacts if self.before.contacts > 0 else 1.0


def advise_staffing(
    sample: Sample,
    capacity: npt.NDArray[np.integer],
    slot_starts: pd.DatetimeIndex,
    settings: Settings,
    effort: Effort | None = None,
) -> StaffingAdvice:
    """Recommend places per slot: with shift templates those of the best roster, else those of freely moved seats.

    A roster is followed only where its places are worth as much as those given, by the same estimate.

    Parameters
    ----------
    sample
        What dials are worth.
    capacity : int array of shape (n_slots,)
        Places given.
    slot_starts
        In the centre's zone, sorted.
    effort
        How places are counted, by default in dials.

    Examples
    --------
    >>> from models.planning.sample import take_sample
    >>> from models.planning.sequences import build_single_demand
    >>> demand = build_single_demand(np.array([[0.1, 0.4], [0.1, 0.3]], dtype="float32"), np.ones((2, 2), dtype=bool))
    >>> settings = Settings.model_validate({"planning": {"max_slot_dials": 2}})
    >>> starts = pd.date_range("2026-11-02 09:00", periods=2, freq="h", tz="Asia/Tokyo")
    >>> advice = advise_staffing(take_sample(demand), np.array([1, 1]), starts, settings)
    >>> advice.places.tolist(), round(advice.before.contacts, 2), round(advice.after.contacts, 2)
    ([0, 2], 0.5, 0.7)
    """
    effort = effort or count_in_dials(settings)
    given = np.maximum(np.asarray(capacity, dtype=np.int64), 0)
    before, n_customers = judge_places(sample.demand, given * sample.share), sample.demand.shape[0]
    if settings.staffing.shifts:
        roster = plan_shifts(sample, given, slot_starts, settings, effort)
        is_adopted = roster.worth.value >= before.value
        places, after = (roster.places, roster.worth) if is_adopted else (given, before)
        remarks = _tell_roster(roster, before, is_adopted)
        return StaffingAdvice(places, before, after, n_customers, roster, is_adopted, roster.short, tuple(remarks))
    bounds = bound_seats(given, settings, slot_starts, effort)
    places, after = recommend_for_demand(sample, given, settings, bounds, before)
    per_agent = effort.per_agent_hour * settings.slot_minutes / 60
    is_free = bounds.least < bounds.most
    short = _find_short(
        np.where(is_free & (given > 0), settings.staffing.min_agents - places / per_agent, 0), slot_starts
    )
    return StaffingAdvice(places, before, after, n_customers, None, False, short, tuple(_tell_short(short)))


def _find_short(agents_short: npt.NDArray[np.floating], slot_starts: pd.DatetimeIndex) -> pd.DataFrame:
    is_short = agents_short > 1e-6
    return pd.DataFrame(
        {"slot_start": slot_starts[is_short], "agents_short": agents_short[is_short], "why": "too few agents"}
    )


def _tell_roster(roster: Roster, before: Worth, is_adopted: bool) -> list[str]:
    told = _tell_short(roster.short)
    told += [
        f"{skipped} of {n} sessions of {name.replace('_', '-')} find no room in the shifts"
        for name, (skipped, n) in roster.skipped.items()
        if skipped
    ]
    if not is_adopted:
        share = roster.worth.value / before.value
        told.append(
            f"no roster of these shifts was found that is worth as much as the places given (the best reaches "
            f"{share:.1%} of it): places and list stay as given, and shifts.csv shows that roster for comparison"
        )
    return told


def _tell_short(short: pd.DataFrame) -> list[str]:
    """One sentence per cause; the first slots by name."""
    told = []
    for why, slots in short.groupby("why", sort=True):
        names = [
            f"{start:%a %m-%d %H:%M}" + (f" ({agents:.1f} agents)" if agents > 0 else "")
            for start, agents in zip(slots["slot_start"], slots["agents_short"], strict=True)
        ]
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        told.append(f"short hours, {why}: {', '.join(names[:NAMED])}{more}")
    return told
