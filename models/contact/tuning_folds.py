"""The weeks on which tuning searches, and the week on which what it found is judged.

The search sees two forward weeks, so that a lucky week alone cannot win. The best of many trials still owes part of its
lead to chance (Cawley and Talbot, On over-fitting in model selection, JMLR 11, 2010), so the newest week takes no part
in the search: there, what was found is held against the settings as they are. Every week is predicted by models of the
days before it, as the nights do.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import pandas as pd

from configs.errors import NoModelError
from configs.settings import Settings
from features.contracts import Tables
from features.table import DialLog, build_dial_log
from models.contact.boosting import Callback, fit_boosting
from models.contact.fitting import refuse_thin_log
from models.contact.folds import split_folds
from models.contact.hierarchy import Hierarchy, fit_hierarchy
from models.contact.leads import log_losses, measure_leads
from models.contact.rivals import Rows, build_training_rows

Params = dict[str, float | int]
Report = Callable[[int, float], None]
"""Told how far the learning has come, and the smallest loss so far; may raise to stop a hopeless trial."""

N_SEARCH_FOLDS = 2
LEARNING_PER_STEP = 0.5


@dataclass(frozen=True)
class TuningFold:
    """A forward fold and what its models learn from; ``customer_row`` (n_forward,) says whom each dial was to."""

    hierarchy: Hierarchy
    learn: Rows
    calibrate: Rows
    forward: Rows
    customer_row: np.ndarray

    def lose(
        self, settings: Settings, params: Mapping[str, float | int], callbacks: Iterable[Callback] = ()
    ) -> np.ndarray:
        """Fit with LightGBM parameters over the settings; log loss of each forward dial, nats, (n_forward,)."""
        known, kept_apart = ((rows.features, rows.is_contact) for rows in (self.learn, self.calibrate))
        own = (settings.attributes, known, kept_apart, settings.model, settings.seed)
        model = fit_boosting(self.hierarchy, *own, params, callbacks)
        return log_losses(model.predict_rows(self.forward.features), self.forward.is_contact)


@dataclass(frozen=True)
class TuningFolds:
    """The folds of a search: ``search`` newest first, all of them older than ``newest``."""

    search: tuple[TuningFold, ...]
    newest: TuningFold
    settings: Settings

    def measure(self, params: Params, report: Report = lambda *_: None) -> float:
        """Log loss over all dials of the search folds, nats a dial; smaller is better.

        Parameters
        ----------
        params
            LightGBM parameters over the settings; {} for the settings as they are.
        report
            Told of the learning on the first fold, where most of what is hopeless shows.
        """
        watch = watch_learning(report, float(params.get("learning_rate", self.settings.model.learning_rate)))
        losses = [fold.lose(self.settings, params, [] if row else [watch]) for row, fold in enumerate(self.search)]
        return float(np.concatenate(losses).mean())

    def compare(self, params: Params) -> dict[str, float]:
        """Lead of ``params`` over the settings as they are, on the newest week; see ``models.contact.leads``.

        Returns
        -------
        dict
            default_log_loss · log_loss (of ``params``) · n_dials · n_customers · saved (nats a dial) · share_saved ·
            low · high (90 % interval of ``saved`` over customers).
        """
        default, ours = self.newest.lose(self.settings, {}), self.newest.lose(self.settings, params)
        rng = np.random.default_rng(self.settings.seed)
        lead = measure_leads({"default": (default, ours)}, self.newest.customer_row, rng).drop(columns="against")
        losses = {"default_log_loss": float(default.mean()), "log_loss": float(ours.mean())}
        return losses | {str(name): float(value) for name, value in lead.iloc[0].items()}


def build_tuning_folds(
    tables: Tables, as_of: pd.Timestamp, settings: Settings, rng: np.random.Generator
) -> TuningFolds:
    """Prepare the newest week and as many weeks before it as the log has, at most two; what is slow is done once.

    Parameters
    ----------
    as_of
        00:00 of the run date, tz-aware.

    Raises
    ------
    NoModelError
        Too few dials, contacts or days; the message says how many there are and are needed.
    """
    log = build_dial_log(tables.call_attempts, tables.customers, settings)
    refuse_thin_log(log, settings)
    newest, first = np.datetime64(as_of.tz_localize(None).date(), "D"), log.dials["day"].to_numpy("datetime64[D]").min()
    model = settings.model
    room = int((newest - first).astype(int)) - 2 * (model.test_days + model.gap_days)
    n_search = min(room // model.test_days, N_SEARCH_FOLDS)
    if n_search < 1:
        needed = 3 * model.test_days + 2 * model.gap_days
        raise NoModelError(f"call_attempts: {newest - first} of log, tuning needs {needed} days: give a longer log")
    cuts = [_cut(log, newest - back * model.test_days, settings) for back in range(n_search, -1, -1)]
    folds: list[TuningFold] = []
    for cut in cuts:  # oldest first: a hierarchy begins at the older one's, never at a later one's
        folds.append(_build_fold(log, cut, settings, rng, folds[-1].hierarchy if folds else None))
    return TuningFolds(tuple(folds[-2::-1]), folds[-1], settings)


def watch_learning(report: Report, learning_rate: float) -> Callback:
    """Return a LightGBM callback that reports the smallest loss so far on the customers kept apart.

    Steps are measured in learning, rounds times learning rate, so that a slow learner is held against what quick ones
    knew after as much of it and not after as many rounds.
    """
    reached, best = 0, np.inf

    def watch(env: lgb.callback.CallbackEnv) -> None:
        nonlocal reached, best
        best = min(best, float((env.evaluation_result_list or [])[0][2]))
        step = int((env.iteration + 1) * learning_rate / LEARNING_PER_STEP + 1e-9)
        if step > reached:
            reached = step
            report(step, best)

    return watch


def _cut(log: DialLog, as_of_day: np.datetime64, settings: Settings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows to learn from, to calibrate on and to judge on, as the night of that day would; later dials take no part."""
    folds = split_folds(log, as_of_day, settings)
    forward = folds.forward & (log.dials["day"].to_numpy("datetime64[D]") < as_of_day)
    n_contacts = [int(log.is_contact[part].sum()) for part in (folds.learn, folds.calibrate, forward)]
    if not all(n_contacts):
        raise NoModelError(
            f"call_attempts: {', '.join(map(str, n_contacts))} keyman contacts to learn from, calibrate and judge "
            f"on as of {as_of_day}, tuning needs some of each: give a log of more days and customers"
        )
    return np.flatnonzero(folds.learn), np.flatnonzero(folds.calibrate), np.flatnonzero(forward)


def _build_fold(
    log: DialLog,
    cut: tuple[np.ndarray, np.ndarray, np.ndarray],
    settings: Settings,
    rng: np.random.Generator,
    start: Hierarchy | None,
) -> TuningFold:
    is_known = np.bincount(cut[0], minlength=len(log.dials)) > 0
    hierarchy = fit_hierarchy(log.subset(is_known), settings, start)
    learn, calibrate, forward = (build_training_rows(log, rows, hierarchy, settings, rng) for rows in cut)
    return TuningFold(hierarchy, learn, calibrate, forward, log.history.customer_row[cut[2]])
