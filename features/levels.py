"""Customers in groups that people can name: age bands, levels of a text, fifths of a number."""

from itertools import pairwise

import numpy as np
import pandas as pd

from features.measures import UNKNOWN, band_ages

OTHER = "other"
_N_BANDS = 5


def name_levels(customers: pd.DataFrame, name: str) -> pd.Series:
    """Name the group of every customer in one attribute.

    Parameters
    ----------
    customers
        Checked customers with the column ``name``.

    Returns
    -------
    Series
        (n,) categorical of text, ordered for numbers: ages in bands of ten years, other numbers in fifths ("12 to 30",
        ends included), text as it is, "unknown" where the value is missing. The index is kept.

    Examples
    --------
    >>> people = pd.DataFrame({"age": [34.0, float("nan")], "region": ["Osaka", None], "tenure": [3.0, 8.0]})
    >>> [name_levels(people, name).tolist() for name in people]
    [['30-39', 'unknown'], ['Osaka', 'unknown'], ['3 to 4', '7 to 8']]
    """
    values = customers[name]
    if name == "age":
        return band_ages(values)
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return _band_numbers(values)
    codes, texts = pd.factorize(values)
    told = [str(text) for text in texts] + [UNKNOWN]  # code -1, a missing value, is the last
    return _categorise(told, codes % len(told), sorted({*told} - {UNKNOWN}), values.index, is_ordered=False)


def pool_thin_levels(levels: pd.Series, weight: np.ndarray, least: float) -> pd.Series:
    """Pool the levels whose weights sum to less than ``least`` as "other"; ordered if ``levels`` is.

    Parameters
    ----------
    levels : (n,) categorical of text
    weight : (n,) float
        Of each row, for example its expected contacts.

    Examples
    --------
    >>> towns = pd.Series(pd.Categorical(["Osaka", "Osaka", "Tsu"]))
    >>> pool_thin_levels(towns, np.ones(3), 2.0).tolist()
    ['Osaka', 'Osaka', 'other']
    """
    names = [str(name) for name in levels.cat.categories]
    total = np.bincount(levels.cat.codes.to_numpy(), weights=weight, minlength=len(names))
    kept = [name for name, sum_of_level in zip(names, total, strict=True) if sum_of_level >= least and name != OTHER]
    pooled = [name if name in kept else OTHER for name in names]
    return _categorise(pooled, levels.cat.codes.to_numpy(), kept, levels.index, bool(levels.cat.ordered))


def _band_numbers(values: pd.Series) -> pd.Series:
    number = values.to_numpy(dtype="float64", na_value=np.nan)
    known = ~np.isnan(number)
    if not known.any():
        return _categorise([UNKNOWN], np.zeros(len(number), dtype="int64"), [], values.index, is_ordered=True)
    edges = np.unique(np.quantile(number[known], np.linspace(0, 1, _N_BANDS + 1)))
    names = [f"{low:g} to {high:g}" for low, high in pairwise(edges)] or [f"{edges[0]:g}"]
    band = np.clip(np.searchsorted(edges[1:-1], number, side="left"), 0, len(names) - 1)
    codes = np.where(known, band, len(names))
    return _categorise([*names, UNKNOWN], codes, list(dict.fromkeys(names)), values.index, is_ordered=True)


def _categorise(told: list[str], codes: np.ndarray, names: list[str], index: pd.Index, is_ordered: bool) -> pd.Series:
    """Rows that are called ``told[code]``, as levels: the names, then other and unknown where a row is called so."""
    said = {told[code] for code in np.unique(codes)}
    categories = [*names, *(name for name in (OTHER, UNKNOWN) if name not in names and name in said)]
    place = {name: k for k, name in enumerate(categories)}
    level = np.array([place.get(name, -1) for name in told], dtype="int64")[codes].tolist()
    named = pd.Categorical.from_codes(level, categories=pd.Index(categories), ordered=is_ordered)
    return pd.Series(named, index=index)
