"""Levels of customer keys: attributes, age bands and their crossings as small integers that a model file can keep."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

UNKNOWN = 0
"""Level of a missing value, and of any value that was not there when the model was fitted."""

AGE_BANDS = (20, 30, 40, 50, 60, 70, 80)
_N_QUANTILES = 10


@dataclass(frozen=True)
class Encoding:
    """How customer columns become levels.

    Attributes
    ----------
    levels
        For a text attribute, its values in order: the first is level 1.
    edges
        For a numeric attribute, the inner edges of its bands: below the first is level 1. Age has tens of years.
    crossed
        For a crossing such as ``age×gender``, the combined levels that were seen, in order.
    segment_by
        Attributes that make a segment.
    """

    levels: dict[str, tuple[str, ...]]
    edges: dict[str, tuple[float, ...]]
    crossed: dict[str, tuple[int, ...]]
    segment_by: tuple[str, ...]

    @property
    def n_levels(self) -> dict[str, int]:
        """Number of levels per key, the unknown one included."""
        counts = {"": 1} | {name: len(values) + 1 for name, values in self.levels.items()}
        counts |= {name: len(edges) + 2 for name, edges in self.edges.items()}
        return counts | {name: len(values) + 1 for name, values in self.crossed.items()}

    def encode(self, customers: pd.DataFrame) -> dict[str, np.ndarray]:
        """Level of every customer for every key; (n,) int32 each."""
        codes = {"": np.zeros(len(customers), dtype="int32")}
        for name, values in self.levels.items():
            given = pa.array(customers[name].astype("str"), pa.large_string(), from_pandas=True)
            found = pc.index_in(given, pa.array(values, pa.large_string())).fill_null(-1)
            codes[name] = found.to_numpy(zero_copy_only=False).astype("int32") + 1
        for name, edges in self.edges.items():
            number = customers[name].to_numpy("float64")
            band = np.digitize(number, edges) + 1
            codes[name] = np.where(np.isnan(number), UNKNOWN, band).astype("int32")
        for name, seen in self.crossed.items():
            codes[name] = _match(_cross(codes, name.split("×"), self.n_levels), np.array(seen, dtype="int64"))
        return codes


def build_encoding(customers: pd.DataFrame, attributes: tuple[str, ...], segment_by: tuple[str, ...]) -> Encoding:
    """Learn the levels from the customers that are there.

    Parameters
    ----------
    customers
        Checked customers; numeric attributes are banded (age by tens, others by tenths), text is taken as it is.

    Examples
    --------
    >>> people = pd.DataFrame({"age": [25.0, 47.0, float("nan")], "gender": ["male", "female", None]})
    >>> encoding = build_encoding(people, ("age", "gender"), ("age", "gender"))
    >>> encoding.encode(people)["age"].tolist(), encoding.encode(people)["gender"].tolist()
    ([2, 4, 0], [2, 1, 0])
    """
    names = dict.fromkeys((*attributes, *segment_by))
    numeric = [name for name in names if pd.api.types.is_numeric_dtype(customers[name])]
    edges = {name: _edges(name, customers[name]) for name in numeric}
    levels = {name: tuple(sorted(map(str, customers[name].dropna().unique()))) for name in names if name not in numeric}
    plain = Encoding(levels, edges, {}, segment_by)
    codes = plain.encode(customers)
    crossings = {"×".join(pair): pair for pair in combinations(segment_by, 2)} | {"×".join(segment_by): segment_by}
    crossed = {
        name: tuple(map(int, np.unique(_cross(codes, list(parts), plain.n_levels))))
        for name, parts in crossings.items()
        if len(parts) > 1
    }
    return Encoding(levels, edges, crossed, segment_by)


def _edges(name: str, values: pd.Series) -> tuple[float, ...]:
    if name == "age":
        return tuple(map(float, AGE_BANDS))
    known = values.dropna().to_numpy("float64")
    return tuple(np.unique(np.quantile(known, np.linspace(0, 1, _N_QUANTILES + 1)[1:-1]))) if known.size else ()


def _cross(codes: dict[str, np.ndarray], parts: list[str], n_levels: dict[str, int]) -> np.ndarray:
    combined = np.zeros(len(codes[""]), dtype="int64")
    for part in parts:
        combined = combined * n_levels[part] + codes[part]
    return combined


def _match(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    found = pc.index_in(pa.array(values), pa.array(known)).fill_null(-1)
    return np.asarray(found.to_numpy(zero_copy_only=False).astype("int32")) + 1
