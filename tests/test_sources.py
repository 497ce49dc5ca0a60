from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import ContractError, SourceError
from configs.settings import Settings
from features.contracts import check_tables
from features.quarantine import ROW_FAULT
from pipelines.sources import RawSource, read_source

AS_OF = pd.Timestamp("2024-09-10", tz="Asia/Tokyo")
LENIENT = Settings(max_bad_share=1.0)
CUSTOMERS = "customer_id,do_not_call,region\n00123,no,東京都\n00124,yes,髙島①㈱\n"
ATTEMPTS = (
    "attempt_id,customer_id,attempted_at,outcome\n"
    "1,00123,2024-09-05T10:00:00+09:00,no_answer\n"
    "2,00124,2024-09-05T11:00:00,keyman_contact\n"
)


def folder(path: Path, **files: str | bytes) -> Path:
    for name, content in {"customers": CUSTOMERS, "call_attempts": ATTEMPTS, **files}.items():
        (path / f"{name}.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path) -> RawSource:
    return read_source(str(path), LENIENT)


def test_a_folder_of_csv_is_read_as_text_with_the_lines_of_the_file(tmp_path):
    customers = read(folder(tmp_path)).tables["customers"]
    assert customers["customer_id"].tolist() == ["00123", "00124"]
    assert customers.index.tolist() == [2, 3]
    assert customers.index.name == "row"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
def test_the_three_encodings_of_japanese_offices_read_the_same(tmp_path, encoding):
    customers = read(folder(tmp_path, customers=CUSTOMERS.encode(encoding))).tables["customers"]
    assert customers.columns.tolist() == ["customer_id", "do_not_call", "region"]
    assert customers["region"].tolist() == ["東京都", "髙島①㈱"]


def test_a_file_in_no_known_encoding_is_named_with_its_byte_and_the_remedy(tmp_path):
    spoilt = CUSTOMERS.encode("cp932") + b"1,no,\xfd\xfe\n"
    with pytest.raises(
        SourceError, match=r"customers\.csv: byte \d+: neither UTF-8 nor cp932.*save it as CSV"
    ) as failed:
        read(folder(tmp_path, customers=spoilt))
    assert f"byte {len(CUSTOMERS.encode('cp932')) + 5}:" in str(failed.value)


def test_utf_16_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"customers\.csv: byte 0: this is UTF-16"):
        read(folder(tmp_path, customers=CUSTOMERS.encode("utf-16")))


def test_windows_line_ends_read_the_same(tmp_path):
    one = read(folder(tmp_path)).tables["call_attempts"]
    other = read(folder(tmp_path, call_attempts=ATTEMPTS.replace("\n", "\r\n"))).tables["call_attempts"]
    pd.testing.assert_frame_equal(one, other)


def test_rows_with_too_few_or_too_many_fields_are_kept_aside_with_their_line(tmp_path):
    log = ATTEMPTS + "3,00123,2024-09-06\n4,00123,2024-09-06T10:00,busy,extra\n5,00124,2024-09-07,busy\n"
    frame = read(folder(tmp_path, call_attempts=log)).tables["call_attempts"]
    assert frame.index.tolist() == [2, 3, 4, 5, 6]
    assert frame[ROW_FAULT].dropna().to_dict() == {
        4: "3 of 4 fields: is the file cut short?",
        5: "5 of 4 fields: quote cells that hold commas",
    }


def test_a_file_cut_short_loses_one_row_which_still_counts_against_its_customer(tmp_path):
    tables, report = check_tables(
        read(folder(tmp_path, call_attempts=ATTEMPTS + "3,00123,2024-09-06T12:00,")).tables, AS_OF, LENIENT
    )
    assert report.counts["call_attempts_rejected"] == 1
    cut = read(folder(tmp_path, call_attempts=ATTEMPTS + "3,00123,2024-09-0")).tables
    tables, report = check_tables(cut, AS_OF, LENIENT)
    assert report.rejects[["row", "reason"]].values.tolist() == [[4, "3 of 4 fields: is the file cut short?"]]
    assert tables.held_attempts["customer_row"].tolist() == [0]
    assert tables.held_attempts["attempted_at"].isna().all()


def test_an_id_cut_short_is_not_taken_for_another_customer(tmp_path):
    people = "customer_id,do_not_call\n0012,no\n00123,no\n"
    raw = read(folder(tmp_path, customers=people, call_attempts=ATTEMPTS.replace("00124", "00123") + "3,0012")).tables
    tables, _ = check_tables(raw, AS_OF, LENIENT)
    assert tables.held_attempts.empty


@pytest.mark.parametrize("encoding", ["utf-8", "cp932"])
def test_a_file_cut_inside_a_letter_loses_only_that_row(tmp_path, encoding):
    whole = CUSTOMERS + "00125,no,大阪"
    frame = read(folder(tmp_path, customers=whole.encode(encoding)[:-1])).tables["customers"]
    assert frame["region"].tolist() == ["東京都", "髙島①㈱", "大"]
    assert frame[ROW_FAULT].fillna("").tolist() == ["", "", "the file ends inside a letter: is it cut short?"]


