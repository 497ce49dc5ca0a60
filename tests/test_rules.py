"""Rule packs: read from data, the stricter wins, and mistakes are named."""

from pathlib import Path

import pytest

from configs.errors import UsageError
from models.planning.rules import RULES_FOLDER, RollingCap, combine_packs, name_packs, read_rule_packs

EVERY_PACK = ("house", "jp-debt", "jp-sales", "jp-telecom", "us-fl", "us-reg-f", "us-tsr")


def test_every_pack_of_the_field_can_be_read_and_cites_its_source():
    packs = read_rule_packs(EVERY_PACK)
    assert tuple(sorted(file.stem for file in RULES_FOLDER.glob("*.yaml"))) == EVERY_PACK
    assert all(pack.source and pack.version for pack in packs)


def test_every_pack_says_that_it_is_not_legal_advice():
    assert all("not legal advice" in file.read_text(encoding="utf-8") for file in RULES_FOLDER.glob("*.yaml"))


@pytest.mark.parametrize(
    ("name", "window"),
    [
        ("jp-sales", ("08:00", "21:00")),
        ("jp-debt", ("08:00", "21:00")),
        ("us-tsr", ("08:00", "21:00")),
        ("us-fl", ("08:00", "20:00")),
        ("house", None),
        ("jp-telecom", None),
    ],
)
def test_calling_windows_are_those_of_the_law(name, window):
    assert read_rule_packs([name])[0].calling_window == window


def test_the_house_allows_ten_attempts_and_one_a_day():
    house = read_rule_packs(["house"])[0]
    assert (house.max_attempts_per_listing, house.max_attempts_per_day) == (10, 1)


def test_regulation_f_allows_seven_in_seven_days_and_is_quiet_for_seven_after_a_conversation():
    pack = read_rule_packs(["us-reg-f"])[0]
    assert pack.rolling == (RollingCap(hours=168, max_attempts=7),)
    assert pack.quiet_days_after_contact == 7


def test_an_unknown_pack_is_refused_with_the_list_of_known_ones():
    with pytest.raises(UsageError, match=r"no pack named 'jp-nope': choose from house, jp-debt.*us-tsr"):
        read_rule_packs(["house", "jp-nope"])


def test_a_pack_named_twice_counts_once():
    assert name_packs(read_rule_packs(["house", "jp-sales", "house"])) == "house 2026-11-22; jp-sales 2026-11-21"


def test_the_stricter_of_two_packs_wins_in_every_field():
    rules = combine_packs(read_rule_packs(["house", "us-tsr", "us-fl", "us-reg-f"]), max_attempts=12)
    assert (rules.max_attempts, rules.max_attempts_per_day, rules.quiet_days) == (10, 1, 7)
    assert rules.window == (8 * 60, 20 * 60)
    assert {cap.hours for cap in rules.rolling} == {24, 168}


def test_the_attempt_cap_of_the_settings_wins_where_it_is_stricter():
    assert combine_packs(read_rule_packs(["house"]), max_attempts=4).max_attempts == 4


def test_without_packs_only_the_attempt_cap_of_the_settings_holds():
    rules = combine_packs((), max_attempts=10)
    assert (rules.max_attempts, rules.max_attempts_per_day, rules.window) == (10, None, (0, 1440))


def test_windows_that_do_not_meet_leave_no_time_at_all(tmp_path):
    _write(tmp_path, "early", 'calling_window: ["08:00", "10:00"]')
    _write(tmp_path, "late", 'calling_window: ["18:00", "20:00"]')
    opens, closes = combine_packs(read_rule_packs(["early", "late"], tmp_path), max_attempts=10).window
    assert opens >= closes


@pytest.mark.parametrize(
    "line",
    [
        "max_atempts: 3",
        "max_attempts_per_day: 0",
        'calling_window: ["21:00", "08:00"]',
        'calling_window: ["8", "20:00"]',
    ],
)
def test_a_pack_with_a_mistake_is_refused_by_name(tmp_path, line):
    _write(tmp_path, "own", line)
    with pytest.raises(UsageError, match=r"own\.yaml"):
        read_rule_packs(["own"], tmp_path)


def test_a_pack_that_calls_itself_otherwise_is_refused(tmp_path):
    (tmp_path / "own.yaml").write_text("{name: other, version: '1', source: us}", encoding="utf-8")
    with pytest.raises(UsageError, match="name and file must agree"):
        read_rule_packs(["own"], tmp_path)


def _write(folder: Path, name: str, line: str) -> None:
    (folder / f"{name}.yaml").write_text(f"name: {name}\nversion: '1'\nsource: us\n{line}\n", encoding="utf-8")
