"""What the report says in words: short, plain, and no stronger than the numbers behind it."""

import math
from dataclasses import asdict
from typing import Any

import pandas as pd

from features.measures import add_rate_interval
from features.slots import SLOT_FEATURES
from models.contact.off_policy import OffPolicy
from models.contact.rivals import RIVALS
from models.planning.shifts import Roster
from pipelines.night import Night

GAIN_MEANINGS = {
    "timing": "The same customers and the same number of dials; only the slots move.",
    "list": "Who is called, at the same times.",
    "staffing": "Seats moved to other hours (1.00 when the staffing is fixed).",
    "total": "Timing × list × staffing.",
}
EXCLUDED_MEANINGS = {
    "quarantined": "the customer's row was rejected, so nothing is known for sure",
    "do_not_call": "asked not to be called, or the mark cannot be read",
    "refused": "has refused, and must not be called again",
    "wrong_number": "the number belongs to somebody else",
    "contacted": "reached since being listed",
    "attempt_cap": "dialled as often as a listing allows",
    "blocked": "blocked by a decision of yours",
    "no_lawful_slot": "no slot of the horizon is allowed for them",
    "no_capacity": "no place was left; a better use was found for each",
    "dialled_today": "dialled earlier today (only when a day is planned again)",
    "planned_later": "the plan dials them on a later day (only when a day is planned again)",
}
MIN_DIALS = 50
MINUS = "\N{MINUS SIGN}"
_WEAK_AUC = 0.55
_WEAK_STEP = 0.01


def count(number: float) -> str:
    """Spell a count with thousands apart, or "–" when unknown.

    >>> count(84211.6)
    '84,212'
    """
    return f"{number:,.0f}" if _is_known(number) else "–"


def percent(share: float, digits: int = 1) -> str:
    """Spell a share in [0, 1] as a percentage that no line break divides.

    >>> percent(0.1234).split("\N{NO-BREAK SPACE}")
    ['12.3', '%']
    """
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%" if _is_known(share) else "–"


def decimal(number: float, digits: int = 2) -> str:
    """Spell a number with fixed decimals, or "–" when unknown.

    >>> decimal(1.2049), decimal(float("nan"))
    ('1.20', '–')
    """
    return f"{number:,.{digits}f}" if _is_known(number) else "–"


def judge_gain(gain: dict[str, Any]) -> str:
    """Say which side of 1.0 a gain's interval lies on: "gain", "loss", "none" (it holds 1.0) or "unknown".

    >>> judge_gain({"ratio": 1.02, "low": 0.98, "high": 1.06, "basis": "model"})
    'none'
    """
    if not all(_is_known(gain.get(key)) for key in ("ratio", "low", "high")):
        return "unknown"
    low, high = gain["low"], gain["high"]
    if low <= 1.0 <= high:
        return "none"
    return "gain" if low > 1.0 else "loss"


def build_gain_tile(gain: dict[str, Any]) -> str:
    """Spell a gain for a tile: a ratio only where the interval leaves 1.0 out.

    >>> build_gain_tile({"ratio": 1.2, "low": 1.1, "high": 1.3})
    '× 1.20'
    >>> build_gain_tile({"ratio": 1.2, "low": 0.9, "high": 1.5})
    'no gain'
    """
    verdict = judge_gain(gain)
    if verdict in ("gain", "loss"):
        return f"× {decimal(gain['ratio'])}"
    return "no gain" if verdict == "none" else "–"


def build_headline(night: Night) -> str:
    """Say how many dials are planned, and what they are expected to bring."""
    n_dials = len(night.call_list)
    if not n_dials:
        return "No dial is planned: nobody on the list can lawfully be called in the slots there are."
    contacts = night.plan.get("expected_contacts", math.nan)
    people = night.call_list["customer_id"].nunique()
    return (
        f"{count(n_dials)} dials to {count(people)} customers are expected to bring {count(contacts)} keyman contacts: "
        f"{percent(contacts / n_dials)} of the planned dials."
    )


def build_comparison(night: Night) -> str:
    """Say how that stands against the historical way of filling the same places; no gain is said plainly."""
    gain = night.gains.get("total", {})
    verdict = judge_gain(gain)
    if verdict == "unknown" or night.call_list.empty:
        return "How that stands against the historical way could not be measured tonight."
    between = f"the 90 % interval runs from {decimal(gain['low'])} to {decimal(gain['high'])}"
    if verdict == "none":
        shown = f"the ratio is {decimal(gain['ratio'])} and {between}, holding 1.0"
        return f"No gain over the historical way is shown: {shown}."
    against = (
        f"For each dial made, the plan is expected to reach {decimal(gain['ratio'])} times as many people as filling "
        f"the same places the historical way would; {between}."
    )
    return f"{against} It does worse: do not use it before you know why." if verdict == "loss" else against


