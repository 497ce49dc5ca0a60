"""The log of a large source: kept by shards from night to night, it says what was said."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from test_kept import ZONE, compare, draw_log, live_on

from configs.errors import SourceError
from features.judged import judge_log, take_rows
from pipelines.kept_persons import forget_kept
from pipelines.kept_shards import KeptShards, find_kept_shards, keep_log
from pipelines.shards import find_shards
from pipelines.sources import row_groups
from pipelines.sources.row_groups import cut_groups, read_pieces

GROUP = 20


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_groups, "ROWS", 40)


def write_log(log: pd.DataFrame, folder: Path) -> Path:
    log.to_parquet(folder / "call_attempts.parquet", row_group_size=GROUP)
    return folder / "call_attempts.parquet"


def keep(log: pd.DataFrame, folder: Path, n_parts: int = 4, *, rebuild: bool = False) -> KeptShards:
    return keep_log(write_log(log, folder), folder / "kept", ZONE, n_parts, rebuild=rebuild)


def compare_parts(kept: KeptShards, log: pd.DataFrame, n_parts: int) -> None:
    whole = judge_log(log.reset_index(drop=True), ZONE)
    shards = find_shards(whole.cells["customer_id"], n_parts)
    for number in range(n_parts):
        compare(kept.read(number, n_parts), take_rows(whole, np.flatnonzero(shards == number)))


def test_a_log_kept_over_nights_is_the_log_read_at_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    log = draw_log(rng, 100)
    for night in range(1, 4):
        kept = keep(log, tmp_path)
        assert kept.n_rows == len(log)
        compare_parts(kept, log, 4)
        log = live_on(log, rng, night)


def test_a_night_reads_only_what_is_new(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    log = draw_log(rng, 140)
    assert keep(log, tmp_path).n_read == 140
    assert keep(log, tmp_path).n_read == 0
    grown = pd.concat([log, draw_log(rng, 20, 900)], ignore_index=True)
    again = keep(grown, tmp_path)
    assert 20 <= again.n_read <= 20 + 2 * row_groups.ROWS
    assert again.note == ""
    corrected = grown.assign(outcome=grown["outcome"].mask(grown.index == 70, "voicemail"))
    changed = keep(corrected, tmp_path)
    blocks = cut_groups(tmp_path / "call_attempts.parquet")
    lines = [block.first_row - 2 for block in blocks] + [len(corrected)]
    assert [changed.n_read] == [end - begin for begin, end in pairwise(lines) if begin <= 70 < end]
    assert "changed, added or removed since the last run" in changed.note
    files = [file.name for file in (tmp_path / "kept").rglob("*") if file.is_file()]
    assert sorted(files) == sorted([*(f"{block.digest}.arrow" for block in blocks), "log.json"])
    assert keep(corrected, tmp_path, rebuild=True).n_read == len(corrected)
    assert {file.stat().st_mode & 0o077 for file in (tmp_path / "kept").rglob("*.arrow")} == {0}


def test_blocks_follow_the_row_groups_and_are_read_piece_by_piece(tmp_path: Path) -> None:
    log = draw_log(np.random.default_rng(5), 400)
    file = write_log(log, tmp_path)
    blocks = cut_groups(file)
    assert [group for block in blocks for group in block.groups] == list(range(20))
    assert max(len(block.groups) for block in blocks) <= 2 * row_groups.ROWS // GROUP
    assert len(blocks) > 4
    pieces = [piece.set_axis(piece.index + block.first_row) for block in blocks for piece in read_pieces(file, block)]
    pd.testing.assert_frame_equal(pd.concat(pieces).reset_index(drop=True), log)
    assert np.concatenate([piece.index for piece in pieces]).tolist() == list(range(2, 402))
    log.to_parquet(file)  # one row group of ten times as many rows
    (block,) = cut_groups(file)
    assert [len(piece) for piece in read_pieces(file, block)] == [row_groups.ROWS] * 10
    other = write_log(log.iloc[::-1], tmp_path)
    with pytest.raises(SourceError, match="was replaced while it was read"):
        next(read_pieces(other, block))
    compare_parts(keep(log.iloc[:0], tmp_path), log.iloc[:0], 2)


def test_a_centre_that_grows_keeps_its_log_until_it_has_more_than_doubled(tmp_path: Path) -> None:
    log = draw_log(np.random.default_rng(6), 60)
    n_read = [keep(log, tmp_path, n_parts).n_read for n_parts in (4, 8, 2, 16, 4)]
    assert n_read == [60, 0, 0, 60, 60]
    for n_parts in (1, 4, 16):
        compare_parts(keep(log, tmp_path, 4), log, n_parts)


def test_what_is_kept_and_damaged_is_made_again(tmp_path: Path) -> None:
    log = draw_log(np.random.default_rng(7), 140)
    keep(log, tmp_path)
    files = sorted((tmp_path / "kept").rglob("*.arrow"))
    files[0].write_bytes(b"ARROW1")
    files[1].unlink()
    mended = keep(log, tmp_path)
    assert 0 < mended.n_read < 140
    compare_parts(mended, log, 4)
    content = bytearray(files[2].read_bytes())
    content[len(content) // 4 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 4)
    files[2].write_bytes(content)
    with pytest.raises(SourceError, match="run again"):
        compare_parts(keep(log, tmp_path), log, 4)
    compare_parts(keep(log, tmp_path), log, 4)
    log_file = tmp_path / "call_attempts.parquet"
    log_file.write_bytes(log_file.read_bytes()[:-9])
    with pytest.raises(SourceError, match="damaged or cut short"):
        keep_log(log_file, tmp_path / "kept", ZONE, 4)


def test_a_forgotten_customer_is_in_nothing_that_is_kept(tmp_path: Path) -> None:
    log = draw_log(np.random.default_rng(4), 120)
    log = log.assign(customer_id=log["customer_id"].mask((log["customer_id"] == "c2") & (log.index > 49), "c3"))
    folder = find_kept_shards(tmp_path, "/data/centre")
    keep_log(write_log(log, tmp_path), folder, ZONE, 4)
    n_files = len(list(folder.rglob("*.arrow")))
    assert forget_kept(tmp_path, "nobody") == 0
    n_removed = forget_kept(tmp_path, "c2")
    assert 0 < n_removed < n_files
    left = [file for file in folder.rglob("*") if file.is_file() and file.suffix == ".arrow"]
    assert len(left) == n_files - n_removed
    for file in left:
        ids = pa.ipc.open_file(file.read_bytes()).read_all()["customer_id"].to_pylist()
        assert "c2" not in ids
    rest = log[log["customer_id"] != "c2"].reset_index(drop=True)
    after = keep_log(write_log(rest, tmp_path), folder, ZONE, 4)
    compare_parts(after, rest, 4)
