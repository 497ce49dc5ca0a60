"""Reasons in words: true of the log, the same in both languages, never empty, naming nobody."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_centre import AS_OF, SETTINGS, build_centre, fit_centre, score_centre

from features.measures import band_ages
from features.slots import PARTS, add_slot_features
from models.contact.answering import FEWEST_DIALS
from models.contact.persons import PriorVariances
from models.contact.prefectures import KANJI, name_region
from models.contact.reasons import explain_dials
from models.contact.scorer import Scorer, build_scorer
from models.contact.words import Band, tell_answers, tell_hour, tell_segment

EVENING, MORNING = PARTS.index("weekday_evening"), PARTS.index("weekday_morning")
N_CUSTOMERS = 3_000
DIGITS = {"once": 1, "twice": 2}


def dials(n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.integers(0, N_CUSTOMERS, n), rng.integers(0, len(build_centre().slots), n)


@pytest.fixture(scope="module")
def told() -> pd.DataFrame:
    return explain_dials(score_centre(), *dials())


@pytest.fixture(scope="module")
def log() -> pd.DataFrame:
    """The small centre's dials with their part of the week, and who was dialled."""
    tables = build_centre().tables
    timed = add_slot_features(tables.call_attempts, "attempted_at", SETTINGS)
    people = tables.customers[["gender", "region"]].assign(age=band_ages(tables.customers["age"]).astype("str"))
    return timed.join(people, on="customer_row").assign(is_contact=timed["outcome"] == "keyman_contact")


def never_dialled() -> int:
    return int(np.setdiff1d(np.arange(N_CUSTOMERS), build_centre().tables.call_attempts["customer_row"])[0])


def scorer_with(row: int, outcome: str, n: int, **customer: Any) -> Scorer:
    """The small centre, one of whose customers had ``n`` more dials on weekday evenings; persons differ strongly."""
    tables = build_centre().tables
    weekdays = [AS_OF - pd.Timedelta(days=days) for days in (5, 12, 19, 26)[:n]]  # Wednesdays
    more = tables.call_attempts.head(n).assign(
        attempt_id=[f"more{k}" for k in range(n)],
        customer_row=np.int32(row),
        attempted_at=pd.Series([day + pd.Timedelta(hours=19) for day in weekdays]).dt.as_unit("us"),
        outcome=outcome,
    )
    customers = tables.customers.copy()
    for name, value in customer.items():
        customers.loc[row, name] = value
    model = fit_centre().model
    strong = replace(model, hierarchy=replace(model.hierarchy, variances=PriorVariances(1.0, 0.4, 0.2, 0.2)))
    attempts = pd.concat([tables.call_attempts, more], ignore_index=True)
    return build_scorer(strong, attempts, customers, AS_OF, build_centre().slots, SETTINGS)


def explain_one(scorer: Scorer, row: int, part: int) -> tuple[str, str]:
    """The words of this customer's dial in a slot of the part, among those of 200 others in the same slot."""
    slot = int(np.flatnonzero(scorer.slots["part"] == part)[0])
    rows = np.append(np.arange(200), row)
    english, japanese = explain_dials(scorer, rows, np.full(201, slot)).iloc[-1]
    return english, japanese


# --- one customer


def test_who_answered_twice_on_weekday_evenings_is_called_for_that() -> None:
    row = never_dialled()
    english, japanese = explain_one(scorer_with(row, "keyman_contact", 2), row, EVENING)
    assert english.startswith("answered twice on weekday evenings")
    assert japanese.startswith("平日夜に2回応答")
    assert "answered once on weekday evenings" in explain_one(scorer_with(row, "keyman_contact", 1), row, EVENING)[0]


def test_answers_in_another_part_of_the_week_are_told_as_such() -> None:
    row = never_dialled()
    english, japanese = explain_one(scorer_with(row, "keyman_contact", 4), row, MORNING)
    assert "answered 4 times before" in english
    assert "過去に4回応答" in japanese
    assert "on weekday mornings" not in english.split(";")[0]


def test_who_never_answered_is_not_praised_for_it() -> None:
    row = never_dialled()
    english, japanese = explain_one(scorer_with(row, "no_answer", 4), row, EVENING)
    assert "answered" not in english
    assert "回応答" not in japanese
    assert "not dialled yet" not in english


