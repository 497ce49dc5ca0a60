"""Customer keys as small integers: bands, levels, crossings, and what nobody has seen."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from simulated_logs import draw_customers

from models.contact.encoding import UNKNOWN, build_encoding

PLAIN = ("age", "gender", "region")


def people(age: list[float], gender: list[str | None], region: list[str | None]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": np.array(age, dtype="float32"),
            "gender": pd.Series(gender, dtype="str"),
            "region": pd.Series(region, dtype="str"),
        }
    )


@pytest.mark.parametrize(
    ("age", "level"),
    [(0, 1), (19, 1), (20, 2), (29.5, 2), (30, 3), (69, 6), (79, 7), (80, 8), (104, 8), (float("nan"), UNKNOWN)],
)
def test_ages_fall_into_bands_of_ten_years(age: float, level: int) -> None:
    encoding = build_encoding(people([33], ["male"], ["Tokyo"]), PLAIN, PLAIN)
    assert encoding.encode(people([age], ["male"], ["Tokyo"]))["age"].tolist() == [level]


def test_text_levels_are_in_order_of_the_alphabet_whatever_the_order_of_rows() -> None:
    first = people([20, 30, 40], ["male", "female", None], ["Tokyo", "Aomori", "Osaka"])
    encoding = build_encoding(first, PLAIN, PLAIN)
    assert encoding.levels == {"gender": ("female", "male"), "region": ("Aomori", "Osaka", "Tokyo")}
    assert build_encoding(first.iloc[::-1].reset_index(drop=True), PLAIN, PLAIN) == encoding
    assert encoding.encode(first)["gender"].tolist() == [2, 1, UNKNOWN]


def test_what_was_not_there_when_fitting_is_unknown() -> None:
    encoding = build_encoding(people([25, 45], ["male", "female"], ["Tokyo", "Osaka"]), PLAIN, PLAIN)
    codes = encoding.encode(people([25, 45], ["other", "female"], ["Atlantis", "Tokyo"]))
    assert codes["gender"].tolist() == [UNKNOWN, 1]
    assert codes["region"].tolist() == [UNKNOWN, 2]
    assert codes["age×gender×region"].tolist() == [UNKNOWN, UNKNOWN]


def test_a_crossing_tells_exactly_the_combinations_apart() -> None:
    customers = draw_customers(300, np.random.default_rng(1))
    codes = build_encoding(customers, PLAIN, PLAIN).encode(customers)
    for key in ("age×gender", "age×region", "gender×region", "age×gender×region"):
        combined = pd.Series(list(zip(*(codes[part] for part in key.split("×")), strict=True)))
        assert codes[key].min() >= 1
        assert pd.Series(codes[key]).groupby(combined).nunique().eq(1).all()
        assert combined.groupby(codes[key]).nunique().eq(1).all()


def test_other_numbers_are_banded_by_tenths() -> None:
    customers = draw_customers(1000, np.random.default_rng(2)).assign(tenure=np.arange(1000, dtype="float32"))
    level = build_encoding(customers, ("tenure",), ()).encode(customers)["tenure"]
    assert np.bincount(level)[1:].tolist() == [100] * 10


def test_a_number_that_nobody_has_is_one_band() -> None:
    customers = draw_customers(5, np.random.default_rng(2)).assign(tenure=np.full(5, np.nan, "float32"))
    encoding = build_encoding(customers, ("tenure",), ())
    assert encoding.encode(customers)["tenure"].tolist() == [UNKNOWN] * 5
    assert encoding.encode(customers.assign(tenure=np.float32(3)))["tenure"].tolist() == [1] * 5


@pytest.mark.parametrize("segment_by", [(), ("age",), ("age", "gender"), PLAIN])
def test_every_level_fits_its_table(segment_by: tuple[str, ...]) -> None:
    rng = np.random.default_rng(3)
    encoding = build_encoding(draw_customers(50, rng), PLAIN, segment_by)
    strangers = draw_customers(200, rng).assign(region="Atlantis")
    codes = encoding.encode(strangers)
    assert set(codes) == set(encoding.n_levels)
    assert "×".join(segment_by) in codes
    for key, level in codes.items():
        assert level.dtype == "int32"
        assert 0 <= level.min() <= level.max() < encoding.n_levels[key]


@budget(max_examples=40, deadline=None)
@given(values=st.lists(st.floats(-100, 100, width=32) | st.just(float("nan")), min_size=1, max_size=30))
def test_higher_numbers_never_have_lower_levels(values: list[float]) -> None:
    customers = pd.DataFrame({"tenure": np.array(values, dtype="float32")})
    encoding = build_encoding(customers, ("tenure",), ())
    level = encoding.encode(customers)["tenure"]
    known = ~np.isnan(customers["tenure"].to_numpy())
    order = np.argsort(customers["tenure"].to_numpy()[known])
    assert (np.diff(level[known][order]) >= 0).all()
    assert (level[~known] == UNKNOWN).all()
    assert (level[known] > UNKNOWN).all()
    assert level.max() < encoding.n_levels["tenure"]
