"""Whether habits have moved: silent where only noise, level or mixture changes, and plain where the hours move."""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from models.contact.habits import LEVEL, Habits, judge_habits

N_WEEKS = 10


def draw_log(seed: int, n_a_week: int = 1500, week_sd: float = 0.0, **moved: float) -> tuple[Any, ...]:
    """Dials of ten weeks; in the newest two, evenings, gender × evening or everything move by so many log-odds."""
    rng = np.random.default_rng(seed)
    n = N_WEEKS * n_a_week
    weeks_ago = np.repeat(np.arange(N_WEEKS), n_a_week)
    hour, is_off_day = rng.integers(9, 21, n), rng.random(n) < 2 / 7
    part = np.digitize(hour, (12, 15, 18)) + 4 * is_off_day
    gender = pd.Series(pd.Categorical(rng.choice(["female", "male"], n)))
    p = expit(rng.normal(-1.5, 0.5, n))
    evening = part % 4 == 3
    crossed = np.where(gender == "male", 1.0, -1.0) * np.where(evening, 3.0, -1.0) / 2
    shift = moved.get("level", 0.0) + moved.get("evening", 0.0) * evening + moved.get("crossed", 0.0) * crossed
    weekly = rng.normal(0, week_sd, (N_WEEKS, 8))[weeks_ago, part] if week_sd else 0.0
    is_contact = rng.random(n) < expit(logit(p) + shift * (weeks_ago < 2) + weekly)
    dials = pd.DataFrame({"part": part, "hour": hour, "is_off_day": is_off_day})
    return dials, {"gender": gender}, ("gender",), weeks_ago, p, is_contact


def judge(log: tuple[Any, ...]) -> Habits:
    return judge_habits(*log, np.random.default_rng(1))


@cache
def judge_nights(**kinds: float) -> tuple[Habits, ...]:
    return tuple(judge(draw_log(seed, **kinds)) for seed in range(8))


def n_alarms(nights: tuple[Habits, ...]) -> int:
    return sum(habits.verdict == "moved" for habits in nights)


def test_noise_alone_is_no_change_of_habits() -> None:
    assert n_alarms(judge_nights()) <= 1
    assert judge_nights()[0].sentence == "no sign that habits have moved"


def test_sizes_are_one_by_chance() -> None:
    sizes = np.concatenate([habits.looks["size"] * habits.looks["noise"] for habits in judge_nights()])
    assert sizes.mean() == pytest.approx(1.0, abs=0.25)


def test_everybody_answering_less_is_a_matter_of_the_level_not_of_habits() -> None:
    assert n_alarms(judge_nights(level=-0.4)) <= 1


def test_weeks_that_always_differ_are_noise() -> None:
    found = judge_nights(week_sd=0.3)
    assert n_alarms(found) <= 5  # taken as chance, nearly all would be alarms:
    assert sum((habits.looks["noise"] * habits.looks["size"]).max() > 3 for habits in found) >= 6
    assert np.median([habits.looks["noise"].max() for habits in found]) > 2


def test_evenings_that_fail_are_named_with_their_interval() -> None:
    found = judge_nights(evening=-0.9)
    assert n_alarms(found) >= 7
    told = [habits.sentence for habits in found if habits.verdict == "moved"]
    assert sum("less often than expected" in said for said in told) >= 6
    assert sum("evening" in said or "from 18" in said or "from 19" in said or "from 20" in said for said in told) >= 6
    assert all(said.startswith("habits have moved: ") and "(90 % interval " in said for said in told)


def test_a_group_that_moves_is_found_behind_a_mean_that_stays() -> None:
    habits = judge(draw_log(5, n_a_week=3000, crossed=0.4))
    assert habits.verdict == "moved"
    assert habits.looks["look"].iloc[0] == "gender × part"
    assert "gender" in habits.sentence


def test_what_the_model_always_gets_wrong_is_no_change() -> None:
    dials, levels, by, weeks_ago, p, is_contact = draw_log(3, n_a_week=3000)
    wrong = np.where(dials["part"] == 0, p / 2, p)
    assert judge((dials, levels, by, weeks_ago, wrong, is_contact)).verdict == "steady"


def test_many_looks_cost_what_they_should() -> None:
    for habits in judge_nights():
        assert habits.looks["p_value"].is_monotonic_increasing
        assert habits.p_value >= habits.looks["p_value"].iloc[0] * 0.9
        assert (habits.p_value < LEVEL) == (habits.verdict == "moved")
    assert set(judge_nights()[0].looks["look"]) == {
        "hour",
        "hour, fading",
        "gender × part",
        "gender × part, fading",
    }


@pytest.mark.parametrize(("of_before", "fades"), [(0.3, True), (1.7, False)])
def test_a_pattern_that_fades_is_told_from_one_that_grows(of_before: float, fades: bool) -> None:
    """Evenings were good; now they are less so, or more."""
    dials, levels, by, weeks_ago, p, _ = draw_log(8, n_a_week=2500)
    good = 0.8 * (dials["part"] % 4 == 3).to_numpy()
    truth = expit(logit(p) + good * np.where(weeks_ago < 4, of_before, 1.0))
    is_contact = np.random.default_rng(9).random(len(p)) < truth
    looks = judge((dials, levels, by, weeks_ago, expit(logit(p) + good), is_contact)).looks
    fading = looks[looks["look"].str.endswith(", fading")]
    assert (fading["p_value"].min() < 0.001) == fades
    assert (fading["p_value"] < 0.5).any() == fades


@pytest.mark.parametrize("n_a_week", [0, 1, 20])
def test_a_thin_log_is_told_to_be_too_thin(n_a_week: int) -> None:
    habits = judge(draw_log(1, n_a_week=n_a_week))
    assert habits.verdict == "unknown"
    assert habits.sentence == "too few contacts to tell whether habits have moved"


def test_a_log_of_a_few_weeks_is_not_judged() -> None:
    dials, levels, by, weeks_ago, p, is_contact = draw_log(1, evening=-2.0)
    short = weeks_ago < 4
    cut = {name: named[short] for name, named in levels.items()}
    assert judge((dials[short], cut, by, weeks_ago[short], p[short], is_contact[short])).verdict == "unknown"


def test_the_same_generator_gives_the_same_answer_and_changes_nothing() -> None:
    log = draw_log(2)
    before = [log[0].copy(), log[4].copy(), log[5].copy()]
    one, same = judge(log), judge(log)
    pd.testing.assert_frame_equal(one.looks, same.looks)
    assert one.p_value == same.p_value
    pd.testing.assert_frame_equal(log[0], before[0])
    assert np.array_equal(log[4], before[1])
    assert np.array_equal(log[5], before[2])


def test_an_attribute_may_be_named_like_a_column_of_ours() -> None:
    dials, levels, _, weeks_ago, p, is_contact = draw_log(2)
    renamed = {"week": levels["gender"]}
    found = judge((dials, renamed, ("week",), weeks_ago, p, is_contact))
    assert found.p_value == judge((dials, levels, ("gender",), weeks_ago, p, is_contact)).p_value