def test_who_was_never_dialled_stands_out_among_those_who_never_answer(log: pd.DataFrame) -> None:
    per_customer = log.groupby("customer_row")["is_contact"].agg(["size", "sum"])
    hard = per_customer[per_customer["sum"] == 0].nlargest(60, "size").index.to_numpy()
    scorer = scorer_with(int(hard[0]), "no_answer", 1)
    words = explain_dials(scorer, np.append(hard, never_dialled()), np.full(61, 3))
    assert "not dialled yet" in words["reason"].iloc[-1]
    assert "未架電" in words["reason_ja"].iloc[-1]
    assert not words["reason"].iloc[:-1].str.contains("not dialled yet(?! on)").any()


def test_a_promised_call_back_comes_first_and_only_in_its_slot() -> None:
    row = never_dialled()
    slots = build_centre().slots
    at = slots["slot_start"][int(np.flatnonzero(slots["part"] == EVENING)[0])] + pd.Timedelta(minutes=30)
    scorer = scorer_with(row, "no_answer", 2, callback_at=at.as_unit("us"))
    english, japanese = explain_one(scorer, row, EVENING)
    assert english.startswith(f"call-back promised for Mon {at:%H:%M}")
    assert japanese.startswith(f"月曜{at:%H:%M}に再架電の約束")
    assert "promised" not in explain_one(scorer, row, MORNING)[0]


def test_a_single_dial_has_but_its_hour_to_stand_out() -> None:
    p = score_centre()(np.array([3]))[0]
    worst, best = (explain_dials(score_centre(), np.array([3]), np.array([slot])) for slot in (p.argmin(), p.argmax()))
    assert worst.values.tolist() == [["nothing stands out", "特に目立つ点なし"]]
    start = build_centre().slots["slot_start"][int(p.argmax())]
    assert best["reason"].tolist() == [f"{start:%a %H:%M} is a good hour"]


def test_no_dials_need_no_words() -> None:
    words = explain_dials(score_centre(), np.zeros(0, dtype=int), np.zeros(0, dtype=int))
    assert words.empty
    assert list(words.columns) == ["reason", "reason_ja"]


# --- every claim against the log


def count(text: str) -> int:
    return DIGITS[text] if text in DIGITS else int(text.removesuffix(" times"))


TIMES = r"(once|twice|\d+ times)"
PHRASES = {
    "on weekday mornings": "平日午前",
    "on weekdays around noon": "平日昼",
    "on weekday afternoons": "平日午後",
    "on weekday evenings": "平日夜",
    "on weekend and holiday mornings": "休日午前",
    "on weekends and holidays around noon": "休日昼",
    "on weekend and holiday afternoons": "休日午後",
    "on weekend and holiday evenings": "休日夜",
}
PART = f"({'|'.join(PHRASES)})"
BANDS = {"20-29": "in their twenties", "30-39": "in their thirties", "40-49": "in their forties"} | {
    "50-59": "in their fifties", "60-69": "in their sixties", "70-79": "in their seventies",
    "under 20": "under 20", "80+": "aged 80 or over",
}  # fmt: skip
BANDS_JA = {"under 20": "20歳未満", "80+": "80歳以上"} | {f"{tens}0-{tens}9": f"{tens}0代" for tens in range(2, 8)}
GENDERS_JA = {"women": "女性", "men": "男性", "people": ""}


def speak_japanese(age: str, gender: str) -> str:
    band = BANDS_JA[{spoken: band for band, spoken in BANDS.items()}[age]] if age else ""
    return f"{band}の{GENDERS_JA[gender]}" if "歳" in band and GENDERS_JA[gender] else band + GENDERS_JA[gender]


