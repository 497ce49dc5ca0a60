"""Who lives in the sample world: what a centre may know of a person, and what it never does."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.world.prefectures import PREFECTURES
from pipelines.world.rhythms import PARTS, RHYTHMS, rhythm_shares
from pipelines.world.sizes import Sizes

GENDERS = ("male", "female", "other")

_AGE_BANDS = np.array([(20, 30), (30, 45), (45, 60), (60, 70), (70, 90)])
_AGE_SHARES = np.array([0.17, 0.27, 0.29, 0.14, 0.13])
_LEVEL_AGES = (39, 51, 70)


@dataclass(frozen=True)
class People:
    """True persons, one entry per customer row; effects in logits, rates in [0, 1].

    ``age`` years · ``gender`` index of ``GENDERS`` · ``region`` index of ``PREFECTURES`` · ``rhythm`` index of
    ``RHYTHMS`` · ``rhythm_shares`` (n, 6) and ``segment_level`` (n,) what the segment says of rhythm and level ·
    ``level`` (n,) · ``part_effects`` (n, 6) · ``has_wrong_number`` · ``third_party_rate`` · ``voicemail_rate`` ·
    ``refusal_rate`` · ``list_heat`` (n,) how eagerly the centre works that part of its list.
    """

    age: NDArray[np.int16]
    gender: NDArray[np.int8]
    region: NDArray[np.int8]
    rhythm: NDArray[np.int8]
    rhythm_shares: NDArray[np.float32]
    segment_level: NDArray[np.float32]
    level: NDArray[np.float32]
    part_effects: NDArray[np.float32]
    has_wrong_number: NDArray[np.bool_]
    third_party_rate: NDArray[np.float32]
    voicemail_rate: NDArray[np.float32]
    refusal_rate: NDArray[np.float32]
    list_heat: NDArray[np.float32]


def draw_people(n_customers: int, sizes: Sizes, rng: np.random.Generator) -> People:
    """Draw persons: segment first, then the rhythm given the segment, then what is the person's own.

    Examples
    --------
    >>> people = draw_people(4, Sizes(), np.random.default_rng(7))
    >>> people.part_effects.shape
    (4, 6)
    """
    n = n_customers
    age, gender, region = _draw_segments(n, rng)
    tilt = np.exp(0.35 * rng.standard_normal((len(PREFECTURES), len(RHYTHMS))))
    shares = rhythm_shares(age, gender, region, tilt, sizes)
    region_effects = sizes.region_sd * rng.standard_normal(len(PREFECTURES))
    segment_level = (
        np.asarray(sizes.age_effects)[np.digitize(age, _LEVEL_AGES)]
        + np.asarray(sizes.gender_effects)[gender]
        + region_effects[region]
    )
    level = segment_level + sizes.level_sd * rng.standard_normal(n)
    return People(
        age=age,
        gender=gender,
        region=region,
        rhythm=(shares.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, len(RHYTHMS) - 1).astype(np.int8),
        rhythm_shares=shares.astype(np.float32),
        segment_level=segment_level.astype(np.float32),
        level=level.astype(np.float32),
        part_effects=(sizes.part_sd * rng.standard_normal((n, len(PARTS)))).astype(np.float32),
        has_wrong_number=rng.random(n) < sizes.wrong_number_share,
        third_party_rate=_draw_rates(sizes.third_party_rate, 2.0, n, rng),
        voicemail_rate=_draw_rates(sizes.voicemail_rate, 1.0, n, rng),
        refusal_rate=_draw_rates(sizes.refusal_rate, 4.0, n, rng),
        list_heat=np.exp(0.9 * rng.standard_normal(n)).astype(np.float32),
    )


def _draw_segments(n: int, rng: np.random.Generator) -> tuple[NDArray[np.int16], NDArray[np.int8], NDArray[np.int8]]:
    low, high = _AGE_BANDS[rng.choice(len(_AGE_BANDS), n, p=_AGE_SHARES)].T
    age = rng.integers(low, high).astype(np.int16)
    gender = rng.choice(len(GENDERS), n, p=[0.495, 0.495, 0.01]).astype(np.int8)
    population = np.array([place.population for place in PREFECTURES], dtype=float)
    region = rng.choice(len(PREFECTURES), n, p=population / population.sum()).astype(np.int8)
    return age, gender, region


def _draw_rates(mean: float, weight: float, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    return rng.beta(weight * mean, weight * (1 - mean), n).astype(np.float32)
