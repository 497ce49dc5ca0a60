"""Simple rivals: the overall rate, and a logistic regression on attributes, slot and history."""

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from features.history import HISTORY_FEATURES, PART_FEATURES
from models.contact.effects import SLOT_KEYS


def predict_overall_rate(learned_from: np.ndarray, n_rows: int) -> np.ndarray:
    """The contact rate of the learning dials for every row; (n_rows,) float.

    >>> predict_overall_rate(np.array([True, False]), 2).tolist()
    [0.5, 0.5]
    """
    return np.full(n_rows, float(learned_from.mean()))


def fit_logistic_regression(design: sparse.csr_matrix, is_contact: np.ndarray) -> Pipeline:
    """Fit a ridge-penalised logistic regression.

    Parameters
    ----------
    design : (n, n_columns) sparse
        Of :func:`build_design`.
    """
    fitted: Pipeline = make_pipeline(MaxAbsScaler(), LogisticRegression(C=1.0, max_iter=200))
    return fitted.fit(design, is_contact)


def build_design(
    rows: pd.DataFrame, codes: dict[str, np.ndarray], slots: dict[str, np.ndarray], attributes: tuple[str, ...]
) -> sparse.csr_matrix:
    """One-hot attributes and slot keys beside the logarithms of the history counts; (n, n_columns) sparse.

    Parameters
    ----------
    rows
        Rows of ``build_rows``; history columns are read.
    codes, slots
        Levels per customer key and slot key, (n,) int each.
    """
    blocks = [_one_hot(codes[name]) for name in attributes] + [_one_hot(slots[key]) for key in SLOT_KEYS if key]
    counts = rows[[*HISTORY_FEATURES, *PART_FEATURES]].to_numpy("float64")
    never = np.isnan(counts)
    filled = np.log1p(np.where(never, 0.0, counts))
    return sparse.hstack([*blocks, sparse.csr_matrix(filled), sparse.csr_matrix(never.astype("float64"))], format="csr")


def _one_hot(levels: np.ndarray) -> sparse.csr_matrix:
    # 512 columns hold every key we have; columns that stay empty get no weight
    n_levels = 512
    ones = np.ones(len(levels))
    clipped = np.minimum(levels, n_levels - 1)
    return sparse.csr_matrix((ones, (np.arange(len(levels)), clipped)), shape=(len(levels), n_levels))
