"""What a search for better settings of the trees found, and what can honestly be said of it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

COMPLETE, PRUNED = "complete", "pruned"
TUNED_PARAMS = ("num_leaves", "min_data_in_leaf", "learning_rate", "feature_fraction", "lambda_l2")


@dataclass(frozen=True)
class Tuned:
    """A search, earlier searches in the same storage included.

    Attributes
    ----------
    study
        Its name in the storage.
    trials
        As ``models.contact.tuning.tune`` returns them: best first.
    best
        LightGBM parameters of the best trial on the weeks of the search; empty when none beat the default.
    default
        ``TUNED_PARAMS`` of the settings as they are.
    lead
        Of ``best`` over the default on the newest week, as ``TuningFolds.compare`` says it; empty when ``best`` is.
    """

    study: str
    trials: pd.DataFrame
    best: dict[str, float | int]
    default: dict[str, float | int | str]
    lead: dict[str, float]

    @property
    def params(self) -> dict[str, float | int]:
        """What the next nights use: the best, if the newest week bears it out; empty for the settings as they are."""
        return self.best if self.lead.get("saved", 0.0) > 0 else {}

    @property
    def n_trials(self) -> int:
        """How many have ended, the default among them."""
        return len(self.trials)

    @property
    def n_pruned(self) -> int:
        """How many of them were stopped early."""
        return int((self.trials["state"] == PRUNED).sum())

    @property
    def log_loss(self) -> float:
        """Of the best trial on the weeks of the search, nats a dial; smaller is better."""
        return float(self.trials["log_loss"].min())

    @property
    def default_log_loss(self) -> float:
        """Of the settings as they are."""
        return float(self.trials.loc[self.trials["is_default"], "log_loss"].iloc[0])

    @property
    def table(self) -> pd.DataFrame:
        """One row per trial, best first: trial · state · is_default · log_loss · seconds · ``TUNED_PARAMS``."""
        params = [given or self.default for given in self.trials["params"]]
        return self.trials.drop(columns="params").join(pd.DataFrame(params, columns=list(TUNED_PARAMS)))

    @property
    def verdict(self) -> str:
        """One sentence on what was found, no stronger than the newest week allows."""
        if not self.best:
            return (
                f"nothing better than the default in {self.n_trials - 1} trials: the next nights go on with the default"
            )
        saved, low, high = (self.lead[name] for name in ("saved", "low", "high"))
        numbers = f"{abs(saved):.5f} nats a dial (90 % interval of the gain {low:.5f} to {high:.5f})"
        week = "on the newest week, which the search has not seen, log loss is"
        if saved <= 0:
            return (
                f"the best is not better than the default: {week} worse by {numbers}: the next nights keep the default"
            )
        by = "more than noise" if low > 0 else "no more than noise"
        return f"better than the default by {by}: {week} better by {numbers}: the next nights use it"

    def to_json(self) -> str:
        """Write what the next nights read (``params``) and what speaks for it.

        >>> trials = pd.DataFrame({"state": ["complete"], "is_default": [True], "log_loss": [0.31]})
        >>> json.loads(Tuned("calls 2026-11-02", trials, {}, {}, {}).to_json())["params"]
        {}
        """
        told = ("study", "params", "best", "log_loss", "default_log_loss", "n_trials", "n_pruned", "lead", "verdict")
        return json.dumps({name: getattr(self, name) for name in told}, indent=2) + "\n"


def judge_search(
    study: str,
    trials: pd.DataFrame,
    default: Mapping[str, float | int | str],
    compare: Callable[[dict[str, float | int]], dict[str, float]],
) -> Tuned:
    """Hold the best trial against the default on dials that the search has not seen.

    Parameters
    ----------
    trials
        Of ``models.contact.tuning.tune``.
    default
        LightGBM parameters of the settings as they are, as ``lightgbm_params``.
    compare
        From LightGBM parameters to their lead, as ``TuningFolds.compare``.
    """
    first = trials.iloc[0]
    best = {} if first["is_default"] else dict(first["params"])
    own = {name: default[name] for name in TUNED_PARAMS}
    return Tuned(study, trials, best, own, compare(best) if best else {})
