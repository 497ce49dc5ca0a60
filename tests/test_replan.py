"""The rest of a day planned again: nobody twice, no place too many, and what the morning said is obeyed."""

import json
import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import FinishedNight

from configs.errors import NoCapacityError, UsageError
from pipelines.kept_folder import find_kept
from pipelines.replan import Replanned, replan

NOON = datetime(2026, 11, 2, 12, 10)  # noqa: DTZ001 - the centre's time
ZONE = "Asia/Tokyo"


def live_through_the_morning(night: FinishedNight, folder: Path, seed: int = 1, until: str = "12:10") -> pd.DataFrame:
    """Dial the list until then as an agent would; the outcomes are appended to a copy of the source's log."""
    shutil.copytree(night.source, folder)
    listed = pd.read_parquet(night.out / "call_list.parquet").sort_values(["slot_start", "rank"])
    morning = listed[listed["slot_start"] < pd.Timestamp(f"2026-11-02 {until}", tz=ZONE)]
    rng = np.random.default_rng(seed)
    outcome = rng.choice(["no_answer", "busy", "keyman_contact", "wrong_number"], len(morning), p=[0.6, 0.1, 0.2, 0.1])
    made = pd.DataFrame(
        {
            "attempt_id": [f"M{i}" for i in range(len(morning))],
            "customer_id": morning["customer_id"].to_numpy(),
            "attempted_at": [
                start.isoformat()
                for start in morning["slot_start"] + pd.to_timedelta(rng.integers(1, 9, len(morning)), "m")
            ],
            "outcome": outcome,
            "refused": rng.random(len(morning)) < 0.05,
        }
    )
    log = pd.read_csv(folder / "call_attempts.csv", dtype="str")
    pd.concat([log, made.astype("str")]).to_csv(folder / "call_attempts.csv", index=False)
    return made


@pytest.fixture
def day(small_night: FinishedNight, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source in which the small night's morning has been lived through."""
    monkeypatch.setenv("KAKEDOKI_HOME", str(small_night.var))
    live_through_the_morning(small_night, tmp_path / "day")
    return tmp_path / "day"


def check_rest_of_day(done: Replanned, night: FinishedNight, source: Path, now: datetime) -> None:
    """Nobody twice on the day, nothing before ``now``, and no more dials than places."""
    log = pd.read_csv(source / "call_attempts.csv", dtype={"customer_id": "str"})
    at = pd.to_datetime(log["attempted_at"], utc=True).dt.tz_convert(ZONE)
    today = log[(at >= pd.Timestamp("2026-11-02", tz=ZONE)) & (at < pd.Timestamp(now, tz=ZONE))]
    ids = done.call_list["customer_id"].astype("str")
    assert ids.is_unique
    assert not ids.isin(today["customer_id"]).any()
    starts = done.call_list["slot_start"]
    assert (starts >= pd.Timestamp(now, tz=ZONE)).all()
    assert (starts < pd.Timestamp("2026-11-03", tz=ZONE)).all()
    staffing = pd.read_csv(night.out / "staffing.csv", encoding="utf-8-sig", parse_dates=["slot_start"])
    given = staffing.set_index("slot_start")["dials_given"]
    per_slot = starts.value_counts()
    assert (per_slot <= given.reindex(per_slot.index)).all()


def test_the_afternoon_is_filled_without_anybody_of_the_morning(
    small_night: FinishedNight, day: Path, tmp_path: Path
) -> None:
    done = replan(str(day), small_night.out, tmp_path / "out", NOON)
    check_rest_of_day(done, small_night, day, NOON)
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "call_list.parquet",
        "call_list.csv",
        "excluded.csv",
        "run.json",
    }
    assert done.call_list["slot_start"].min() == pd.Timestamp("2026-11-02 13:00", tz=ZONE)
    assert list(done.call_list.columns) == list(pd.read_parquet(small_night.out / "call_list.parquet").columns)
    counts = done.record["counts"]
    assert counts["dials"] == counts["places"]
    assert counts["dialled_before"] > 20
    assert not any("cannot be read" in note for note in done.record["notes"])
    assert done.call_list["reason"].notna().all()


