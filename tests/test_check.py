from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from configs.errors import ContractError, SourceError
from configs.settings import ModelSettings, Settings
from features.contracts import CheckReport
from pipelines.check import SourceCheck, check_source, describe_check, summarise_rejects

AS_OF = pd.Timestamp("2024-09-10", tz="Asia/Tokyo")
SETTINGS = Settings(model=ModelSettings(min_rows=4, min_contacts=1))
CUSTOMERS = "customer_id,do_not_call,phone\na,no,0312345678\nb,yes,0698765432\n"
HEAD = "attempt_id,customer_id,attempted_at,outcome\n"
LOG = HEAD + "".join(
    f"{at},a,2024-09-0{at}T10:00:00,{outcome}\n"
    for at, outcome in enumerate(["busy", "keyman_contact", "no_answer", "busy", "keyman_contact"], start=1)
)


def folder(path: Path, **files: str) -> str:
    for name, text in {"customers": CUSTOMERS, "call_attempts": LOG, **files}.items():
        (path / f"{name}.csv").write_text(text, encoding="utf-8")
    return str(path)


def told(check: SourceCheck) -> str:
    page = StringIO()
    Console(file=page, width=160).print(describe_check(check))
    return page.getvalue()


def test_a_good_source_goes_on(tmp_path):
    check = check_source(folder(tmp_path), SETTINGS, AS_OF)
    assert check.exit_code == 0
    assert check.verdict == "The night would go on."
    assert isinstance(check, CheckReport)


def test_the_log_is_summed_up(tmp_path):
    check = check_source(folder(tmp_path), SETTINGS, AS_OF)
    assert check.contact_rate == pytest.approx(0.4)
    assert {outcome: n for outcome, n in check.outcomes.items() if n} == {
        "keyman_contact": 2,
        "no_answer": 1,
        "busy": 2,
    }
    page = told(check)
    assert "2024-09-01 10:00 to 2024-09-05 10:00, keyman contact rate 40.0%" in page
    assert "keyman_contact 2 · no_answer 1 · busy 2" in page
    assert "no table: the mean of the last 4 weeks, 5 attempts" in page


def test_rows_read_kept_and_rejected_are_told_by_table(tmp_path):
    log = LOG + "".join(f"x{at},a,2024-09-05T11:{at:02d},busy\n" for at in range(40)) + "9,a,2024-09-05T12:00,ZZZ\n"
    check = check_source(folder(tmp_path, call_attempts=log), SETTINGS, AS_OF)
    page = told(check)
    assert ["call_attempts", "46", "45", "1"] in [line.split() for line in page.splitlines()]
    assert check.exit_code == 0


def test_rejects_are_summed_up_by_reason_with_the_first_example():
    rows = [("t", 9, "age", "y", "not a number"), ("t", 4, "age", "x", "not a number"), ("t", 2, "id", "", "missing")]
    kinds = summarise_rejects(pd.DataFrame(rows, columns=["table", "row", "column", "value", "reason"]))
    assert kinds.values.tolist() == [["t", "age", "not a number", 2, 4, "x"], ["t", "id", "missing", 1, 2, ""]]


def test_too_many_bad_rows_are_listed_and_give_exit_code_12(tmp_path):
    log = LOG + "6,a,2024-09-06T10:00,ZZZ\n7,a,2024-09-06T11:00,[red]\n"
    check = check_source(folder(tmp_path, call_attempts=log), SETTINGS, AS_OF)
    assert check.exit_code == 12
    page = told(check)
    assert "call_attempts.outcome" in page
    assert "ZZZ" in page
    assert "The night would stop, exit code 12: call_attempts: 2 of 7 rows are bad" in page
    assert check.contact_rate == pytest.approx(0.4)


def test_a_value_that_looks_like_markup_is_shown_as_it_is(tmp_path):
    check = check_source(folder(tmp_path, call_attempts=LOG + "7,a,2024-09-06T11:00,[red]\n"), SETTINGS, AS_OF)
    assert "[red]" in told(check)


def test_a_stale_log_gives_exit_code_11_and_is_still_summed_up(tmp_path):
    check = check_source(folder(tmp_path), SETTINGS, AS_OF + pd.Timedelta(days=60))
    assert check.exit_code == 11
    assert "export a newer log" in check.verdict
    assert check.outcomes["busy"] == 2


def test_a_missing_column_gives_exit_code_11_and_the_rows_read(tmp_path):
    check = check_source(folder(tmp_path, customers="customer_id\na\n"), SETTINGS, AS_OF)
    assert check.exit_code == 11
    assert "customers.do_not_call: column missing" in check.verdict
    assert check.counts == {"customers_read": 1, "call_attempts_read": 5}
    assert "not judged" in told(check)


def test_a_log_too_small_for_a_model_gives_exit_code_13(tmp_path):
    check = check_source(folder(tmp_path), Settings(), AS_OF)
    assert check.exit_code == 13
    assert "5 attempts with 2 contacts are too few" in check.verdict


@pytest.mark.parametrize(("slot", "dials", "exit_code"), [
    ("2024-09-10T00:00", 3, 0),
    ("2024-09-16T23:00", 3, 0),
    ("2024-09-17T00:00", 3, 14),
    ("2024-09-09T23:00", 3, 14),
    ("2024-09-11T10:00", 0, 14),
])  # fmt: skip
def test_places_outside_the_horizon_are_no_places(tmp_path, slot, dials, exit_code):
    source = folder(tmp_path, capacity=f"slot_start,dials\n{slot},{dials}\n")
    assert check_source(source, SETTINGS, AS_OF).exit_code == exit_code


def test_capacity_is_told(tmp_path):
    source = folder(tmp_path, capacity="slot_start,agents\n2024-09-10T09:00,3\n2024-10-10T09:00,3\n")
    page = told(check_source(source, SETTINGS, AS_OF))
    assert "table of agents, 1 slots with places in the 7 days from 2024-09-10" in page


def test_a_phone_number_is_never_shown(tmp_path):
    log = LOG + "6,a,2024-09-06T10:00,0312345678\n"
    people = CUSTOMERS + "c,no\n"
    page = told(check_source(folder(tmp_path, call_attempts=log, customers=people), SETTINGS, AS_OF))
    assert "0312345678" not in page
    assert "•••" in page


def test_only_the_commonest_kinds_are_shown_when_there_are_many(tmp_path):
    log = LOG + "6,a,2024-09-06T10:00,ZZZ\n7,zz,2024-09-06T10:00,busy\n8,a,never,busy\n"
    check = check_source(folder(tmp_path, call_attempts=log), SETTINGS, AS_OF)
    page = StringIO()
    Console(file=page, width=160).print(describe_check(check, n_examples=1))
    assert "… and 2 more kinds" in page.getvalue()


def test_a_source_that_cannot_be_read_is_an_error_of_its_own(tmp_path):
    with pytest.raises(SourceError, match="no such folder"):
        check_source(str(tmp_path / "nowhere"), SETTINGS, AS_OF)
    source = folder(tmp_path)
    (tmp_path / "call_attempts.csv").unlink()
    with pytest.raises(ContractError, match="call_attempts: table missing"):
        check_source(source, SETTINGS, AS_OF)
