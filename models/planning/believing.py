"""What a plan's dials are believed to bring: the model's probabilities less what flatters them.

A plan picks the largest of many predictions, and the largest are too large on average (Smith and Winkler 2006, "The
optimizer's curse"). The list therefore states, and sums, what held-out dials say is believable of the differences
between customers and between slots (``models.contact.trust``). The plan itself is made from the model's own numbers:
which slot is best for a customer does not change.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, logit

from models.contact.trust import Trust
from models.planning.eligibility import Eligibility
from models.planning.schedule import CallPlan
from models.planning.sequences import Demand, FloatArray


def believe(plan: CallPlan, demand: Demand, eligibility: Eligibility, trust: Trust) -> CallPlan:
    """State ``p_keyman``, ``survival`` and ``expected_contacts`` of a plan as held-out dials make them believable.

    From every dial's log-odds goes what is not believable of two differences: of the customer's usual log-odds (mean
    over the lawful slots) from everybody's, and of the slot's from the customer's. What earlier dials of a series
    teach stays.

    Parameters
    ----------
    demand
        What ``build_demand`` gave for the plan: first dials in every lawful slot.
    trust
        Of the model that planned.
    """
    if len(plan.dials) == 0:
        return plan
    dials = plan.dials
    rows = np.searchsorted(eligibility.eligible_rows, dials["customer_row"].to_numpy())
    usual = find_usual(demand.p_first)
    everyone = float(np.nanmean(usual))
    of_customer = usual[rows] - everyone
    of_slot = _odds(demand.p_first[rows, dials["slot_row"].to_numpy()]) - usual[rows]
    excess = (1.0 - trust.list_slope) * of_customer + (1.0 - trust.timing_slope) * of_slot
    p = expit(_odds(dials["p_keyman"].to_numpy()) - excess)
    believed = dials.assign(p_keyman=p.astype("float32"), survival=_survive(dials, p))
    contacts = float((believed["survival"] * believed["p_keyman"]).sum())
    return replace(plan, dials=believed, expected_contacts=contacts)


def believe_chances(
    p_first: npt.NDArray[np.float32], usual: FloatArray, everyone: float, trust: Trust
) -> npt.NDArray[np.float32]:
    """Correct first dials of customers (m, n_slots) in the same way; negative stays where no dial is lawful.

    >>> believe_chances(np.array([[0.2, -1.0]], dtype="float32"), np.zeros(1), 0.0, Trust(1.0, 0.0)).tolist()
    [[0.5, -1.0]]
    """
    is_lawful = p_first >= 0
    odds = _odds(np.where(is_lawful, p_first, np.float32(0.5)))
    believed = Trust.correct(usual[:, None], odds - usual[:, None], everyone, trust.slopes)
    return np.where(is_lawful, believed, -1.0).astype(np.float32)


def find_usual(p_first: npt.NDArray[np.float32]) -> FloatArray:
    """Mean log-odds of each customer over their lawful slots, NaN without any; (n,).

    >>> find_usual(np.array([[0.5, -1.0], [-1.0, -1.0]], dtype="float32")).tolist()
    [0.0, nan]
    """
    is_lawful = p_first >= 0
    odds = _odds(np.where(is_lawful, p_first, np.float32(0.5)))  # 0 where no dial is lawful
    n_lawful = is_lawful.sum(axis=1)
    return np.where(n_lawful > 0, odds.sum(axis=1, dtype=float) / np.maximum(n_lawful, 1), np.nan)


def _odds(p: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Log-odds, finite for 0 and 1 too."""
    return np.asarray(logit(np.clip(p, 1e-7, 1 - 1e-7)))


def _survive(dials: pd.DataFrame, p: FloatArray) -> npt.NDArray[np.float64]:
    """Chance that each dial is still to be made, when each of the earlier ones fails as often as is believed."""
    by_time = dials.assign(fails=(1.0 - p) / (1.0 - dials["p_keyman"].to_numpy(dtype=float)))
    by_time = by_time.sort_values(["customer_row", "slot_row"], kind="stable")
    earlier = by_time.groupby("customer_row")["fails"].cumprod().groupby(by_time["customer_row"]).shift(fill_value=1.0)
    survival = dials["survival"].to_numpy(dtype=float) * earlier.reindex(dials.index).to_numpy(dtype=float)
    return np.asarray(np.clip(survival, 0.0, 1.0), dtype=np.float64)
