from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from configs.errors import ContractError, UsageError
from configs.settings import Settings, SourceSettings, TableMap, read_settings
from features.contracts import CheckReport, Tables, check_tables
from features.outcomes import OUTCOMES
from pipelines.sources import read_source

ROOT = Path(__file__).resolve().parents[1]
MAPS = sorted((ROOT / "configs" / "sources").glob("*.yaml"))
COPENHAGEN = ROOT.parent / "shared" / "data" / "copenhagen"
AS_OF = pd.Timestamp("2024-09-10", tz="Asia/Tokyo")
CRM = "customer_id,do_not_call,phone\nc1,no,+81 90-1111-2222\nc2,no,03-3333-4444\n"


def write(folder: Path, **files: str) -> str:
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return str(folder)


def check(name: str, source: str, as_of: pd.Timestamp = AS_OF, **further: object) -> tuple[Tables, CheckReport]:
    settings = read_settings(ROOT / "configs" / "sources" / f"{name}.yaml").model_copy(
        update={"max_bad_share": 1.0, **further}
    )
    return check_tables(read_source(source, settings).tables, as_of, settings)


def outcomes(tables: Tables) -> dict[str, str]:
    return dict(zip(tables.call_attempts["attempt_id"], tables.call_attempts["outcome"], strict=True))


@pytest.mark.parametrize("path", MAPS, ids=lambda path: path.stem)
def test_every_map_is_a_settings_file_whose_codes_end_in_our_outcomes(path):
    settings = read_settings(path)
    assert settings.source is not None
    codes = settings.source.tables["call_attempts"].codes.get("outcome", {})
    assert set(codes.values()) <= set(OUTCOMES)


@pytest.mark.parametrize("path", MAPS, ids=lambda path: path.stem)
def test_every_map_begins_by_saying_what_it_is_and_where_its_fields_are_documented(path):
    head = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert len(head) >= 5
    assert any("Documented:" in line for line in head)


def test_the_four_systems_are_mapped():
    assert {path.stem for path in MAPS} == {"amazon_connect", "asterisk_cdr", "copenhagen", "vicidial_log"}


def _cdr(*rows: tuple[str, str, str, str, str, str, str]) -> str:
    columns = "accountcode,dst,dcontext,channel,lastapp,start,duration,billsec,disposition,uniqueid,userfield"
    lines = [
        f"camp,{dst},{context},SIP/sato-0001,{app},2024-09-05 10:00:00,{duration},{billsec},{disposition},{at}.1,{user}"
        for at, (dst, context, app, duration, billsec, disposition, user) in enumerate(rows)
    ]
    return "\n".join([columns, *lines]) + "\n"


def test_asterisk_dispositions_become_outcomes(tmp_path):
    log = _cdr(
        ("09011112222", "outbound", "Dial", "35", "25", "ANSWERED", ""),
        ("09011112222", "outbound", "Dial", "15", "5", "ANSWERED", ""),
        ("09011112222", "outbound", "AMD", "35", "25", "ANSWERED", ""),
        ("0333334444", "outbound", "Dial", "30", "0", "NO ANSWER", ""),
        ("0333334444", "outbound", "Dial", "1", "0", "BUSY", ""),
        ("0333334444", "outbound", "Dial", "0", "0", "CONGESTION", ""),
        ("0333334444", "campaign", "Dial", "0", "0", "FAILED", ""),
        ("0333334444", "outbound", "Dial", "90", "80", "ANSWERED", "Wrong_Number"),
        ("0333334444", "from-internal", "Dial", "90", "80", "ANSWERED", ""),
    )
    tables, report = check("asterisk_cdr", write(tmp_path, cdr=log, customers=CRM))
    assert list(outcomes(tables).values()) == [
        "keyman_contact", "third_party", "voicemail", "no_answer", "busy", "failed", "failed", "wrong_number",
    ]  # fmt: skip
    assert report.rejects.empty
    assert tables.call_attempts["customer_id"].tolist() == ["c1"] * 3 + ["c2"] * 5
    first = tables.call_attempts.iloc[0]
    assert first[["ring_seconds", "talk_seconds", "agent_id"]].tolist() == [10.0, 25.0, "sato"]
    assert str(first["attempted_at"]) == "2024-09-05 10:00:00+09:00"


