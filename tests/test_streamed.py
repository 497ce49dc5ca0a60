"""A plan in chunks from Parquet to Parquet against the night's own plan of the same centre."""

import hashlib
import json
import multiprocessing
import shutil
import sqlite3
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import mlflow
import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import SMALL_RUN_DATE, FinishedNight
from mlflow import MlflowClient
from rich.console import Console

from configs.errors import ContractError, NoCapacityError, SourceError, TooManyBadRowsError, UsageError
from configs.settings import Settings
from models.contact.model import ContactModel
from models.registry import read_model
from pipelines.chunks import move_strays, read_chunk, read_share, split_customers
from pipelines.exports.folders import read_latest
from pipelines.exports.tables import call_list_schema, write_csv
from pipelines.kept_shards import KeptShards, keep_log
from pipelines.large import is_for_chunks
from pipelines.morning import read_morning
from pipelines.nightly import nightly
from pipelines.order import Order, build_order
from pipelines.plan import plan
from pipelines.relay import receive
from pipelines.sampled import LargeSource, take_sample
from pipelines.sources import read_source, row_groups
from pipelines.streamed import StreamedPlan, plan_in_chunks
from pipelines.summary import tell_night
from pipelines.train import name_of_source, open_store

FILES = ("call_list.parquet", "call_list.csv", "excluded.csv", "staffing.csv", "quarantine/rejects.csv")


@pytest.fixture(scope="module")
def order(small_night: FinishedNight) -> Order:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAKEDOKI_HOME", str(small_night.var))
        return build_order(str(small_night.source), None, small_night.run_date, small_night.var)


@pytest.fixture(scope="module")
def model(small_night: FinishedNight, order: Order) -> ContactModel:
    morning = read_morning(small_night.out)
    return read_model(open_store(order), morning.model_name, morning.model_version)


