"""Whatever the gate says of a model, the page can say it in Japanese."""

import re

import numpy as np
import pandas as pd
import pytest

from app.verdicts import translate_verdict
from models.contact.gate import judge_challenger
from models.contact.past import PastChange, object_to_change, object_to_newest_week

RIVALS = pd.DataFrame({"rival": ["LightGBM"], "fold": ["forward"], "calibration_error": [0.01]})


def judge(low: float, limit: float, against: str) -> str:
    leads = pd.DataFrame({"against": [against], "saved": [low + 0.003], "low": [low], "high": [low + 0.006]})
    return judge_challenger(RIVALS, leads, limit, "12").sentence


def object_to_week(now: tuple[str, ...], was: tuple[str, ...]) -> str:
    """What is said of a newest week with such outcomes after eight weeks with others."""
    days = pd.date_range("2026-08-31", "2026-11-01 23:00", freq="10min", tz="Asia/Tokyo")
    is_new = np.asarray(days >= days[-1] - pd.Timedelta(days=7))
    turn = np.arange(len(days))
    outcomes = np.where(is_new, np.array(now)[turn % len(now)], np.array(was)[turn % len(was)])
    said = object_to_newest_week(pd.DataFrame({"attempted_at": days, "outcome": outcomes}))
    assert said is not None
    return said


SENTENCES = {
    "passed": judge(0.001, 0.05, "champion"),
    "noise": judge(-0.009, 0.05, "champion"),
    "calibration": judge(0.001, 0.005, "overall rate"),
    "nothing": judge_challenger(RIVALS.iloc[:0], pd.DataFrame({"against": []}), 0.05).sentence,
    "past": object_to_change(PastChange(84, 81_000, 70_000, 0.14, 0.02), "12") or "",
    "past contacts": object_to_change(PastChange(84, 81_000, 81_000, 0.0, 0.3), "12") or "",
    "outcomes": object_to_week(("busy",) * 9 + ("keyman_contact",), ("no_answer",) * 9 + ("keyman_contact",)),
    "rate": object_to_week(("no_answer",) * 5 + ("keyman_contact",), ("no_answer",) * 9 + ("keyman_contact",)),
}


@pytest.mark.parametrize("sentence", SENTENCES.values(), ids=SENTENCES)
def test_every_verdict_is_said_in_japanese_with_all_its_numbers(sentence: str) -> None:
    said = translate_verdict(sentence, "ja")
    assert said is not None
    assert "バージョン 12" in said or "version" not in sentence
    assert not re.search(r"log loss|champion |the overall|dials|better|worse", said)
    assert set(re.findall(r"\d+(?:[.,]\d+)*", sentence)) - {"90"} <= set(re.findall(r"\d+(?:[.,]\d+)*", said))
    assert translate_verdict(sentence, "en") == sentence


def test_a_sentence_of_another_version_stays_as_it_is() -> None:
    assert translate_verdict("passed with honours", "ja") is None
