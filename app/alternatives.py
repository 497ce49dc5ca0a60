"""Why a customer is dialled in one slot and not in another, as the plan weighs it: chance against the slot's price."""

import numpy as np
import numpy.typing as npt

VERDICTS = ("planned", "barred", "lower", "priced", "kept_out")
"""What speaks against a slot.

planned: nothing, a dial is planned there. barred: no call is allowed then. lower: the chance is no better. priced: the
chance is better, but by less than the slot's price is higher: its places go to customers who lose more by moving.
kept_out: it would be better on balance, but its places were filled or a rule on gaps between calls stood against it.
"""


def judge_slots(
    p: npt.NDArray[np.float64], price: npt.NDArray[np.float64], planned: npt.NDArray[np.bool_], value: float = 1.0
) -> npt.NDArray[np.str_]:
    """Say for every slot what speaks against it, beside the first slot that is planned for the customer.

    Parameters
    ----------
    p : (n_slots,) float
        Chance that a dial reaches the customer; NaN where no call is allowed.
    price : (n_slots,) float
        What one place of the slot is worth, in the unit of ``value`` × p; NaN where unknown.
    planned : (n_slots,) bool
        Slots in which a dial to this customer is planned. With none, the slots are weighed against not dialling.
    value
        Of one contact with this customer.

    Returns
    -------
    str array of shape (n_slots,)
        One of ``VERDICTS`` each.

    Examples
    --------
    >>> p, price = np.array([0.2, 0.3, 0.1, np.nan, 0.3]), np.array([0.05, 0.2, 0.0, 0.0, 0.1])
    >>> judge_slots(p, price, np.array([True, False, False, False, False])).tolist()
    ['planned', 'priced', 'lower', 'barred', 'kept_out']
    """
    chosen = int(np.argmax(planned)) if planned.any() else None
    p_chosen, price_chosen = (p[chosen], price[chosen]) if chosen is not None else (0.0, 0.0)
    dearer = np.nan_to_num(price) - np.nan_to_num(price_chosen)
    conditions = [planned, np.isnan(p), ~(p > p_chosen), value * (p - p_chosen) <= dearer + 1e-9]
    verdicts: npt.NDArray[np.str_] = np.select(conditions, VERDICTS[:4], VERDICTS[4])
    return verdicts
