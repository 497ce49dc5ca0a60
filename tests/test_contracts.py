import numpy as np
import pandas as pd
import pytest

from configs.errors import ContractError, TooManyBadRowsError
from configs.settings import Settings
from features.contracts import CheckReport, Tables, check_tables
from features.quarantine import MASK

AS_OF = pd.Timestamp("2024-09-10", tz="Asia/Tokyo")
LENIENT = Settings(max_bad_share=1.0)
ATTEMPT = {
    "attempt_id": "1",
    "customer_id": "a",
    "attempted_at": "2024-09-05T10:00:00",
    "outcome": "no_answer",
    "ring_seconds": "20",
    "refused": "false",
}


def attempts(*changes: dict[str, object]) -> pd.DataFrame:
    rows = [{**ATTEMPT, "attempt_id": str(at + 1), **change} for at, change in enumerate(changes)]
    return pd.DataFrame(rows, dtype="str")


def customers(*ids: str) -> pd.DataFrame:
    return pd.DataFrame({"customer_id": list(ids), "do_not_call": "no"}, dtype="str")


def check(
    log: pd.DataFrame, people: pd.DataFrame | None = None, settings: Settings = LENIENT, **further: pd.DataFrame
) -> tuple[Tables, CheckReport]:
    raw = {"customers": customers("a", "b") if people is None else people, "call_attempts": log, **further}
    return check_tables(raw, AS_OF, settings)


def reject(report: CheckReport, at: int = 0) -> tuple[object, ...]:
    return tuple(report.rejects.iloc[at])


def test_what_is_written_about_a_refusal_and_cannot_be_read_bars_and_a_blank_does_not():
    log = attempts(
        {"refused": "told us off", "customer_id": "a"}, {"refused": "", "outcome": "?", "customer_id": "b"}, {}
    )
    held = check(log)[0].held_attempts
    assert held["customer_row"].tolist() == [0, 1]
    assert held["refused"].tolist() == [True, False]


def test_a_good_row_is_kept_and_nothing_is_rejected():
    tables, report = check(attempts({}))
    assert len(tables.call_attempts) == 1
    assert report.rejects.empty
    assert list(report.rejects.columns) == ["table", "row", "column", "value", "reason"]


def test_every_column_of_the_contract_exists_with_its_type():
    tables, _ = check(attempts({}))
    types = {name: str(dtype) for name, dtype in tables.call_attempts.dtypes.items()}
    assert types == {
        "attempt_id": "str",
        "customer_id": "str",
        "attempted_at": "datetime64[us, Asia/Tokyo]",
        "outcome": "str",
        "ring_seconds": "float32",
        "talk_seconds": "float32",
        "wrap_seconds": "float32",
        "agent_id": "str",
        "converted": "bool",
        "refused": "bool",
        "campaign_id": "str",
        "propensity": "float32",
        "customer_row": "int32",
    }


@pytest.mark.parametrize(
    ("change", "column", "value", "reason"),
    [
        ({"outcome": "ZZZ"}, "outcome", "ZZZ", "unknown outcome"),
        ({"outcome": None}, "outcome", "", "missing"),
        ({"attempted_at": "2026-13-01"}, "attempted_at", "2026-13-01", "not a time"),
        ({"attempted_at": None}, "attempted_at", "", "missing"),
        ({"attempted_at": "1970-01-01"}, "attempted_at", "1970-01-01", "is the clock wrong"),
        ({"attempt_id": " "}, "attempt_id", " ", "missing"),
        ({"customer_id": None}, "customer_id", "", "missing"),
        ({"customer_id": "nobody"}, "customer_id", "nobody", "unknown customer"),
        ({"ring_seconds": "-1"}, "ring_seconds", "-1", "outside 0 to 86,400"),
        ({"ring_seconds": "long"}, "ring_seconds", "long", "not a number"),
        ({"talk_seconds": "1e9"}, "talk_seconds", "1e9", "outside 0 to 86,400"),
        ({"wrap_seconds": "inf"}, "wrap_seconds", "inf", "not a number"),
        ({"propensity": "0"}, "propensity", "0", "not in (0, 1]"),
        ({"propensity": "1.01"}, "propensity", "1.01", "not in (0, 1]"),
        ({"converted": "perhaps"}, "converted", "perhaps", "not yes or no"),
        ({"refused": "perhaps"}, "refused", "perhaps", "not yes or no"),
        ({"attempt_id": "1"}, "attempt_id", "1", "repeated"),
    ],
)
def test_each_bad_cell_is_rejected_with_its_row_column_value_and_reason(change, column, value, reason):
    tables, report = check(attempts({}, change))
    assert tables.call_attempts["attempt_id"].tolist() == ["1"]
    assert len(report.rejects) == 1
    assert reject(report)[:4] == ("call_attempts", 3, column, value)
    assert reason in reject(report)[4]