class Facts:
    """What the log says of one dial, counted here by other means than the features."""

    def __init__(self, log: pd.DataFrame, row: int, slot: Any, usual: tuple[float, float], p: np.ndarray) -> None:
        self.log, self.row, self.slot, self.p = log, row, slot, p
        self.usual_n, self.usual_days = usual
        self.own = log[log["customer_row"] == row]
        self.part = slot.part
        self.in_part = self.own[self.own["part"] == slot.part]

    def days(self) -> int:
        return (self.slot.slot_start.date() - self.own["attempted_at"].max().date()).days

    def is_answering_well(self, gender: str, age: str, region: str) -> bool:
        own = build_centre().tables.customers.iloc[self.row]
        own_band = str(band_ages(pd.Series([own["age"]])).iloc[0])
        alike = self.log[self.log["part"] == self.part]
        if gender != "people":
            assert own["gender"] == {"women": "female", "men": "male"}[gender]
            alike = alike[alike["gender"] == own["gender"]]
        if age:
            assert BANDS[own_band] == age
            alike = alike[alike["age"] == own_band]
        if region:
            assert own["region"] == region
            alike = alike[alike["region"] == region]
        return len(alike) >= FEWEST_DIALS and alike["is_contact"].mean() > self.log["is_contact"].mean()


def part_of(facts: Facts, phrase: str) -> bool:
    return list(PHRASES).index(phrase) == facts.part


CLAIMS: list[tuple[str, Callable[..., str], Callable[..., bool]]] = [
    (f"answered {TIMES} {PART}", lambda n, part: f"{PHRASES[part]}に{count(n)}回応答",
     lambda f, n, part: part_of(f, part) and f.in_part["is_contact"].sum() == count(n) > 0),
    (f"answered {TIMES} before", lambda n: f"過去に{count(n)}回応答",
     lambda f, n: f.own["is_contact"].sum() == count(n) and f.in_part["is_contact"].sum() == 0),
    (f"someone else answered {TIMES}", lambda n: f"本人以外が{count(n)}回応答",
     lambda f, n: (f.own["outcome"] == "third_party").sum() == count(n)),
    ("not dialled yet", lambda: "未架電", lambda f: f.own.empty),
    (f"not dialled yet {PART}", lambda part: f"{PHRASES[part]}は未架電",
     lambda f, part: part_of(f, part) and f.in_part.empty and not f.own.empty),
    (f"dialled only {TIMES} so far", lambda n: f"架電はまだ{count(n)}回",
     lambda f, n: len(f.own) == count(n) < f.usual_n),
    (r"rested (\d+) days? since the last dial", lambda days: f"前回架電から{days}日",
     lambda f, days: f.days() == int(days) >= f.usual_days),
    (r"(\w{3}) (\d\d):00 is a good hour", lambda day, hour: f"{JA_DAYS[day]}曜{int(hour)}時はつながりやすい",
     lambda f, day, hour: f.slot.slot_start.strftime("%a %H") == f"{day} {hour}"
     and f.p[f.slot.Index] > f.p.mean()),
    (rf"(women|men|people)(?: ({'|'.join(BANDS.values())}))?(?: in (\w+))? answer well {PART}",
     lambda gender, age, region, part: (region and f"{KANJI[region]}の")
     + (speak_japanese(age, gender) or "顧客")
     + f"は{PHRASES[part]}によく応答",
     lambda f, gender, age, region, part: part_of(f, part) and f.is_answering_well(gender, age, region)),
    ("nothing stands out", lambda: "特に目立つ点なし", lambda _: True),
]  # fmt: skip
JA_DAYS = dict(zip(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), "月火水木金土日", strict=True))


def read_claim(english: str) -> tuple[int, tuple[str, ...]]:
    (found,) = [
        (kind, tuple(part or "" for part in match.groups()))
        for kind, (pattern, _, _) in enumerate(CLAIMS)
        if (match := re.fullmatch(pattern, english))
    ]
    return found


def list_facts(log: pd.DataFrame, rows: np.ndarray, slot_rows: np.ndarray) -> list[Facts]:
    chosen = build_centre().slots.iloc[slot_rows]
    per_customer = log.groupby("customer_row")["attempted_at"].agg(["size", "max"])
    n_dials = per_customer["size"].reindex(rows).fillna(0)
    last = per_customer["max"].reindex(rows)
    days = (chosen["slot_start"].dt.normalize().to_numpy() - last.dt.normalize().to_numpy()) / np.timedelta64(1, "D")
    usual = (float(n_dials.mean()), float(np.nanmedian(days)))
    p = score_centre()(rows)
    return [Facts(log, row, slot, usual, own) for row, slot, own in zip(rows, chosen.itertuples(), p, strict=True)]


