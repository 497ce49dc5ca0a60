"""The reference case's table: counted by hand, shrunk, falling back to coarser cells."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from models.contact.segment_table import fit_segment_table


def slots_at(hour_of_week, week=1) -> dict[str, np.ndarray]:
    hour = np.asarray(hour_of_week)
    return {"part": hour % 24 // 12, "hour_of_week": hour, "week_of_month": np.zeros_like(hour) + week}


def test_two_cells_by_hand() -> None:
    """60 dials of one segment: 30 at 9 with 20 contacts, 30 at 10 with none; one part, one week."""
    hour = np.repeat([9, 10], 30)
    is_contact = np.arange(60) < 20
    table = fit_segment_table(np.zeros(60, dtype=int), slots_at(hour), is_contact)
    overall = 20 / 60
    nine = (20 + 30 * overall) / 60
    nine_first_week = (20 + 30 * nine) / 60
    ten = (0 + 30 * overall) / 60
    ten_first_week = (0 + 30 * ten) / 60
    assert table.overall == pytest.approx(overall)
    assert table.predict(np.array([0, 0]), slots_at([9, 10])) == pytest.approx([nine_first_week, ten_first_week])


def test_unseen_cells_fall_back_step_by_step() -> None:
    segment = np.repeat([0, 1], [400, 100])
    hour = np.where(np.arange(500) % 2, 9, 20)
    is_contact = np.where(hour == 20, np.arange(500) % 4 == 0, np.arange(500) % 10 == 1)
    table = fit_segment_table(segment, slots_at(hour), is_contact)

    def rate(segment: int, hour: int, week: int) -> float:
        return float(table.predict(np.array([segment]), slots_at([hour], week))[0])

    by_segment, by_part, by_hour, _ = (dict(zip(*level, strict=True)) for level in table.levels)
    assert rate(0, 20, 4) == by_hour[20]  # another week: the hour
    assert rate(0, 21, 4) == by_part[1]  # another hour: the part
    assert rate(0, 24 + 8, 4) == by_part[0]
    assert rate(1, 20, 1) != rate(0, 20, 1)
    assert rate(7, 20, 1) == table.overall  # another segment: everyone
    assert set(by_segment) == {0, 1}


def test_few_dials_are_shrunk_more_than_many() -> None:
    segment = np.repeat([0, 1, 2], [2_000, 5, 2_000])
    is_contact = np.repeat([False, True, False], [2_000, 5, 2_000]) | (np.arange(4_005) < 400)
    table = fit_segment_table(segment, slots_at(np.full(4_005, 9)), is_contact)
    often, rarely = table.predict(np.array([0, 1]), slots_at([9, 9]))
    assert often == pytest.approx(0.2, abs=0.005)
    assert table.overall < rarely < 0.6


@budget(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 167), st.integers(1, 5), st.booleans()), min_size=1))
def test_rates_lie_between_zero_and_one_and_keys_never_mix(dials: list[tuple[int, int, int, bool]]) -> None:
    segment, hour, week, is_contact = (np.array(column) for column in zip(*dials, strict=True))
    slots = {"part": hour // 24, "hour_of_week": hour, "week_of_month": week}
    table = fit_segment_table(segment, slots, is_contact)
    p = table.predict(segment, slots)
    assert ((p >= 0) & (p <= 1)).all()
    n_cells = [len(known) for known, _ in table.levels]
    assert n_cells == [
        len(set(segment)),
        len(set(zip(segment, hour // 24, strict=True))),
        len(set(zip(segment, hour, strict=True))),
        len(set(zip(segment, hour, week, strict=True))),
    ]


def test_the_order_of_dials_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    segment, hour, is_contact = rng.integers(0, 5, 300), rng.integers(0, 168, 300), rng.random(300) < 0.2
    mixed = rng.permutation(300)
    one = fit_segment_table(segment, slots_at(hour), is_contact).predict(segment, slots_at(hour))
    other = fit_segment_table(segment[mixed], slots_at(hour[mixed]), is_contact[mixed]).predict(segment, slots_at(hour))
    assert one == pytest.approx(other)