@pytest.fixture(scope="module")
def parquet(small_night: FinishedNight, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parquet")
    for name, table in read_source(str(small_night.source), Settings()).tables.items():
        table.to_parquet(folder / f"{name}.parquet")
    return folder


@pytest.fixture(scope="module")
def log(parquet: Path, tmp_path_factory: pytest.TempPathFactory) -> KeptShards:
    """In eight shards, where the plan has four chunks."""
    return keep_log(parquet / "call_attempts.parquet", tmp_path_factory.mktemp("kept"), Settings().timezone, 8)


@pytest.fixture(scope="module")
def planned(
    order: Order, model: ContactModel, parquet: Path, log: KeptShards, tmp_path_factory
) -> tuple[StreamedPlan, Path]:
    out = tmp_path_factory.mktemp("chunks") / "out"
    return plan_in_chunks(parquet, log, out, model, order.as_of, Settings(), per_chunk=800, n_processes=1), out


def read_excluded(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "excluded.csv", dtype="str", encoding="utf-8-sig")


def test_the_list_is_worth_what_the_nights_list_is(planned, small_night):
    plan, out = planned
    listed, night = pd.read_parquet(out / "call_list.parquet"), pd.read_parquet(small_night.out / "call_list.parquet")
    contacts = json.loads((small_night.out / "run.json").read_text(encoding="utf-8"))["plan"]["expected_contacts"]
    assert len(listed) == plan.n_dials == len(night)
    assert plan.expected_contacts >= 0.98 * contacts  # four chunks of some 400 who may be called: small ones cost
    assert plan.gap < 0.03
    assert plan.places_left == 0
    taken, given = listed["slot_start"].value_counts(), night["slot_start"].value_counts()
    pd.testing.assert_series_equal(taken.sort_index(), given.sort_index())


def test_the_list_has_the_columns_and_the_order_of_a_nights(planned, order):
    _, out = planned
    assert pq.read_schema(out / "call_list.parquet").equals(call_list_schema(order.settings.timezone))
    listed = pd.read_parquet(out / "call_list.parquet")
    assert listed.equals(listed.sort_values(["slot_start", "rank"], ignore_index=True))
    assert (listed.groupby("slot_start").cumcount() + 1 == listed["rank"]).all()
    by_day = listed.assign(day=listed["slot_start"].dt.date)
    assert not by_day.duplicated(["customer_id", "day"]).any()


def test_its_files_are_written_like_a_nights(planned, small_night, tmp_path):
    plan, out = planned
    files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert files == {
        *["call_list.parquet", "call_list.csv", "excluded.csv", "staffing.csv", "run.json", "quarantine/rejects.csv"]
    }
    listed = pq.read_table(out / "call_list.parquet").to_pandas()
    write_csv(listed, tmp_path / "list.csv")
    assert (out / "call_list.csv").read_bytes() == (tmp_path / "list.csv").read_bytes()
    rejects = [folder / "quarantine" / "rejects.csv" for folder in (out, small_night.out)]
    ours, nights = (pd.read_csv(file, encoding="utf-8-sig").sort_values(["table", "row", "column"]) for file in rejects)
    assert ours.to_dict("records") == nights.to_dict("records")
    seats, given = (pd.read_csv(folder / "staffing.csv", encoding="utf-8-sig") for folder in (out, small_night.out))
    assert seats["slot_start"].equals(given["slot_start"])
    assert seats["dials_given"].equals(given["dials_given"])
    assert seats["expected_contacts"].sum() == pytest.approx(plan.expected_contacts, rel=1e-3)
    assert seats["dials_recommended"].sum() <= seats["dials_given"].sum()
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert record["counts"]["excluded_by_reason"] == dict(read_excluded(out)["reason"].value_counts().sort_index())
    night = json.loads((small_night.out / "run.json").read_text(encoding="utf-8"))
    assert {k: v for k, v in record["inputs"]["counts"].items() if k in night["inputs"]["counts"]}.items() <= (
        night["inputs"]["counts"].items()
    )


def test_nobody_is_lost(planned, small_night):
    _, out = planned
    listed, excluded = pd.read_parquet(out / "call_list.parquet"), read_excluded(out)
    assert not excluded["customer_id"].duplicated().any()
    assert not set(listed["customer_id"]) & set(excluded["customer_id"])
    night = {*pd.read_parquet(small_night.out / "call_list.parquet")["customer_id"]}
    left_out = pd.read_csv(small_night.out / "excluded.csv", dtype="str", encoding="utf-8-sig")
    assert {*listed["customer_id"], *excluded["customer_id"]} == night | {*left_out["customer_id"]}
    barred = left_out[~left_out["reason"].isin(["no_capacity", "no_lawful_slot"])]
    ours = excluded.set_index("customer_id")["reason"]
    assert (ours[barred["customer_id"]].to_numpy() == barred["reason"].to_numpy()).all()


def keep_for_two_nights(parquet: Path, folder: Path) -> KeptShards:
    """The log of a source in small blocks, most of which an earlier night has kept, in other shards than now."""
    attempts, file = pq.read_table(parquet / "call_attempts.parquet"), folder / "log.parquet"
    for n_rows, n_parts in ((len(attempts) - 700, 2), (len(attempts), 4)):
        pq.write_table(attempts.slice(0, n_rows), file, row_group_size=1_000)
        kept = keep_log(file, folder / "kept", Settings().timezone, n_parts)
    assert (kept.n_shards, kept.n_rows) == (2, len(attempts))
    assert 700 <= kept.n_read < len(attempts) / 2
    return kept


def test_processes_and_what_was_kept_before_change_no_byte_of_a_plan(
    planned, order, model, parquet, log, tmp_path, monkeypatch
):
    monkeypatch.setattr(row_groups, "ROWS", 2_000)
    logs, tomorrow = {1: log, 2: keep_for_two_nights(parquet, tmp_path)}, Settings(horizon_days=1)
    made = [
        plan_in_chunks(parquet, logs[n], tmp_path / str(n), model, order.as_of, tomorrow, per_chunk=800, n_processes=n)
        for n in (1, 2)
    ]
    for name in FILES:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name
    assert [each.n_processes for each in made] == [1, 2]
    assert made[0].n_dials > 0
    assert planned[0].n_customers == len(pd.read_parquet(parquet / "customers.parquet", columns=["customer_id"]))


@pytest.fixture(scope="module")
def database(parquet: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tables of the Parquet folder in SQLite, the log under another name and with other codes."""
    file = tmp_path_factory.mktemp("sqlite") / "centre.db"
    with sqlite3.connect(file) as connection:
        for path in parquet.glob("*.parquet"):
            table = pd.read_parquet(path)
            if path.stem == "call_attempts":
                table = table.assign(outcome=table["outcome"].str.replace("no_answer", "NA"))
            table.to_sql(path.stem.replace("call_attempts", "dials"), connection, index=False)
    connection.close()
    return f"sqlite:///{file}"


@pytest.fixture(scope="module")
def with_champion(small_night: FinishedNight, parquet: Path, database: str, order: Order, tmp_path_factory) -> Path:
    """A home in which the night's model is the champion of all three sources."""
    var = Path(shutil.copytree(small_night.var, tmp_path_factory.mktemp("home") / "var"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAKEDOKI_HOME", str(var))
        store = open_store(replace(order, var=var))
        client = MlflowClient(store.tracking_uri, store.tracking_uri)
        mlflow.set_tracking_uri(store.tracking_uri)
        morning = read_morning(small_night.out)
        for source in (str(parquet), order.source, database):
            name = name_of_source(build_order(source, None, order.run_date, var))
            client.copy_model_version(f"models:/{morning.model_name}/{morning.model_version}", name)
            client.set_registered_model_alias(name, "champion", "1")
    return var


def test_the_command_plans_in_chunks_when_there_are_many_or_it_is_asked(
    with_champion, parquet, database, order, small_night, tmp_path, monkeypatch
):
    """From CSV, and from a database through a map, as from Parquet."""
    monkeypatch.setenv("KAKEDOKI_HOME", str(with_champion))
    small = tmp_path / "small.yaml"
    small.write_text("planning: {per_chunk: 500}", encoding="utf-8")
    out = tmp_path / "out"
    made = plan.fn(str(parquet), str(out), order.run_date, 1, config=[str(small)])  # 3,000 are more than five chunks
    assert isinstance(made, StreamedPlan)
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert record["run_id"].startswith("20261102-")
    assert len(record["chunks"]["sizes"]) == 8  # a power of two
    counts = record["inputs"]["counts"]
    assert counts["call_attempts_not_kept_before"] == counts["call_attempts_read"]
    assert record["model"]["version"] == "1"
    assert [entry["stage"] for entry in record["stages"]] == ["recall", "read", "split", "place", "write"]
    console = Console(file=StringIO(), width=200)
    tell_night(made, out, console)
    assert f"{made.n_dials:,} dials" in console.file.getvalue()
    assert "no report.html" in console.file.getvalue()
    assert read_latest(with_champion / "runs") == small_night.out  # the page goes on showing a night
    mapped = tmp_path / "mapped.yaml"
    columns = {name: name for name in pd.read_parquet(parquet / "call_attempts.parquet").columns}
    table = {"query": "SELECT * FROM dials", "columns": columns, "codes": {"outcome": {"NA": "no_answer"}}}
    mapped.write_text(json.dumps({"source": {"name": "x", "tables": {"call_attempts": table}}}), encoding="utf-8")
    for name, (source, config) in {"csv": (order.source, [small]), "mapped": (database, [small, mapped])}.items():
        again = plan.fn(source, str(tmp_path / name), order.run_date, 1, config=[str(file) for file in config])
        assert isinstance(again, StreamedPlan)
        for file in FILES:
            assert (tmp_path / name / file).read_bytes() == (out / file).read_bytes(), (name, file)
        told = json.loads((tmp_path / name / "run.json").read_text(encoding="utf-8"))
        assert told["inputs"]["counts"] == counts
        read = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in small_night.source.glob("*.csv")}
        assert (told["inputs"]["fingerprint"] == {**read}) == (name == "csv")
        assert (told["source"], told["prices"]) == (source, record["prices"])
        assert not (with_champion / "spool").exists()


def test_who_is_planned_in_chunks(parquet, order, tmp_path):
    asked = build_order(str(parquet), tmp_path / "out", order.run_date, order.var)
    assert not is_for_chunks(asked, None)
    assert is_for_chunks(asked, True)
    few = Settings.model_validate({"planning": {"per_chunk": 500}})
    assert is_for_chunks(replace(asked, settings=few), None)
    assert not is_for_chunks(replace(asked, settings=few), False)
    assert not is_for_chunks(replace(asked, settings=few), None, "dask")
    assert is_for_chunks(replace(asked, settings=few, source=order.source), None)  # CSV
    for changed, option in (({"staffing_mode": "reshape"}, "reshape"), ({"decisions": tmp_path}, "--decisions")):
        with pytest.raises(UsageError, match=f"{option}.*--no-chunks"):
            is_for_chunks(replace(asked, settings=few, **changed), None)
    with pytest.raises(UsageError, match="--engine dask"):
        is_for_chunks(asked, True, "dask")
    for name, value in (("control_share", 0.5), ("min_attempts", 1)):
        with pytest.raises(UsageError, match=rf"planning\.{name}"):
            is_for_chunks(replace(asked, settings=Settings.model_validate({"planning": {name: value}})), True)


def test_a_share_of_the_customers_comes_with_all_their_attempts(parquet, log, order, small_night):
    whole = read_source(str(parquet), Settings()).tables
    people, attempts = read_share(parquet, 4), log.read(0, 4).cells.to_pandas().set_index("row")
    assert 0.2 * len(whole["customers"]) < len(people) < 0.3 * len(whole["customers"])
    theirs = whole["call_attempts"][whole["call_attempts"]["customer_id"].isin(people["customer_id"])]
    assert sorted(attempts.index) == sorted(theirs.index)  # lines of the file, its header counted
    assert set(attempts["attempt_id"]) == set(theirs["attempt_id"])
    large = LargeSource(parquet, {}, log)
    intake = take_sample(build_order(str(parquet), None, order.run_date, order.var), large)
    record = json.loads((small_night.out / "run.json").read_text(encoding="utf-8"))
    assert intake.report.counts == record["inputs"]["counts"]


def test_a_process_that_fails_says_why_and_one_that_dies_is_noticed(order, model, parquet, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(parquet, broken)
    attempts = pd.read_parquet(broken / "call_attempts.parquet")
    attempts["outcome"] = attempts["outcome"].mask(attempts["customer_id"] > "C0001000", "nonsense")
    attempts.to_parquet(broken / "call_attempts.parquet")
    bad = keep_log(broken / "call_attempts.parquet", tmp_path / "kept", Settings().timezone, 4)
    with pytest.raises(TooManyBadRowsError, match="nonsense") as failed:
        plan_in_chunks(broken, bad, tmp_path / "out", model, order.as_of, Settings(), per_chunk=800, n_processes=1)
    assert len(failed.value.rejects)
    assert set(tmp_path.iterdir()) == {broken, tmp_path / "kept"}
    ours, theirs = multiprocessing.Pipe()
    theirs.close()
    with pytest.raises(RuntimeError, match="died"):
        receive(ours)


@pytest.mark.parametrize("n_shards", [2, 16])
def test_customers_who_share_a_phone_stay_together_however_it_is_written(tmp_path, n_shards):
    """And their attempts with them, line by line, in whatever shards the log is kept; blanks around an id are no id."""
    phones = ["090-1234-5678", "+81 90 1234 5678", "０９０１２３４５６７８", None, "", None] * 20
    customers = pd.DataFrame({"customer_id": [f"C{i}{' ' * (i % 2)}" for i in range(120)], "phone": phones})
    attempts = pd.DataFrame({"attempt_id": range(240), "customer_id": [f"C{i % 130}" for i in range(240)]})
    attempts = attempts.assign(attempted_at="2026-10-01T10:00", outcome=["busy", "nonsense"] * 120)
    customers.to_parquet(tmp_path / "customers.parquet")
    attempts.to_parquet(tmp_path / "call_attempts.parquet")
    log = keep_log(tmp_path / "call_attempts.parquet", tmp_path / "kept", "Asia/Tokyo", n_shards)
    sizes = split_customers(tmp_path, tmp_path / "spool", 8)
    move_strays(log, tmp_path / "spool", 8)
    chunks = [read_chunk(log, tmp_path / "spool", number, 8) for number in range(8)]
    assert [len(people) for people, _ in chunks] == sizes
    assert sum(sizes) == 120
    assert sum(people["phone"].fillna("").ne("").any() for people, _ in chunks) == 1
    assert max(sizes) < 120
    assert sorted(row for _, dials in chunks for row in dials.cells["row"].to_pylist()) == list(range(2, 242))
    for people, dials in chunks:
        read = dials.cells.to_pandas()
        assert read["row"].is_monotonic_increasing
        assert (read["attempt_id"].astype(int) == read["row"] - 2).all()
        is_stranger = ~read["customer_id"].isin(people["customer_id"].str.strip())
        assert is_stranger.equals(read["customer_id"].str[1:].astype(int).ge(120))
        assert dials.rejects["row"].tolist() == read["row"][read["row"] % 2 == 1].tolist()
        assert (read["row"].iloc[dials.rejects["position"]].to_numpy() == dials.rejects["row"]).all()


def test_a_night_without_capacity_is_refused_before_anything_is_fitted(parquet, tmp_path, monkeypatch):
    monkeypatch.setenv("KAKEDOKI_HOME", str(tmp_path / "var"))
    monkeypatch.setattr(sys.modules["pipelines.nightly"], "fit", lambda *_, **__: pytest.fail("fitted"))
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("customers", "call_attempts"):
        (bare / f"{name}.parquet").write_bytes((parquet / f"{name}.parquet").read_bytes())
    with pytest.raises(NoCapacityError, match="--no-chunks"):
        nightly.fn(str(bare), str(tmp_path / "out"), run_date=SMALL_RUN_DATE, chunks=True)


def test_what_a_plan_in_chunks_cannot_do_is_said(order, model, parquet, log, tmp_path):
    where = (tmp_path / "out", model, order.as_of)
    explores = Settings.model_validate({"planning": {"explore_share": 0.1}})
    with pytest.raises(UsageError, match=r"planning\.explore_share"):
        plan_in_chunks(parquet, log, *where, explores)
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("customers", "call_attempts"):
        (bare / f"{name}.parquet").write_bytes((parquet / f"{name}.parquet").read_bytes())
    with pytest.raises(NoCapacityError, match="needs the table capacity"):
        plan_in_chunks(bare, log, *where, Settings())
    with pytest.raises(SourceError, match="no such file"):
        split_customers(tmp_path, tmp_path / "spool", 8)
    with pytest.raises(SourceError, match="no such file"):
        keep_log(tmp_path / "call_attempts.parquet", tmp_path / "kept", "Asia/Tokyo", 8)
    pd.DataFrame({"name": ["A"]}).to_parquet(bare / "customers.parquet")
    with pytest.raises(ContractError, match="customer_id"):
        split_customers(bare, tmp_path / "spool", 8)
    assert not (tmp_path / "out").exists()
