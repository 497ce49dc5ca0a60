"""The sample world in a folder: a centre's export that says that it is simulated and keeps the truth to itself."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.world import World, build_world, is_sample, write_world


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(900, 1, np.random.default_rng(7), date(2026, 11, 2))


@pytest.fixture(scope="module")
def folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "not" / "there" / "yet"
    write_world(world, folder)
    return folder


@pytest.fixture(scope="module")
def read(folder: Path) -> Callable[[str], pd.DataFrame]:
    return lambda name: pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)


def test_a_folder_of_the_sample_world_says_so_and_another_does_not(tmp_path):
    write_world(build_world(50, 1, np.random.default_rng(7)), tmp_path / "sample")
    (tmp_path / "own").mkdir()
    assert is_sample(str(tmp_path / "sample"))
    assert not is_sample(str(tmp_path / "own"))
    assert not is_sample(str(tmp_path / "missing"))


def test_the_folder_holds_the_four_tables_and_a_readme(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.txt", "agents.csv", "call_attempts.csv", "capacity.csv", "customers.csv",
    ]  # fmt: skip


def test_the_readme_says_that_nobody_in_it_exists(folder: Path) -> None:
    text = (folder / "README.txt").read_text(encoding="utf-8")
    assert "SIMULATED" in text.splitlines()[0]
    assert "Nobody in this folder exists" in text
    assert "架空" in text
    assert "2026-11-02" in text
    assert "{" not in text


def test_the_truth_stays_behind(folder: Path) -> None:
    hidden = ("rhythm", "level", "part_effect", "fatigue", "true", "p_keyman", "wrong_number_share", "heat")
    for path in folder.glob("*.csv"):
        header = path.read_text(encoding="utf-8").splitlines()[0]
        assert not [word for word in hidden if word in header]


def test_the_same_world_is_written_byte_for_byte(folder: Path, tmp_path: Path) -> None:
    write_world(build_world(900, 1, np.random.default_rng(7), date(2026, 11, 2)), tmp_path)
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_writing_leaves_the_world_as_it_was(world: World, tmp_path: Path) -> None:
    before = world.call_attempts.copy(deep=True)
    write_world(world, tmp_path)
    pd.testing.assert_frame_equal(world.call_attempts, before)


def test_times_carry_the_offset_of_the_centre(world: World, read: Callable[[str], pd.DataFrame]) -> None:
    written = read("call_attempts")["attempted_at"]
    assert written.str.fullmatch(r"2026-\d\d-\d\dT\d\d:\d\d:\d\d\+09:00").all()
    back = pd.to_datetime(written).dt.tz_convert("Asia/Tokyo")
    assert (back == world.call_attempts["attempted_at"]).all()
    assert read("capacity")["slot_start"].iloc[0] == "2026-11-02T09:00:00+09:00"


def test_missing_call_backs_are_empty_cells(world: World, read: Callable[[str], pd.DataFrame]) -> None:
    written = read("customers")["callback_at"]
    assert ((written == "") == world.customers["callback_at"].isna()).all()
    assert (written == "").any()


def test_flags_are_true_or_false(read: Callable[[str], pd.DataFrame]) -> None:
    assert set(read("customers")["do_not_call"]) == {"true", "false"}
    assert set(read("customers")["listed"]) == {"true", "false"}
    assert set(read("call_attempts")["converted"]) == {"true", "false"}
    assert set(read("call_attempts")["refused"]) == {"true", "false"}


def test_numbers_are_written_plainly(world: World, read: Callable[[str], pd.DataFrame]) -> None:
    attempts, customers = read("call_attempts"), read("customers")
    assert attempts["talk_seconds"].astype(int).tolist() == world.call_attempts["talk_seconds"].astype(int).tolist()
    assert customers["age"].str.fullmatch(r"\d\d|").all()
    assert (attempts["propensity"] == "").all()


def test_every_attempt_is_to_a_customer_by_an_agent_of_the_folder(read: Callable[[str], pd.DataFrame]) -> None:
    attempts = read("call_attempts")
    assert attempts["customer_id"].isin(read("customers")["customer_id"]).all()
    assert attempts["agent_id"].isin(read("agents")["agent_id"]).all()


def test_parquet_holds_the_same_tables_with_their_types(world: World, tmp_path: Path) -> None:
    write_world(world, tmp_path, file_format="parquet")
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".parquet"] * 4 + [".txt"]
    back = pd.read_parquet(tmp_path / "call_attempts.parquet")
    assert str(back["attempted_at"].dtype) == "datetime64[us, Asia/Tokyo]"
    assert (back["attempted_at"] == world.call_attempts["attempted_at"]).all()
    assert back["outcome"].tolist() == world.call_attempts["outcome"].tolist()


def test_a_world_without_a_single_dial_can_be_written(tmp_path: Path) -> None:
    world = build_world(1, 1, np.random.default_rng(0))
    empty = World(world.kind, world.customers, world.call_attempts.iloc[:0], world.agents, world.capacity, world.truth)
    write_world(empty, tmp_path)
    assert len((tmp_path / "call_attempts.csv").read_text().splitlines()) == 1