def test_the_morning_is_told_in_the_list_of_the_excluded(small_night: FinishedNight, day: Path, tmp_path: Path) -> None:
    done = replan(str(day), small_night.out, tmp_path / "out", NOON)
    log = pd.read_csv(day / "call_attempts.csv", dtype="str")
    morning = log[log["attempt_id"].str.startswith("M")].drop_duplicates("customer_id").set_index("customer_id")
    reason = done.excluded.set_index("customer_id")["reason"].reindex(morning.index)
    expected = morning["outcome"].map({"wrong_number": "wrong_number", "keyman_contact": "contacted"})
    expected = expected.fillna("dialled_today").mask(morning["refused"] == "True", "refused")
    is_capped = reason == "attempt_cap"
    assert (reason[~is_capped] == expected[~is_capped]).all()
    assert (expected[is_capped] == "dialled_today").all()
    everyone = pd.concat([done.call_list["customer_id"].astype("str"), done.excluded["customer_id"]])
    customers = pd.read_csv(day / "customers.csv", dtype={"customer_id": "str"})
    assert sorted(everyone) == sorted(customers.loc[customers["listed"], "customer_id"])
    later = pd.read_parquet(small_night.out / "call_list.parquet").query("not is_firm")["customer_id"]
    assert set(done.excluded.query("reason == 'planned_later'")["customer_id"]) <= set(later)


def test_a_call_back_promised_this_morning_comes_first(small_night: FinishedNight, day: Path, tmp_path: Path) -> None:
    before = replan(str(day), small_night.out, tmp_path / "before", NOON)
    waiting = before.excluded.query("reason == 'no_capacity'")["customer_id"].iloc[:3].tolist()
    customers = pd.read_csv(day / "customers.csv", dtype="str")
    is_promised = customers["customer_id"].isin(waiting)
    customers["callback_at"] = customers["callback_at"].mask(is_promised, "2026-11-02T15:20:00+09:00")
    customers.to_csv(day / "customers.csv", index=False)
    done = replan(str(day), small_night.out, tmp_path / "out", NOON)
    kept = done.call_list[done.call_list["customer_id"].astype("str").isin(waiting)]
    assert kept["slot_start"].tolist() == [pd.Timestamp("2026-11-02 15:00", tz=ZONE)] * 3
    check_rest_of_day(done, small_night, day, NOON)


def test_without_its_model_the_plan_is_read_instead_and_says_so(
    small_night: FinishedNight, day: Path, tmp_path: Path
) -> None:
    plan = Path(shutil.copytree(small_night.out, tmp_path / "plan"))
    record = json.loads((plan / "run.json").read_text())
    record["model"]["version"] = "unregistered"
    (plan / "run.json").write_text(json.dumps(record))
    done = replan(str(day), plan, tmp_path / "out", NOON)
    check_rest_of_day(done, small_night, day, NOON)
    assert any("the plan's own p_keyman is used" in note for note in done.record["notes"])
    assert done.record["counts"]["dials"] == done.record["counts"]["places"]


def test_an_hour_later_fewer_slots_are_left_and_at_night_none(
    small_night: FinishedNight, day: Path, tmp_path: Path
) -> None:
    late = datetime(2026, 11, 2, 19, 0)  # noqa: DTZ001
    done = replan(str(day), small_night.out, tmp_path / "out", late)
    assert done.call_list["slot_start"].min() == pd.Timestamp("2026-11-02 19:00", tz=ZONE)
    with pytest.raises(NoCapacityError, match="nothing to plan again"):
        replan(str(day), small_night.out, tmp_path / "none", late.replace(hour=23))
    assert not (tmp_path / "none").exists()


def test_a_plan_that_is_none_and_an_hour_of_another_day_are_refused(
    small_night: FinishedNight, day: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"run\.json is missing"):
        replan(str(day), tmp_path, tmp_path / "out", NOON)
    with pytest.raises(UsageError, match="not on the plan's run date"):
        replan(str(day), small_night.out, tmp_path / "out", NOON.replace(day=3))
    with pytest.raises(UsageError, match="is the plan itself"):
        replan(str(day), small_night.out, small_night.out, NOON)


def test_the_same_noon_gives_the_same_list(small_night: FinishedNight, day: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        replan(str(day), small_night.out, tmp_path / name, NOON)
    assert (tmp_path / "one" / "call_list.csv").read_bytes() == (tmp_path / "two" / "call_list.csv").read_bytes()


def test_what_the_night_has_kept_changes_no_byte_of_the_afternoon(
    small_night: FinishedNight, day: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without: the whole log judged, every person filtered, the model from the registry. With: none of them."""
    replan(str(day), small_night.out, tmp_path / "without", NOON)
    kept = find_kept(small_night.var, str(day))
    shutil.rmtree(kept)
    shutil.copytree(find_kept(small_night.var, str(small_night.source)), kept)

    def refuse(*_: object) -> None:
        raise OSError("nobody is to ask the registry")

    monkeypatch.setattr("models.registry.read_model", refuse)
    done = replan(str(day), small_night.out, tmp_path / "with", NOON)
    assert done.record["notes"] == []
    for name in ("call_list.parquet", "call_list.csv", "excluded.csv"):
        assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes()