def test_quoted_newlines_and_blank_lines_do_not_shift_the_line_numbers(tmp_path):
    people = 'customer_id,do_not_call,region\n1,no,"two\nlines"\n\n2,no,"a ""quoted"", comma"\n3,no\n4,no,x\n'
    frame = read(folder(tmp_path, customers=people)).tables["customers"]
    assert frame.index.tolist() == [2, 5, 6, 7]
    assert frame["region"].tolist()[:2] == ["two\nlines", 'a "quoted", comma']
    assert frame[ROW_FAULT].notna().tolist() == [False, False, True, False]


def test_a_quote_that_is_never_closed_is_named_with_its_line(tmp_path):
    people = 'customer_id,do_not_call,region\n1,no,x\n2,no,"open\n3,no,x\n4,no,x\n'
    with pytest.raises(SourceError, match=r"customers\.csv: line 3: a quote is opened and never closed"):
        read(folder(tmp_path, customers=people))


def test_a_header_alone_and_an_empty_file_are_empty_tables(tmp_path):
    for content in ("customer_id,do_not_call\n", "customer_id,do_not_call", "", "\n"):
        raw = read(folder(tmp_path, customers=content)).tables
        with pytest.raises(ContractError, match="customers: the table is empty"):
            check_tables(raw, AS_OF, LENIENT)


def test_a_column_named_twice_is_refused(tmp_path):
    with pytest.raises(ContractError, match=r"customers\.region: the header of customers\.csv names this column twice"):
        read(folder(tmp_path, customers="customer_id,region, region\n1,a,b\n"))


def test_parquet_keeps_ids_and_gives_the_same_checked_tables_as_csv(tmp_path):
    (tmp_path / "csv").mkdir()
    (tmp_path / "parquet").mkdir()
    plain = read(folder(tmp_path / "csv"))
    for name in ("customers", "call_attempts"):
        frame = plain.tables[name].reset_index(drop=True)
        pq.write_table(pa.Table.from_pandas(frame), tmp_path / "parquet" / f"{name}.parquet")
    one = check_tables(plain.tables, AS_OF, LENIENT)[0]
    other = check_tables(read(tmp_path / "parquet").tables, AS_OF, LENIENT)[0]
    pd.testing.assert_frame_equal(one.customers, other.customers)
    pd.testing.assert_frame_equal(one.call_attempts, other.call_attempts)


def test_a_cut_parquet_is_damaged_and_not_a_crash(tmp_path):
    folder(tmp_path)
    (tmp_path / "call_attempts.csv").unlink()
    whole = tmp_path / "call_attempts.parquet"
    pd.DataFrame({"attempt_id": range(100)}).to_parquet(whole)
    whole.write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(SourceError, match=r"call_attempts\.parquet: damaged or cut short.*export it again"):
        read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not a parquet file at all"])
def test_what_is_no_parquet_is_damaged(tmp_path, content):
    (tmp_path / "customers.parquet").write_bytes(content)
    with pytest.raises(SourceError, match=r"customers\.parquet: damaged"):
        read(tmp_path)


def test_no_such_folder_an_empty_one_and_a_file_are_three_clear_errors(tmp_path):
    with pytest.raises(SourceError, match="no such folder"):
        read(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="holds no CSV or Parquet file"):
        read(tmp_path)
    with pytest.raises(SourceError, match="is a file"):
        read(folder(tmp_path) / "customers.csv")


def test_a_missing_table_is_named_with_the_files_found(tmp_path):
    (tmp_path / "customers.csv").write_text(CUSTOMERS, encoding="utf-8")
    (tmp_path / "notes.csv").write_text("a\n1\n", encoding="utf-8")
    with pytest.raises(ContractError, match=r"call_attempts: table missing in .* \(found customers, notes\)"):
        read(tmp_path)


def test_the_same_table_twice_is_refused(tmp_path):
    folder(tmp_path)
    (tmp_path / "customers.parquet").write_bytes(b"")
    with pytest.raises(SourceError, match=r"customers\.csv and customers\.parquet are both customers"):
        read(tmp_path)


def test_other_files_in_the_folder_are_left_alone(tmp_path):
    (tmp_path / "photo.csv").write_bytes(b"\xff\xfe\xff")
    (tmp_path / ".hidden.csv").write_bytes(b"\xff")
    (tmp_path / "README.txt").write_bytes(b"\xff")
    assert set(read(folder(tmp_path)).tables) == {"customers", "call_attempts"}


def test_optional_tables_are_read_where_they_are(tmp_path):
    raw = read(folder(tmp_path, agents="agent_id\nx\n", capacity="slot_start,dials\n2024-09-10T09:00,5\n"))
    assert set(raw.tables) == {"customers", "call_attempts", "agents", "capacity"}


def test_the_fingerprint_changes_with_the_content_and_names_no_password(tmp_path):
    one = read(folder(tmp_path)).fingerprint
    assert read(folder(tmp_path)).fingerprint == one
    other = read(folder(tmp_path, customers=CUSTOMERS + "9,no,x\n")).fingerprint
    assert other["customers"] != one["customers"]
    assert other["call_attempts"] == one["call_attempts"]
    assert all(len(digest) == 64 for digest in one.values())
