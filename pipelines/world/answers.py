"""What happens on one dial: who answers, whether they refuse or buy, and how long it takes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.world.people import People
from pipelines.world.sizes import Sizes

OUTCOMES = (
    "keyman_contact", "failed", "busy", "third_party", "wrong_number", "abandoned", "voicemail", "no_answer",
)  # fmt: skip
CONTACT, THIRD_PARTY, WRONG_NUMBER = map(OUTCOMES.index, ("keyman_contact", "third_party", "wrong_number"))
_THIRD_PARTY_REFUSAL_RATE = 0.03

# Median seconds by outcome, in the order of OUTCOMES: the two handle times of outbound work (contacted or not).
_RING = np.array([9.0, 2.0, 1.0, 9.0, 9.0, 9.0, 18.0, 25.0])
_TALK = np.array([170.0, 0.0, 0.0, 28.0, 18.0, 0.0, 0.0, 0.0])
_WRAP = np.array([70.0, 4.0, 4.0, 18.0, 20.0, 4.0, 6.0, 4.0])


@dataclass(frozen=True)
class Answers:
    """What came of some dials: ``outcome`` (m,) index of ``OUTCOMES`` · ``refused`` · ``converted`` (m,) bool."""

    outcome: NDArray[np.int8]
    refused: NDArray[np.bool_]
    converted: NDArray[np.bool_]


def draw_answers(
    p: NDArray[np.float32],
    rows: NDArray[np.int64],
    hour: int,
    skill_factor: NDArray[np.floating],
    people: People,
    sizes: Sizes,
    rng: np.random.Generator,
) -> Answers:
    """Draw the outcome of each dial, given its P(keyman contact) ``p`` (m,) and the agent's factor on conversion (m,).

    A keyman contact happens with exactly ``p``; what is left is shared out among the other outcomes. Everyone draws
    the same number of random numbers, so a world is the same whatever came of it.
    """
    first, second, third = rng.random((3, len(rows)))
    limits = p[:, None] + (1 - p[:, None]) * _other_shares(rows, hour, people, sizes).cumsum(axis=1)
    outcome = (first >= p).astype(np.int8) + (first[:, None] >= limits[:, :-1]).sum(axis=1, dtype=np.int8)
    is_contact = outcome == CONTACT
    refused = (is_contact & (second < people.refusal_rate[rows])) | (
        (outcome == THIRD_PARTY) & (second < _THIRD_PARTY_REFUSAL_RATE)
    )
    converted = is_contact & ~refused & (third < sizes.conversion_rate * skill_factor)
    return Answers(outcome, refused, converted)


def _other_shares(rows: NDArray[np.int64], hour: int, people: People, sizes: Sizes) -> NDArray[np.float32]:
    """Shares (m, 7) of the outcomes after the first among dials that do not reach the keyman; rows sum to one."""
    wrong = people.has_wrong_number[rows]
    shares = np.empty((len(rows), len(OUTCOMES) - 1), np.float32)
    shares[:, 0] = sizes.failed_rate
    shares[:, 1] = sizes.busy_rate
    shares[:, 2] = np.where(wrong, 0.0, people.third_party_rate[rows])
    shares[:, 3] = np.where(wrong, sizes.wrong_number_rate, 0.0)
    shares[:, 4] = sizes.abandoned_rate
    voicemail = people.voicemail_rate[rows] + sizes.voicemail_evening_rise * (hour - 15)
    shares[:, 5] = np.clip(voicemail, 0.0, 1.0) * (1 - shares[:, :5].sum(axis=1)).clip(0.0)
    shares[:, 6] = (1 - shares[:, :6].sum(axis=1)).clip(0.0)
    return shares


def draw_seconds(
    outcome: NDArray[np.int8], converted: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Ring, talk and wrap seconds of each dial, whole seconds; a sale takes three times the talk.

    Examples
    --------
    >>> ring, talk, wrap = draw_seconds(np.array([7], np.int8), np.array([False]), np.random.default_rng(7))
    >>> talk.tolist()
    [0.0]
    """
    spread = np.exp(np.array([[0.3], [0.6], [0.4]]) * rng.standard_normal((3, len(outcome))))
    longer = np.where(converted, 3.0, 1.0)
    ring, talk, wrap = np.rint(np.stack([_RING[outcome], _TALK[outcome] * longer, _WRAP[outcome]]) * spread)
    return ring.astype(np.float32), talk.astype(np.float32), wrap.astype(np.float32)
