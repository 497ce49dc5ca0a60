"""The customers by whom seats are moved and the move is judged: an even sample of all who may be called."""

from dataclasses import dataclass

import numpy as np

from models.planning.prices import Market
from models.planning.sequences import Demand

MOST = 4_000  # customers in a sample, or nearly twice as many


@dataclass(frozen=True)
class Sample:
    """Some customers, and which share of all they are; in (0, 1]."""

    demand: Demand
    share: float


def take_sample(demand: Market, n_customers: int | None = None) -> Sample:
    """Take an even sample of all customers.

    Parameters
    ----------
    n_customers
        How many there are, where those of ``demand``, by default all of them, stand for more than themselves.

    Examples
    --------
    >>> from models.planning.sequences import build_single_demand
    >>> two = build_single_demand(np.full((2, 1), 0.5, dtype="float32"), np.ones((2, 1), dtype=bool))
    >>> take_sample(two).share, take_sample(two, 4).demand.shape, take_sample(two, 16_000).share
    (1.0, (4, 1), 0.25)
    """
    n_known = demand.shape[0]
    n = n_known if n_customers is None else n_customers
    every = np.arange(0, n, max(1, n // MOST))
    return Sample(demand.take(every * n_known // max(n, 1)), len(every) / max(n, 1))