def test_asterisk_rows_that_cannot_be_placed_are_quarantined_with_their_line(tmp_path):
    log = _cdr(
        ("09011112222", "outbound", "Dial", "35", "25", "ANSWERED", ""),
        ("0999999999", "outbound", "Dial", "35", "25", "ANSWERED", ""),
        ("0333334444", "outbound", "Dial", "35", "25", "MELTED", ""),
        ("0333334444", "outbound", "Dial", "35", "x", "ANSWERED", ""),
    )
    _, report = check("asterisk_cdr", write(tmp_path, cdr=log, customers=CRM))
    assert report.rejects[["row", "column", "value"]].values.tolist() == [
        [3, "customer_id", ""],
        [4, "outcome", "MELTED"],
        [5, "talk_seconds", "x"],
    ]
    assert "0999999999" not in report.rejects.to_csv()


VICIDIAL_LIST = """lead_id,entry_date,status,list_id,state,gender,date_of_birth,phone_number
1,2024-08-01 09:00:00,NA,101,CA,F,1990-09-06,3105550001
2,2024-08-01 09:00:00,DNC,101,NV,U,0000-00-00,3105550002
3,2024-08-01 09:00:00,NEW,101,,M,1950-01-01,3105550003
"""
VICIDIAL_HEAD = "uniqueid,lead_id,list_id,campaign_id,call_date,length_in_sec,status,user,term_reason\n"


def test_vicidial_leads_become_customers(tmp_path):
    log = VICIDIAL_HEAD + "1.1,1,101,C,2024-09-05 10:00:00,20,NA,VDAD,NONE\n"
    customers = check("vicidial_log", write(tmp_path, vicidial_list=VICIDIAL_LIST, vicidial_log=log))[0].customers
    assert customers["customer_id"].tolist() == ["1", "2", "3"]
    assert customers["gender"].fillna("?").tolist() == ["female", "?", "male"]
    assert customers["age"].fillna(-1).tolist() == [33.0, -1.0, 74.0]
    assert customers["do_not_call"].tolist() == [False, True, False]
    assert customers["region"].fillna("?").tolist() == ["CA", "NV", "?"]
    assert customers["phone"].tolist() == ["3105550001", "3105550002", "3105550003"]


def test_vicidial_statuses_become_outcomes_conversions_and_refusals(tmp_path):
    statuses = {
        "SALE": "keyman_contact", "NI": "keyman_contact", "CALLBK": "keyman_contact", "NA": "no_answer",
        "N": "no_answer", "B": "busy", "AA": "voicemail", "A": "voicemail", "DC": "wrong_number", "ADC": "failed",
        "DROP": "abandoned",
        "PDROP": "abandoned", "DNC": "keyman_contact",
    }  # fmt: skip
    rows = [f"{at}.1,1,101,C,2024-09-05 10:{at:02d}:00,60,{code},kei,NONE" for at, code in enumerate(statuses)]
    log = VICIDIAL_HEAD + "\n".join(rows) + "\n"
    tables, report = check("vicidial_log", write(tmp_path, vicidial_list=VICIDIAL_LIST, vicidial_log=log))
    assert report.rejects.empty
    attempts = tables.call_attempts.assign(code=list(statuses))
    assert attempts["outcome"].tolist() == list(statuses.values())
    assert attempts.loc[attempts["refused"], "code"].tolist() == ["NI", "DNC"]
    assert attempts.loc[attempts["converted"], "code"].tolist() == ["SALE"]
    assert attempts.loc[attempts["talk_seconds"].notna(), "code"].tolist() == ["SALE", "NI", "CALLBK", "DC", "DNC"]


def test_a_vicidial_status_of_the_house_is_quarantined_until_it_is_mapped(tmp_path):
    log = (
        VICIDIAL_HEAD
        + "1.1,1,101,C,2024-09-05 10:00:00,20,NA,VDAD,NONE\n2.1,1,101,C,2024-09-05 11:00:00,9,WN,kei,NONE\n"
    )
    tables, report = check("vicidial_log", write(tmp_path, vicidial_list=VICIDIAL_LIST, vicidial_log=log))
    assert report.rejects[["row", "column", "value"]].values.tolist() == [[3, "outcome", "WN"]]
    assert "map the code" in report.rejects["reason"][0]
    assert tables.held_attempts["customer_row"].tolist() == [0]
    assert tables.call_attempts["agent_id"].isna().all()


