"""Better settings for the trees, searched on the forward fold: the only place with Optuna."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
import pandas as pd

from configs.settings import Settings
from features.contracts import Tables
from features.table import build_dial_log
from models.contact.boosting import fit_boosting
from models.contact.fitting import refuse_thin_log
from models.contact.folds import split_folds
from models.contact.hierarchy import fit_hierarchy
from models.contact.metrics import judge
from models.contact.rivals import build_training_rows

Objective = Callable[[dict[str, float | int]], float]


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Attributes
    ----------
    params
        LightGBM parameters, ready for ``fit_night``.
    log_loss, default_log_loss
        Nats a dial on the forward fold, of these and of the settings' own; smaller is better.
    n_trials
        Finished so far, earlier searches in the same storage included.
    """

    params: dict[str, float | int]
    log_loss: float
    default_log_loss: float
    n_trials: int

    def to_json(self) -> str:
        """Write it as text.

        >>> json.loads(Tuned({"num_leaves": 7}, 0.3, 0.31, 5).to_json())["params"]
        {'num_leaves': 7}
        """
        return json.dumps(vars(self), indent=2) + "\n"


def build_objective(tables: Tables, as_of: pd.Timestamp, settings: Settings, rng: np.random.Generator) -> Objective:
    """Prepare the folds once and return a function from LightGBM parameters to log loss on the forward fold.

    Raises
    ------
    NoModelError
        Too few dials or contacts to learn from.
    """
    log = build_dial_log(tables.call_attempts, tables.customers, settings)
    refuse_thin_log(log, settings)
    folds = split_folds(log, np.datetime64(as_of.tz_localize(None).date(), "D"), settings)
    hierarchy = fit_hierarchy(log.subset(folds.learn), settings)
    learn, calibrate, forward = (
        build_training_rows(log, np.flatnonzero(mask), hierarchy, settings, rng)
        for mask in (folds.learn, folds.calibrate, folds.forward)
    )

    def measure(params: dict[str, float | int]) -> float:
        model = fit_boosting(
            hierarchy,
            settings.attributes,
            (learn.features, learn.is_contact),
            (calibrate.features, calibrate.is_contact),
            settings.model,
            settings.seed,
            params,
        )
        return judge(model.predict_rows(forward.features), forward.is_contact)["log_loss"]

    return measure


def tune(
    measure: Objective,
    storage: Path,
    study_name: str,
    seed: int,
    n_trials: int,
    timeout_seconds: float | None = None,
    progress: Callable[[int, float], None] = lambda *_: None,
) -> Tuned:
    """Search with a tree-structured Parzen estimator; what has been tried is kept, so that a search can go on later.

    The settings' own parameters are the first trial: the search cannot end worse than it began.

    Parameters
    ----------
    measure
        From parameters to the loss; smaller is better.
    storage
        SQLite file, made if needed.
    study_name
        One search per source and set of folds.
    n_trials
        How many more to try, at least 1.
    timeout_seconds
        No new trial begins after it.
    progress
        Told the number of finished trials and the best loss after each.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    storage.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///{storage}",
        study_name=study_name,
        sampler=optuna.samplers.TPESampler(seed=seed),
        direction="minimize",
        load_if_exists=True,
    )
    if "default_log_loss" not in study.user_attrs:
        study.set_user_attr("default_log_loss", measure({}))
    default = float(study.user_attrs["default_log_loss"])

    def tell(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        progress(trial.number + 1, min(study.best_value, default))

    study.optimize(
        lambda trial: measure(suggest_params(trial)), n_trials=n_trials, timeout=timeout_seconds, callbacks=[tell]
    )
    is_better = study.best_value < default
    params = dict(study.best_params) if is_better else {}
    return Tuned(params, min(study.best_value, default), default, len(study.trials))


def suggest_params(trial: optuna.Trial) -> dict[str, float | int]:
    """Draw LightGBM parameters from ranges that suit some hundred thousand dials at a contact rate of some percent."""
    return {
        "num_leaves": trial.suggest_int("num_leaves", 4, 63, log=True),
        "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 50, 2000, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.2, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.2, 1.0),
        "lambda_l2": trial.suggest_float("lambda_l2", 0.1, 100.0, log=True),
    }
