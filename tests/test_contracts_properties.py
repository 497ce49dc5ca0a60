import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import ContractError
from configs.settings import Settings
from features.contracts import CheckReport, Tables, check_tables
from features.outcomes import OUTCOMES

AS_OF = pd.Timestamp("2024-09-10", tz="Asia/Tokyo")
LENIENT = Settings(max_bad_share=1.0)
N_CUSTOMERS, N_ATTEMPTS = 6, 14
GARBAGE = st.sampled_from(
    ["", "?", "-5", "999999", "yes", "2024-13-01", "2024-09-20T10:00", "NaN", "1", "c1", "０", "\x00"]
)
CUSTOMER_COLUMNS = ("customer_id", "age", "gender", "do_not_call", "listed", "timezone", "listed_at", "phone")
ATTEMPT_COLUMNS = ("attempt_id", "customer_id", "attempted_at", "outcome", "talk_seconds", "refused", "propensity")


def _customers() -> pd.DataFrame:
    ids = [f"c{at}" for at in range(N_CUSTOMERS)]
    fixed = {"age": "40", "gender": "male", "do_not_call": "no", "listed": "yes", "timezone": "Asia/Tokyo"}
    return pd.DataFrame({"customer_id": ids, "listed_at": "2024-08-01", "phone": ids, **fixed}, dtype="str")


def _attempts() -> pd.DataFrame:
    at = np.arange(N_ATTEMPTS)
    return pd.DataFrame(
        {
            "attempt_id": [f"t{n}" for n in at],
            "customer_id": [f"c{n % N_CUSTOMERS}" for n in at],
            "attempted_at": [f"2024-09-{1 + n % 9:02d}T1{n % 10}:00" for n in at],
            "outcome": [OUTCOMES[n % len(OUTCOMES)] for n in at],
            "talk_seconds": "10",
            "refused": "no",
            "propensity": "0.5",
        },
        dtype="str",
    )


def _spoilt(frame: pd.DataFrame, columns: tuple[str, ...]) -> st.SearchStrategy[pd.DataFrame]:
    cell = st.tuples(st.integers(0, len(frame) - 1), st.sampled_from(columns), GARBAGE)

    def spoil(cells: list[tuple[int, str, str]], faults: list[int]) -> pd.DataFrame:
        spoilt = frame.assign(row_fault=pd.Series(None, index=frame.index, dtype="str"))
        for at, column, garbage in cells:
            spoilt.loc[at, column] = garbage
        spoilt.loc[faults, "row_fault"] = "cut short"
        return spoilt

    return st.builds(
        spoil, st.lists(cell, max_size=12), st.lists(st.integers(0, len(frame) - 1), max_size=3, unique=True)
    )


TABLES = st.fixed_dictionaries(
    {
        "customers": _spoilt(_customers(), CUSTOMER_COLUMNS),
        "call_attempts": _spoilt(_attempts(), ATTEMPT_COLUMNS),
    }
)


def _check(raw: dict[str, pd.DataFrame]) -> tuple[Tables, CheckReport] | None:
    try:
        return check_tables(raw, AS_OF, LENIENT)
    except ContractError as refused:
        if "no good attempt" not in str(refused):
            raise
        return None


@settings(max_examples=15, deadline=None)
@given(TABLES)
def test_whatever_is_spoilt_every_row_is_kept_rejected_or_ignored(raw):
    before = {name: frame.copy() for name, frame in raw.items()}
    checked = _check(raw)
    for name, frame in raw.items():
        pd.testing.assert_frame_equal(frame, before[name])
    if checked is None:
        return
    tables, report = checked
    counts = report.counts
    assert counts["customers_kept"] + counts["customers_rejected"] == N_CUSTOMERS == counts["customers_read"]
    ignored = counts["call_attempts_after_as_of"] + counts["call_attempts_of_quarantined"]
    assert counts["call_attempts_kept"] + counts["call_attempts_rejected"] + ignored == N_ATTEMPTS
    rejected_rows = report.rejects.loc[report.rejects["table"] == "call_attempts", "row"].nunique()
    assert rejected_rows == counts["call_attempts_rejected"]
    assert len(tables.call_attempts) == counts["call_attempts_kept"]


