"""Reasons in words: true of the customer, never empty, naming nobody."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from small_centre import AS_OF, SETTINGS, build_centre, fit_centre, score_centre

from features.slots import PARTS
from models.contact.persons import PriorVariances
from models.contact.reasons import explain_dials
from models.contact.scorer import Scorer, build_scorer

EVENING = PARTS.index("weekday_evening")


def dials(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.integers(0, 3_000, n), rng.integers(0, len(build_centre().slots), n)


@pytest.fixture(scope="module")
def told() -> list[str]:
    return explain_dials(score_centre(), *dials())


def never_dialled() -> int:
    return int(np.setdiff1d(np.arange(3_000), build_centre().tables.call_attempts["customer_row"])[0])


def scorer_with(row: int, outcome: str, n: int) -> Scorer:
    """The small centre, one of whose customers had ``n`` more dials on weekday evenings; persons differ strongly."""
    tables = build_centre().tables
    weekdays = [AS_OF - pd.Timedelta(days=days) for days in (5, 12, 19, 26)[:n]]  # Wednesdays
    more = tables.call_attempts.head(n).assign(
        attempt_id=[f"more{k}" for k in range(n)],
        customer_row=np.int32(row),
        attempted_at=pd.Series([day + pd.Timedelta(hours=19) for day in weekdays]).dt.as_unit("us"),
        outcome=outcome,
    )
    model = fit_centre().model
    strong = replace(model, hierarchy=replace(model.hierarchy, variances=PriorVariances(1.0, 0.4, 0.2, 0.2)))
    attempts = pd.concat([tables.call_attempts, more], ignore_index=True)
    return build_scorer(strong, attempts, tables.customers, AS_OF, build_centre().slots, SETTINGS)


def explain_one(scorer: Scorer, row: int, part: int) -> str:
    """The words of this customer's dial in a slot of the part, among those of 200 others in the same slot."""
    slot = int(np.flatnonzero(scorer.slots["part"] == part)[0])
    rows = np.append(np.arange(200), row)
    return explain_dials(scorer, rows, np.full(201, slot))[-1]


def test_who_answered_twice_on_weekday_evenings_is_called_for_that() -> None:
    row = never_dialled()
    assert explain_one(scorer_with(row, "keyman_contact", 2), row, EVENING).startswith(
        "answered 2 times on weekday evenings"
    )
    assert "answered once on weekday evenings" in explain_one(scorer_with(row, "keyman_contact", 1), row, EVENING)


def test_answers_in_another_part_of_the_week_are_told_as_such() -> None:
    row = never_dialled()
    words = explain_one(scorer_with(row, "keyman_contact", 4), row, PARTS.index("weekday_morning"))
    assert "answered 4 times before" in words
    assert "on weekday mornings" not in words.split(";")[0]


def test_who_never_answered_is_not_praised_for_it() -> None:
    row = never_dialled()
    words = explain_one(scorer_with(row, "no_answer", 4), row, EVENING)
    assert "answered" not in words
    assert "likely free" not in words


def test_every_dial_has_words_and_at_most_two_reasons(told: list[str]) -> None:
    assert len(told) == 400
    assert all(text.strip() for text in told)
    assert max(text.count(";") for text in told) == 1
    assert len(set(told)) > 20


def test_words_agree_with_the_slot_and_the_past_they_speak_of(told: list[str]) -> None:
    rows, slots = dials()
    log = build_centre().tables.call_attempts
    n_contacts = np.bincount(log.loc[log["outcome"] == "keyman_contact", "customer_row"], minlength=3_000)
    dialled = np.bincount(log["customer_row"], minlength=3_000) > 0
    chosen = build_centre().slots.iloc[slots]
    for text, row, slot in zip(told, rows, chosen.itertuples(), strict=True):
        assert "answered" not in text or n_contacts[row] > 0
        assert "not dialled yet" not in text or not dialled[row]
        assert "rested" not in text or dialled[row]
        assert " is a good hour" not in text or slot.slot_start.strftime("%a %H:%M") in text
        for part in PARTS:
            assert part.replace("_", " ") not in text or PARTS[slot.part] == part


def test_words_name_nobody(told: list[str]) -> None:
    customers = build_centre().tables.customers
    rows, _ = dials()
    for text, row in zip(told, rows, strict=True):
        assert customers["customer_id"].iloc[row] not in text
        assert customers["phone"].iloc[row] not in text
        assert "000-" not in text


def test_the_same_dials_have_the_same_words(told: list[str]) -> None:
    assert explain_dials(score_centre(), *dials()) == told


def test_a_single_dial_has_nothing_to_stand_out_from() -> None:
    words = explain_dials(score_centre(), np.array([3]), np.array([5]))
    assert words == ["nothing stands out: a usual chance in this hour"]


def test_no_dials_need_no_words() -> None:
    assert explain_dials(score_centre(), np.zeros(0, dtype=int), np.zeros(0, dtype=int)) == []
