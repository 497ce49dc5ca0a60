"""A customer is forgotten: nothing that is kept names them, everybody else stays, and saying it twice is safe."""

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
from finished_run import write_finished_run
from typer.testing import CliRunner

from app.audit import find_audit_file, record
from app.commands import kakedoki
from configs.errors import LockedError, UsageError
from pipelines.exports.folders import point_latest
from pipelines.exports.run_tables import open_run
from pipelines.exports.tables import write_csv
from pipelines.forget import forget_customer, list_runs
from pipelines.outcomes import FILE, PostedAttempt, post_outcomes, read_outcomes
from pipelines.runs import hold_lock

AT = datetime(2026, 11, 2, 10, 5, tzinfo=UTC)
STRANGE = ("C001", "=1+1", 'say "hi"', "two\nlines", "a,b", "髙﨑①㈱", "x'); DROP TABLE call_list; --")


@pytest.fixture
def var(tmp_path: Path) -> Path:
    """A home with one run elsewhere, which names everybody wherever a run may name anybody."""
    var, out = tmp_path / "var", write_finished_run(tmp_path / "out")
    ids = pd.read_parquet(out / "page" / "customers.parquet")["customer_id"].tolist()
    write_csv(pd.DataFrame({"customer_id": ids, "rank": 1}), out / "call_list.csv")
    write_csv(pd.DataFrame({"table": "customers", "value": ids, "reason": "x"}), out / "quarantine.csv")
    (out / "report.html").write_text("<p>C001 dials</p><th>C001</th><th>C0011</th>", encoding="utf-8")
    told = json.loads((out / "run.json").read_text(encoding="utf-8")) | {"notes": ["C001: pinned", "C0010", "C001"]}
    (out / "run.json").write_text(json.dumps(told), encoding="utf-8")
    point_latest(var / "runs", out)
    post_outcomes(var, [PostedAttempt(f"A{name}", name, AT, "busy") for name in ids], AT)
    for name in ("C001", "C0010"):
        record(find_audit_file(var), "export", "sato", "analyst", AT, filter=f"hour=9 customer={name}*", rows=1)
    (var / "kept" / "s" / "judge").mkdir(parents=True)
    for number, name in enumerate(("C001", "C002")):
        pd.DataFrame({"customer_id": [name]}).to_parquet(var / "kept" / "s" / "judge" / f"{number}.parquet")
    return var


def find_rows(out: Path, table: str) -> pd.DataFrame:
    with open_run(out) as connection:
        return connection.execute(f"SELECT * FROM {table}").df()


@pytest.mark.parametrize("who", STRANGE)
def test_nothing_that_is_kept_names_a_forgotten_customer_and_everybody_else_stays(var: Path, who: str) -> None:
    out = list_runs(var)[0]
    tables = ("call_list", "customers", "attempts", "chances", "excluded")
    before = {table: find_rows(out, table) for table in tables}
    erased = forget_customer(var, who)
    assert {each.file.name for each in erased} >= {"customers.parquet", "call_list.csv", "quarantine.csv", FILE.name}
    for table, rows in before.items():
        expected = rows[rows["customer_id"] != who].reset_index(drop=True)
        pd.testing.assert_frame_equal(find_rows(out, table), expected)
    names = duckdb.read_csv(str(out / "call_list.csv")).df()["customer_id"]
    assert len(names) == len(before["customers"]) - 1
    assert {who, f"'{who}"}.isdisjoint(names)
    assert who not in set(read_outcomes(var)["customer_id"])
    with sqlite3.connect(var / FILE) as store:
        assert store.execute("SELECT count(*) FROM posted").fetchone() == (len(before["customers"]) - 1,)
    assert forget_customer(var, who) == []


def test_what_only_looks_like_the_customer_is_left_alone(var: Path) -> None:
    out = list_runs(var)[0]
    written_before = (out / "run.json").stat().st_mtime_ns
    erased = {str(each.file.relative_to(var.parent)): each.n for each in forget_customer(var, "C001")}
    assert (out / "report.html").read_text() == "<p>C001 dials</p><th>forgotten</th><th>C0011</th>"
    assert json.loads((out / "run.json").read_text())["notes"] == ["forgotten: pinned", "C0010", "forgotten"]
    assert (out / "run.json").stat().st_mtime_ns > written_before  # a page that shows the run opens it anew
    kept = [json.loads(line)["filter"] for line in find_audit_file(var).read_text().splitlines()]
    assert kept == ["hour=9 customer=*****", "hour=9 customer=C0010*"]
    assert [file.name for file in (var / "kept" / "s" / "judge").iterdir()] == ["1.parquet"]
    assert erased["var/kept"] == 1
    assert erased["out/run.json"] == 2


def test_other_lines_of_a_csv_keep_their_bytes(var: Path) -> None:
    file = list_runs(var)[0] / "call_list.csv"
    before = file.read_bytes()
    forget_customer(var, "C002")
    assert file.read_bytes() == before.replace(b"C002,1\r\n", b"")


def test_a_file_that_cannot_be_written_stays_as_it_was(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = list_runs(var)[0]
    before = (out / "call_list.parquet").read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(pq.ParquetWriter, "write_table", fail)
        with pytest.raises(OSError, match="full"):
            forget_customer(var, "plain")
    assert (out / "call_list.parquet").read_bytes() == before
    assert [file.name for file in out.rglob(".*")] == []
    forget_customer(var, "plain")
    assert "plain" not in set(find_rows(out, "call_list")["customer_id"])


def test_a_run_that_goes_on_and_a_folder_that_is_no_run_are_told(var: Path, tmp_path: Path) -> None:
    with hold_lock(var), pytest.raises(LockedError):
        forget_customer(var, "C001")
    with pytest.raises(UsageError, match="no folder of a run"):
        forget_customer(var, "C001", [tmp_path])
    with pytest.raises(UsageError, match="blank"):
        forget_customer(var, " ")


def test_the_command_tells_every_file_and_that_nobody_of_the_name_is_left(
    var: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAKEDOKI_HOME", str(var))
    first, second = (CliRunner().invoke(kakedoki, ["forget", "C001"]) for _ in range(2))
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "call_list.csv: 1 rows removed" in first.output
    assert "nothing that is kept names C001" in second.output
    last = json.loads(find_audit_file(var).read_text().splitlines()[-1])
    assert (last["event"], last["files"]) == ("customer_forgotten", 0)
    assert "C001" not in json.dumps(last)