@settings(max_examples=15, deadline=None)
@given(TABLES)
def test_whatever_is_spoilt_a_listed_customer_is_kept_or_quarantined(raw):
    checked = _check(raw)
    if checked is None:
        return
    tables, report = checked
    frame = raw["customers"]
    listed = frame.loc[frame["listed"].eq("yes") & frame["customer_id"].str.strip().ne(""), "customer_id"].str.strip()
    assert set(listed) <= set(tables.customers["customer_id"]) | set(report.quarantined_customers)
    assert not set(tables.customers["customer_id"]) & set(report.quarantined_customers)


@settings(max_examples=15, deadline=None)
@given(TABLES)
def test_whatever_is_spoilt_what_is_kept_keeps_the_contract(raw):
    checked = _check(raw)
    if checked is None:
        return
    attempts, customers = checked[0].call_attempts, checked[0].customers
    assert attempts["outcome"].isin(OUTCOMES).all()
    assert attempts["attempted_at"].lt(AS_OF).all()
    assert attempts["attempt_id"].is_unique
    assert customers["customer_id"].is_unique
    assert (customers["customer_id"].to_numpy()[attempts["customer_row"]] == attempts["customer_id"]).all()
    said_no = raw["customers"].loc[~raw["customers"]["do_not_call"].eq("no"), "customer_id"].str.strip()
    clear = raw["customers"].loc[raw["customers"]["do_not_call"].isin(["no", "-5"]), "customer_id"].str.strip()
    assert customers.loc[customers["customer_id"].isin(set(said_no) - set(clear)), "do_not_call"].all()


@settings(max_examples=15, deadline=None)
@given(TABLES)
def test_a_rejected_attempt_of_a_known_customer_is_held(raw):
    checked = _check(raw)
    if checked is None:
        return
    tables, report = checked
    rejects = report.rejects.loc[report.rejects["table"] == "call_attempts"]
    rows = raw["call_attempts"].iloc[sorted(set(rejects["row"] - 2))]
    known = rows["customer_id"].str.strip().isin(tables.customers["customer_id"])
    assert len(tables.held_attempts) == known.sum()


@settings(max_examples=15, deadline=None)
@given(TABLES, st.permutations(range(N_ATTEMPTS)), st.permutations(range(N_CUSTOMERS)))
def test_the_order_of_the_rows_changes_nothing(raw, attempt_order, customer_order):
    numbered = {name: frame.set_axis(pd.RangeIndex(2, len(frame) + 2, name="row")) for name, frame in raw.items()}
    shuffled = {
        "customers": numbered["customers"].iloc[list(customer_order)],
        "call_attempts": numbered["call_attempts"].iloc[list(attempt_order)],
    }
    one, other = _check(numbered), _check(shuffled)
    if one is None or other is None:
        assert one is None
        assert other is None
        return
    for name in ("customers", "call_attempts", "held_attempts"):
        pd.testing.assert_frame_equal(getattr(one[0], name), getattr(other[0], name))
    pd.testing.assert_frame_equal(one[1].rejects, other[1].rejects)
    assert one[1].counts == other[1].counts


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(N_ATTEMPTS)))
def test_a_clean_log_in_any_order_gives_the_same_tables(order):
    raw = {"customers": _customers(), "call_attempts": _attempts()}
    shuffled = {**raw, "call_attempts": raw["call_attempts"].iloc[list(order)].reset_index(drop=True)}
    one, other = check_tables(raw, AS_OF, LENIENT)[0], check_tables(shuffled, AS_OF, LENIENT)[0]
    pd.testing.assert_frame_equal(one.call_attempts, other.call_attempts)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=5))
def test_what_happens_after_the_night_changes_no_checked_table(outcomes):
    log = _attempts()
    later = pd.DataFrame(
        {
            "attempt_id": [f"t{at}" for at in range(len(outcomes))],
            "customer_id": "c0",
            "attempted_at": "2024-09-10T00:00",
            "outcome": outcomes,
        },
        dtype="str",
    )
    one = check_tables({"customers": _customers(), "call_attempts": log}, AS_OF, LENIENT)[0]
    both = pd.concat([later, log], ignore_index=True)
    other = check_tables({"customers": _customers(), "call_attempts": both}, AS_OF, LENIENT)[0]
    pd.testing.assert_frame_equal(one.call_attempts, other.call_attempts)
    pd.testing.assert_frame_equal(one.held_attempts, other.held_attempts)