def test_every_claim_is_true_of_the_log_and_the_same_in_japanese(told: pd.DataFrame, log: pd.DataFrame) -> None:
    kinds = set()
    for (english, japanese), facts in zip(told.values.tolist(), list_facts(log, *dials()), strict=True):
        claims = english.split("; ")
        assert 1 <= len(set(claims)) == len(claims) <= 2
        spoken = []
        for claim in claims:
            kind, parts = read_claim(claim)
            kinds.add(kind)
            assert CLAIMS[kind][2](facts, *parts), (claim, facts.row)
            spoken.append(CLAIMS[kind][1](*parts))
        assert japanese == "／".join(spoken)
    assert len(kinds) >= 5  # so that hardly any claim goes unchecked


def test_most_dials_have_something_to_tell(told: pd.DataFrame) -> None:
    assert (told["reason"] == "nothing stands out").mean() < 0.5  # of random dials half lie below the mean
    assert told["reason"].nunique() > 60


def test_words_name_nobody(told: pd.DataFrame) -> None:
    customers = build_centre().tables.customers
    rows, _ = dials()
    for text, row in zip(told["reason"] + told["reason_ja"], rows, strict=True):
        assert customers["customer_id"].iloc[row] not in text
        assert customers["phone"].iloc[row] not in text
        assert "000-" not in text


def test_the_same_dials_have_the_same_words(told: pd.DataFrame) -> None:
    assert explain_dials(score_centre(), *dials()).equals(told)


# --- words alone


def test_kinds_of_people_are_named_as_people_speak() -> None:
    forties, young, old = Band(40, 50), Band(None, 20), Band(80, None)
    spoken = [
        tell_segment(levels, EVENING)
        for levels in (
            {"age": young},
            {"gender": "male", "age": old},
            {"region": "大阪府", "age": forties},
            {"region": "Kanto east"},
            {"gender": "other"},
            {"plan": "gold", "tenure_months": Band(6, 24), "gender": "female"},
        )
    ]
    assert [words.en.removesuffix(" answer well on weekday evenings") for words in spoken] == [
        "people under 20",
        "men aged 80 or over",
        "people in their forties in Osaka",
        "people in Kanto east",
        "people of another gender",
        "women with plan gold and tenure months from 6 to under 24",
    ]
    assert [words.ja.removesuffix("は平日夜によく応答") for words in spoken] == [
        "20歳未満",
        "80歳以上の男性",
        "大阪の40代",
        "Kanto eastの顧客",
        "その他の性別",
        "planがgoldのtenure monthsが6以上24未満の女性",
    ]


def test_all_prefectures_are_known_in_both_scripts() -> None:
    assert len(KANJI) == 47
    for latin, kanji in KANJI.items():
        assert name_region(latin) == name_region(kanji) == (latin, kanji)
    assert [name_region(name)[0] for name in ("東京都", "北海道", "京都府", "青森県")] == [
        "Tokyo", "Hokkaido", "Kyoto", "Aomori",
    ]  # fmt: skip


def test_the_prefectures_of_the_sample_world_are_all_known() -> None:
    assert set(build_centre().tables.customers["region"].dropna()) <= set(KANJI)


def test_parts_of_the_week_are_named_in_their_order() -> None:
    times_of_day = {"morning": "午前", "noon": "昼", "afternoon": "午後", "evening": "夜"}
    for part, (english, japanese) in zip(PARTS, PHRASES.items(), strict=True):
        week, time_of_day = part.split("_")
        assert japanese == {"weekday": "平日", "weekend": "休日"}[week] + times_of_day[time_of_day]
        assert week in english
        assert time_of_day in english.replace("afternoon", "") + " afternoon" * (time_of_day == "afternoon")
        assert tell_answers(3, PARTS.index(part)) == (f"answered 3 times {english}", f"{japanese}に3回応答")


def test_half_hours_are_told_in_full() -> None:
    assert tell_hour(pd.Timestamp("2026-11-21 09:30")).ja == "土曜9時30分はつながりやすい"
