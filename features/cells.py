"""Cells of any source (text of a CSV, typed values of Parquet or a database) as texts, numbers, flags and times.

Every reader returns the values and says which cells held something that cannot be read; an empty cell is missing, not
unreadable. Nothing here raises on bad values: the contract decides what becomes of them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

TRUE_WORDS = ("true", "t", "yes", "y", "1", "1.0", "on", "○", "◯", "〇", "はい")
"""Spellings of yes, compared without case and surrounding blanks."""

FALSE_WORDS = ("false", "f", "no", "n", "0", "0.0", "off", "×", "✕", "いいえ")
"""Spellings of no, compared without case and surrounding blanks."""

MISSING_WORDS = ("null", "nan", "none", "na", "n/a", "nat", "<na>", r"\n")
"""Texts that mean "missing" in a number, flag or time (never in an id or a text: NA may be a region)."""

_DATE_FIRST = r"\d{4}-\d{2}-\d{2}(?:[T ].*)?"
_PLAIN_NUMBER = r"^-?[0-9]{1,15}(\.[0-9]{1,15})?$"
_HAS_OFFSET = r"\d{2}:\d{2}.*(?:[Zz]|[+-]\d{2}(?::?\d{2})?)"


@dataclass(frozen=True)
class Cells:
    """Read cells of one column.

    Attributes
    ----------
    values
        (n,) in the asked type, missing where the cell is empty or unreadable; index as given.
    unreadable
        (n,) bool, true where the cell holds something that is not of the asked type.
    """

    values: "pd.Series[Any]"
    unreadable: np.ndarray


def read_texts(column: "pd.Series[Any]") -> Cells:
    """Read texts and ids: blanks around them cut, empty is missing, whole numbers without a decimal point.

    >>> read_texts(pd.Series([7.0, None])).values.tolist()
    ['7', nan]
    >>> read_texts(pd.Series([" 00123 ", ""])).values.tolist()
    ['00123', nan]
    """
    texts = _as_texts(column).str.strip()
    values = texts.mask(texts.eq("").fillna(False).astype(bool))
    return Cells(values, np.zeros(len(column), dtype=bool))


def read_codes(column: "pd.Series[Any]") -> Cells:
    """Read texts whose case carries no meaning, in lower case.

    >>> read_codes(pd.Series(["No_Answer"])).values.tolist()
    ['no_answer']
    """
    texts = read_texts(column)
    return Cells(texts.values.str.lower(), texts.unreadable)


def read_numbers(column: "pd.Series[Any]") -> Cells:
    """Read finite numbers as float64.

    >>> read_numbers(pd.Series(["3.5", "", "many"])).unreadable.tolist()
    [False, False, True]
    """
    if pd.api.types.is_numeric_dtype(column.dtype):
        given = column.notna().to_numpy()
        numbers = column.astype("Float64").astype("float64")
    else:
        texts = _read_values(column)
        given = texts.notna().to_numpy()
        numbers = _parse_numbers(texts)
    finite = np.isfinite(numbers.to_numpy())
    return Cells(numbers.where(finite), given & ~finite)


def _parse_numbers(texts: "pd.Series[Any]") -> "pd.Series[Any]":
    """Numbers as people write them by Arrow, in a tenth of the time; all other spellings by pandas."""
    given = pa.array(texts, pa.large_string(), from_pandas=True)
    is_plain = pc.match_substring_regex(given, _PLAIN_NUMBER).fill_null(False)
    plain = pc.if_else(is_plain, given, None).cast(pa.float64())
    numbers = pd.Series(plain.to_numpy(zero_copy_only=False).copy(), index=texts.index)
    others = np.flatnonzero(texts.notna() & ~is_plain.to_numpy(zero_copy_only=False))
    numbers.iloc[others] = pd.to_numeric(texts.iloc[others], errors="coerce").astype("float64")
    return numbers


def read_flags(column: "pd.Series[Any]") -> Cells:
    """Read yes and no in the spellings of ``TRUE_WORDS`` and ``FALSE_WORDS`` as nullable booleans.

    >>> read_flags(pd.Series(["Yes", "×", "", "maybe"])).values.tolist()
    [True, False, <NA>, <NA>]
    """
    if pd.api.types.is_bool_dtype(column.dtype):
        return Cells(column.astype("boolean"), np.zeros(len(column), dtype=bool))
    texts = _read_values(column).str.lower()
    is_true, is_false = texts.isin(TRUE_WORDS), texts.isin(FALSE_WORDS)
    flags = is_true.astype("boolean").mask(~(is_true | is_false))
    return Cells(flags, (texts.notna() & ~is_true & ~is_false).to_numpy())


def read_times(column: "pd.Series[Any]", zone: str) -> Cells:
    """Read ISO 8601 instants as ``datetime64[us, zone]``; offsets are converted, naive times are the zone's own.

    When clocks are set forward, a naive time that never existed moves to the first instant after the gap. When they
    are set back, a naive time that existed twice is the earlier one (summer time). Both keep the row.

    >>> read_times(pd.Series(["2024-09-01T09:00:00", "2024-09-01T00:00:00Z"]), "Asia/Tokyo").values.dt.hour.tolist()
    [9, 9]
    """
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return Cells(_in_zone(column, zone), np.zeros(len(column), dtype=bool))
    if pd.api.types.is_datetime64_dtype(column.dtype):
        return Cells(_localise(column, zone), np.zeros(len(column), dtype=bool))
    texts = _read_values(column)
    looks_right = texts.str.fullmatch(_DATE_FIRST).fillna(False).astype(bool)
    has_offset = looks_right & texts.str.contains(_HAS_OFFSET + "$", regex=True).fillna(False).astype(bool)
    naive = pd.to_datetime(texts.where(looks_right & ~has_offset), format="ISO8601", errors="coerce")
    aware = pd.to_datetime(texts.where(has_offset), format="ISO8601", errors="coerce", utc=True)
    times = _localise(naive, zone).fillna(_in_zone(aware, zone)) if has_offset.any() else _localise(naive, zone)
    return Cells(times, (texts.notna() & times.isna()).to_numpy())


def _localise(naive: "pd.Series[Any]", zone: str) -> "pd.Series[Any]":
    stamps = naive.astype("datetime64[us]")
    first_of_two = np.ones(len(stamps), dtype=bool)
    return stamps.dt.tz_localize(zone, nonexistent="shift_forward", ambiguous=first_of_two)


def _in_zone(aware: "pd.Series[Any]", zone: str) -> "pd.Series[Any]":
    stamps: pd.Series[Any] = aware.dt.tz_convert(zone).dt.as_unit("us")
    return stamps


def _read_values(column: "pd.Series[Any]") -> "pd.Series[Any]":
    texts = read_texts(column).values
    return texts.mask(texts.str.lower().isin(MISSING_WORDS))


def _as_texts(column: "pd.Series[Any]") -> "pd.Series[Any]":
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if pd.api.types.is_float_dtype(column.dtype):
        whole = column.isna() | (column.mod(1) == 0)
        column = column.astype("Int64") if bool(whole.all()) else column
    return column.astype("str")
