"""What is kept from run to run changes nothing: kept and rebuilt say the same, whatever was done to the log between."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.settings import Settings
from features.attempts import check_attempts
from features.judged import JudgedLog, hash_rows, judge_log
from features.outcomes import OUTCOMES
from features.table import DialLog, build_dial_log
from models.contact.effects import list_tables, start_tables
from models.contact.encoding import build_encoding
from models.contact.hierarchy import Hierarchy
from models.contact.known import recall_persons
from models.contact.model import gather_evidence
from models.contact.persons import NeverReached, PriorVariances
from models.contact.scorer import know_tonight
from pipelines.kept_folder import find_kept
from pipelines.kept_log import read_log
from pipelines.kept_persons import forget_kept, read_persons, write_persons
from pipelines.sources import blocks as cutting
from pipelines.sources.blocks import Block, cut_csv, cut_frame, cut_parquet
from pipelines.sources.delimited import open_csv, read_csv

ZONE = "Asia/Tokyo"
AS_OF = pd.Timestamp("2024-09-30", tz=ZONE)
PEOPLE = [f"c{n}" for n in range(7)]
GARBAGE = ["", "?", "-5", "2024-13-01", "NaN", "１", "c99", " busy "]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "ROWS", 32)


def draw_log(rng: np.random.Generator, n: int, first: int = 0) -> pd.DataFrame:
    """A log as text, by time, with a little garbage in it."""
    day, minute = np.sort(rng.integers(1, 28, n)), rng.integers(0, 60, n)
    log = pd.DataFrame(
        {
            "attempt_id": [f"A{first + at:05d}" for at in range(n)],
            "customer_id": rng.choice(PEOPLE, n),
            "attempted_at": [f"2024-09-{d:02d}T{9 + m % 9:02d}:{m:02d}:00" for d, m in zip(day, minute, strict=True)],
            "outcome": rng.choice(OUTCOMES, n),
            "talk_seconds": "10",
            "refused": rng.choice(["no", "", "yes"], n, p=[0.8, 0.1, 0.1]),
        },
        dtype="str",
    )
    for _ in range(n // 15):
        log.iloc[rng.integers(n), rng.integers(log.shape[1])] = rng.choice(GARBAGE)
    return log


def live_on(log: pd.DataFrame, rng: np.random.Generator, night: int) -> pd.DataFrame:
    """What may have become of a log by the next night: new rows, late ones, corrected, removed, a person forgotten."""
    for change in rng.choice(["new", "late", "corrected", "removed", "forgotten", "repeated", "none"], 3):
        at = rng.integers(0, max(len(log), 1), 2)
        if change == "new":
            log = pd.concat([log, draw_log(rng, 12, 1000 * night)])
        elif change == "late":
            log = pd.concat([log.iloc[: at[0]], draw_log(rng, 1, 1000 * night + 500), log.iloc[at[0] :]])
        elif change == "corrected":
            log = log.assign(outcome=log["outcome"].where(np.arange(len(log)) != at[0], "voicemail"))
        elif change == "removed":
            log = log.drop(index=log.index[at])
        elif change == "forgotten":
            log = log[log["customer_id"] != rng.choice(PEOPLE)]
        elif change == "repeated":
            log = pd.concat([log, log.iloc[at]])
        log = log.reset_index(drop=True)
    return log


def cut(log: pd.DataFrame, way: str, folder: Path) -> list[Block]:
    if way == "csv":
        content = log.to_csv(index=False).encode()
        return cut_csv(open_csv(Path("call_attempts.csv"), content))
    if way == "parquet":
        file = folder / "log.parquet"
        log.to_parquet(file, row_group_size=30)
        return cut_parquet(file.read_bytes())
    return cut_frame(log)


def read_at_once(log: pd.DataFrame, way: str) -> JudgedLog:
    raw = read_csv(Path("call_attempts.csv"), log.to_csv(index=False).encode()) if way == "csv" else log
    return judge_log(raw, ZONE)


def compare(one: JudgedLog, other: JudgedLog) -> None:
    assert one.cells.to_pylist() == other.cells.to_pylist()
    pd.testing.assert_frame_equal(one.rejects, other.rejects)


def settle(log: JudgedLog) -> list[pd.DataFrame]:
    checked = check_attempts(log, pd.Index(PEOPLE[:5]), frozenset(PEOPLE[5:6]), AS_OF, ZONE)
    return [checked.frame, checked.held, checked.of_quarantined, checked.rejects]


@pytest.mark.parametrize("way", ["csv", "parquet", "frame"])
@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_log_kept_over_nights_is_the_log_read_at_once(
    way: str, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng, folder = np.random.default_rng(seed), tmp_path_factory.mktemp("kept")
    log = draw_log(rng, 90)
    for night in range(1, 4):
        kept = read_log(cut(log, way, folder), folder / "kept", ZONE)
        at_once = read_at_once(log, way)
        compare(kept.log, at_once)
        for one, other in zip(settle(kept.log), settle(at_once), strict=True):
            pd.testing.assert_frame_equal(one, other)
        log = live_on(log, rng, night)


def test_a_night_reads_only_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    log = draw_log(rng, 160)
    assert read_log(cut(log, "csv", tmp_path), tmp_path / "kept", ZONE).n_read == 160
    assert read_log(cut(log, "csv", tmp_path), tmp_path / "kept", ZONE).n_read == 0
    assert read_log(cut(log, "csv", tmp_path), tmp_path / "kept", ZONE, rebuild=True).n_read == 160
    grown = pd.concat([log, draw_log(rng, 5, 900)], ignore_index=True)
    again = read_log(cut(grown, "csv", tmp_path), tmp_path / "kept", ZONE)
    assert 5 <= again.n_read <= 5 + 4 * cutting.ROWS
    assert again.note == ""
    late = pd.concat([grown.iloc[:30], draw_log(rng, 1, 990), grown.iloc[30:]], ignore_index=True)
    late.loc[30, "attempted_at"] = grown.loc[30, "attempted_at"]
    changed = read_log(cut(late, "csv", tmp_path), tmp_path / "kept", ZONE)
    assert 0 < changed.n_read < len(late)
    assert "changed, added or removed since the last run" in changed.note
    cells = tmp_path / "kept"
    assert len(list(cells.glob("*/*.parquet"))) == len({block.digest for block in cut(late, "csv", tmp_path)})


def test_what_is_kept_and_damaged_is_made_again(tmp_path: Path) -> None:
    log = draw_log(np.random.default_rng(5), 80)
    whole = read_log(cut(log, "csv", tmp_path), tmp_path / "kept", ZONE)
    files = sorted((tmp_path / "kept").glob("*/*.parquet"))
    files[0].write_bytes(b"PAR1")
    files[1].unlink()
    mended = read_log(cut(log, "csv", tmp_path), tmp_path / "kept", ZONE)
    assert mended.n_read > 0
    compare(mended.log, whole.log)
    assert {file.stat().st_mode & 0o077 for file in (tmp_path / "kept").glob("*/*.parquet")} == {0}


def test_records_that_are_cut_short_or_hold_line_breaks_are_told_at_their_line(tmp_path: Path) -> None:
    rows = [f'A{n},c{n % 7},2024-09-0{1 + n % 9}T10:00,"no\n_answer"' for n in range(40)]
    rows[17] = "A17,c3"
    content = ("attempt_id,customer_id,attempted_at,outcome\n\n" + "\n".join(rows) + "\nA99,c1,2024-").encode()
    path = Path("call_attempts.csv")
    pieces = cut_csv(open_csv(path, content))
    assert len(pieces) > 1
    kept = read_log(pieces, tmp_path / "kept", ZONE)
    again = read_log(pieces, tmp_path / "kept", ZONE)
    compare(kept.log, judge_log(read_csv(path, content), ZONE))
    compare(again.log, kept.log)
    assert (again.n_read, kept.log.rejects.query("column == ''")["row"].tolist()) == (0, [37, 82])


def test_equal_rows_have_equal_hashes_and_a_missing_cell_is_not_an_empty_one() -> None:
    frame = pd.DataFrame({"a": ["x", "x", None, ""], "b": [1, 1, 1, 1]})
    hashes = hash_rows(frame)
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
    assert hash_rows(frame.assign(row_fault=[None, "cut", None, None]))[1] != hashes[1]


# Beliefs about persons


def draw_hierarchy(rng: np.random.Generator, people: pd.DataFrame) -> Hierarchy:
    encoding = build_encoding(people, ("age", "region"), ("age", "region"))
    tables = start_tables(list_tables(("age", "region"), ("age", "region"), encoding.n_levels), encoding.n_levels)
    drawn = [replace(table, values=rng.normal(-0.3, 0.2, table.values.shape).astype("float32")) for table in tables]
    return Hierarchy(encoding, drawn, PriorVariances(), NeverReached(0.05, 0.2), (-0.1, 0.0, -0.2, 0.1))


def draw_people(rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame(
        {"customer_id": PEOPLE, "age": rng.choice([20.0, 45.0, np.nan], 7), "region": rng.choice(["n", "s"], 7)}
    )


def build_log(log: pd.DataFrame, people: pd.DataFrame) -> DialLog:
    checked = check_attempts(log, pd.Index(people["customer_id"]), frozenset(), AS_OF, ZONE)
    return build_dial_log(checked.frame, people, Settings())


def believe_anew(hierarchy: Hierarchy, log: DialLog, night: np.ndarray) -> list[np.ndarray]:
    everyone = np.arange(len(log.customers))
    beliefs = gather_evidence(hierarchy, log, everyone, night, everyone * 0).beliefs
    return [beliefs.mean, beliefs.variance, beliefs.never]


@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_beliefs_kept_over_nights_are_those_of_the_whole_log(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng, folder = np.random.default_rng(seed), tmp_path_factory.mktemp("persons")
    people = draw_people(rng)
    hierarchy, raw = draw_hierarchy(rng, people), draw_log(rng, 80)
    instant = int(AS_OF.timestamp()) - 86_400 * int(rng.integers(0, 10))
    for night in range(1, 5):
        log, before = build_log(raw, people), np.full(len(people), instant)
        believed = recall_persons(hierarchy, log, before, read_persons(folder, hierarchy))
        for kept, rebuilt in zip(believed, believe_anew(hierarchy, log, before), strict=True):
            np.testing.assert_array_equal(kept, rebuilt)
        everyone = np.arange(len(people))
        write_persons(folder, gather_evidence(hierarchy, log, everyone, before, everyone * 0))
        if night == 1:  # every customer moves to the other region
            people = people.assign(region=people["region"].map({"n": "s", "s": "n"}))
        elif night == 2:  # what was no contact is one, and a customer goes: all rows of the others move
            raw = raw.assign(outcome=raw["outcome"].replace("busy", "keyman_contact"))
            people = people.drop(index=0).reset_index(drop=True)
        else:
            raw = live_on(raw, rng, night)


def test_only_who_was_dialled_since_is_filtered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    people, raw = draw_people(rng), draw_log(rng, 90)
    hierarchy = draw_hierarchy(rng, people)
    log = build_log(raw, people)
    night = np.full(7, int(AS_OF.timestamp()))
    write_persons(tmp_path, gather_evidence(hierarchy, log, np.arange(7), night, np.zeros(7, dtype=int)))
    asked: list[int] = []
    whole = DialLog.of_customers

    def of_customers(self: DialLog, rows: np.ndarray) -> DialLog:
        asked.append(len(rows))
        return whole(self, rows)

    monkeypatch.setattr(DialLog, "of_customers", of_customers)
    recall_persons(hierarchy, log, night, read_persons(tmp_path, hierarchy))
    dial = pd.DataFrame([{**raw.iloc[-1], "attempt_id": "B1", "customer_id": "c4", "outcome": "busy"}])
    dial["attempted_at"] = "2024-09-28T10:00:00"
    recall_persons(hierarchy, build_log(pd.concat([raw, dial]), people), night, read_persons(tmp_path, hierarchy))
    other = replace(hierarchy, fatigue=(0.0,) * 4)
    recall_persons(other, log, night, read_persons(tmp_path, other))
    assert asked == [0, 1, 7]


def test_a_forgotten_customer_is_in_nothing_that_is_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    people, raw = draw_people(rng), draw_log(rng, 200)
    folder = find_kept(tmp_path, "/data/centre")
    before = read_log(cut(raw, "csv", tmp_path), folder, ZONE).log
    log = build_log(raw, people)
    night = np.full(7, int(AS_OF.timestamp()))
    hierarchy = draw_hierarchy(rng, people)
    write_persons(folder, gather_evidence(hierarchy, log, np.arange(7), night, np.zeros(7, dtype=int)))
    assert forget_kept(tmp_path, "nobody") == 0
    assert forget_kept(tmp_path, "c2") > 1
    for file in (tmp_path / "kept").rglob("*.parquet"):
        assert "c2" not in pq.read_table(file)["customer_id"].to_pylist()
    assert read_persons(folder, hierarchy).customer_ids.to_pylist() == [name for name in PEOPLE if name != "c2"]
    rest = raw[raw["customer_id"] != "c2"].reset_index(drop=True)
    after = read_log(cut(rest, "csv", tmp_path), folder, ZONE).log
    assert len(after) < len(before)
    compare(after, read_at_once(rest, "csv"))
    listed = json.loads(next(folder.glob("*/log.json")).read_text())
    assert sum(block["n_rows"] for block in listed) == len(rest)


def test_evidence_with_kept_beliefs_is_the_same(tmp_path: Path) -> None:
    """Through the door that runs use: ``know_tonight`` with and without."""
    rng = np.random.default_rng(6)
    people = draw_people(rng)
    hierarchy, log = draw_hierarchy(rng, people), build_log(draw_log(rng, 90), people)
    model = type("Model", (), {"hierarchy": hierarchy})()
    plain = know_tonight(model, log, AS_OF)
    write_persons(tmp_path, plain)
    known = know_tonight(model, log, AS_OF, read_persons(tmp_path, hierarchy))
    for name in ("mean", "variance", "never", "faded", "seconds"):
        np.testing.assert_array_equal(getattr(known.beliefs, name), getattr(plain.beliefs, name))
