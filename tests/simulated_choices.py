"""Logged choices of hours whose chances and outcomes are known exactly: for the tests of off-policy evaluation."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.special import expit

from configs.settings import Settings
from features.slots import build_slots

SETTINGS = Settings()
STARTS = pd.DatetimeIndex([f"2026-10-{day} {hour:02d}:00" for day in (26, 27) for hour in (9, 10, 11, 17, 18, 19)])
SLOTS = build_slots(STARTS.tz_localize("Asia/Tokyo"), SETTINGS)
IS_EVENING = SLOTS["hour"].to_numpy() >= 17


@dataclass(frozen=True)
class Choices:
    """One dial to each of n customers; ``ease`` and ``prefers_evening`` are what supervisors know of them.

    ``logged`` and ``p`` are true, both (n, 12): the chance of each slot under the supervisors, and of a contact there.
    """

    ease: np.ndarray
    prefers_evening: np.ndarray
    logged: np.ndarray
    p: np.ndarray
    chosen: np.ndarray
    is_contact: np.ndarray

    @cached_property
    def places(self) -> np.ndarray:
        """Dials of each slot."""
        return np.bincount(self.chosen, minlength=len(SLOTS)).astype("float64")

    @cached_property
    def propensity(self) -> np.ndarray:
        """True chance of the slot that was chosen."""
        return self.logged[np.arange(len(self.chosen)), self.chosen]

    def true_ratio(self, target: np.ndarray) -> float:
        """Contacts that a way of choosing would truly bring, over those that the logged slots would."""
        return float((target * self.p).sum() / self.p[np.arange(len(self.chosen)), self.chosen].sum())


def draw_choices(
    n: int, rng: np.random.Generator, timing: float = 0.5, habit: float = 0.0, confounding: float = 0.0
) -> Choices:
    """Draw customers, slots and outcomes.

    ``timing``: logits between a customer's better and worse half of the day. ``habit``: logits by which supervisors
    call those who prefer evenings in the evening. ``confounding``: logits by which they call hard people there.
    """
    ease, prefers = rng.normal(0, 0.7, n), rng.random(n) < 0.5
    side = np.where(IS_EVENING, 0.5, -0.5)
    logit = habit * np.where(prefers, 1, -1)[:, None] * side - confounding * ease[:, None] * side
    logged = np.exp(logit) / np.exp(logit).sum(axis=1, keepdims=True)
    p = expit(-1.9 + ease[:, None] + timing * np.where(prefers, 1, -1)[:, None] * side)
    drawn = Choices(ease, prefers, logged, p, np.zeros(n, dtype="int64"), np.zeros(n, dtype=bool))
    return redraw(drawn, rng)


def redraw(choices: Choices, rng: np.random.Generator) -> Choices:
    """The same customers, dialled anew."""
    n = len(choices.ease)
    chosen = (choices.logged.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, len(SLOTS) - 1)
    is_contact = rng.random(n) < choices.p[np.arange(n), chosen]
    return replace(choices, chosen=chosen, is_contact=is_contact)
