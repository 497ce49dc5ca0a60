"""People decide too: pins come first where they are lawful, blocks are obeyed, mistakes are told."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_schedule import AS_OF, HOUR, dials_of, pairs, people, plan_for, slots_of, times

from configs.errors import ContractError, UsageError
from configs.settings import Settings
from models.planning.decisions import Decisions
from pipelines.decisions import read_decisions

IDS = pd.Series(["A", "B", "C"])
SLOTS = slots_of(2, (10, 11))


def read(folder: Path, *lines: str, head: str = "customer_id,slot_start,decision") -> Decisions:
    file = folder / "decisions.csv"
    file.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8-sig")
    return read_decisions(file, IDS, SLOTS, 60)


def decide(pins=(), blocks=()) -> Decisions:
    def rows(pairs_of):
        return pd.DataFrame(
            [(row + 2, *pair) for row, pair in enumerate(pairs_of)], columns=["row", "customer_row", "slot_row"]
        ).astype("int64")

    return Decisions(rows(pins), rows(blocks))


def test_pins_and_blocks_are_read_with_their_rows(tmp_path):
    found = read(
        tmp_path,
        "A,2026-11-02T10:30,pin",
        "B,,PIN",
        ",2026-11-03T11:00:00+09:00,block",
        "C,,block",
        "C,2026-11-02T10:00,block",
    )
    assert found.pins.to_numpy().tolist() == [[2, 0, 0], [3, 1, -1]]
    assert found.blocks.to_numpy().tolist() == [[4, -1, 3], [5, 2, -1], [6, 2, 0]]
    assert found.notes == ()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("A,,pim", r"row 3, decision 'pim': write pin or block"),
        ("A,25:00,block", r"row 3, slot_start '25:00': write ISO 8601"),
        (",2026-11-02T10:00,pin", r"row 3, customer_id '': a pin needs a customer"),
        (",,block", r"row 3, customer_id '': write a customer, a slot, or both"),
        ("A,2026-11-02T10:00,pin,now", r"row 3: the row is cut short or has too many fields"),
    ],
)
def test_a_row_with_a_mistake_stops_the_run_by_row_column_and_remedy(tmp_path, line, told):
    with pytest.raises(ContractError, match=told):
        read(tmp_path, "A,,block", line)


def test_a_missing_file_or_column_is_told(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_decisions(tmp_path / "none.csv", IDS, SLOTS, 60)
    with pytest.raises(ContractError, match="decision: column missing"):
        read(tmp_path, "A,2026-11-02", head="customer_id,slot_start")


def test_rows_about_nobody_and_no_hour_of_the_plan_are_counted_and_let_go(tmp_path):
    found = read(tmp_path, "Z,,block", "A,2026-11-02T13:00,pin", "A,2025-01-01T10:00,block", "B,2026-11-02T10:00,pin")
    assert (len(found.pins), len(found.blocks)) == (1, 0)
    assert found.notes == (
        "1 rows of decisions.csv name a customer whom the customers table does not have",
        "2 rows of decisions.csv name no hour of this plan",
    )


def test_a_pin_comes_before_worth_and_before_a_promise():
    promised = times([AS_OF + 10 * HOUR, None])
    p = np.array([[0.9], [0.1]])
    decisions = decide(pins=[(1, 0)])
    plan = plan_for(people(2, callback_at=promised), slots_of(1, (10,)), [1], p, decisions=decisions)[0]
    assert pairs(plan) == {(1, 0)}
    assert plan.notes == ()


def test_a_pin_without_an_hour_takes_the_customers_best():
    p = np.array([[0.5, 0.4], [0.1, 0.2]])
    plan = plan_for(people(2), slots_of(1, (10, 11)), [0, 1], p, decisions=decide(pins=[(1, -1)]))[0]
    assert pairs(plan) == {(1, 1)}


@pytest.mark.parametrize(
    ("columns", "slot", "why"),
    [
        ({"do_not_call": True}, 0, r"row 2: the pin is not kept, because the customer is out \(do_not_call\)"),
        ({"listed": False}, 0, "the customer is not on the list"),
        ({}, 1, "no rule allows a dial then"),
    ],
)
def test_a_pin_that_no_rule_allows_is_not_kept_and_told(columns, slot, why):
    plan = plan_for(
        people(1, **columns),
        slots_of(1, (10, 22)),
        [1, 1],
        np.full((1, 2), 0.2),
        packs=("jp-sales",),
        decisions=decide(pins=[(0, slot)]),
    )[0]
    assert (0, slot) not in pairs(plan)
    assert len(plan.notes) == 1
    assert pd.Series(plan.notes).str.contains(why).all()


def test_of_two_pins_for_one_place_the_first_of_the_file_wins_and_the_other_is_told():
    decisions = decide(pins=[(1, 0), (0, 0)])
    plan = plan_for(people(2), slots_of(1, (10,)), [1], np.full((2, 1), 0.2), decisions=decisions)[0]
    assert pairs(plan) == {(1, 0)}
    (told,) = plan.notes
    assert told.startswith("decisions row 3: the pin is not kept, because its place, or another dial")


def test_blocks_of_a_customer_an_hour_and_both_are_obeyed_and_the_customer_is_told():
    decisions = decide(blocks=[(0, -1), (-1, 1), (1, 0)])
    plan, eligible, *_ = plan_for(
        people(3), slots_of(1, (10, 11, 12)), [5, 5, 5], np.full((3, 3), 0.2), decisions=decisions
    )
    assert 0 not in set(plan.dials["customer_row"])
    assert 1 not in set(plan.dials["slot_row"])
    assert (1, 0) not in pairs(plan)
    assert len(plan.dials) == 2
    assert eligible.excluded.to_dict("list") == {"customer_row": [0], "reason": ["blocked"]}


def test_a_blocked_customer_cannot_be_pinned():
    decisions = decide(pins=[(0, 0)], blocks=[(0, -1)])
    plan = plan_for(people(1), slots_of(1, (10,)), [1], np.full((1, 1), 0.2), decisions=decisions)[0]
    assert len(plan.dials) == 0
    assert "(blocked)" in plan.notes[0]


# --- a minimum of attempts

ONCE = Settings.model_validate({"planning": {"min_attempts": 1}})


def test_nobody_is_dialled_again_before_everybody_had_a_first_attempt():
    attempts = dials_of([0], ["2026-10-20"], ["busy"])
    p = np.array([[0.9, 0.9], [0.01, 0.02], [0.02, 0.01]])
    plan = plan_for(people(3), slots_of(1, (10, 18)), [1, 1], p, attempts, config=ONCE)[0]
    assert pairs(plan) == {(1, 1), (2, 0)}
    assert plan.unplanned.to_dict("list") == {"customer_row": [0], "reason": ["no_capacity"]}
    assert 0 in set(plan_for(people(3), slots_of(1, (10, 18)), [1, 1], p, attempts)[0].dials["customer_row"])


def test_first_attempts_leave_the_hour_that_others_need_more():
    attempts = dials_of([0], ["2026-10-20"], ["busy"])
    p = np.array([[0.1, 0.9], [0.20, 0.21]])
    plan = plan_for(people(2), slots_of(1, (10, 18)), [1, 1], p, attempts, config=ONCE)[0]
    assert pairs(plan) == {(0, 1), (1, 0)}


def test_a_worthless_customer_is_owed_an_attempt_too():
    attempts = dials_of([0], ["2026-10-20"], ["busy"])
    worth = people(2, value=[5.0, 0.0])
    plan = plan_for(worth, slots_of(1, (10,)), [1], np.full((2, 1), 0.5), attempts, config=ONCE)[0]
    assert pairs(plan) == {(1, 0)}


def test_three_attempts_are_owed_where_the_settings_say_so():
    attempts = dials_of([0, 1], ["2026-10-20", "2026-10-20"], ["busy", "busy"])
    attempts = pd.concat(
        [attempts, dials_of([0, 0], ["2026-10-21", "2026-10-22"], ["busy", "busy"])], ignore_index=True
    )
    three = Settings.model_validate({"planning": {"min_attempts": 3}})
    p = np.array([[0.9] * 3, [0.1] * 3])
    plan = plan_for(people(2), slots_of(3, (10,)), [1, 1, 1], p, attempts, config=three)[0]
    assert plan.dials["customer_row"].value_counts().to_dict() == {1: 2, 0: 1}
