"""Where the sample world's sizes come from, and the country that it pretends to be."""

import csv
from dataclasses import fields
from pathlib import Path

import pytest

from configs.errors import UsageError
from pipelines.world.prefectures import BLOCKS, PREFECTURES
from pipelines.world.sizes import CITATIONS, KINDS, OURS, Sizes, read_sizes

FACTS = Path(__file__).resolve().parents[2] / "shared" / "data" / "calibration_facts.csv"
NAMES = {field.name for field in fields(Sizes)}


def _facts() -> set[str]:
    if not FACTS.exists():
        pytest.skip("the published facts are not on this machine")
    with FACTS.open(encoding="utf-8") as lines:
        return {row["fact"] for row in csv.DictReader(lines)}


def test_every_size_is_cited_or_owned_up_to() -> None:
    assert set(CITATIONS) | set(OURS) >= NAMES
    assert not set(CITATIONS) & set(OURS)
    assert set(OURS) <= NAMES


def test_what_is_cited_beyond_the_sizes_is_tabled_with_the_rhythms() -> None:
    assert set(CITATIONS) - NAMES == {"curves", "weekday_effects"}


@pytest.mark.parametrize("name", list(CITATIONS))
def test_every_citation_is_a_published_fact(name: str) -> None:
    assert CITATIONS[name]
    assert set(CITATIONS[name]) <= _facts()


def test_rates_and_shares_are_probabilities() -> None:
    for sizes in KINDS.values():
        for name in NAMES:
            if name.endswith(("_rate", "_share")):
                assert 0 <= getattr(sizes, name) <= 1


def test_what_remains_after_the_other_outcomes_is_never_negative() -> None:
    for sizes in KINDS.values():
        assert sizes.busy_rate + sizes.failed_rate + sizes.abandoned_rate + sizes.wrong_number_rate < 1


def test_the_world_without_time_has_no_size_that_depends_on_time() -> None:
    sizes = KINDS["no_time"]
    names = ("part_sd", "rhythm_strength", "fatigue_per_dial", "fatigue_same_part", "voicemail_evening_rise")
    assert [getattr(sizes, name) for name in names] == [0.0] * len(names)
    assert sizes.drift_days == 0


def test_there_are_four_kinds_and_an_unknown_one_is_refused_with_their_names() -> None:
    assert list(KINDS) == ["carrier", "persons", "drift", "no_time"]
    with pytest.raises(UsageError, match=r"'mars'.*carrier, persons, drift, no_time"):
        read_sizes("mars")


def test_japan_has_47_prefectures_in_eight_blocks() -> None:
    assert len({place.name for place in PREFECTURES}) == 47
    assert [sum(place.block == block for place in PREFECTURES) for block in range(len(BLOCKS))] == [
        1, 6, 7, 9, 7, 5, 4, 8,
    ]  # fmt: skip


def test_some_126_million_people_live_there_most_of_them_in_cities() -> None:
    population = sum(place.population for place in PREFECTURES)
    assert population == pytest.approx(12_615, rel=0.01)
    assert 0.5 < sum(place.population for place in PREFECTURES if place.is_urban) / population < 0.65
    assert max(PREFECTURES, key=lambda place: place.population).name == "Tokyo"


def test_names_are_plain_words() -> None:
    assert all(place.name.isascii() and place.name.isalpha() and place.name.istitle() for place in PREFECTURES)
