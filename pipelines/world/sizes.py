"""How strong everything is in the sample world, and which published figure each size was set by.

Nothing here is measured on people of ours. Every size is either set by rows of ``calibration_facts.csv`` (cited in
``CITATIONS`` by their ``fact``) or listed in ``OURS`` as a guess of ours.
"""

from dataclasses import dataclass, replace

from configs.errors import UsageError


@dataclass(frozen=True)
class Sizes:
    """One parameter set; effects are in logits of P(keyman contact | one dial) unless the name says otherwise.

    Attributes
    ----------
    base_logit
        Of a first dial to an average person, averaged over the opening hours of a week.
    age_effects, gender_effects
        Level by age (below 39, 39-50, 51-69, 70 and over) and by gender (male, female, other).
    level_sd, part_sd, region_sd
        Spread of persons: in level, and again in each of the six parts of the week; of prefectures in level.
    rhythm_strength
        Factor on the curves of the rhythm classes, on weekday, week of month and holiday effects.
    segment_strength
        0: every segment has the same mixture of rhythms; 1: as tabled in ``rhythms.py``.
    fatigue_per_dial, fatigue_same_part, fatigue_half_life_days
        Loss by each earlier failed dial, further loss by each in the same part of the week; both fade.
    busy_rate, failed_rate, third_party_rate, abandoned_rate, voicemail_rate
        Shares of the dials that do not reach the keyman; the rest ring out. third_party and voicemail: mean of persons.
    voicemail_evening_rise
        Rise of the voicemail share per hour after 15:00 (fall before).
    wrong_number_share, wrong_number_rate
        Share of customers whose number is somebody else's, and how often a dial to them finds out.
    refusal_rate, conversion_rate
        Of keyman contacts: share that refuses; of the others the share that buys (by an average agent).
    drift_days
        Habits begin to move this many days before the run date, and have moved after half of them; 0: never.

    Examples
    --------
    >>> Sizes().drift_days
    0
    """

    base_logit: float = -2.12
    age_effects: tuple[float, float, float, float] = (-0.10, -0.15, 0.0, 0.27)
    gender_effects: tuple[float, float, float] = (0.15, -0.15, 0.0)
    level_sd: float = 0.60
    part_sd: float = 0.35
    region_sd: float = 0.10
    rhythm_strength: float = 0.75
    segment_strength: float = 1.0
    fatigue_per_dial: float = 0.05
    fatigue_same_part: float = 0.18
    fatigue_half_life_days: float = 14.0
    busy_rate: float = 0.045
    failed_rate: float = 0.015
    third_party_rate: float = 0.08
    abandoned_rate: float = 0.005
    voicemail_rate: float = 0.36
    voicemail_evening_rise: float = 0.01
    wrong_number_share: float = 0.05
    wrong_number_rate: float = 0.35
    refusal_rate: float = 0.30
    conversion_rate: float = 0.12
    drift_days: int = 0


KINDS: dict[str, Sizes] = {
    "carrier": Sizes(),
    "persons": Sizes(level_sd=0.9, part_sd=0.9, region_sd=0.03, rhythm_strength=0.4, segment_strength=0.1),
    "drift": replace(Sizes(), drift_days=28),
    "no_time": Sizes(
        part_sd=0.0, rhythm_strength=0.0, fatigue_per_dial=0.0, fatigue_same_part=0.0, voicemail_evening_rise=0.0
    ),
}

CITATIONS: dict[str, tuple[str, ...]] = {
    "base_logit": ("Japan: answer unknown number on mobile", "CallTime.AI outcomes"),
    "age_effects": ("Branded poll always pick up", "Pew generally answer unknown number"),
    "gender_effects": ("Branded poll always pick up", "Japan 2008: answer unregistered number"),
    "rhythm_strength": (
        "Implied AUC of time alone (our arithmetic)",
        "PhoneBurner live-answer rate by hour (callee local time)",
    ),
    "curves": ("Japan 2006 daily rhythm", "Weeks Kulka Pierson 1987", "1-800 Notify answer rate by hour"),
    "weekday_effects": ("PhoneBurner weekday",),
    "fatigue_same_part": ("Kulka Weeks 1988",),
    "fatigue_per_dial": ("Vicente et al.",),
    "busy_rate": ("Unicom dialler logs",),
    "voicemail_rate": ("CallTime.AI outcomes", "CallHub machine answers"),
    "voicemail_evening_rise": ("CallHub machine answers",),
    "wrong_number_share": ("CallTime.AI outcomes",),
    "refusal_rate": ("same refusal or hang-up landline", "same refusal or hang-up cell"),
}

OURS: tuple[str, ...] = (
    "level_sd", "part_sd", "region_sd", "segment_strength", "fatigue_half_life_days", "failed_rate",
    "third_party_rate", "abandoned_rate", "wrong_number_rate", "conversion_rate", "drift_days",
)  # fmt: skip


def read_sizes(kind: str) -> Sizes:
    """Sizes of a kind of world.

    Raises
    ------
    UsageError
        The kind is unknown; the message lists the known ones.

    Examples
    --------
    >>> read_sizes("no_time").rhythm_strength
    0.0
    """
    if kind not in KINDS:
        raise UsageError(f"unknown kind of sample world {kind!r}: choose one of {', '.join(KINDS)}")
    return KINDS[kind]
