"""Additive tables of shrunk effects: the truth comes back, noise goes to nothing, the unseen adds nothing."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from configs.settings import Settings
from features.slots import build_slots
from models.contact.effects import (
    SLOT_KEYS,
    EffectTable,
    fit_effects,
    list_tables,
    slot_codes,
    start_tables,
    sum_effects,
)

KEYS = [("", ""), ("", "part"), ("age", ""), ("age", "day_hour")]
LEVELS = {"": 1, "age": 9}
Codes = dict[str, np.ndarray]


def draw_rows(n: int, rng: np.random.Generator) -> tuple[Codes, Codes]:
    nobody = np.zeros(n, dtype="int32")
    return (
        {"": nobody, "age": rng.integers(1, 9, n).astype("int32")},
        {"": nobody, "part": (hour := rng.integers(0, 8, n).astype("int32")), "day_hour": hour + 10},
    )


def fit(customer: Codes, slot: Codes, is_contact: np.ndarray, keys=KEYS, n_sweeps: int = 12) -> list[EffectTable]:
    nothing = np.zeros(len(is_contact))
    return fit_effects(start_tables(keys, LEVELS), customer, slot, is_contact, nothing, nothing, n_sweeps)


def test_known_additive_effects_come_back() -> None:
    rng = np.random.default_rng(1)
    customer, slot = draw_rows(60_000, rng)
    of_part, of_age = np.linspace(-0.7, 0.7, 8), np.append(0.0, rng.permutation(np.linspace(-0.5, 0.5, 8)))
    logit = -1.5 + of_part[slot["part"]] + of_age[customer["age"]]
    tables = fit(customer, slot, rng.random(60_000) < expit(logit))
    rows = [(level, part) for level in range(1, 9) for part in range(8)]
    asked = np.array(rows).T.astype("int32")
    nobody = np.zeros(len(rows), dtype="int32")
    got = sum_effects(tables, {"": nobody, "age": asked[0]}, {"": nobody, "part": asked[1], "day_hour": asked[1] + 10})
    assert got == pytest.approx(-1.5 + of_part[asked[1]] + of_age[asked[0]], abs=0.15)
    assert tables[1].variance > 0.05
    assert tables[2].variance > 0.02
    assert np.abs(tables[3].values[1:, 10:18] - tables[3].values[1:, 10:18].mean(axis=0)).std() < 0.1  # all ages alike


def test_the_variance_of_tables_of_noise_goes_to_nothing() -> None:
    rng = np.random.default_rng(2)
    customer, slot = draw_rows(40_000, rng)
    tables = fit(customer, slot, rng.random(40_000) < 0.2, n_sweeps=20)
    assert [table.variance < 0.01 for table in tables[1:]] == [True] * 3
    assert max(np.abs(table.values).max() for table in tables[1:]) < 0.1


def test_the_overall_rate_is_reproduced() -> None:
    rng = np.random.default_rng(3)
    customer, slot = draw_rows(8_000, rng)
    is_contact = rng.random(8_000) < np.where(slot["part"] == 3, 0.4, 0.1)
    p = expit(sum_effects(fit(customer, slot, is_contact, n_sweeps=20), customer, slot))
    assert p.mean() == pytest.approx(is_contact.mean(), abs=0.003)
    assert p[slot["part"] == 3].mean() == pytest.approx(0.4, abs=0.04)


def test_cells_that_nobody_has_seen_add_nothing() -> None:
    rng = np.random.default_rng(4)
    customer, slot = draw_rows(5_000, rng)
    kept = (slot["part"] != 6) & (customer["age"] != 2)
    customer, slot = ({k: v[kept] for k, v in codes.items()} for codes in (customer, slot))
    tables = fit(customer, slot, rng.random(int(kept.sum())) < 0.3)
    assert tables[1].values[0, 6] == 0
    assert tables[2].values[2, 0] == 0
    assert (tables[3].values[2] == 0).all()
    assert (tables[1].values[0, :6] != 0).all()


def test_an_hour_that_was_hardly_dialled_follows_its_neighbours() -> None:
    """The young answer from 18:00 on; nobody of them was dialled at 19:00, which lies between."""
    rng = np.random.default_rng(9)
    hour = rng.choice([10, 12, 14, 16, 18, 20], 40_000).astype("int32")
    age = rng.integers(1, 9, 40_000).astype("int32")
    logit = -1.5 + np.where((age <= 4) & (hour >= 18), 1.0, 0.0)
    nobody = np.zeros(40_000, dtype="int32")
    slot = {"": nobody, "day_hour": hour}
    curves = fit(
        {"": nobody, "age": age},
        slot,
        rng.random(40_000) < expit(logit),
        [("", ""), ("", "day_hour"), ("age", "day_hour")],
    )[2].values
    gained = curves[1:5].mean(axis=0) - curves[5:].mean(axis=0)
    assert gained[18] - gained[10] == pytest.approx(1.0, abs=0.3)
    assert gained[19] - gained[11] == pytest.approx(1.0, abs=0.4)


def test_what_tells_ages_apart_is_learned_once_and_helps_thin_ages() -> None:
    """All ages differ in one and the same contrast; an age with few dials is then known better than alone."""
    rng = np.random.default_rng(10)
    n_of_age = np.array([0, 300] + [9_000] * 7)
    age = np.repeat(np.arange(9), n_of_age).astype("int32")
    hour = rng.integers(9, 21, len(age)).astype("int32")
    contrast, size = np.where(np.arange(48) >= 17, 0.6, -0.3), np.array([0, 1, 1, -1, 1, -1, 1, -1, 1])
    is_contact = rng.random(len(age)) < expit(-1.0 + size[age] * contrast[hour])
    nobody = np.zeros(len(age), dtype="int32")
    curves = fit({"": nobody, "age": age}, {"": nobody, "day_hour": hour}, is_contact, [("", ""), ("age", "day_hour")])[
        1
    ].values[:, 9:21]
    truth = contrast[9:21] - contrast[9:21].mean()
    for level in range(2, 9):
        assert np.corrcoef(curves[level], size[level] * truth)[0, 1] > 0.95
    assert np.corrcoef(curves[1], truth)[0, 1] > 0.8


def test_few_rows_are_shrunk_more_than_many() -> None:
    """Two parts answer equally well; the one seen rarely is believed less."""
    part = np.repeat([0, 1, 2, 3, 4], [40, 4_000, 4_000, 4_000, 4_000]).astype("int32")
    is_contact = np.concatenate([np.arange(n) < n * rate for n, rate in ((40, 0.5), (4_000, 0.5), *[(4_000, 0.2)] * 3)])
    nobody = np.zeros(len(part), dtype="int32")
    values = fit({"": nobody}, {"": nobody, "part": part}, is_contact, KEYS[:2])[1].values[0]
    assert 0 < values[0] < 0.9 * values[1]


def test_what_the_person_explains_is_not_given_to_the_part() -> None:
    """Hard people are called in the evening: with their effects known, the evening is no worse than the morning."""
    rng = np.random.default_rng(5)
    n = 40_000
    is_hard = rng.random(n) < 0.5
    part = np.where(rng.random(n) < np.where(is_hard, 0.8, 0.2), 3, 0).astype("int32")
    person = np.where(is_hard, -1.0, 1.0)
    is_contact = rng.random(n) < expit(-1.0 + person)
    nobody = np.zeros(n, dtype="int32")
    codes = ({"": nobody}, {"": nobody, "part": part}, is_contact)
    naive = fit(*codes, KEYS[:2])[1].values[0]
    aware = fit_effects(start_tables(KEYS[:2], LEVELS), *codes, person, np.zeros(n), 12)[1].values[0]
    assert naive[0] - naive[3] > 0.8
    assert abs(aware[0] - aware[3]) < 0.15


def test_the_inputs_stay_as_they_are() -> None:
    rng = np.random.default_rng(6)
    customer, slot = draw_rows(500, rng)
    is_contact, person, variance = rng.random(500) < 0.3, rng.normal(size=500), np.full(500, 0.4)
    start = start_tables(KEYS, LEVELS)
    kept = [array.copy() for array in (is_contact, person, variance, *customer.values(), *slot.values())]
    fit_effects(start, customer, slot, is_contact, person, variance, 3)
    now = (is_contact, person, variance, *customer.values(), *slot.values())
    assert all(np.array_equal(a, b) for a, b in zip(kept, now, strict=True))
    assert all((table.values == 0).all() for table in start)
    assert [table.variance for table in start] == [table.variance for table in start_tables(KEYS, LEVELS)]


def test_the_sum_looks_up_one_cell_of_every_table() -> None:
    tables = [
        EffectTable("", "", np.array([[-2.0]], dtype="float32"), 1.0),
        EffectTable("age", "part", np.arange(72, dtype="float32").reshape(9, 8), 1.0),
    ]
    nobody = np.zeros(2, dtype="int32")
    summed = sum_effects(tables, {"": nobody, "age": np.array([1, 8])}, {"": nobody, "part": np.array([0, 7])})
    assert summed.tolist() == [6.0, 69.0]


def test_slot_levels_fit_their_tables_and_tell_free_days_apart() -> None:
    starts = pd.date_range("2026-01-01", periods=24 * 365, freq="h", tz="Asia/Tokyo")
    slots = build_slots(starts, Settings())
    codes = slot_codes(slots)
    assert set(codes) == {*SLOT_KEYS, "seconds"}
    for key, n_levels in SLOT_KEYS.items():
        assert 0 <= codes[key].min() <= codes[key].max() < n_levels
    assert (codes["day_hour"] == slots["hour"] + 24 * slots["is_off_day"]).all()


def test_tables_run_from_everyone_to_the_segment_and_curves_only_where_levels_are_few() -> None:
    n_levels = {"age": 9, "gender": 3, "region": 48, "age×gender": 27, "age×region": 400, "gender×region": 140}
    segment = "age×gender×region"
    keys = list_tables(("age", "gender"), ("age", "gender", "region"), n_levels | {segment: 1200})
    assert keys[0] == ("", "")
    assert (segment, "") in keys
    assert (segment, "day_hour") not in keys
    assert {key for key, slot in keys if slot == "day_hour"} == {"", "age", "gender", "region", "age×gender"}
    assert len(keys) == len(set(keys)) == len(SLOT_KEYS) + 7 + 4
    assert list_tables(("age",), (), {"age": 9}) == [
        *(("", key) for key in SLOT_KEYS),
        ("age", ""),
        ("age", "day_hour"),
    ]
