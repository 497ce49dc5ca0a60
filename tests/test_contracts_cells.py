import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from features.cells import FALSE_WORDS, TRUE_WORDS, read_codes, read_flags, read_numbers, read_texts, read_times

TOKYO = "Asia/Tokyo"
BERLIN = "Europe/Berlin"


def _times(values: list[object], zone: str = TOKYO, dtype: str | None = "str") -> list[str]:
    return read_times(pd.Series(values, dtype=dtype), zone).values.map(str, na_action="ignore").tolist()


def test_ids_that_look_like_numbers_keep_their_zeros():
    assert read_texts(pd.Series(["00123", " 7 "])).values.tolist() == ["00123", "7"]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([7, 8]),
        pd.Series([7, 8], dtype="Int64"),
        pd.Series([7.0, 8.0]),
        pd.Series(["7", "8"], dtype="category"),
        pd.Series([7, 8], dtype="int32").astype("category"),
        pd.Series(["7", "8"], dtype="object"),
    ],
)
def test_ids_of_any_type_become_the_same_text(column):
    assert read_texts(column).values.tolist() == ["7", "8"]


def test_a_missing_id_among_whole_numbers_adds_no_decimal_point():
    texts = read_texts(pd.Series([7.0, None])).values
    assert texts[0] == "7"
    assert texts.isna().tolist() == [False, True]


def test_a_blank_text_is_missing_and_na_is_a_region():
    texts = read_texts(pd.Series(["", "  ", "NA"])).values
    assert texts.isna().tolist() == [True, True, False]


def test_codes_lose_their_case():
    assert read_codes(pd.Series([" BUSY", "Busy"])).values.tolist() == ["busy", "busy"]


def test_numbers_are_read_from_text_decimals_and_integers():
    for column in (pd.Series(["1", "2.5"]), pd.Series([Decimal("1"), Decimal("2.5")]), pd.Series([1.0, 2.5])):
        assert read_numbers(column).values.tolist() == [1.0, 2.5]


def test_infinite_and_worded_numbers_are_unreadable_and_missing_ones_are_not():
    cells = read_numbers(pd.Series(["inf", "many", "", "NULL", "nan"]))
    assert cells.unreadable.tolist() == [True, True, False, False, False]
    assert cells.values.isna().all()


def test_an_infinite_typed_number_is_unreadable_but_a_missing_one_is_missing():
    assert read_numbers(pd.Series([np.inf, np.nan])).unreadable.tolist() == [True, False]


@pytest.mark.parametrize("word", TRUE_WORDS)
def test_every_spelling_of_yes_is_true(word):
    assert read_flags(pd.Series([f" {word.upper()} "])).values.tolist() == [True]


@pytest.mark.parametrize("word", FALSE_WORDS)
def test_every_spelling_of_no_is_false(word):
    assert read_flags(pd.Series([word.capitalize()])).values.tolist() == [False]


def test_no_word_means_yes_and_no():
    assert not set(TRUE_WORDS) & set(FALSE_WORDS)


@pytest.mark.parametrize("column", [pd.Series([1, 0]), pd.Series([1.0, 0.0]), pd.Series([True, False])])
def test_flags_of_databases_are_read(column):
    assert read_flags(column).values.tolist() == [True, False]


def test_an_unreadable_flag_is_told_from_a_missing_one():
    cells = read_flags(pd.Series(["perhaps", "", None]))
    assert cells.unreadable.tolist() == [True, False, False]
    assert cells.values.isna().all()


def test_naive_times_are_the_centres_and_offsets_are_converted_in_one_column():
    mixed = ["2024-09-01T09:00:00", "2024-09-01T09:00:00+00:00", "2024-09-01 09:00:00Z", "2024-09-01T09:00+0900"]
    assert [time[11:16] for time in _times(mixed)] == ["09:00", "18:00", "18:00", "09:00"]


def test_a_date_alone_is_its_midnight_and_not_an_offset():
    assert _times(["2024-09-01"]) == ["2024-09-01 00:00:00+09:00"]


@pytest.mark.parametrize(
    "text", ["2026-13-01", "2024-02-30 10:00", "yesterday", "1725148800", "01/09/2024", "12:00", "2024"]
)
def test_what_is_no_iso_time_is_unreadable(text):
    cells = read_times(pd.Series([text]), TOKYO)
    assert cells.unreadable.tolist() == [True]
    assert cells.values.isna().all()


def test_a_time_that_never_existed_moves_to_the_end_of_the_gap():
    assert _times(["2024-03-31 02:30:00"], BERLIN) == ["2024-03-31 03:00:00+02:00"]


def test_a_time_that_existed_twice_is_the_earlier_one():
    assert _times(["2024-10-27 02:30:00"], BERLIN) == ["2024-10-27 02:30:00+02:00"]


def test_typed_times_are_read_like_text():
    naive = pd.Series(pd.to_datetime(["2024-10-27 02:30:00"]))
    aware = pd.Series(pd.to_datetime(["2024-10-27 00:30:00+00:00"]))
    for column in (naive, aware, naive.astype("datetime64[ns]")):
        cells = read_times(column, BERLIN)
        assert str(cells.values[0]) == "2024-10-27 02:30:00+02:00"
        assert str(cells.values.dtype) == "datetime64[us, Europe/Berlin]"


def test_python_dates_and_times_are_read():
    objects = pd.Series([dt.date(2024, 9, 1), dt.datetime(2024, 9, 1, 9, tzinfo=dt.UTC)], dtype="object")
    assert [str(time) for time in read_times(objects, TOKYO).values] == [
        "2024-09-01 00:00:00+09:00",
        "2024-09-01 18:00:00+09:00",
    ]


def test_an_empty_column_has_the_type_of_times():
    assert str(read_times(pd.Series([None, None], dtype="str"), TOKYO).values.dtype) == "datetime64[us, Asia/Tokyo]"
