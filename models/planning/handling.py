"""What a dial takes of a slot, and what an agent-hour gives: in dials, or in agent-seconds learned from the log."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from configs.settings import Settings
from features.outcomes import CONTACT

FEWEST = 30  # timed dials of each kind below which a mean says little
PARTS = ["ring_seconds", "talk_seconds", "wrap_seconds"]


@dataclass(frozen=True)
class HandleTimes:
    """Mean seconds from ringing to the end of the wrap-up: AHT of dials with and without a keyman contact.

    Attributes
    ----------
    contacted, not_contacted : float
        Seconds, above 0.
    contact_rate : float
        Share of the timed dials that were contacts.
    """

    contacted: float
    not_contacted: float
    contact_rate: float


@dataclass(frozen=True)
class Effort:
    """How places are counted: in dials, each taking one, or in agent-seconds, of which contacts take more.

    Attributes
    ----------
    per_agent_hour : float
        Places that an agent gives in an hour.
    times : HandleTimes or None
        Of a dial, where places are agent-seconds; None where they are dials.
    """

    per_agent_hour: float
    times: HandleTimes | None = None

    def count_places(self, p_keyman: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Places that dials with these chances of a contact are expected to take, in the same shape.

        ``p · contacted + (1 - p) · not_contacted`` seconds, or one dial.

        >>> Effort(3060.0, HandleTimes(240.0, 40.0, 0.1)).count_places([0.0, 0.5]).tolist()
        [40.0, 140.0]
        """
        p = np.asarray(p_keyman, dtype=np.float64)
        if self.times is None:
            return np.ones_like(p)
        return self.times.not_contacted + (self.times.contacted - self.times.not_contacted) * p

    @property
    def usual_places(self) -> float:
        """Places that a dial takes when as many reach the keyman as in the log."""
        return 1.0 if self.times is None else float(self.count_places(self.times.contact_rate))

    def count_usual_dials(self, places: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Whole dials that places hold when as many of them reach the keyman as in the log.

        >>> Effort(3060.0, HandleTimes(240.0, 40.0, 0.1)).count_usual_dials([3060, 59]).tolist()
        [51, 0]
        """
        return np.floor(np.asarray(places, dtype=np.float64) / self.usual_places + 1e-9).astype(np.int64)


def count_in_dials(settings: Settings) -> Effort:
    """Count places in dials, as the settings say how many an agent makes in an hour."""
    return Effort(settings.planning.dials_per_agent_hour)


def find_effort(capacity: pd.DataFrame | None, attempts: pd.DataFrame, settings: Settings) -> Effort:
    """Count places in agent-seconds where the capacity table has agents and the log tells how long dials take.

    An agent gives 3600 · occupancy · (1 - shrinkage) seconds an hour.

    Parameters
    ----------
    capacity
        The checked table, or None.
    attempts
        The checked log: outcome · ring_seconds · talk_seconds · wrap_seconds.

    Examples
    --------
    >>> log = pd.DataFrame({"outcome": ["keyman_contact", "no_answer"] * 30, "ring_seconds": [10.0, 25.0] * 30,
    ...     "talk_seconds": [180.0, float("nan")] * 30, "wrap_seconds": [50.0, 5.0] * 30})
    >>> find_effort(pd.DataFrame({"agents": [2.0]}), log, Settings())
    Effort(per_agent_hour=3060.0, times=HandleTimes(contacted=240.0, not_contacted=30.0, contact_rate=0.5))
    """
    times = learn_handle_times(attempts) if capacity is not None and "agents" in capacity else None
    if times is None:
        return count_in_dials(settings)
    return Effort(3600 * settings.staffing.occupancy * (1 - settings.staffing.shrinkage), times)


def learn_handle_times(attempts: pd.DataFrame) -> HandleTimes | None:
    """Learn the two handle times from the log; None where fewer than 30 dials of either kind were timed.

    A dial is timed if any of its three parts is known; an unknown part counts as nothing (a dial that nobody answered
    has no talk). Dials of no time at all, as some systems log them, count as not timed.
    """
    if len(attempts) == 0:
        return None
    seconds = attempts[PARTS].sum(axis=1, min_count=1).to_numpy(dtype=float)
    is_contact, is_timed = (attempts["outcome"] == CONTACT).to_numpy(), seconds > 0
    contacted, others = seconds[is_timed & is_contact], seconds[is_timed & ~is_contact]
    if min(len(contacted), len(others)) < FEWEST:
        return None
    return HandleTimes(float(contacted.mean()), float(others.mean()), len(contacted) / (len(contacted) + len(others)))