def test_a_row_with_two_bad_cells_is_one_bad_row_with_two_rejects():
    _, report = check(attempts({}, {"outcome": "ZZZ", "ring_seconds": "-1"}))
    assert report.rejects["column"].tolist() == ["outcome", "ring_seconds"]
    assert report.counts["call_attempts_rejected"] == 1


def test_the_bounds_themselves_are_good():
    tables, report = check(attempts({"ring_seconds": "0", "propensity": "1"}, {"ring_seconds": "86400"}))
    assert len(tables.call_attempts) == 2
    assert report.rejects.empty


def test_of_repeated_attempts_the_first_good_one_is_kept():
    tables, report = check(attempts({"attempt_id": "7", "outcome": "ZZZ"}, {"attempt_id": "7"}, {"attempt_id": "7"}))
    assert tables.call_attempts["outcome"].tolist() == ["no_answer"]
    assert sorted(report.rejects["row"]) == [2, 4]


def test_attempts_are_sorted_by_time_and_point_at_their_customer():
    log = attempts({"customer_id": "b", "attempted_at": "2024-09-06"}, {"customer_id": "a"})
    tables, _ = check(log, customers("b", "a"))
    assert tables.call_attempts["customer_id"].tolist() == ["a", "b"]
    pointed = tables.customers["customer_id"].to_numpy()[tables.call_attempts["customer_row"]]
    assert pointed.tolist() == ["a", "b"]


def test_attempts_at_or_after_the_night_are_counted_and_never_rejected():
    log = attempts(
        {},
        {"attempted_at": "2024-09-10T00:00:00", "outcome": "ZZZ"},
        {"attempted_at": "2024-09-09T15:00:00Z", "customer_id": "nobody"},
        {"attempted_at": "2024-09-09T23:59:59"},
    )
    tables, report = check(log)
    assert len(tables.call_attempts) == 2
    assert report.counts["call_attempts_after_as_of"] == 2
    assert report.rejects.empty
    assert report.notes == ("2 attempts at or after 2024-09-10 were ignored",)


def test_a_repeat_of_an_attempt_after_the_night_rejects_nothing_before_it():
    tables, report = check(attempts({"attempt_id": "7", "attempted_at": "2024-09-11"}, {"attempt_id": "7"}))
    assert len(tables.call_attempts) == 1
    assert report.rejects.empty


def test_a_rejected_attempt_is_held_against_its_customer():
    log = attempts(
        {},
        {"customer_id": "b", "outcome": "ZZZ", "refused": "yes"},
        {"customer_id": "b", "attempted_at": "soon", "outcome": "wrong_number"},
        {"customer_id": "nobody"},
    )
    held = check(log)[0].held_attempts
    assert held["customer_row"].tolist() == [1, 1]
    assert held["refused"].tolist() == [True, False]
    assert held["outcome"].isna().tolist() == [True, False]
    assert held["attempted_at"].isna().tolist() == [False, True]
    assert str(held["attempted_at"].dtype) == "datetime64[us, Asia/Tokyo]"
    assert held["customer_row"].dtype == np.int32


def test_a_row_written_twice_is_one_dial_but_a_reused_id_is_another():
    log = attempts({"attempt_id": "7"}, {"attempt_id": "7"}, {"attempt_id": "7", "outcome": "wrong_number"})
    held = check(log)[0].held_attempts
    assert held["outcome"].tolist() == ["wrong_number"]


def test_a_missing_column_is_named_with_what_was_found_and_the_remedy():
    with pytest.raises(ContractError, match=r"call_attempts\.outcome: column missing \(found attempt_id, .*map"):
        check(attempts({}).drop(columns="outcome"))


@pytest.mark.parametrize("table", ["customers", "call_attempts"])
def test_a_missing_table_is_named_with_what_was_found(table):
    raw = {"customers": customers("a"), "call_attempts": attempts({})}
    del raw[table]
    with pytest.raises(ContractError, match=rf"{table}: table missing \(found (customers|call_attempts)\)"):
        check_tables(raw, AS_OF, LENIENT)


@pytest.mark.parametrize("table", ["customers", "call_attempts"])
def test_an_empty_table_is_refused(table):
    raw = {"customers": customers("a"), "call_attempts": attempts({})}
    raw[table] = raw[table].iloc[:0]
    with pytest.raises(ContractError, match=f"{table}: the table is empty"):
        check_tables(raw, AS_OF, LENIENT)