CONNECT_HEAD = (
    "ContactId,Channel,InitiationMethod,InitiationTimestamp,ConnectedToSystemTimestamp,LastUpdateTimestamp,"
    "DisconnectReason,AnsweringMachineDetectionStatus,Agent_Username,Agent_AgentInteractionDuration,"
    "Agent_AfterContactWorkDuration,Campaign_CampaignId,Attributes_customer_id,Attributes_result\n"
)


def _connect(at: int, reason: str, amd: str = "", talk: str = "", result: str = "", method: str = "API") -> str:
    connected = "2024-09-05T01:00:10Z" if talk or reason.endswith("_DISCONNECT") else ""
    start = f"2024-09-05T01:{at:02d}:00Z"
    return f"k{at},VOICE,{method},{start},{connected},{start},{reason},{amd},kei,{talk},30,camp,c1,{result}\n"


def test_amazon_connect_records_become_attempts(tmp_path):
    log = CONNECT_HEAD + "".join(
        [
            _connect(0, "CUSTOMER_DISCONNECT", "HUMAN_ANSWERED", "95"),
            _connect(1, "CUSTOMER_DISCONNECT", "HUMAN_ANSWERED", "5"),
            _connect(2, "CUSTOMER_DISCONNECT", "HUMAN_ANSWERED", "95", "wrong_number"),
            _connect(3, "CONTACT_FLOW_DISCONNECT", "VOICEMAIL_BEEP"),
            _connect(4, "CUSTOMER_DISCONNECT", "HUMAN_ANSWERED"),
            _connect(5, "TELECOM_BUSY"),
            _connect(6, "TELECOM_UNANSWERED"),
            _connect(7, "TELECOM_NUMBER_INVALID"),
            _connect(8, "EXPIRED"),
            _connect(9, "CUSTOMER_DISCONNECT", "", "95", "", "INBOUND"),
        ]
    )
    tables, report = check("amazon_connect", write(tmp_path, contact_records=log, customers=CRM))
    assert report.rejects.empty
    assert outcomes(tables) == {
        "k0": "keyman_contact", "k1": "third_party", "k2": "wrong_number", "k3": "voicemail", "k4": "abandoned",
        "k5": "busy", "k6": "no_answer", "k7": "failed",
    }  # fmt: skip
    first = tables.call_attempts.iloc[0]
    assert str(first["attempted_at"]) == "2024-09-05 10:00:00+09:00"
    assert first[["talk_seconds", "wrap_seconds", "agent_id", "campaign_id"]].tolist() == [95.0, 30.0, "kei", "camp"]


def test_of_an_amazon_connect_record_delivered_again_the_newest_is_taken(tmp_path):
    again = _connect(0, "CUSTOMER_DISCONNECT", "", "95", "third_party").replace(":00:00Z,CUSTOMER", ":30:00Z,CUSTOMER")
    log = CONNECT_HEAD + again + _connect(0, "CUSTOMER_DISCONNECT", "", "95")
    tables, report = check("amazon_connect", write(tmp_path, contact_records=log, customers=CRM))
    assert report.counts["call_attempts_read"] == 1
    assert outcomes(tables) == {"k0": "third_party"}


def test_an_unknown_reason_of_amazon_connect_is_quarantined(tmp_path):
    log = CONNECT_HEAD + _connect(0, "TELECOM_BUSY") + _connect(1, "NEW_REASON")
    _, report = check("amazon_connect", write(tmp_path, contact_records=log, customers=CRM))
    assert report.rejects[["column", "value"]].values.tolist() == [["outcome", "NEW_REASON"]]


CALLS = "timestamp,caller,callee,duration\n184,300,301,121\n3920,512,299,-1\n90000,300,301,0\n"


def test_the_copenhagen_calls_are_read_as_documented(tmp_path):
    source = write(tmp_path, calls=CALLS, genders="user,female\n301,1\n512,0\n")
    tables, report = check("copenhagen", source)
    assert report.rejects.empty
    assert tables.call_attempts["outcome"].tolist() == ["keyman_contact", "no_answer", "no_answer"]
    assert tables.call_attempts["talk_seconds"].tolist() == [121.0, 0.0, 0.0]
    assert str(tables.call_attempts["attempted_at"][2]) == "2024-09-02 01:00:00+02:00"
    assert tables.call_attempts["agent_id"].tolist() == ["300", "512", "300"]
    assert tables.customers[["customer_id", "gender"]].fillna("?").values.tolist() == [["299", "?"], ["301", "female"]]