def build_seats(before: float, after: float) -> str:
    """Say what the recommended seats bring beside those given, by the model.

    >>> build_seats(1000.0, 1062.0).replace("\N{NO-BREAK SPACE}", " ")
    'With the seats as given ... bring 1,000 keyman contacts, with the seats recommended 1,062 (+6.2 %).'
    """
    if not (_is_known(before) and _is_known(after) and before > 0):
        return ""
    if after == before:
        return (
            "No other seats were found that are expected to bring more than the "
            f"{count(before)} keyman contacts of those given."
        )
    change = percent(abs(after / before - 1))
    return (
        f"With the seats as given the week is expected to bring {count(before)} keyman contacts, with the seats "
        f"recommended {count(after)} ({'+' if after > before else MINUS}{change})."
    )


def build_roster(roster: Roster, is_followed: bool) -> str:
    """Say how many agents stand on how many shifts, what is paid, and how good that is at least."""
    agents, n_days = int(roster.shifts["agents"].sum()), roster.shifts["date"].nunique()
    days = f"{n_days} day{'s' if n_days != 1 else ''}"
    followed = "The recommended seats are those of a roster of" if is_followed else "For comparison, a roster of"
    return (
        f"{followed} {count(agents)} shifts on {days}, {count(roster.paid_hours)} paid agent-hours of at "
        f"most {count(roster.most_hours)}. On the customers looked at no roster of these shifts can be worth more by "
        f"over {percent(roster.gap, 2)}. Breaks, training and one-to-ones by shift are in shifts.csv."
    )


def build_basis(gains: dict[str, dict[str, Any]]) -> str:
    """Say how the gains are known, and how far that can be trusted."""
    bases = sorted({str(gain.get("basis")) for gain in gains.values() if gain.get("basis")})
    if gains.get("total", {}).get("basis") == "experiment":
        return (
            "Basis: an experiment. Customers of the control arm were called the past way and compared with all others. "
            "Only the total is measured: timing and list share it as the model says."
        )
    if bases == ["experiment", "model"]:
        return "Basis: an experiment for timing and list, the model for the seats that are moved."
    if bases == ["model"]:
        return (
            "Basis: the model. The given places were filled as the log filled them, in simulation, and compared with "
            "the plan. That is an estimate, not a measurement: only an experiment with a control group can prove it."
        )
    return f"Basis: {', '.join(bases)}." if bases else "Basis: not stated."


def build_gain_remarks(gains: dict[str, dict[str, Any]]) -> list[str]:
    """Name every part whose interval holds 1.0 or lies below it, so that nobody reads a bar as a promise."""
    remarks = []
    for name in ("timing", "list", "staffing"):
        gain = gains.get(name, {})
        if judge_gain(gain) == "none" and not gain["low"] == gain["high"] == 1.0:
            remarks.append(f"{name.capitalize()} shows no gain of its own: its interval holds 1.0.")
        elif judge_gain(gain) == "loss":
            remarks.append(f"{name.capitalize()} costs contacts: its whole interval lies below 1.0.")
    return remarks


def build_off_policy(asked: OffPolicy | None) -> list[str]:
    """Say what logged outcomes alone tell of the timing, or why they cannot; nothing when they were not asked.

    >>> build_off_policy(OffPolicy(90, 7, refusal="overlap too thin: 90 dials"))
    ['A second opinion on timing, from logged outcomes alone, is not given: overlap too thin: 90 dials.']
    """
    if asked is None:
        return []
    if asked.value is None:
        return [f"A second opinion on timing, from logged outcomes alone, is not given: {asked.refusal}."]
    robust, snips = asked.value.doubly_robust, asked.value.snips
    verdict = {
        "gain": "the log shows a gain",
        "none": "the interval holds 1.0, so the log shows no gain",
        "loss": "the log shows a loss",
    }
    far = f"goes {percent(asked.strength, 0)} of the way" if _is_known(asked.strength) else "goes part of the way"
    return [
        "A second opinion on timing, from logged outcomes alone: had the first dials to "
        f"{count(asked.n_dials)} customers in the newest {asked.n_days} days been moved towards the hours that the "
        "model would choose for them, with as many dials in every hour, they would have brought "
        f"{decimal(robust.ratio)} times as many contacts (90\N{NO-BREAK SPACE}% interval {decimal(robust.low)} to "
        f"{decimal(robust.high)}): {verdict[judge_gain(asdict(robust))]}. The model itself expected "
        f"{decimal(asked.model_ratio)}; reweighting without the model gives {decimal(snips.ratio)} "
        f"({decimal(snips.low)} to {decimal(snips.high)}).",
        f"That move {far} to the model's own hours, no farther than the log bears: the answer rests on "
        f"an effective sample of {count(asked.value.effective_dials)} dials, and "
        f"{percent(asked.overlap_share, 0)} of the model's hours had been tried for such customers.",
    ]


