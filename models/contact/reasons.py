"""Why this customer in this slot, in words: what adds most to the log-odds, told only where the log bears it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.slots import SLOT_FEATURES
from models.contact.answering import SegmentAnswers
from models.contact.effects import slot_codes
from models.contact.model import ContactModel, Evidence, build_rows
from models.contact.scorer import Scorer
from models.contact.words import (
    NOT_DIALLED,
    Words,
    join_words,
    tell_answers,
    tell_few,
    tell_hour,
    tell_others,
    tell_promise,
    tell_rest,
    tell_segment,
    tell_untried,
)

REASON_COLUMNS = ("reason", "reason_ja")
"""English and Japanese, with the same facts."""

_WORTH_TELLING = 0.03
_MOST_REASONS = 2
_MOST_ATTRIBUTES = 3
_RECENCY = ("n_last_7_days", "n_last_28_days", "days_since_attempt", "n_dialled_between")
_LONGEST_SLOT = pd.Timedelta(hours=1)

_Told = Sequence[Words | None]


@dataclass(frozen=True)
class _Dials:
    """The dials to explain, (m,) each, with all that is known of them."""

    scorer: Scorer
    customer_rows: np.ndarray
    slot_rows: np.ndarray
    evidence: Evidence
    slots: pd.DataFrame
    rows: pd.DataFrame


def explain_dials(scorer: Scorer, customer_rows: np.ndarray, slot_rows: np.ndarray) -> pd.DataFrame:
    """Say in words what speaks for each dial.

    The log-odds of a dial are split into what the person, the household, the customer's attributes, the slot and the
    rest since the last dial add (effects of the hierarchy, and LightGBM's ``pred_contrib`` for the trees), each against
    the mean of these dials. Of what stands out, the strongest one or two are told that the log bears out: counts and
    days are counted, people "answer well" in a part of the week only if they were reached more often there than people
    at large, and an hour is good only if it is better than the customer's usual one. A promised call-back comes first;
    where nothing else stands out, a good hour is told however little it adds.

    Parameters
    ----------
    customer_rows, slot_rows : (m,) int
        The dials, rows of the scorer's evidence and slots.

    Returns
    -------
    DataFrame
        (m, 2) str, row by row as the dials: reason ("answered twice on weekday evenings; rested 9 days since the last
        dial") · reason_ja (「平日夜に2回応答／前回架電から9日」). Never empty: where nothing stands out, that is said.
    """
    if len(customer_rows) == 0:
        return pd.DataFrame(columns=list(REASON_COLUMNS), dtype="str")
    evidence, slots = scorer.evidence.take(customer_rows), scorer.slots.take(slot_rows)
    rows = build_rows(evidence, slots, scorer.model.attributes)
    dials = _Dials(scorer, customer_rows, slot_rows, evidence, slots, rows)
    parts = _split(scorer.model, evidence, rows, slots)
    centred = parts - parts.mean()
    segment, strength = _tell_segments(dials, centred[list(scorer.model.attributes)].to_numpy())
    told = {
        "person": _tell_persons(rows, slots),
        "household": [tell_others(n) if n else None for n in rows["n_third_party"].astype(int)],
        "segment": segment,
        "slot": _tell_hours(dials),
        "history": _tell_rests(dials),
    }
    pulls = centred.assign(segment=strength)[list(told)].to_numpy()
    sentences = _choose(list(told.values()), pulls, _tell_promises(dials), told["slot"])
    return pd.DataFrame(sentences, columns=list(REASON_COLUMNS), dtype="str")


def _choose(told: list[_Told], pulls: np.ndarray, promised: _Told, else_told: _Told) -> list[Words]:
    """Per dial the promise, then the strongest true facts, else what is left; ``pulls`` is (m, n_groups)."""
    chosen = []
    for row, order in enumerate(np.argsort(-pulls, axis=1, kind="stable")):
        facts = [promised[row], *(told[k][row] for k in order if pulls[row, k] > _WORTH_TELLING)]
        distinct = list(dict.fromkeys(fact for fact in facts if fact is not None))[:_MOST_REASONS]
        last = else_told[row]
        chosen.append(join_words(distinct or ([] if last is None else [last])))
    return chosen


def _split(model: ContactModel, evidence: Evidence, rows: pd.DataFrame, slots: pd.DataFrame) -> pd.DataFrame:
    """Log-odds per dial (rows) and group of causes (columns)."""
    names = list(model.feature_names)
    trees = np.asarray(model.booster.predict(rows[names].to_numpy("float32"), pred_contrib=True))
    groups = ["person", "household", *model.attributes, "slot", "history"]
    parts = {group: np.zeros(len(rows)) for group in groups}
    for name, contribution in zip(names, trees.T, strict=False):
        parts[_group_of(name, model.attributes)] += contribution
    codes, keys = evidence.codes, slot_codes(slots)
    for table in model.hierarchy.tables:
        effect = table.values[codes[table.customer_key], keys[table.slot_key]]
        owners = [name for name in table.customer_key.split("×") if name in model.attributes] or ["slot"]
        for owner in owners:
            parts[owner] += effect / len(owners)
    parts["person"] += rows["person_in_part"].to_numpy()
    return pd.DataFrame(parts)


def _group_of(feature: str, attributes: tuple[str, ...]) -> str:
    if feature in attributes:
        return feature
    if feature in SLOT_FEATURES:
        return "slot"
    if feature == "n_third_party":
        return "household"
    return "history" if feature in _RECENCY else "person"


def _tell_persons(rows: pd.DataFrame, slots: pd.DataFrame) -> _Told:
    in_part, ever = rows["n_contacts_in_part"].astype(int), rows["n_contacts"].astype(int)
    n_tried, n_dials = in_part + rows["n_failed_in_part"].astype(int), rows["n_attempts"].astype(int)
    usual = float(n_dials.mean())
    told: list[Words | None] = []
    for part, answers, before, tried, n in zip(slots["part"], in_part, ever, n_tried, n_dials, strict=True):
        if answers or before:
            told.append(tell_answers(answers, part) if answers else tell_answers(before))
        elif n == 0 or tried == 0:
            told.append(NOT_DIALLED if n == 0 else tell_untried(part))
        else:
            told.append(tell_few(n) if n < usual else None)
    return told


def _tell_segments(dials: _Dials, pulls: np.ndarray) -> tuple[_Told, np.ndarray]:
    """Who answers well, and how much that adds to each dial's log-odds; ``pulls`` is (m, n_attributes)."""
    names = np.array(dials.scorer.model.attributes, dtype=object)
    told: list[Words | None] = [None] * len(pulls)
    strength = np.zeros(len(pulls))
    if names.size == 0:
        return told, strength
    answers = SegmentAnswers(dials.evidence.log, dials.scorer.model.hierarchy.encoding)
    people, part = dials.evidence.customer_rows, dials.slots["part"].to_numpy("int64")
    threshold = np.maximum(_WORTH_TELLING, -np.sort(-pulls, axis=1)[:, :_MOST_ATTRIBUTES][:, -1:])
    strongest = pulls >= pulls.max(axis=1, keepdims=True)
    # the whole kind of person first; where the log does not bear that out, the strongest attribute alone
    for is_named in ((pulls >= threshold) & (pulls > _WORTH_TELLING), strongest & (pulls > _WORTH_TELLING)):
        for pattern in np.unique(is_named[is_named.any(axis=1)], axis=0):
            rows = np.flatnonzero((is_named == pattern).all(axis=1) & (strength == 0))
            kind = names[pattern].tolist()
            for row in rows[answers.is_well(kind, people[rows], part[rows])]:
                told[row] = tell_segment({name: answers.name_level(name, people[row]) for name in kind}, part[row])
                strength[row] = pulls[row, pattern].sum()
    return told, strength


def _tell_hours(dials: _Dials) -> _Told:
    p = dials.scorer(dials.customer_rows)
    is_good = p[np.arange(len(p)), dials.slot_rows] > p.mean(axis=1)
    return [tell_hour(start) if good else None for start, good in zip(dials.slots["slot_start"], is_good, strict=True)]


def _tell_rests(dials: _Dials) -> _Told:
    """Days since the last dial, where they are no fewer than usual among those dialled before."""
    zone = dials.slots["slot_start"].dt.tz
    known_until = pd.to_datetime(dials.evidence.cutoff_seconds, unit="s", utc=True).tz_convert(zone).normalize()
    ahead = (pd.DatetimeIndex(dials.slots["slot_start"]).normalize() - known_until).round("D").days
    days = np.ceil(dials.rows["days_since_attempt"].to_numpy("float64")) + ahead.to_numpy()
    usual = np.nanmedian(days) if np.isfinite(days).any() else np.nan
    return [NOT_DIALLED if np.isnan(day) else tell_rest(int(day)) if day >= usual else None for day in days]


def _tell_promises(dials: _Dials) -> _Told:
    """The call-back that the slot keeps, where one was promised."""
    customers, starts = dials.evidence.log.customers, dials.slots["slot_start"].reset_index(drop=True)
    if "callback_at" not in customers:
        return [None] * len(starts)
    promised = customers["callback_at"].iloc[dials.evidence.customer_rows].reset_index(drop=True)
    times = promised.dt.tz_convert(starts.dt.tz)
    length = min(_LONGEST_SLOT, dials.scorer.slots["slot_start"].diff().min())
    is_kept = (times >= starts) & (times < starts + length)
    return [tell_promise(time) if kept else None for time, kept in zip(times, is_kept, strict=True)]
