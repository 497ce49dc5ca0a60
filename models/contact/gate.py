"""The gate: who may become champion.

A challenger takes over only if it predicts the forward fold better than the champion by more than noise, means what it
says, and learned from a log whose past is what it was. Else the champion stays, and the night goes on with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from models.contact.leads import CHAMPION
from models.contact.rivals import RIVALS


@dataclass(frozen=True)
class Verdict:
    """Whether a challenger becomes champion, and the sentence that says why.

    Attributes
    ----------
    is_past_sound
        Nothing spoke against the log itself, so later nights may be held against it.
    """

    passes: bool
    sentence: str
    is_past_sound: bool = True


def judge_challenger(
    rivals: pd.DataFrame,
    leads: pd.DataFrame,
    max_calibration_error: float,
    champion: str | None = None,
    objections: Sequence[str] = (),
) -> Verdict:
    """Decide whether tonight's model becomes champion.

    Parameters
    ----------
    rivals
        rival · fold · calibration_error, as ``fit_night`` returns them.
    leads
        ``models.contact.leads.LEAD_COLUMNS``; against ``champion`` if its twin could be asked.
    max_calibration_error
        Share of dials; the limit itself does not pass.
    champion
        Version of the champion, for the sentence.
    objections
        What speaks against tonight's log; the first is told.

    Examples
    --------
    >>> rivals = pd.DataFrame({"rival": ["LightGBM"], "fold": ["forward"], "calibration_error": [0.006]})
    >>> leads = pd.DataFrame({"against": ["champion"], "saved": [0.004], "low": [0.001], "high": [0.007]})
    >>> print(judge_challenger(rivals, leads, 0.05, "12").sentence)
    passed: log loss 0.0040 nats a dial better than champion version 12
    (90 % interval 0.0010 to 0.0070), calibration error 0.006
    """
    if objections:
        return Verdict(False, objections[0], is_past_sound=False)
    measured = leads.set_index("against")
    against = CHAMPION if CHAMPION in measured.index else RIVALS[0]
    own = rivals[(rivals["rival"] == RIVALS[-1]) & (rivals["fold"] == "forward")]
    if own.empty or against not in measured.index:
        return Verdict(False, "no dials in the forward fold to judge it on")
    whom = f"champion version {champion}" if against == CHAMPION else f"the {against}"
    saved, low, high = (float(measured[column][against]) for column in ("saved", "low", "high"))
    error = float(own["calibration_error"].iloc[0])
    numbers = f"(90 % interval {low:.4f} to {high:.4f}), calibration error {error:.3f}"
    if not low > 0:
        return Verdict(False, f"not better than {whom} by more than noise: {_spell(saved)} {numbers}")
    if not error < max_calibration_error:
        return Verdict(
            False,
            f"badly calibrated (limit {max_calibration_error}), though {_spell(saved)} than {whom} {numbers}",
        )
    return Verdict(True, f"passed: {_spell(saved)} than {whom} {numbers}")


def _spell(saved: float) -> str:
    return f"log loss {abs(saved):.4f} nats a dial {'better' if saved >= 0 else 'worse'}"
