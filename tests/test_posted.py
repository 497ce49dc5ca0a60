"""Posted outcomes: kept whole or not at all, safe to post again, and laid beside a log of any type."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from features.attempts import check_attempts
from features.judged import judge_log
from pipelines.outcomes import (
    OutcomeConflictError,
    PostedAttempt,
    add_posted,
    count_outcomes,
    list_finished,
    post_outcomes,
    read_outcomes,
    read_outcomes_between,
)

TEN = datetime(2026, 11, 2, 1, 5, tzinfo=UTC)  # 10:05 in Tokyo
DIAL = PostedAttempt("P1", "C1", TEN, "no_answer", ring_seconds=20, agent_id="A7")


def dials(n: int) -> list[PostedAttempt]:
    return [replace(DIAL, attempt_id=f"P{i}", customer_id=f"C{i}") for i in range(n)]


def test_the_same_post_again_changes_nothing_and_another_content_is_refused_by_name(tmp_path: Path) -> None:
    assert post_outcomes(tmp_path, [DIAL, DIAL], TEN) == 1
    assert post_outcomes(tmp_path, [DIAL], TEN + timedelta(hours=1)) == 0
    with pytest.raises(OutcomeConflictError, match="P1") as told:
        post_outcomes(tmp_path, [replace(DIAL, attempt_id="P2"), replace(DIAL, outcome="busy")], TEN)
    assert told.value.attempt_ids == ("P1",)
    kept = read_outcomes(tmp_path)
    assert kept["attempt_id"].tolist() == ["P1"]
    assert kept["posted_at"].tolist() == [pd.Timestamp(TEN)]


def test_nothing_is_made_where_nobody_has_posted(tmp_path: Path) -> None:
    assert count_outcomes(tmp_path) == 0
    assert read_outcomes(tmp_path).empty
    assert list(tmp_path.iterdir()) == []


def test_many_posts_at_once_keep_every_attempt_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        new = list(threads.map(lambda _: post_outcomes(tmp_path, dials(40), TEN), range(8)))
    assert sum(new) == 40
    assert sorted(read_outcomes(tmp_path)["attempt_id"]) == sorted(f"P{i}" for i in range(40))


def test_reading_in_pages_gives_every_row_once(tmp_path: Path) -> None:
    post_outcomes(tmp_path, dials(5), TEN)
    after, seen = 0, []
    while len(page := read_outcomes(tmp_path, after=after, limit=2)):
        after = int(page["sequence"].iloc[-1])
        seen += page["attempt_id"].tolist()
    assert seen == [f"P{i}" for i in range(5)]
    assert read_outcomes(tmp_path, since=TEN + timedelta(seconds=1)).empty


def test_who_is_finished_follows_from_outcome_refusal_and_the_hour(tmp_path: Path) -> None:
    yesterday, midnight = TEN - timedelta(days=1), TEN - timedelta(hours=10, minutes=5)
    told = [
        ("reached", TEN, "keyman_contact", False),
        ("reached_yesterday", yesterday, "keyman_contact", False),
        ("wrong_yesterday", yesterday, "wrong_number", False),
        ("refused_yesterday", yesterday, "third_party", True),
        ("missed_at_ten", TEN, "no_answer", False),
        ("missed_at_nine", TEN - timedelta(hours=1), "no_answer", False),
    ]
    rows = [PostedAttempt(name, name, at, outcome, refused=refused) for name, at, outcome, refused in told]
    post_outcomes(tmp_path, rows, TEN)
    ten_sharp = TEN.replace(minute=0)
    finished = list_finished(tmp_path, midnight, ten_sharp, ten_sharp + timedelta(hours=1))
    assert sorted(finished) == ["missed_at_ten", "reached", "refused_yesterday", "wrong_yesterday"]


TEXTS = {
    "attempt_id": ["L1", "P0"],
    "customer_id": ["C0", "C0"],
    "attempted_at": ["2026-11-01T10:00", "2026-11-02T10:05+09:00"],
    "outcome": ["Busy", "no_answer"],
    "refused": ["no", ""],
}
TYPED = TEXTS | {
    "attempted_at": pd.to_datetime(["2026-11-01 10:00", "2026-11-02 10:05"]),
    "refused": [False, True],
    "ring_seconds": [3, 4],
}
ZONED = TYPED | {"attempted_at": pd.to_datetime(TYPED["attempted_at"]).tz_localize("Asia/Tokyo").tz_convert("UTC")}


@pytest.mark.parametrize("log", [TEXTS, TYPED, ZONED], ids=["text", "typed", "zoned"])
def test_posted_dials_are_laid_beside_a_log_of_any_type(log: dict[str, list[object]], tmp_path: Path) -> None:
    frame = pd.DataFrame(log)
    if log is TEXTS:
        frame.index = pd.Index([2, 3], name="row")
    post_outcomes(tmp_path, [*dials(2), replace(DIAL, attempt_id="P9", customer_id="C1", refused=True)], TEN)
    posted = read_outcomes_between(tmp_path, TEN, TEN + timedelta(seconds=1))
    before = frame.copy()
    whole, n_added = add_posted(judge_log(frame, "Asia/Tokyo"), posted)
    pd.testing.assert_frame_equal(frame, before)
    assert n_added == 2  # P0 is in the log
    as_of = pd.Timestamp("2026-11-02 12:00", tz="Asia/Tokyo")
    ids = pd.Index(["C0", "C1"])
    checked = check_attempts(whole, ids, frozenset(), as_of, "Asia/Tokyo")
    assert checked.rejects.empty
    found = checked.frame.set_index("attempt_id")
    assert found.index.tolist() == ["L1", "P0", "P1", "P9"]
    assert found.loc["P1", "attempted_at"] == pd.Timestamp(TEN)
    assert found.loc["P9", "refused"]
    assert found.loc["P1", "ring_seconds"] == 20
    assert found.loc["L1", "attempted_at"] == pd.Timestamp("2026-11-01 10:00", tz="Asia/Tokyo")
