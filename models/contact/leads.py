"""How far tonight's model is ahead of its rivals and of the champion, on the same dials, and how sure that is.

Two models can only be compared on dials that neither has learned from. The champion that goes to work has learned from
days that now judge, so its twin stands in for it: the model that was fitted, on the champion's own night, on the days
before that night's forward fold. Tonight's model is judged by such a twin too, so both are judged alike.

The difference of log loss is summed by customer, and customers are drawn again and again with all their dials, because
dials of one person are alike (paired cluster bootstrap; Efron and Tibshirani, An introduction to the bootstrap, 1993).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from configs.settings import Settings
from features.table import DialLog
from models.contact.model import ContactModel
from models.contact.rivals import RIVALS, Judged, build_training_rows

CHAMPION = "champion"
LEAD_COLUMNS = ("against", "n_dials", "n_customers", "saved", "share_saved", "low", "high")
N_RESAMPLES = 1_000
_PREFIX = "lead_over"


def compare_on_forward(
    judged: Sequence[Judged],
    log: DialLog,
    forward: np.ndarray,
    model: ContactModel,
    champion: ContactModel | None,
    settings: Settings,
) -> pd.DataFrame:
    """Measure the model's lead over every rival, and over the champion's twin if there is one.

    Parameters
    ----------
    judged
        Of ``judge_rivals`` on the same log.
    forward : (n_dials,) bool
        Dials that neither ``model`` nor ``champion`` has learned from.

    Returns
    -------
    DataFrame
        ``LEAD_COLUMNS``, one row per rival and one against ``champion``; see :func:`measure_leads`.
    """
    rows = np.flatnonzero(forward)
    losses = {j.rival: log_losses(j.p, j.is_contact) for j in judged if j.fold == "forward"}
    pairs = {rival: (losses[rival], losses[RIVALS[-1]]) for rival in losses if rival != RIVALS[-1]}
    if champion is not None and len(rows):
        twins = [_lose_forward(twin, log, rows, settings) for twin in (champion, model)]
        pairs[CHAMPION] = (twins[0], twins[1])
    return measure_leads(pairs, log.history.customer_row[rows], np.random.default_rng(settings.seed))


def measure_leads(
    pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], customer_row: np.ndarray, rng: np.random.Generator
) -> pd.DataFrame:
    """Mean log loss saved per dial against each other model, with its 90 % interval over customers.

    Parameters
    ----------
    pairs
        Per other model its loss and ours on each dial, nats, (n,) each.
    customer_row : (n,) int
        Whom each dial was to; all dials of a customer are drawn together.

    Returns
    -------
    DataFrame
        against · n_dials · n_customers · saved (nats a dial; above 0 we are better) · share_saved (of the other's loss)
        · low · high (5 % and 95 % of the resampled ``saved``).

    Examples
    --------
    >>> theirs, ours = np.array([0.5, 0.4, 0.6]), np.array([0.4, 0.3, 0.5])
    >>> lead = measure_leads({"table": (theirs, ours)}, np.array([0, 0, 1]), np.random.default_rng(7)).iloc[0]
    >>> [round(float(lead[name]), 3) for name in ("saved", "share_saved", "low")]
    [0.1, 0.2, 0.1]
    """
    if not pairs or len(customer_row) == 0:
        return pd.DataFrame(columns=list(LEAD_COLUMNS))
    who = np.unique(customer_row, return_inverse=True)[1]
    saved = [theirs - ours for theirs, ours in pairs.values()]
    by_customer = np.column_stack([np.bincount(who, weights=each) for each in (*saved, np.ones(len(who)))])
    n_customers = len(by_customer)
    drawn = np.empty((N_RESAMPLES, by_customer.shape[1]))
    for row in range(N_RESAMPLES):
        times = np.bincount(rng.integers(n_customers, size=n_customers), minlength=n_customers)
        drawn[row] = times @ by_customer
    low, high = np.quantile(drawn[:, :-1] / drawn[:, -1:], [0.05, 0.95], axis=0)
    mean = np.array([each.mean() for each in saved])
    share = mean / np.array([theirs.mean() for theirs, _ in pairs.values()])
    columns = (list(pairs), len(who), n_customers, mean, share, low, high)
    return pd.DataFrame(dict(zip(LEAD_COLUMNS, columns, strict=True)))


def log_losses(p: np.ndarray, is_contact: np.ndarray) -> np.ndarray:
    """Log loss of each dial, nats; (n,).

    >>> log_losses(np.array([0.5, 0.25]), np.array([True, False])).round(3).tolist()
    [0.693, 0.288]
    """
    p = np.clip(np.asarray(p, dtype="float64"), 1e-9, 1 - 1e-9)
    return np.asarray(-np.log(np.where(is_contact, p, 1 - p)))


def flatten_leads(leads: pd.DataFrame) -> dict[str, float]:
    """Leads as metrics of a run, ``lead_over.<rival>.<column>``."""
    return {
        f"{_PREFIX}.{row['against'].replace(' ', '_')}.{column}": float(row[column])
        for row in leads.to_dict("records")
        for column in LEAD_COLUMNS[1:]
    }


def read_leads(metrics: Mapping[str, float]) -> pd.DataFrame:
    """Leads from the metrics of a run, as :func:`flatten_leads` named them.

    >>> leads = pd.DataFrame([["overall rate", 9.0, 3.0, 0.1, 0.2, 0.05, 0.15]], columns=list(LEAD_COLUMNS))
    >>> read_leads(flatten_leads(leads)).equals(leads)
    True
    """
    found: dict[str, dict[str, object]] = {}
    for name, value in metrics.items():
        prefix, _, rest = name.partition(".")
        against, _, column = rest.rpartition(".")
        if prefix == _PREFIX:
            found.setdefault(against, {"against": against.replace("_", " ")})[column] = value
    return pd.DataFrame(list(found.values()), columns=list(LEAD_COLUMNS))


def _lose_forward(twin: ContactModel, log: DialLog, rows: np.ndarray, settings: Settings) -> np.ndarray:
    """Loss of each dial; the same seed cuts the same nights, so two twins are asked at the same moments."""
    own = settings.model_copy(update={"attributes": twin.attributes})
    asked = build_training_rows(log, rows, twin.hierarchy, own, np.random.default_rng(settings.seed))
    return log_losses(twin.predict_rows(asked.features), asked.is_contact)
