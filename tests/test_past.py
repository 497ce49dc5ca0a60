"""The fingerprint of a log: blind to what does not matter, never to a damaged past, and nobody is in it."""

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from poison import POISONS
from simulated_logs import START, ZONE, build_attempts, draw_attempts, draw_customers
from small_centre import build_centre

from features.outcomes import OUTCOMES
from models.contact.past import (
    Past,
    PastChange,
    fingerprint_log,
    measure_change,
    measure_psi,
    object_to_change,
    object_to_newest_week,
)

N_CUSTOMERS = 400
CUSTOMERS = draw_customers(N_CUSTOMERS, np.random.default_rng(1))
LOG = draw_attempts(6_000, N_CUSTOMERS, np.random.default_rng(2))


def change_to(attempts: pd.DataFrame, since: pd.DataFrame = LOG) -> PastChange:
    return measure_change(fingerprint_log(since, CUSTOMERS), fingerprint_log(attempts, CUSTOMERS))


def test_the_same_log_in_another_order_and_with_other_attempt_ids_has_not_changed() -> None:
    renamed = LOG.sample(frac=1.0, random_state=3).assign(attempt_id=[f"x{row}" for row in range(len(LOG))])
    assert (change_to(renamed).dial_share, change_to(renamed).contact_share) == (0.0, 0.0)


def test_the_share_that_has_changed_is_estimated_well() -> None:
    """A second way to the answer: the symmetric difference, counted."""
    rng = np.random.default_rng(4)
    for share in (0.05, 0.2, 0.6):
        changed = LOG.assign(outcome=np.where(rng.random(len(LOG)) < share, "failed", LOG["outcome"]))
        day = LOG["attempted_at"].dt.date
        inner = (day > day.min()) & (day < day.max())
        true = float((changed["outcome"] != LOG["outcome"])[inner].mean())
        assert change_to(changed).dial_share == pytest.approx(true, rel=0.15)


@pytest.mark.parametrize("poison", [*POISONS.values()], ids=[*POISONS])
def test_a_damaged_log_is_objected_to_with_the_numbers_and_the_remedy(poison: Callable[..., pd.DataFrame]) -> None:
    said = object_to_change(change_to(poison(LOG)), "12")
    assert said is not None
    assert "changed since version 12" in said
    assert "--accept-changed-past" in said


def test_other_customers_another_zone_and_lost_days_are_a_change_too() -> None:
    for log in (
        LOG.assign(customer_row=np.random.default_rng(5).permutation(LOG["customer_row"])),
        LOG.assign(attempted_at=LOG["attempted_at"] + pd.Timedelta(hours=9)),
        LOG[LOG["attempted_at"].dt.day % 10 != 3],
    ):
        assert object_to_change(change_to(log), "1") is not None


def test_the_objection_names_contacts_where_only_they_have_changed() -> None:
    few = LOG["outcome"].mask(np.arange(len(LOG)) % 200 == 0, "keyman_contact")
    said = object_to_change(change_to(LOG.assign(outcome=few)), "1")
    assert said is not None
    assert "of the keyman contacts on the" in said


def test_corrections_erased_persons_and_new_or_expired_days_are_no_change() -> None:
    corrected = LOG.copy()
    corrected.loc[[3, 500, 4000], "outcome"] = "wrong_number"
    erased = LOG[LOG["customer_row"] != 7]
    later = pd.concat([LOG, build_attempts([1, 2], [START + pd.Timedelta(days=60)] * 2, ["busy", "failed"])])
    expired = LOG[LOG["attempted_at"] >= (START + pd.Timedelta(days=15, hours=11)).tz_localize(ZONE)]
    for log in (corrected, erased, later, expired):
        assert object_to_change(change_to(log), "1") is None


def test_logs_that_share_no_day_cannot_be_held_against_each_other() -> None:
    other = LOG.assign(attempted_at=LOG["attempted_at"] + pd.Timedelta(days=400))
    assert change_to(other) == PastChange(0, 0, 0, 0.0, 0.0)
    assert change_to(LOG.iloc[:0]).n_days == 0
    assert object_to_change(change_to(other), "1") is None


def test_a_fingerprint_survives_being_written_and_is_made_of_small_numbers_only() -> None:
    past = fingerprint_log(LOG, CUSTOMERS)
    text = past.to_json()
    again = Past.from_json(text)
    assert measure_change(past, again) == measure_change(past, past)
    kept = json.loads(text)
    assert kept.keys() == {"days", "dials", "contacts"}
    largest = LOG["attempted_at"].dt.date.value_counts().max()
    assert np.abs(np.array(kept["dials"])).max() <= largest
    assert not any(name in text for name in CUSTOMERS["customer_id"])


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(0, 300))
def test_change_is_symmetric_and_zero_only_for_the_same_log(seed: int, n_changed: int) -> None:
    rng = np.random.default_rng(seed)
    outcome = LOG["outcome"].to_numpy(dtype=object).copy()
    rows = rng.choice(len(LOG), n_changed, replace=False)
    outcome[rows] = rng.choice(OUTCOMES, n_changed)
    there, back = change_to(LOG.assign(outcome=outcome)), change_to(LOG, LOG.assign(outcome=outcome))
    assert (there.dial_share, there.contact_share) == (back.dial_share, back.contact_share)
    assert there.dial_share <= 1.0


# --- the newest week


@pytest.mark.parametrize("kind", ["carrier", "persons", "drift", "no_time"])
def test_an_ordinary_week_is_not_objected_to(kind: str) -> None:
    assert object_to_newest_week(build_centre(kind).tables.call_attempts) is None


def in_newest_week(attempts: pd.DataFrame) -> pd.Series:
    return attempts["attempted_at"] > attempts["attempted_at"].max() - pd.Timedelta(days=7)


def test_a_code_remapped_in_the_newest_week_is_objected_to_by_name() -> None:
    attempts = build_centre().tables.call_attempts
    poisoned = (attempts["outcome"] == "third_party") & in_newest_week(attempts)
    said = object_to_newest_week(attempts.assign(outcome=attempts["outcome"].mask(poisoned, "keyman_contact")))
    assert said is not None
    assert "unlike the weeks before" in said
    assert "PSI" in said
    assert "third_party most" in said or "keyman_contact most" in said


def test_a_contact_rate_that_jumps_is_objected_to_even_where_the_mix_moves_little() -> None:
    attempts = build_centre().tables.call_attempts
    rng = np.random.default_rng(6)
    lost = (attempts["outcome"] == "keyman_contact") & in_newest_week(attempts) & (rng.random(len(attempts)) < 0.6)
    said = object_to_newest_week(attempts.assign(outcome=attempts["outcome"].mask(lost, "no_answer")))
    assert said is not None
    assert "its contact rate is" in said


def test_a_short_log_has_no_weeks_before() -> None:
    assert object_to_newest_week(LOG.iloc[:0]) is None
    assert object_to_newest_week(draw_attempts(5_000, 50, np.random.default_rng(1), n_days=6)) is None


def test_psi_is_zero_for_the_same_mix_and_the_textbook_value_otherwise() -> None:
    assert measure_psi(np.array([300, 700]), np.array([3_000, 7_000])) == pytest.approx(0.0, abs=1e-5)
    textbook = (0.6 - 0.5) * np.log(0.6 / 0.5) + (0.4 - 0.5) * np.log(0.4 / 0.5)
    assert measure_psi(np.array([60_000, 40_000]), np.array([50_000, 50_000])) == pytest.approx(textbook, rel=1e-3)