def test_rows_cut_short_pass_through_a_map_and_are_held(tmp_path):
    source = write(tmp_path, calls=CALLS + "90100,300,301\n", genders="user,female\n")
    tables, report = check("copenhagen", source)
    attempts = report.rejects.loc[report.rejects["table"] == "call_attempts"]
    assert attempts[["row", "reason"]].values.tolist() == [[5, "a row of calls: 3 of 4 fields: is the file cut short?"]]
    assert tables.held_attempts["customer_row"].tolist() == [1]
    assert len(tables.customers) == 2


@pytest.mark.skipif(not COPENHAGEN.is_dir(), reason="../shared/data/copenhagen is not on this machine")
def test_the_real_copenhagen_calls_pass_the_contract():
    as_of = pd.Timestamp("2024-09-22", tz="Europe/Copenhagen")
    tables, report = check("copenhagen", str(COPENHAGEN), as_of, max_bad_share=0.0)
    assert report.rejects.empty
    assert report.counts["call_attempts_read"] == 3600
    assert report.counts["call_attempts_after_as_of"] == 904
    assert tables.call_attempts["attempted_at"].min() >= pd.Timestamp("2024-09-01", tz="Europe/Copenhagen")
    later = check("copenhagen", str(COPENHAGEN), pd.Timestamp("2024-09-29", tz="Europe/Copenhagen"))[0].call_attempts
    assert round(float(later["outcome"].eq("keyman_contact").mean()), 3) == 0.737


def _source(query: str, columns: dict[str, str], codes: dict[str, dict[str, str]] | None = None) -> Settings:
    table = TableMap(query=query, columns=columns, codes=codes or {})
    return Settings(source=SourceSettings(name="x", tables={"call_attempts": table}))


def test_a_map_that_names_a_missing_table_or_column_says_so(tmp_path):
    source = write(tmp_path, calls=CALLS, customers=CRM)
    with pytest.raises(ContractError, match=r"call_attempts: the map does not fit the source: .*dials"):
        read_source(source, _source("SELECT * FROM dials", {"attempt_id": "1"}))
    with pytest.raises(ContractError, match=r"call_attempts: the map does not fit the source: .*nothing"):
        read_source(source, _source("SELECT * FROM calls", {"attempt_id": "nothing"}))


def test_a_map_that_is_no_sql_is_a_usage_error(tmp_path):
    source = write(tmp_path, calls=CALLS, customers=CRM)
    with pytest.raises(UsageError, match=r"source\.tables\.call_attempts: not DuckDB's SQL"):
        read_source(source, _source("SELEKT calls", {"attempt_id": "1"}))


def test_codes_without_an_expression_are_a_usage_error(tmp_path):
    source = write(tmp_path, calls=CALLS, customers=CRM)
    with pytest.raises(UsageError, match=r"codes\.outcome: has codes but no expression"):
        read_source(source, _source("SELECT * FROM calls", {"attempt_id": "1"}, {"outcome": {"A": "busy"}}))


def test_a_map_cannot_reach_files_beside_the_source(tmp_path):
    source = write(tmp_path, calls=CALLS, customers=CRM)
    with pytest.raises(ContractError, match="the map does not fit the source"):
        read_source(source, _source(f"SELECT * FROM read_csv('{tmp_path}/calls.csv')", {"attempt_id": "1"}))


def test_a_code_that_is_not_listed_stays_as_it_is(tmp_path):
    source = write(tmp_path, calls=CALLS, customers=CRM)
    settings = _source("SELECT * FROM calls", {"outcome": "duration"}, {"outcome": {"121": "keyman_contact"}})
    assert read_source(source, settings).tables["call_attempts"]["outcome"].tolist() == ["keyman_contact", "-1", "0"]


def test_a_table_without_a_map_is_taken_as_it_is(tmp_path):
    settings = _source("SELECT * FROM calls", {"outcome": "duration"})
    customers = read_source(write(tmp_path, calls=CALLS, customers=CRM), settings).tables["customers"]
    pd.testing.assert_frame_equal(customers.reset_index(drop=True), pd.read_csv(StringIO(CRM), dtype="str"))
