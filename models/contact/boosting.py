"""Small, strongly regularised LightGBM trees that correct the hierarchy where it is too simple."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import lightgbm as lgb
import numpy as np
import pandas as pd

from configs.settings import ModelSettings
from models.contact.calibration import fit_calibration
from models.contact.hierarchy import Hierarchy
from models.contact.model import BASE, ContactModel

Callback = Callable[[lgb.callback.CallbackEnv], None]
LabelledRows: TypeAlias = tuple[pd.DataFrame, np.ndarray]
"""Rows of :func:`models.contact.model.build_rows` and whether each was a contact."""
Grow = Callable[[dict[str, Any], int, LabelledRows, LabelledRows, Iterable[Callback]], lgb.Booster]
"""Grows at most so many trees on the first rows; ``best_iteration`` is where the second gain no more."""
PATIENCE = 30


def fit_boosting(
    hierarchy: Hierarchy,
    attributes: tuple[str, ...],
    learn: LabelledRows,
    calibrate: LabelledRows,
    settings: ModelSettings,
    seed: int,
    params: Mapping[str, float | int] | None = None,
    callbacks: Iterable[Callback] = (),
    grow: Grow | None = None,
) -> ContactModel:
    """Boost from the hierarchy's logit, stop when kept-apart customers gain no more, calibrate on them.

    Parameters
    ----------
    learn, calibrate
        To learn from, and of the customers kept apart.
    params
        LightGBM parameters that override the settings (what tuning found).
    callbacks
        Called by LightGBM after every tree with the loss on the customers kept apart; what they raise ends the fit.
    grow
        Grows the trees, by default :func:`grow_trees`.

    Returns
    -------
    ContactModel
    """
    options = lightgbm_params(settings, seed) | dict(params or {})
    n_trees = int(options.pop("n_trees", settings.n_trees))
    names = [name for name in learn[0].columns if name != BASE]
    booster = (grow or grow_trees)(options, n_trees, learn, calibrate, callbacks)
    base, features = calibrate[0][BASE].to_numpy("float64"), calibrate[0][names].to_numpy()

    def correct(n_kept: int) -> np.ndarray:
        return np.asarray(base + np.asarray(booster.predict(features, raw_score=True, num_iteration=n_kept)))

    n_kept = booster.best_iteration
    if not _is_better(correct(n_kept), correct(1), calibrate[1]):
        n_kept = 1  # the smallest forest that LightGBM can keep, a twentieth of a step
    trees = booster.model_to_string(num_iteration=n_kept)
    return ContactModel(hierarchy, trees, fit_calibration(correct(n_kept), calibrate[1]), attributes)


def grow_trees(
    options: dict[str, Any], n_trees: int, learn: LabelledRows, calibrate: LabelledRows, callbacks: Iterable[Callback]
) -> lgb.Booster:
    """Grow the trees in this process."""
    names = [name for name in learn[0].columns if name != BASE]
    train_set = _dataset(*learn, names)
    stop_set = _dataset(*calibrate, names, reference=train_set)
    stop = lgb.early_stopping(PATIENCE, verbose=False)
    return lgb.train(options, train_set, n_trees, valid_sets=[stop_set], callbacks=[*callbacks, stop])


def _is_better(logit: np.ndarray, simpler: np.ndarray, is_contact: np.ndarray) -> bool:
    """Whether log loss is smaller by more than two standard errors: early stopping also finds luck."""
    gain = (np.logaddexp(0.0, simpler) - is_contact * simpler) - (np.logaddexp(0.0, logit) - is_contact * logit)
    return len(gain) > 1 and float(gain.mean()) > 2.0 * float(gain.std(ddof=1)) / np.sqrt(len(gain))


def lightgbm_params(settings: ModelSettings, seed: int) -> dict[str, float | int | str | bool]:
    """Our settings in LightGBM's words; deterministic for a seed.

    >>> lightgbm_params(ModelSettings(), 7)["num_leaves"]
    15
    """
    return {
        "objective": "binary",
        "num_leaves": settings.n_leaves,
        "min_data_in_leaf": settings.min_rows_in_leaf,
        "learning_rate": settings.learning_rate,
        "feature_fraction": settings.feature_share,
        "lambda_l2": settings.l2,
        "max_bin": 127,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 2,
        "verbose": -1,
    }


def _dataset(
    rows: pd.DataFrame, is_contact: np.ndarray, names: list[str], reference: lgb.Dataset | None = None
) -> lgb.Dataset:
    return lgb.Dataset(
        rows[names].to_numpy(),
        is_contact.astype("float32"),
        init_score=rows[BASE].to_numpy("float64"),
        reference=reference,
        feature_name=names,
        params={"max_bin": 127, "verbose": -1},
        free_raw_data=True,
    )
