"""How long a dial binds an agent, and so how many dials an agent-hour holds."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from configs.settings import PlanningSettings
from features.outcomes import CONTACT

_FEWEST = 30  # timed dials of each kind below which a mean says little
_PARTS = ["ring_seconds", "talk_seconds", "wrap_seconds"]


@dataclass(frozen=True)
class HandleTimes:
    """Mean seconds from ringing to the end of the wrap-up: AHT of dials with and without a keyman contact.

    >>> HandleTimes(240.0, 40.0).dials_per_agent_hour(np.array([0.0, 0.5]), PlanningSettings(occupancy=0.8)).tolist()
    [72.0, 20.57...]
    """

    contacted: float
    not_contacted: float

    def dials_per_agent_hour(
        self, contact_rate: npt.NDArray[np.floating], planning: PlanningSettings
    ) -> npt.NDArray[np.float64]:
        """Dials that an agent makes in an hour where this share of them reaches the keyman; (n,).

        3600 · occupancy · (1 - shrinkage) over the mean handle time: the more contacts, the fewer dials.
        """
        worked = 3600 * planning.occupancy * (1 - planning.shrinkage)
        share = np.asarray(contact_rate, dtype=np.float64)
        return worked / (share * self.contacted + (1 - share) * self.not_contacted)


def learn_handle_times(attempts: pd.DataFrame) -> HandleTimes | None:
    """Learn the two handle times from the log; None where too few dials of either kind were timed.

    Parameters
    ----------
    attempts
        Checked: outcome · ring_seconds · talk_seconds · wrap_seconds. A dial is timed if any of the three is known; an
        unknown part of it counts as nothing (a dial that nobody answered has no talk).

    Examples
    --------
    >>> log = pd.DataFrame({"outcome": ["keyman_contact", "no_answer"] * 30, "ring_seconds": [10.0, 25.0] * 30,
    ...     "talk_seconds": [180.0, float("nan")] * 30, "wrap_seconds": [50.0, 5.0] * 30})
    >>> learn_handle_times(log)
    HandleTimes(contacted=240.0, not_contacted=30.0)
    """
    if len(attempts) == 0:
        return None
    seconds = attempts[_PARTS].sum(axis=1, min_count=1).to_numpy(dtype=float)
    is_contact, is_timed = (attempts["outcome"] == CONTACT).to_numpy(), seconds > 0
    kinds = [seconds[is_timed & is_contact], seconds[is_timed & ~is_contact]]
    if min(map(len, kinds)) < _FEWEST:
        return None
    return HandleTimes(float(kinds[0].mean()), float(kinds[1].mean()))