def build_winner(rivals: pd.DataFrame, fold: str, leads: pd.DataFrame | None = None) -> str:
    """Say which rival predicts a fold best by log loss, and how far ahead of the next and of the overall rate.

    A rival that beats the contact model is told with its lead over that.
    ``leads`` (see ``models.contact.leads``) gives the 90 % intervals of the forward fold; a lead whose interval holds
    zero is said to be no more than noise.
    """
    judged = rivals[rivals["fold"] == fold].dropna(subset=["log_loss"]).sort_values("log_loss", kind="stable")
    if judged.empty:
        return f"On the {fold} fold nothing could be judged."
    best, others = judged.iloc[0], judged.iloc[1:]
    measures = f"log loss {decimal(best['log_loss'], 4)}, AUC {decimal(best['auc'], 3)}"
    said = f"On the {fold} fold {best['rival']} predicts best ({measures})"
    if others.empty:
        return f"{said}; it had no rival."
    known = leads if leads is not None and fold == "forward" else pd.DataFrame(columns=["against"])
    following = others.iloc[0]
    said += f", {_spell_lead(best, following, known)}"
    asked = RIVALS[0] if best["rival"] == RIVALS[-1] else RIVALS[-1]
    second = others[others["rival"] == asked]
    if not second.empty and following["rival"] != asked:
        said += f" and {_spell_lead(best, second.iloc[0], known)}"
    return f"{said}."


def build_gate(night: Night) -> str:
    """Say what the gate made of tonight's fit, and who made the plan."""
    if not night.verdict:
        return ""
    if night.challenger is None:
        return f"The gate: {night.verdict}."
    return (
        f"Tonight's model, version {night.challenger}, did not become champion: {night.verdict}. "
        f"The champion, version {night.model_version}, made this plan."
    )


def _spell_lead(best: pd.Series, other: pd.Series, leads: pd.DataFrame) -> str:
    """How far ahead, in percent of the other's log loss, with the interval where one of the two was compared."""
    whom = "the overall rate" if other["rival"] == RIVALS[0] else other["rival"]
    said = f"{percent(1 - best['log_loss'] / other['log_loss'], 2)} ahead of {whom}"
    against = {best["rival"], other["rival"]} - {RIVALS[-1]}
    lead = leads[leads["against"].isin(against)]
    if len(against) != 1 or lead.empty:
        return said
    sign = 1.0 if best["rival"] == RIVALS[-1] else -1.0
    low, high = sorted(sign * float(lead[end].iloc[0]) / other["log_loss"] for end in ("low", "high"))
    interval = f"90\N{NO-BREAK SPACE}% interval {percent(low, 2)} to {percent(high, 2)}"
    return f"{said} ({interval}{', no more than noise' if low <= 0 else ''})"


def build_timing_honesty(rivals: pd.DataFrame) -> list[str]:
    """Say how little segment and slot explain, and how little the model does, where that is so.

    AUC of the forward fold: 0.5 is a toss of a coin, which is also what one overall rate for everyone scores.
    """
    forward = rivals[rivals["fold"] == "forward"].set_index("rival")["auc"].dropna()
    said = []
    table = forward.get("segment table")
    if table is not None and table < _WEAK_AUC:
        said.append(
            "Time alone explains little here: a table of segment × slot, the reference case's method, orders dials "
            f"with an AUC of {decimal(table, 3)}, where 0.5 is a toss of a coin."
        )
    best = forward.max() if len(forward) else math.nan
    if best < _WEAK_AUC:
        said.append(
            f"No model tells much here: the best AUC is {decimal(best, 3)}. Expect little from any list made of "
            "these data."
        )
    elif table is not None and best - table > _WEAK_STEP:
        said.append(
            "Who is called, and how they answered before, carries more: with their history the best AUC is "
            f"{decimal(best, 3)}."
        )
    return said


def build_time_share(importance: pd.DataFrame) -> str:
    """Say how much of the model's gain comes from the slot itself."""
    share = importance.loc[importance["feature"].isin(SLOT_FEATURES), "gain_share"].sum()
    return f"Features of the slot itself (hour, weekday, calendar) bring {percent(share)} of what the trees gain."


def build_best_hour(rates: pd.DataFrame) -> str:
    """Say how far the best hour stands above the mean, how sure that is, and what published logs show.

    ``rates`` has one row per hour: hour · attempts · keyman_contacts · keyman_contact_rate. Hours under 50 dials are
    left out.
    """
    solid = rates[rates["attempts"] >= MIN_DIALS]
    mean = rates["keyman_contacts"].sum() / max(rates["attempts"].sum(), 1)
    if solid.empty or not mean:
        return "No hour has enough dials to be compared."
    best = add_rate_interval(solid).sort_values("keyman_contact_rate", ascending=False, kind="stable").iloc[0]
    ratio, low, high = (decimal(best[name] / mean) for name in ("keyman_contact_rate", "low", "high"))
    return (
        f"The best hour in the log, {int(best['hour']):02d}:00, stands at {ratio} times the mean "
        f"(90\N{NO-BREAK SPACE}% interval {low} to {high}, and the best of {len(solid)} tends to look better than it "
        "is); published logs of millions of calls show 1.07 to 1.15."
    )


def _is_known(number: Any) -> bool:
    return number is not None and math.isfinite(number)
