"""A run's folder: exact columns, the same rows in every form, whole or not at all."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from configs.errors import UsageError
from configs.settings import MlflowSettings, Settings
from features.contracts import CheckReport, Tables
from features.slots import build_slots
from models.contact.fitting import FittedNight
from models.contact.leads import LEAD_COLUMNS
from models.contact.model import ContactModel
from models.contact.off_policy import OffPolicy
from models.contact.policy_value import Estimate, PolicyValue
from models.planning.advice import StaffingAdvice
from models.planning.shifts import Roster
from models.planning.staffing import Worth
from pipelines.exports import folders, point_latest, read_latest, replace_folder, write_failed, write_run
from pipelines.exports.folders import check_replaceable
from pipelines.exports.record import as_plain, build_record, spell_record
from pipelines.exports.tables import write_csv
from pipelines.night import Night

ZONE = "Asia/Tokyo"
AS_OF = pd.Timestamp("2026-11-02", tz=ZONE).as_unit("us")
STARTS = pd.DatetimeIndex([AS_OF + pd.Timedelta(hours=h) for h in (10, 18, 34)])
FILES = {
    *("call_list.parquet", "call_list.csv", "excluded.csv", "staffing.csv", "report.html", "run.json"),
    *("quarantine", "page"),
}


def _build_tables() -> Tables:
    customers = pd.DataFrame(
        {
            "customer_id": ["=1+1", "007", "C3"],
            "age": np.array([34, 51, np.nan], dtype="float32"),
            "gender": ["male", "female", None],
            "region": ["東京都", "大阪府", None],
            "phone": ["09011112222", None, None],
            "listed": True,
        }
    )
    attempts = pd.DataFrame(
        {
            "attempt_id": ["a1", "a2", "a3"],
            "customer_row": np.array([0, 1, 2], dtype="int32"),
            "attempted_at": [AS_OF - pd.Timedelta(hours=h) for h in (60, 30, 6)],
            "outcome": ["no_answer", "keyman_contact", "busy"],
            "ring_seconds": np.array([20, 5, np.nan], dtype="float32"),
            "talk_seconds": np.array([0, 120, 0], dtype="float32"),
            "wrap_seconds": np.array([1, 30, 2], dtype="float32"),
            "agent_id": ["ag1", None, "ag1"],
            "converted": False,
            "refused": False,
        }
    )
    return Tables(customers, attempts, None, None, attempts.head(0))


def _build_call_list() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "run_date": "2026-11-02",
            "slot_start": STARTS[[0, 0, 1, 2]],
            "rank": [1, 2, 1, 1],
            "customer_id": ["=1+1", "007", "007", "C3"],
            "p_keyman": np.array([0.25, 1 / 3, 0.125, 0.0625], dtype="float32"),
            "attempt_number": [1, 4, 5, 1],
            "value": [1.0, 12000.5, 12000.5, 1.0],
            "is_firm": [True, True, True, False],
            "arm": "plan",
            "propensity": 1.0,
            "reason": ["-evening person", "answered before", "answered before", None],
            "allowed_because": "house 1",
            "reason_ja": ["平日夜に2回応答", "＝過去に1回応答", "過去に1回応答", None],
        }
    )


def _build_fitted() -> FittedNight:
    rivals = pd.DataFrame(
        {"rival": ["overall rate"], "fold": ["forward"], "n_rows": [3], "n_contacts": [1], "log_loss": [0.6]}
        | {name: [float("nan")] for name in ("auc", "brier", "calibration_error", "lift_top_tenth")}
    )
    calibration = pd.DataFrame({"fold": ["forward"], "n": [3], "p_mean": [0.3], "contact_rate": [0.3]})
    importance = pd.DataFrame({"feature": ["hour"], "gain_share": [1.0]})
    leads = pd.DataFrame(columns=list(LEAD_COLUMNS))
    model = ContactModel(cast(Any, None), "", cast(Any, None), ("age",))
    return FittedNight(model, model, rivals, leads, calibration, importance, {"n_leaves": 15}, {"auc": float("nan")})


@pytest.fixture
def night() -> Night:
    staffing = pd.DataFrame(
        {
            "slot_start": STARTS,
            "dials_given": [2, 1, 1],
            "dials_recommended": [1, 2, 1],
            "agents_recommended": [0.1, 0.2, 0.1],
            "seat_price": [0.5, 1.5, float("nan")],
            "expected_contacts": [0.583, 0.125, 0.0625],
            "hint": ["training", "add_seats", "hold"],
        }
    )
    rejects = pd.DataFrame(
        {"table": "customers", "row": [4, 9], "column": "age", "value": ["=9", "•••"], "reason": ["not a number", "x"]}
    )
    return Night(
        run_id="20261102-0a1b2c3d",
        as_of=AS_OF,
        source="postgresql://me:secret@db/calls",
        fingerprint={"customers": "ab" * 32},
        settings=Settings(mlflow=MlflowSettings(tracking_uri="postgresql://me:secret@db/mlflow")),
        staffing_mode="fixed",
        tables=_build_tables(),
        report=CheckReport(rejects, ("X1",), {"customers_read": 5}, ("one note",)),
        slots=build_slots(STARTS, Settings()),
        call_list=_build_call_list(),
        excluded=pd.DataFrame({"customer_id": ["X1", "@x"], "reason": ["quarantined", "refused"]}),
        staffing=staffing,
        gains={"total": {"ratio": float("nan"), "low": None, "high": None, "basis": "model"}},
        plan={"upper_bound": float("inf"), "gap": 0.001, "expected_contacts": 0.77},
        fitted=_build_fitted(),
        model_name="contact",
        model_version="1",
        stages=({"stage": "read", "seconds": 1.0, "peak_mb": 80.0}, {"stage": "fit", "seconds": 2.0, "peak_mb": 90.0}),
        versions={"pandas": "3.1.1"},
        notes=("another note",),
    )


def _build_advice() -> StaffingAdvice:
    shifts = pd.DataFrame(
        {
            "date": [AS_OF.date()],
            "shift": ["=late"],
            "agents": [3],
            "breaks": ["18:00×2; 19:00×1"],
            "training": [""],
            "one_to_ones": ["17:00×1"],
        }
    )
    away = pd.DataFrame({"slot_start": STARTS[1:2], "breaks": [2.0], "training": [0.0], "one_to_ones": [0.5]})
    short = pd.DataFrame({"slot_start": STARTS[:1], "agents_short": [2.0], "why": ["too few agents"]})
    before, after = Worth(100.0, 50.0, np.ones(3)), Worth(110.0, 55.0, np.ones(3))
    skipped = {"training": (1, 4), "one_to_one": (0, 1)}
    roster = Roster(shifts, away, np.array([1, 2, 1]), after, 111.0, short, skipped, 12.0, 14.0)
    return StaffingAdvice(roster.places, before, after, 3, roster, True, short, ())


def _read_cells(file: Path) -> list[list[str]]:
    assert file.read_bytes().startswith(b"\xef\xbb\xbf")
    with file.open(encoding="utf-8-sig", newline="") as opened:
        return list(csv.reader(opened))


def _snapshot(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_run_leaves_exactly_the_agreed_files_and_nothing_beside(night: Night, tmp_path: Path) -> None:
    write_run(night, tmp_path / "deep" / "out")
    assert {file.name for file in (tmp_path / "deep" / "out").iterdir()} == FILES
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["out"]


def test_the_parquet_list_has_the_agreed_columns_and_types(night: Night, tmp_path: Path) -> None:
    write_run(night, tmp_path / "out")
    schema = pq.read_schema(tmp_path / "out" / "call_list.parquet")
    assert {field.name: str(field.type) for field in schema} == {
        "run_date": "date32[day]",
        "slot_start": "timestamp[us, tz=Asia/Tokyo]",
        "rank": "int32",
        "customer_id": "string",
        "p_keyman": "float",
        "attempt_number": "int32",
        "value": "double",
        "is_firm": "bool",
        "arm": "string",
        "propensity": "double",
        "reason": "string",
        "allowed_because": "string",
        "reason_ja": "string",
    }
    assert schema.names == list(night.call_list.columns)


def test_csv_and_parquet_hold_the_same_rows_in_the_same_order(night: Night, tmp_path: Path) -> None:
    write_run(night, tmp_path / "out")
    cells = _read_cells(tmp_path / "out" / "call_list.csv")
    rows = pq.read_table(tmp_path / "out" / "call_list.parquet").to_pylist()
    assert cells[0] == list(rows[0])
    for row, cell in zip(rows, (dict(zip(cells[0], line, strict=True)) for line in cells[1:]), strict=True):
        assert cell["run_date"] == row["run_date"].isoformat() == "2026-11-02"
        assert pd.Timestamp(cell["slot_start"]) == row["slot_start"]
        assert cell["customer_id"].removeprefix("'") == row["customer_id"]
        assert cell["p_keyman"] == f"{row['p_keyman']:.6f}"
        assert (int(cell["rank"]), int(cell["attempt_number"])) == (row["rank"], row["attempt_number"])
        assert (float(cell["value"]), cell["is_firm"]) == (row["value"], str(row["is_firm"]))
        for column in ("reason", "reason_ja"):
            assert cell[column].removeprefix("'") == (row[column] or "")
    assert cells[2][-1] == "'＝過去に1回応答"
    assert [cell[1] for cell in cells[1:3]] == ["2026-11-02T10:00:00+09:00"] * 2
    assert [row["customer_id"] for row in rows] == ["=1+1", "007", "007", "C3"]


def test_times_of_another_zone_are_written_in_the_centres(night: Night, tmp_path: Path) -> None:
    elsewhere = night.call_list.assign(slot_start=night.call_list["slot_start"].dt.tz_convert("UTC"))
    write_run(replace(night, call_list=elsewhere), tmp_path / "out")
    assert _read_cells(tmp_path / "out" / "call_list.csv")[1][1] == "2026-11-02T10:00:00+09:00"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_no_cell_of_a_csv_begins_like_a_formula(start: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"customer_id": [f"{start}1+1", "C1"], "reason": [None, f"{start}x"]})
    before = frame.copy()
    write_csv(frame, tmp_path / "x.csv")
    assert _read_cells(tmp_path / "x.csv")[1:] == [[f"'{start}1+1", ""], ["C1", f"'{start}x"]]
    pd.testing.assert_frame_equal(frame, before)


def test_numbers_stay_numbers_and_times_of_a_summer_zone_keep_their_offsets(tmp_path: Path) -> None:
    starts = pd.DatetimeIndex(["2026-10-25 00:30Z", "2026-10-25 01:30Z"]).tz_convert("Europe/Berlin")
    frame = pd.DataFrame({"slot_start": starts, "moved": [-3, 4], "seat_price": [-0.5, float("nan")]})
    write_csv(frame, tmp_path / "x.csv")
    assert _read_cells(tmp_path / "x.csv")[1:] == [
        ["2026-10-25T02:30:00+02:00", "-3", "-0.500000"],
        ["2026-10-25T02:30:00+01:00", "4", ""],
    ]


def test_the_other_tables_have_their_agreed_columns(night: Night, tmp_path: Path) -> None:
    write_run(night, tmp_path / "out")
    assert _read_cells(tmp_path / "out" / "excluded.csv") == [
        ["customer_id", "reason"],
        ["X1", "quarantined"],
        ["'@x", "refused"],
    ]
    staffing = _read_cells(tmp_path / "out" / "staffing.csv")
    assert ",".join(staffing[0]) == (
        "slot_start,dials_given,dials_recommended,agents_recommended,seat_price,expected_contacts,hint"
    )
    assert staffing[1] == ["2026-11-02T10:00:00+09:00", "2", "1", "0.100000", "0.500000", "0.583000", "training"]
    assert staffing[3][4] == ""
    rejects = _read_cells(tmp_path / "out" / "quarantine" / "rejects.csv")
    assert rejects[:2] == [
        ["table", "row", "column", "value", "reason"],
        ["customers", "4", "age", "'=9", "not a number"],
    ]


def test_a_roster_is_written_with_the_columns_that_are_agreed_and_told_in_the_record(
    night: Night, tmp_path: Path
) -> None:
    planned = replace(night, advice=_build_advice())
    write_run(planned, tmp_path / "out")
    assert _read_cells(tmp_path / "out" / "shifts.csv") == [
        ["date", "shift", "agents", "breaks", "training", "one_to_ones"],
        ["2026-11-02", "'=late", "3", "18:00×2; 19:00×1", "", "17:00×1"],
    ]
    seats = json.loads((tmp_path / "out" / "run.json").read_text())["seats"]
    assert (seats["contacts_before"], seats["contacts_after"]) == (0.77, pytest.approx(0.77 * 1.1))
    assert seats["short"] == [{"slot_start": STARTS[0].isoformat(), "agents_short": 2.0, "why": "too few agents"}]
    assert seats["roster"]["is_followed"] is True
    assert seats["roster"]["gap"] == pytest.approx(1 - 110 / 111)
    assert (seats["roster"]["training_sessions"], seats["roster"]["training_sessions_without_room"]) == (4, 1)
    moved = build_record(replace(planned, staffing_mode="reshape"))["seats"]
    assert (moved["contacts_before"], moved["contacts_after"]) == (pytest.approx(0.7), 0.77)
    assert build_record(night)["seats"] is None


def test_an_empty_night_still_writes_every_file_with_its_columns(night: Night, tmp_path: Path) -> None:
    blank = pd.DataFrame(columns=night.call_list.columns)
    report = replace(night.report, rejects=night.report.rejects.head(0))
    excluded = pd.DataFrame({"customer_id": [], "reason": []})
    write_run(replace(night, call_list=blank, excluded=excluded, report=report, fitted=None), tmp_path / "out")
    table = pq.read_table(tmp_path / "out" / "call_list.parquet")
    assert (table.num_rows, str(table.schema.field("slot_start").type)) == (0, "timestamp[us, tz=Asia/Tokyo]")
    assert _read_cells(tmp_path / "out" / "call_list.csv") == [table.schema.names]
    assert len(_read_cells(tmp_path / "out" / "quarantine" / "rejects.csv")) == 1
    assert json.loads((tmp_path / "out" / "run.json").read_text())["model"]["is_fitted_tonight"] is False


def test_the_same_night_gives_the_same_bytes(night: Night, tmp_path: Path) -> None:
    write_run(night, tmp_path / "one")
    write_run(night, tmp_path / "two")
    assert _snapshot(tmp_path / "one") == _snapshot(tmp_path / "two")


def test_an_older_run_is_replaced_whole(night: Night, tmp_path: Path) -> None:
    write_run(night, tmp_path / "out")
    (tmp_path / "out" / "note.txt").write_text("kept nowhere")
    write_run(replace(night, run_id="later"), tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} == FILES
    assert json.loads((tmp_path / "out" / "run.json").read_text())["run_id"] == "later"
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_replacing_works_where_folders_cannot_be_swapped_in_one_step(
    night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders.ctypes, "CDLL", lambda *_, **__: None)
    write_run(night, tmp_path / "out")
    write_run(replace(night, run_id="later"), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "run.json").read_text())["run_id"] == "later"
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_a_run_that_fails_midway_leaves_the_older_folder_as_it_was(night: Night, tmp_path: Path) -> None:
    write_run(night, tmp_path / "out")
    before = _snapshot(tmp_path / "out")
    broken = replace(night, run_id="later", staffing=night.staffing.drop(columns="hint"))
    with pytest.raises(KeyError):
        write_run(broken, tmp_path / "out")
    assert _snapshot(tmp_path / "out") == before
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_what_a_killed_run_left_beside_is_cleared_by_the_next(night: Night, tmp_path: Path) -> None:
    (tmp_path / ".out.partial-dead").mkdir()
    (tmp_path / ".out.partial-dead" / "call_list.csv").write_text("half")
    (tmp_path / ".other.partial-dead").mkdir()
    write_run(night, tmp_path / "out")
    assert {file.name for file in tmp_path.iterdir()} == {"out", ".other.partial-dead"}


def test_a_folder_caught_while_aside_is_put_back_before_anything_else(night: Night, tmp_path: Path) -> None:
    write_run(night, tmp_path / "out")
    before = _snapshot(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / ".out.old-dead")
    with pytest.raises(RuntimeError), replace_folder(tmp_path / "out", "next"):
        raise RuntimeError("died")
    assert _snapshot(tmp_path / "out") == before


def test_a_folder_of_something_else_is_refused_and_kept(night: Night, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(UsageError, match=r"thesis: holds files that are not a run of ours"):
        write_run(night, tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"
    assert [file.name for file in tmp_path.iterdir()] == ["thesis"]


def test_a_file_in_the_way_is_refused_and_an_empty_folder_is_used(night: Night, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        check_replaceable(tmp_path / "file")
    with pytest.raises(UsageError, match="mount point"):
        check_replaceable(Path("/proc"))
    (tmp_path / "empty").mkdir()
    write_run(night, tmp_path / "empty")
    assert (tmp_path / "empty" / "run.json").is_file()


def test_a_symbolic_link_keeps_pointing_at_the_run(night: Night, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_run(night, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "run.json").is_file()


def test_rejects_of_a_stopped_night_are_kept_beside_and_the_older_run_stays(night: Night, tmp_path: Path) -> None:
    write_run(night, tmp_path / "out")
    before = _snapshot(tmp_path / "out")
    for _ in range(2):
        failed = write_failed(tmp_path / "out", night.report.rejects)
    assert failed == tmp_path / "out.failed"
    assert [file.name for file in failed.iterdir()] == ["rejects.csv"]
    assert len(_read_cells(failed / "rejects.csv")) == 3
    assert _snapshot(tmp_path / "out") == before


def test_run_json_is_strict_and_holds_what_was_agreed(night: Night, tmp_path: Path) -> None:
    write_run(night, tmp_path / "out")
    text = (tmp_path / "out" / "run.json").read_text(encoding="utf-8")
    record = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (record["run_id"], record["run_date"]) == ("20261102-0a1b2c3d", "2026-11-02")
    assert record["expected_contacts"] == 0.77
    assert record["is_simulated"] is False
    assert record["gains"] == {"total": {"ratio": None, "low": None, "high": None, "basis": "model"}}
    assert record["plan"]["upper_bound"] is None
    assert record["inputs"] == {"fingerprint": {"customers": "ab" * 32}, "counts": {"customers_read": 5}}
    assert (record["seconds"], record["peak_mb"], len(record["stages"])) == (3.0, 90.0, 2)
    assert record["model"]["metrics"] == {"auc": None}
    assert record["model"]["rivals"][0]["rival"] == "overall rate"
    assert record["notes"] == ["one note", "another note"]
    assert record["settings"]["timezone"] == ZONE
    assert record["counts"]["excluded_by_reason"] == {"quarantined": 1, "refused": 1}
    assert (record["counts"]["dials"], record["counts"]["customers_planned"]) == (4, 3)


def test_run_json_holds_what_the_log_says_of_the_timing(night: Night) -> None:
    value = PolicyValue(Estimate(1.06, 1.02, 1.11), Estimate(1.05, 1.01, 1.09), 14_210.0, 1.01, 0.0004)
    answered = OffPolicy(28_512, 7, 0.0975, "log", value, 1.054, float("nan"), 0.973)
    assert night.fitted is not None
    told = build_record(replace(night, fitted=replace(night.fitted, off_policy=answered)))["off_policy"]
    assert told["value"]["doubly_robust"] == {"ratio": 1.05, "low": 1.01, "high": 1.09}
    assert (told["value"]["effective_dials"], told["overlap_share"], told["strength"]) == (14_210.0, 0.973, None)
    refused = replace(night.fitted, off_policy=OffPolicy(90, 7, refusal="overlap too thin"))
    told = build_record(replace(night, fitted=refused))["off_policy"]
    assert (told["value"], told["refusal"], told["logged_rate"]) == (None, "overlap too thin", None)
    assert build_record(replace(night, fitted=None))["off_policy"] is None


def test_passwords_and_phone_numbers_are_in_no_file(night: Night, tmp_path: Path) -> None:
    write_run(night, tmp_path / "out")
    for name, content in _snapshot(tmp_path / "out").items():
        assert b"secret" not in content, name
        assert b"09011112222" not in content, name
    assert build_record(night)["source"] == "postgresql://me:•••@db/calls"


def test_odd_values_become_plain_json_and_a_leftover_nan_is_an_error() -> None:
    odd = {"a": pd.NaT, "b": np.bool_(True), "c": (np.float32(0.5), pd.NA), 1: AS_OF, "d": Path("x/y")}
    assert as_plain(odd) == {
        "a": None,
        "b": True,
        "c": [0.5, None],
        "1": "2026-11-02T00:00:00+09:00",
        "d": "x/y",
    }
    with pytest.raises(ValueError, match="not JSON compliant"):
        spell_record({"x": float("nan")})


def test_the_pointer_names_the_newest_run_and_never_an_incomplete_one(night: Night, tmp_path: Path) -> None:
    runs, out = tmp_path / "var" / "runs", tmp_path / "out"
    assert read_latest(runs) is None
    write_run(night, out)
    point_latest(runs, out)
    assert read_latest(runs) == out
    assert json.loads((runs / "latest.json").read_text())["run_id"] == night.run_id
    (tmp_path / "half").mkdir()
    with pytest.raises(FileNotFoundError):
        point_latest(runs, tmp_path / "half")
    assert read_latest(runs) == out
    assert sorted(file.name for file in runs.iterdir()) == ["history.jsonl", "latest.json"]
    (out / "run.json").unlink()
    assert read_latest(runs) is None