def test_a_log_wholly_after_the_night_is_refused():
    with pytest.raises(ContractError, match="no attempt before 2024-09-10"):
        check(attempts({"attempted_at": "2024-09-12"}))


def test_a_log_without_a_good_row_is_refused():
    with pytest.raises(ContractError, match="no good attempt"):
        check(attempts({"outcome": "ZZZ"}))


def test_a_stale_log_is_refused_and_told_its_age():
    fresh = Settings(max_log_age_days=3)
    with pytest.raises(ContractError, match=r"newest attempt, 2024-09-05 10:00, .*4 days.*export a newer log"):
        check(attempts({}), settings=fresh)
    check(attempts({"attempted_at": "2024-09-07"}), settings=fresh)


def test_bad_rows_above_the_limit_stop_the_night_with_the_rejects_in_hand():
    log = attempts({}, {}, {}, {"outcome": "ZZZ"})
    with pytest.raises(TooManyBadRowsError, match=r"1 of 4 rows are bad.*outcome.*first 'ZZZ' in row 5") as stopped:
        check(log, settings=Settings(max_bad_share=0.24))
    assert stopped.value.exit_code == 12
    assert stopped.value.rejects["value"].tolist() == ["ZZZ"]


def test_bad_rows_at_the_limit_do_not_stop_the_night():
    tables, _ = check(attempts({}, {}, {}, {"outcome": "ZZZ"}), settings=Settings(max_bad_share=0.25))
    assert len(tables.call_attempts) == 3


def test_attempts_after_the_night_do_not_dilute_the_bad_ones():
    later = [{"attempted_at": "2024-09-20"}] * 96
    with pytest.raises(TooManyBadRowsError, match="2 of 4 rows"):
        check(attempts({}, {}, {"outcome": "X"}, {"outcome": "X"}, *later), settings=Settings())


def test_the_message_of_too_many_bad_rows_names_the_commonest_reason():
    log = attempts({}, {"ring_seconds": "-5"}, {"outcome": "X1"}, {"outcome": "X2"})
    with pytest.raises(TooManyBadRowsError, match="most often outcome"):
        check(log, settings=Settings())


def test_an_attempt_of_a_refused_customer_is_left_out_but_is_no_bad_row():
    people = customers("a", "b").assign(age=["30", "-3"])
    tables, report = check(attempts({}, {"customer_id": "b"}), people)
    assert tables.call_attempts["customer_id"].tolist() == ["a"]
    assert report.counts["call_attempts_of_quarantined"] == 1
    assert report.counts["call_attempts_rejected"] == 0


def test_a_phone_number_that_strayed_into_another_column_is_masked():
    people = customers("a", "b").assign(phone=["0312345678", "0698765432"])
    _, report = check(attempts({}, {"outcome": "0312345678"}), people)
    assert reject(report)[3] == MASK


def test_rows_are_named_by_the_line_of_the_file_when_the_index_says_so():
    log = attempts({}, {"outcome": "ZZZ"}).set_axis(pd.Index([2, 9], name="row"), axis=0)
    assert reject(check(log)[1])[1] == 9


def test_a_row_cut_short_is_rejected_once_and_held():
    log = attempts({}, {"outcome": None}).assign(row_fault=[None, "3 of 6 fields"])
    tables, report = check(log)
    assert reject(report) == ("call_attempts", 3, "", "", "3 of 6 fields")
    assert len(report.rejects) == 1
    assert tables.held_attempts["customer_row"].tolist() == [0]


def test_typed_tables_are_judged_like_text():
    typed = pd.DataFrame(
        {
            "attempt_id": [1, 2],
            "customer_id": [7, 7],
            "attempted_at": pd.to_datetime(["2024-09-05 10:00", "2024-09-06 10:00"]),
            "outcome": pd.Categorical(["busy", "ZZZ"]),
            "ring_seconds": [3.5, 2.0],
            "refused": [True, False],
        }
    )
    people = pd.DataFrame({"customer_id": [7], "do_not_call": [False]})
    tables, report = check(typed, people)
    assert tables.call_attempts[["attempt_id", "customer_id", "refused"]].values.tolist() == [["1", "7", True]]
    assert reject(report)[2:4] == ("outcome", "ZZZ")


def test_the_inputs_stay_as_they_are():
    raw = {"customers": customers("b", "a"), "call_attempts": attempts({}, {"outcome": "ZZZ"})}
    before = {name: frame.copy() for name, frame in raw.items()}
    check_tables(raw, AS_OF, LENIENT)
    for name, frame in raw.items():
        pd.testing.assert_frame_equal(frame, before[name])
