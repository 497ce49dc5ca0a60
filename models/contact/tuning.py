"""Better settings for the trees, searched on forward folds: the only place with Optuna."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from optuna.trial import TrialState

from models.contact.tuned import COMPLETE, PRUNED
from models.contact.tuning_folds import Params, Report

Objective = Callable[[Params, Report], float]
TRIAL_COLUMNS = ("trial", "state", "is_default", "log_loss", "seconds", "params")
N_UNPRUNED, N_FREE_STEPS, N_WITNESSES = 5, 2, 3


def tune(
    measure: Objective,
    storage: Path,
    study_name: str,
    seed: int,
    n_trials: int,
    timeout_seconds: float | None = None,
    progress: Callable[[int, float], None] = lambda *_: None,
) -> pd.DataFrame:
    """Search with a tree-structured Parzen estimator; what has been tried is kept, so that a search can go on later.

    The settings as they are come first, as a trial of their own: the search cannot end worse than it began. From the
    sixth trial on, one whose loss is above the median of the earlier ones after as much learning is stopped (Golovin
    et al., Google Vizier, KDD 2017); it costs a part of a fit, and is kept as a warning to the search.

    Parameters
    ----------
    measure
        From parameters ({}: the settings as they are) and a report to the loss; smaller is better.
    storage
        SQLite file, made if needed.
    study_name
        One search per source, log, settings and run date: losses of different folds cannot be compared.
    n_trials
        How many more to try, at least 1; the default is not counted.
    timeout_seconds
        No new trial begins after it.
    progress
        Told the number of ended trials and the best loss after each.

    Returns
    -------
    DataFrame
        ``TRIAL_COLUMNS``, best first, the pruned last: number · "complete" or "pruned" · whether it is the default ·
        nats a dial (NaN if pruned) · wall time · its LightGBM parameters.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    storage.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///{storage}",
        study_name=study_name,
        pruner=optuna.pruners.MedianPruner(N_UNPRUNED, N_FREE_STEPS, n_min_trials=N_WITNESSES),
        direction="minimize",
        load_if_exists=True,
    )
    # a search that goes on must not draw again what it has drawn
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
    has_default = any(_is_default(trial) for trial in study.get_trials(states=[TrialState.COMPLETE]))
    if not has_default:
        study.enqueue_trial({}, user_attrs={"is_default": True})

    def tell(study: optuna.Study, _: optuna.trial.FrozenTrial) -> None:
        progress(len(_list_ended(study)), study.best_value)

    study.optimize(lambda trial: _try(measure, trial), n_trials + (not has_default), timeout_seconds, callbacks=[tell])
    return _tabulate(study)


def suggest_params(trial: optuna.Trial) -> Params:
    """Draw LightGBM parameters from ranges that suit some hundred thousand dials at a contact rate of some percent."""
    return {
        "num_leaves": trial.suggest_int("num_leaves", 4, 63, log=True),
        "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 50, 2000, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.2, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.2, 1.0),
        "lambda_l2": trial.suggest_float("lambda_l2", 0.1, 100.0, log=True),
    }


def _try(measure: Objective, trial: optuna.Trial) -> float:
    is_default = _is_default(trial)

    def report(step: int, loss: float) -> None:
        trial.report(loss, step)
        if not is_default and trial.should_prune():
            raise optuna.TrialPruned

    return measure({} if is_default else suggest_params(trial), report)


def _is_default(trial: optuna.Trial | optuna.trial.FrozenTrial) -> bool:
    return bool(trial.user_attrs.get("is_default", False))


def _list_ended(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Without those that were interrupted."""
    return study.get_trials(deepcopy=False, states=[TrialState.COMPLETE, TrialState.PRUNED])


def _tabulate(study: optuna.Study) -> pd.DataFrame:
    rows = []
    for trial in _list_ended(study):
        is_complete = trial.state == TrialState.COMPLETE
        seconds = trial.duration.total_seconds() if trial.duration else np.nan
        loss = trial.value if is_complete else np.nan  # of a pruned one, only the loss on other customers is known
        state = COMPLETE if is_complete else PRUNED
        rows.append((trial.number, state, _is_default(trial), loss, round(seconds, 3), dict(trial.params)))
    table = pd.DataFrame(rows, columns=list(TRIAL_COLUMNS))
    return table.sort_values(["log_loss", "trial"], ignore_index=True)
