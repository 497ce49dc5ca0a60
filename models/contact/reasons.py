"""Why this customer in this slot, in words: the strongest parts of the model's log-odds."""

import numpy as np
import pandas as pd

from features.slots import PARTS, SLOT_FEATURES
from models.contact.effects import slot_codes
from models.contact.model import ContactModel, Evidence, build_rows
from models.contact.scorer import Scorer

_WORTH_TELLING = 0.03
_MOST_REASONS = 2
_RECENCY = ("n_last_7_days", "n_last_28_days", "days_since_attempt", "n_since_contact", "n_dialled_between")


def explain_dials(scorer: Scorer, customer_rows: np.ndarray, slot_rows: np.ndarray) -> list[str]:
    """Say in words what speaks for each dial.

    The log-odds of a dial are split into what the person, the customer's attributes, the slot and the history add
    (effects of the hierarchy, and LightGBM's ``pred_contrib`` for the trees), each against the mean of these dials;
    the strongest one or two are told. Where nothing stands out, that is said.

    Parameters
    ----------
    customer_rows, slot_rows : (m,) int
        The dials.

    Returns
    -------
    list of str
        One sentence part per dial, such as "answered 2 times on weekday evenings; rested since the last dial".
    """
    if len(customer_rows) == 0:
        return []
    model, slots = scorer.model, scorer.slots.take(slot_rows)
    evidence = scorer.evidence.take(customer_rows)
    rows = build_rows(evidence, slots, model.attributes)
    parts = _split(model, evidence, rows, slots)
    centred = (parts - parts.mean()).to_numpy("float64")
    strongest = np.argsort(-centred, axis=1, kind="stable")[:, :_MOST_REASONS]
    words = _word(parts.columns.tolist(), rows, slots, model.attributes)
    told = []
    for row, best in enumerate(strongest):
        worth = [words[k][row] for k in best if centred[row, k] > _WORTH_TELLING]
        told.append("; ".join(worth) or "nothing stands out: a usual chance in this hour")
    return told


def _split(model: ContactModel, evidence: Evidence, rows: pd.DataFrame, slots: pd.DataFrame) -> pd.DataFrame:
    """Log-odds per dial (rows) and group of causes (columns)."""
    names = list(model.feature_names)
    trees = np.asarray(model.booster.predict(rows[names].to_numpy("float32"), pred_contrib=True))
    groups = pd.DataFrame(0.0, index=range(len(rows)), columns=["person", *model.attributes, "slot", "history"])
    for name, contribution in zip(names, trees.T, strict=False):
        groups[_group_of(name, model.attributes)] += contribution
    codes, keys = evidence.codes, slot_codes(slots)
    for table in model.hierarchy.tables:
        effect = table.values[codes[table.customer_key], keys[table.slot_key]]
        owners = [name for name in table.customer_key.split("×") if name in model.attributes] or ["slot"]
        for owner in owners:
            groups[owner] += effect / len(owners)
    groups["person"] += rows["person_in_part"].to_numpy()
    return groups


def _group_of(feature: str, attributes: tuple[str, ...]) -> str:
    if feature in attributes:
        return feature
    if feature in SLOT_FEATURES:
        return "slot"
    return "history" if feature in _RECENCY else "person"


def _word(groups: list[str], rows: pd.DataFrame, slots: pd.DataFrame, attributes: tuple[str, ...]) -> list[list[str]]:
    """For every group, what to say of each dial if it is the strongest."""
    part = [PARTS[k].replace("_", " ") + "s" for k in slots["part"]]
    hour = slots["slot_start"].dt.strftime("%a %H:%M").tolist()
    in_part, ever = rows["n_contacts_in_part"].astype(int), rows["n_contacts"].astype(int)
    person = [
        f"answered {_times(a)} on {p}" if a else f"answered {_times(b)} before" if b else f"likely free on {p}"
        for a, b, p in zip(in_part, ever, part, strict=True)
    ]
    history = [
        "not dialled yet" if np.isnan(days) else f"rested {days:.0f} days since the last dial"
        for days in rows["days_since_attempt"]
    ]
    words = {"person": person, "slot": [f"{h} is a good hour" for h in hour], "history": history}
    words |= {name: [f"this {name} answers well on {p}" for p in part] for name in attributes}
    return [words[group] for group in groups]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
