"""How good predicted probabilities are: smaller is better for losses, larger for AUC and lift."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from models.contact.calibration import build_reliability

MEASURES = ("n_rows", "n_contacts", "log_loss", "auc", "brier", "calibration_error", "lift_top_tenth")


def judge(p: np.ndarray, is_contact: np.ndarray) -> dict[str, float]:
    """Judge predictions on dials the model has not seen.

    Parameters
    ----------
    p : (n,) float
        Predicted probability of contact.
    is_contact : (n,) bool

    Returns
    -------
    dict
        n_rows · n_contacts · log_loss (nats a dial) · auc · brier · calibration_error (mean gap of ten equal bins,
        weighted by dials) · lift_top_tenth (contact rate of the tenth with the highest p over the mean rate).
        With no contact, or nothing else, auc and lift are NaN.

    Examples
    --------
    >>> judge(np.array([0.2, 0.8]), np.array([False, True]))["auc"]
    1.0
    """
    p = np.clip(np.asarray(p, dtype="float64"), 1e-9, 1 - 1e-9)
    is_contact = np.asarray(is_contact, dtype=bool)
    mixed = 0 < is_contact.sum() < len(is_contact)
    bins = build_reliability(p, is_contact)
    top = np.argsort(-p, kind="stable")[: max(len(p) // 10, 1)]
    return {
        "n_rows": float(len(p)),
        "n_contacts": float(is_contact.sum()),
        "log_loss": float(log_loss(is_contact, p, labels=[False, True])) if len(p) else float("nan"),
        "auc": float(roc_auc_score(is_contact, p)) if mixed else float("nan"),
        "brier": float(brier_score_loss(is_contact, p)) if len(p) else float("nan"),
        "calibration_error": float(np.average((bins["p_mean"] - bins["contact_rate"]).abs(), weights=bins["n"]))
        if len(p)
        else float("nan"),
        "lift_top_tenth": float(is_contact[top].mean() / is_contact.mean()) if mixed else float("nan"),
    }


def read_measures(metrics: Mapping[str, float]) -> pd.DataFrame:
    """Measures of rivals on folds from flat metrics named ``<rival>.<fold>.<measure>``, as a night logs them.

    Returns
    -------
    DataFrame
        rival · fold · ``MEASURES``; NaN where nothing was logged. Other metrics are left out.

    Examples
    --------
    >>> read_measures({"overall_rate.unseen_customers.auc": 0.5, "trust.list_slope": 1.0})["fold"].tolist()
    ['unseen customers']
    """
    found: dict[tuple[str, str], dict[str, float]] = {}
    for name, value in metrics.items():
        parts = name.replace("_", " ").split(".")
        measure = name.rpartition(".")[2]
        if len(parts) == 3 and measure in MEASURES:
            found.setdefault((parts[0], parts[1]), {})[measure] = value
    rows = [{"rival": rival, "fold": fold, **measures} for (rival, fold), measures in found.items()]
    return pd.DataFrame(rows, columns=["rival", "fold", *MEASURES])
