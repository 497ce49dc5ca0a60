"""The model's differences judged on customers and days that it has not learned from: what ``trust`` is measured on.

A large centre has enough of them in the forward fold, a middling one beside the customers kept unseen. A small one has
not: a week of a few hundred contacts leaves the slope of timing to its prior, which claims a gain where there is none
and half of it where there is. There the segment and slot effects are fitted again without each quarter of the customers
in turn, and all dials of a quarter are predicted by the fit that has not seen it; persons are known from their own past
only, as always. See docs/decisions/0005-honest-gains.md.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import logit

from configs.settings import Settings
from features.slots import build_slots
from features.table import DialLog, cut_nights
from models.contact.folds import Folds, customer_draws
from models.contact.hierarchy import fit_hierarchy
from models.contact.model import ContactModel, build_rows, gather_evidence_of_dials
from models.contact.scorer import Scorer
from models.contact.trust import Trust, fit_trust

N_PARTS = 4
ENOUGH_CONTACTS = 2_500
"""Held-out contacts with which nothing is fitted again."""
LEAST_CONTACTS = 2_000
"""Contacts of a log below which a quarter more or less would tell nothing either."""
_MOST_DIALS = 60_000
# A plan leans on a few hours and segments, whose effects are off together, and on persons who are not what they seem.
# What simulated nights strayed by beyond the slopes' own errors, list and timing: these variances over the contacts.
_STRAY = (70.0, 1000.0)


def measure_trust(
    model: ContactModel,
    log: DialLog,
    folds: Folds,
    recent: np.ndarray,
    with_move: bool,
    settings: Settings,
    rng: np.random.Generator,
) -> Trust:
    """How far the model's differences can be believed, on dials it has not learned from.

    Parameters
    ----------
    model
        Learned from ``folds.learn`` only.
    recent : (n_dials,) bool
        Dials of the log that a model may learn from.
    with_move
        As in ``models.contact.hierarchy.fit_hierarchy``.
    rng
        Draws at most 60,000 of the dials, and the nights at which their history is cut.
    """
    n_contacts = int(log.is_contact[recent].sum())
    judged = [(model, np.flatnonzero(_hold_out(log, folds)))]
    if log.is_contact[judged[0][1]].sum() < ENOUGH_CONTACTS and n_contacts >= LEAST_CONTACTS:
        judged = list(_leave_out(model, log, recent, with_move, settings))
    parts = [_split_logit(model, log, _draw(rows, rng), settings, rng) for model, rows in judged if len(rows)]
    if not parts:
        return Trust()
    trust = fit_trust(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    of_list, of_timing = _STRAY
    return trust.widen((of_list / max(n_contacts, 1), of_timing / max(n_contacts, 1)))


def _hold_out(log: DialLog, folds: Folds) -> np.ndarray:
    """The days to come where they tell enough, for that is where plans are made; else unseen customers beside them."""
    is_enough = log.is_contact[folds.forward].sum() >= ENOUGH_CONTACTS
    return folds.forward if is_enough else folds.forward | folds.unseen


def _leave_out(
    model: ContactModel, log: DialLog, recent: np.ndarray, with_move: bool, settings: Settings
) -> Iterator[tuple[ContactModel, np.ndarray]]:
    """The model with a hierarchy that has not seen a part of the customers, and the rows of their dials."""
    part = ((customer_draws(log) * 2**20).astype("int64") % N_PARTS)[log.history.customer_row]
    for number in range(N_PARTS):
        others = log.subset(recent & (part != number))
        hierarchy = fit_hierarchy(others, settings, model.hierarchy, with_move=with_move)
        yield replace(model, hierarchy=hierarchy), np.flatnonzero(recent & (part == number))


def _draw(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= _MOST_DIALS else np.sort(rng.choice(rows, _MOST_DIALS, replace=False))


def _split_logit(
    model: ContactModel, log: DialLog, rows: np.ndarray, settings: Settings, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-odds of dials as known some nights before: the customer's usual ones, the slot's difference, the outcome."""
    cutoff, n_between = cut_nights(log, rows, rng)
    evidence = gather_evidence_of_dials(model.hierarchy, log, rows, cutoff, n_between)
    scorer = Scorer(model, evidence, _usual_week(log, settings))
    usual = logit(scorer(np.arange(len(rows)), n_between).astype("float64")).mean(axis=1)
    own = logit(model.predict_rows(build_rows(evidence, log.dials.take(rows), model.attributes)))
    return usual, own - usual, log.is_contact[rows]


def _usual_week(log: DialLog, settings: Settings) -> pd.DataFrame:
    """The slots that were dialled in the newest week of the log."""
    newest = log.dials.loc[log.dials["seconds"] > log.dials["seconds"].max() - 7 * 86_400, "attempted_at"]
    return build_slots(pd.DatetimeIndex(newest.dt.floor(f"{settings.slot_minutes}min")), settings)
