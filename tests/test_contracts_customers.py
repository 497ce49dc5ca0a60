import numpy as np
import pandas as pd
import pytest

from configs.errors import ContractError, TooManyBadRowsError
from configs.settings import Settings
from features.contracts import CheckReport, Tables, check_tables
from features.quarantine import MASK

AS_OF = pd.Timestamp("2024-09-10", tz="Asia/Tokyo")
LENIENT = Settings(max_bad_share=1.0)
LOG = pd.DataFrame(
    {"attempt_id": ["1"], "customer_id": ["a"], "attempted_at": ["2024-09-05T10:00"], "outcome": ["busy"]}, dtype="str"
)
PERSON = {"customer_id": "a", "do_not_call": "no"}


def people(*changes: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame([{**PERSON, **change} for change in changes], dtype="str")


def check(frame: pd.DataFrame, settings: Settings = LENIENT, **further: pd.DataFrame) -> tuple[Tables, CheckReport]:
    return check_tables({"customers": frame, "call_attempts": LOG, **further}, AS_OF, settings)


def test_two_columns_are_enough_and_the_others_get_their_meaning():
    customer = check(people({}))[0].customers.iloc[0]
    assert customer["listed"]
    assert customer["value"] == 1.0
    assert not customer["do_not_call"]
    assert customer[["age", "gender", "region", "listed_at", "timezone", "callback_at", "phone"]].isna().all()


def test_customers_are_sorted_by_id_with_a_plain_index():
    frame = check(people({"customer_id": "b"}, {"customer_id": "a"}, {"customer_id": "10"}))[0].customers
    assert frame["customer_id"].tolist() == ["10", "a", "b"]
    assert frame.index.tolist() == [0, 1, 2]


@pytest.mark.parametrize(("given", "barred"), [("no", False), ("0", False), ("yes", True), ("", True), (None, True)])
def test_whoever_is_not_clearly_callable_is_barred(given, barred):
    tables, report = check(people({"do_not_call": given}))
    assert tables.customers["do_not_call"].tolist() == [barred]
    assert report.rejects.empty


def test_an_unreadable_do_not_call_bars_and_is_told():
    tables, report = check(people({}, {"customer_id": "b", "do_not_call": "?"}))
    assert tables.customers["do_not_call"].tolist() == [False, True]
    assert report.rejects[["row", "column", "value"]].values.tolist() == [[3, "do_not_call", "?"]]
    assert report.counts["customers_rejected"] == 0
    assert "1 customers are barred because do_not_call cannot be read" in report.notes


def test_a_do_not_call_column_in_a_foreign_code_stops_the_night():
    frame = people(*({"customer_id": str(at), "do_not_call": "J"} for at in range(9)), {})
    with pytest.raises(TooManyBadRowsError, match=r"customers: 9 of 10 rows are bad.*do_not_call"):
        check(frame, Settings())


@pytest.mark.parametrize(
    ("change", "column", "reason"),
    [
        ({"age": "-1"}, "age", "outside 0 to 120"),
        ({"age": "121"}, "age", "outside 0 to 120"),
        ({"age": "old"}, "age", "not a number"),
        ({"gender": "M"}, "gender", "not one of male, female, other"),
        ({"listed": "maybe"}, "listed", "not yes or no"),
        ({"listed_at": "2024-99-99"}, "listed_at", "not a time"),
        ({"callback_at": "tomorrow"}, "callback_at", "not a time"),
        ({"timezone": "Tokyo"}, "timezone", "not an IANA time zone"),
        ({"timezone": "../etc"}, "timezone", "not an IANA time zone"),
        ({"value": "-1"}, "value", "outside 0"),
        ({"value": "much"}, "value", "not a number"),
        ({"customer_id": ""}, "customer_id", "missing"),
    ],
)
def test_each_bad_cell_of_a_customer_is_rejected(change, column, reason):
    tables, report = check(people({}, {"customer_id": "b", **change}))
    assert tables.customers["customer_id"].tolist() == ["a"]
    assert report.rejects[["row", "column"]].values.tolist() == [[3, column]]
    assert reason in report.rejects["reason"][0]


def test_good_values_of_every_column_are_kept():
    whole = {
        "age": "0", "gender": "FEMALE", "listed": "true", "listed_at": "2024-09-01", "timezone": "Europe/Berlin",
        "value": "0", "callback_at": "2024-09-11T10:00Z", "phone": "0312345678", "region": "NA",
    }  # fmt: skip
    tables, report = check(people(whole))
    customer = tables.customers.iloc[0]
    assert report.rejects.empty
    assert customer[["gender", "region", "phone", "value"]].tolist() == ["female", "NA", "0312345678", 0.0]
    assert str(customer["callback_at"]) == "2024-09-11 19:00:00+09:00"


def test_null_listed_is_not_listed():
    frame = people({"listed": "yes"}, {"customer_id": "b", "listed": None}, {"customer_id": "c", "listed": "no"})
    assert check(frame)[0].customers["listed"].tolist() == [True, False, False]


def test_refused_customers_are_quarantined_unless_they_are_surely_not_listed():
    bad = {"age": "-1"}
    frame = people(
        {"listed": "yes"},
        {"customer_id": "listed", "listed": "yes", **bad},
        {"customer_id": "unclear", "listed": "?", **bad},
        {"customer_id": "unlisted", "listed": "no", **bad},
        {"customer_id": "unknown", "listed": None, **bad},
    )
    assert check(frame)[1].quarantined_customers == ("listed", "unclear")


def test_without_a_listed_column_every_refused_customer_is_quarantined():
    assert check(people({}, {"customer_id": "b", "age": "-1"}))[1].quarantined_customers == ("b",)


def test_a_customer_row_cut_short_is_quarantined():
    frame = people({"listed": "yes"}, {"customer_id": "b", "do_not_call": None, "listed": None})
    _, report = check(frame.assign(row_fault=[None, "1 of 3 fields"]))
    assert report.quarantined_customers == ("b",)
    assert report.rejects["reason"].tolist() == ["1 of 3 fields"]


def test_of_two_rows_of_a_customer_the_first_is_kept():
    tables, report = check(people({"region": "north"}, {"region": "south"}))
    assert tables.customers["region"].tolist() == ["north"]
    assert report.rejects[["row", "column"]].values.tolist() == [[3, "customer_id"]]
    assert report.quarantined_customers == ()


@pytest.mark.parametrize("second", [{"do_not_call": "yes"}, {"do_not_call": ""}, {"do_not_call": "yes", "age": "-1"}])
def test_a_bar_in_any_row_of_a_customer_bars(second):
    assert check(people({}, second))[0].customers["do_not_call"].tolist() == [True]


def test_a_good_row_after_a_bad_one_saves_the_customer():
    tables, report = check(people({"age": "-1"}, {"age": "30"}))
    assert tables.customers["age"].tolist() == [30.0]
    assert report.quarantined_customers == ()


def test_a_phone_number_is_never_told():
    frame = people({"phone": "0312345678"}, {"customer_id": "0312345678", "age": "-1", "phone": "0312345678"})
    _, report = check(frame)
    assert "0312345678" not in report.rejects.to_csv()
    frame = people({"phone": "0312345678"}, {"customer_id": "b", "region": "x", "gender": "0312345678"})
    assert check(frame)[1].rejects["value"].tolist() == [MASK]


def test_further_attributes_are_numbers_where_they_look_like_numbers():
    settings = Settings(max_bad_share=0.4, attributes=("age", "tenure", "plan"))
    frame = people({"tenure": "3", "plan": "s"}, {"customer_id": "b", "tenure": "4", "plan": "7"})
    customers = check(frame, settings)[0].customers
    assert customers["tenure"].tolist() == [3.0, 4.0]
    assert customers["tenure"].dtype == np.float32
    assert customers["plan"].tolist() == ["s", "7"]


def test_one_bad_cell_does_not_turn_a_column_of_numbers_into_text():
    frame = people({"tenure": "1"}, {"customer_id": "b", "tenure": "2"}, {"customer_id": "c", "tenure": "long"})
    tables, report = check(frame, Settings(max_bad_share=0.4, attributes=("tenure",)))
    assert tables.customers["tenure"].tolist() == [1.0, 2.0]
    assert report.rejects[["row", "column", "value"]].values.tolist() == [[4, "tenure", "long"]]


def test_an_attribute_of_the_settings_that_is_missing_is_named():
    with pytest.raises(ContractError, match=r"customers\.tenure: column missing, but the settings name it"):
        check(people({}), Settings(attributes=("tenure",)))


def test_a_listing_date_in_the_future_is_told_but_kept():
    tables, report = check(people({"listed_at": "2024-09-20"}))
    assert len(tables.customers) == 1
    assert report.notes == ("1 listed customers carry a listed_at later than the run date",)


def test_capacity_of_dials_or_agents_is_kept_sorted():
    frame = pd.DataFrame({"slot_start": ["2024-09-11T10:00", "2024-09-11T00:00Z"], "dials": ["5", "0"]})
    capacity = check(people({}), capacity=frame)[0].capacity
    assert capacity["dials"].tolist() == [0.0, 5.0]
    assert [str(start)[11:16] for start in capacity["slot_start"]] == ["09:00", "10:00"]
    seats = check(people({}), capacity=frame.rename(columns={"dials": "agents"}))[0].capacity
    assert list(seats.columns) == ["slot_start", "agents"]


def test_bad_and_repeated_slots_of_capacity_are_rejected_and_told():
    starts = ["2024-09-11T10:00", "2024-09-11T01:00Z", "noon", "2024-09-11T12:00", "2024-09-11T13:00"]
    frame = pd.DataFrame({"slot_start": starts, "dials": ["5", "6", "7", "-1", None]})
    tables, report = check(people({}), capacity=frame)
    assert tables.capacity["dials"].tolist() == [5.0]
    assert report.rejects["row"].tolist() == [3, 4, 5, 6]
    assert "4 rows of capacity were rejected: their slots hold no place" in report.notes


def test_a_capacity_table_without_places_names_both_columns():
    with pytest.raises(ContractError, match=r"capacity\.dials: column missing, and no column agents"):
        check(people({}), capacity=pd.DataFrame({"slot_start": ["2024-09-11"]}))


def test_agents_are_judged_and_optional():
    assert check(people({}))[0].agents is None
    frame = pd.DataFrame({"agent_id": ["x", "y", None], "age": ["30", "300", "20"], "team": ["red", "red", "red"]})
    tables, report = check(people({}), agents=frame)
    assert tables.agents["agent_id"].tolist() == ["x"]
    assert report.counts["agents_rejected"] == 2


def test_dials_to_the_phone_of_a_rejected_customer_are_kept_without_the_person():
    bad = {"customer_id": "b", "age": "-1", "phone": "0901", "listed_at": "2024-09-02"}
    log = pd.concat(
        [
            LOG.assign(attempt_id="0"),
            *(LOG.assign(attempt_id=day, customer_id="b", attempted_at=f"2024-09-0{day}") for day in "123"),
        ]
    ).assign(outcome=["busy", "busy", "busy", "teleported"])
    raw = {"customers": people({"phone": "0901"}, bad), "call_attempts": log}
    dials = check_tables(raw, AS_OF, LENIENT)[0].phone_dials
    assert dials["phone"].tolist() == ["0901", "0901"]
    assert dials["attempted_at"].dt.day.tolist() == [2, 3]
    assert dials["outcome"].fillna("unknown").tolist() == ["busy", "unknown"]
