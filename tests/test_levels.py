"""Groups of customers that people can name."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from features.levels import OTHER, name_levels, pool_thin_levels


def test_ages_numbers_and_texts_are_named_in_their_order() -> None:
    people = pd.DataFrame(
        {
            "age": [67.0, 19.0, np.nan, 40.0],
            "tenure": [1.0, 2.0, 30.0, np.nan],
            "region": pd.Series(["Osaka", "Aomori", None, "Osaka"], dtype="str"),
        }
    )
    ages, tenure, region = (name_levels(people, name) for name in people)
    assert ages.tolist() == ["60-69", "under 20", "unknown", "40-49"]
    assert tenure.tolist() == ["1 to 1.4", "1.8 to 7.6", "18.8 to 30", "unknown"]
    assert tenure.cat.ordered
    assert list(region.cat.categories) == ["Aomori", "Osaka", "unknown"]
    assert not region.cat.ordered


def test_a_column_without_values_or_with_one_is_one_level() -> None:
    people = pd.DataFrame({"none": np.full(3, np.nan), "one": np.full(3, 5.0)})
    assert set(name_levels(people, "none")) == {"unknown"}
    assert set(name_levels(people, "one")) == {"5"}


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 10)), min_size=1, max_size=40), st.floats(0, 40))
def test_no_kept_level_is_thin_and_no_row_is_lost(rows: list[tuple[str, float]], least: float) -> None:
    levels = pd.Series(pd.Categorical([name for name, _ in rows]))
    weight = np.array([weight for _, weight in rows])
    pooled = pool_thin_levels(levels, weight, least)
    assert pooled.notna().all()
    for name in set(pooled) - {OTHER}:
        assert weight[(pooled == name).to_numpy()].sum() >= least
        assert ((pooled == name) == (levels == name)).all()
