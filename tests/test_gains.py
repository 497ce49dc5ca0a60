"""Gains: nothing claimed where there is nothing, the past way as the log had it, the winner's curse kept out."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from simulated_logs import ZONE, build_attempts, draw_customers

from configs.settings import GainSettings, Settings
from features.contracts import Tables
from features.slots import build_slots
from models.contact.trust import Trust, fit_trust
from models.planning import gains as gains_module
from models.planning.eligibility import Eligibility, find_eligible
from models.planning.gains import measure_gains, read_past_way, scale_places, simulate_past_way
from models.planning.outlook import Outlook
from models.planning.rules import read_rule_packs

AS_OF = pd.Timestamp("2026-11-02", tz=ZONE)
SETTINGS = Settings(segment_by=("gender",), gains=GainSettings(n_resamples=40, n_past_draws=8))
PACKS = read_rule_packs(("house",))
SURE = Trust(1.0, 1.0, ((1e-6, 0.0), (0.0, 1e-6)))
N = 300
HOURS = (10, 14, 19)
N_SLOTS = 4 * len(HOURS)


def centre(seed: int = 1) -> tuple[Tables, pd.DataFrame, Eligibility]:
    """300 customers, four days of three slots, and a past in which women were called in the evening."""
    rng = np.random.default_rng(seed)
    customers = draw_customers(N, rng).assign(
        do_not_call=False,
        listed=True,
        listed_at=pd.Series(pd.DatetimeIndex([None] * N, tz=ZONE)),
        timezone=pd.Series([None] * N, dtype="str"),
        value=1.0,
        callback_at=pd.Series(pd.DatetimeIndex([None] * N, tz=ZONE)),
        phone=pd.Series([None] * N, dtype="str"),
    )
    rows = rng.integers(0, N, 900)
    is_woman = (customers["gender"] == "female").to_numpy()[rows]
    hour = np.where(is_woman, 19, rng.choice([10, 14], 900))
    at = pd.Timestamp("2026-10-05") + pd.to_timedelta(rng.integers(0, 5, 900) * 24 + hour, unit="h")
    attempts = build_attempts(rows, pd.DatetimeIndex(at), ["no_answer"] * 900).assign(refused=False)
    tables = Tables(customers, attempts, None, None, attempts.iloc[:0])
    starts = [AS_OF + pd.Timedelta(days=day, hours=hour) for day in range(4) for hour in HOURS]
    slots = build_slots(pd.DatetimeIndex(starts), SETTINGS)
    return tables, slots, find_eligible(tables, slots, AS_OF, PACKS, SETTINGS)


def scorer_of(logit: np.ndarray, fade: float = 0.05):
    """Score (N, n_slots) logits, a little lower after each failure."""

    def score(rows: np.ndarray, n_earlier: int) -> np.ndarray:
        return (1 / (1 + np.exp(fade * n_earlier - logit[rows]))).astype("float32")

    return score


def measure(scorer, trust: Trust = SURE, given=None, obeyed=None, seed: int = 3) -> dict:
    tables, slots, eligibility = centre()
    places = np.full(N_SLOTS, 12) if given is None else given
    obeyed = places if obeyed is None else obeyed
    rng = np.random.default_rng(seed)
    return measure_gains(Outlook(scorer, eligibility, slots, tables, SETTINGS), trust, places, obeyed, rng)


def noise(seed: int, sd: float = 0.5) -> np.ndarray:
    return -2.2 + np.random.default_rng(seed).normal(0, sd, (N, N_SLOTS))


def test_a_noisy_model_of_a_world_of_equals_claims_nothing() -> None:
    """Everyone has the same chance; valued with its own numbers the plan claims much, with believable ones nothing."""
    logit = noise(1)
    difference = np.tile((logit - logit.mean(axis=1, keepdims=True)).ravel(), 30)
    usual = np.tile(np.repeat(logit.mean(axis=1), N_SLOTS), 30)
    held_out = np.random.default_rng(2).random(len(usual)) < 0.1
    honest = measure(scorer_of(logit, fade=0.0), fit_trust(usual, difference, held_out))
    flattered = measure(scorer_of(logit, fade=0.0))
    for part in ("timing", "list", "total"):
        assert honest[part]["ratio"] == pytest.approx(1.0, abs=0.06)
        assert honest[part]["low"] <= 1.03
    assert flattered["total"]["ratio"] > 1.5
    assert flattered["timing"]["ratio"] > 1.1


def test_differences_that_are_all_noise_gain_exactly_nothing_and_half_noise_gains_less() -> None:
    full, half, none = (
        measure(scorer_of(noise(1), fade=0.0), Trust(k, k, ((1e-6, 0.0), (0.0, 1e-6)))) for k in (1.0, 0.5, 0.0)
    )
    for part in ("timing", "list", "total"):
        assert none[part]["ratio"] == pytest.approx(1.0, abs=1e-9)
    assert 1.1 < half["total"]["ratio"] < full["total"]["ratio"]


def test_doubt_about_the_differences_widens_the_interval_and_leaves_the_ratio() -> None:
    sure, unsure = (measure(scorer_of(noise(1)), Trust(0.6, 0.6, ((v, 0.0), (0.0, v)))) for v in (1e-6, 0.2))
    assert unsure["total"]["ratio"] == sure["total"]["ratio"]
    assert unsure["total"]["low"] < sure["total"]["low"]
    assert unsure["total"]["high"] > sure["total"]["high"]


def test_who_answers_easily_is_a_gain_of_the_list_and_not_of_timing() -> None:
    easy = np.broadcast_to(np.random.default_rng(4).normal(-2, 1, N)[:, None], (N, N_SLOTS))
    gains = measure(scorer_of(easy))
    assert gains["timing"]["ratio"] == pytest.approx(1.0, abs=0.01)
    assert gains["list"]["ratio"] > 1.3
    assert gains["list"]["low"] > 1.1


def test_a_good_hour_per_person_is_a_gain_of_timing() -> None:
    """Women answer at ten, men at nineteen; the past called them the other way round."""
    is_woman = (centre()[0].customers["gender"] == "female").to_numpy()
    is_evening = np.tile([False, False, True], 4)
    gains = measure(scorer_of(np.where(is_woman[:, None] ^ is_evening, -1.0, -3.0)))
    assert gains["total"]["ratio"] > 1.8
    assert gains["timing"]["ratio"] > 1.3


def test_the_total_is_the_product_and_intervals_hold_their_ratio() -> None:
    given = np.tile([20, 12, 4], 4)
    gains = measure(scorer_of(noise(1)), Trust(0.8, 0.5), given, given[::-1].copy())
    product = gains["timing"]["ratio"] * gains["list"]["ratio"] * gains["staffing"]["ratio"]
    assert gains["total"]["ratio"] == pytest.approx(product)
    for gain in gains.values():
        assert 0 < gain["low"] <= gain["ratio"] <= gain["high"]
        assert gain["basis"] == "model"
    assert list(gains) == ["timing", "list", "staffing", "total"]


def test_the_same_seats_gain_exactly_nothing() -> None:
    gains = measure(scorer_of(noise(1)))
    assert (gains["staffing"]["ratio"], gains["staffing"]["low"], gains["staffing"]["high"]) == (1.0, 1.0, 1.0)


def test_seats_moved_to_the_hours_when_people_answer_are_a_gain_of_staffing() -> None:
    evening = np.tile([-3.0, -3.0, -1.0], 4) + np.zeros((N, 1))
    given, moved = np.tile([12, 12, 12], 4), np.tile([6, 6, 24], 4)
    assert measure(scorer_of(evening), SURE, given, moved)["staffing"]["ratio"] > 1.2
    assert measure(scorer_of(evening), SURE, moved, given)["staffing"]["ratio"] < 0.85


def test_the_same_generator_measures_the_same() -> None:
    one, same, other = (measure(scorer_of(noise(1)), seed=seed) for seed in (3, 3, 4))
    assert one == same
    assert one != other


def test_nothing_planned_is_no_gain() -> None:
    gains = measure(scorer_of(noise(1)), given=np.zeros(N_SLOTS, dtype=int))
    assert [(g["ratio"], g["low"], g["high"]) for g in gains.values()] == [(None, None, None)] * 4


def test_no_eligible_customer_is_no_gain() -> None:
    tables, slots, _ = centre()
    barred = replace(tables, customers=tables.customers.assign(do_not_call=True))
    nobody = find_eligible(barred, slots, AS_OF, PACKS, SETTINGS)
    places = np.full(N_SLOTS, 12)
    rng = np.random.default_rng(1)
    gains = measure_gains(Outlook(scorer_of(noise(1)), nobody, slots, barred, SETTINGS), SURE, places, places, rng)
    assert gains["total"]["ratio"] is None


def test_of_many_customers_a_sample_with_its_share_of_places_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    easy = np.broadcast_to(np.random.default_rng(4).normal(-2, 1, N)[:, None], (N, N_SLOTS))
    whole = measure(scorer_of(easy))
    monkeypatch.setattr(gains_module, "MOST_CUSTOMERS", 150)
    half = measure(scorer_of(easy))
    assert half != whole
    assert half["total"]["ratio"] == pytest.approx(whole["total"]["ratio"], rel=0.2)


def test_a_series_is_valued_dial_by_dial_as_far_as_it_goes() -> None:
    """Contacts per dial made of two draws, against a walk along every series."""
    rng = np.random.default_rng(5)
    score = scorer_of(noise(1), fade=0.4)
    eligibility = centre()[2]
    draws = []
    for _ in range(2):
        pairs = np.unique(np.column_stack([rng.integers(0, 60, 200), rng.integers(0, N_SLOTS, 200)]), axis=0)
        draws.append(tuple(rng.permutation(pairs).T))
    weight = rng.poisson(1.0, N).astype("float64")
    contacts = dials = 0.0
    for rows, slots in draws:
        for row in np.unique(rows):
            reached = 1.0
            for depth, slot in enumerate(sorted(slots[rows == row])):
                chance = float(score(eligibility.eligible_rows[[row]], depth)[0, slot])
                contacts += weight[row] * reached * chance
                dials += weight[row] * reached
                reached *= 1 - chance
    way = gains_module._Layout(score, eligibility)(draws)
    assert gains_module._rate(way, -2.0, np.ones(2), weight) == pytest.approx(contacts / dials, rel=1e-5)


def test_past_shares_are_those_of_the_weekday_and_hour() -> None:
    tables, slots, _ = centre()
    segment = np.where((tables.customers["gender"] == "female").to_numpy(), 1, 0)
    shares = read_past_way(tables.call_attempts, segment, slots, SETTINGS)
    assert shares.shape == (N_SLOTS, 2)
    assert shares.sum(axis=1) == pytest.approx(1.0)
    assert shares[np.tile([False, False, True], 4)][:, 1] == pytest.approx(1.0)
    assert shares[np.tile([True, True, False], 4)][:, 0] == pytest.approx(1.0)


def test_an_hour_never_dialled_has_the_shares_of_all_dials_and_old_dials_are_forgotten() -> None:
    tables, _, _ = centre()
    segment = np.where((tables.customers["gender"] == "female").to_numpy(), 1, 0)
    old = tables.call_attempts.assign(attempted_at=tables.call_attempts["attempted_at"] - pd.Timedelta(days=70))
    attempts = pd.concat([old.assign(customer_row=np.int32(np.flatnonzero(segment == 0)[0])), tables.call_attempts])
    night = build_slots(pd.DatetimeIndex([AS_OF + pd.Timedelta(hours=3)]), SETTINGS)
    shares = read_past_way(attempts, segment, night, SETTINGS)
    assert shares[0, 1] == pytest.approx(segment[tables.call_attempts["customer_row"]].mean())


@budget(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 40), n_slots=st.integers(1, 8), most=st.integers(0, 12))
def test_the_past_way_keeps_every_rule(seed: int, n: int, n_slots: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(3), n_slots)
    segment, left = rng.integers(0, 3, n), rng.integers(0, 4, n)
    lawful, day = rng.random((n, n_slots)) < 0.7, np.sort(rng.integers(0, 3, n_slots))
    places = rng.integers(0, most + 1, n_slots)
    kept = left.copy()
    rows, slots = simulate_past_way(shares, segment, lawful, left, day, places, rng)
    assert (left == kept).all()
    assert lawful[rows, slots].all()
    assert (np.bincount(rows, minlength=n) <= left).all()
    assert len(set(zip(rows.tolist(), day[slots].tolist(), strict=True))) == len(rows)
    filled = np.bincount(slots, minlength=n_slots)
    assert (filled <= places).all()
    for slot in np.flatnonzero(filled < places):
        earlier = slots < slot
        today = set(rows[(slots <= slot) & (day[slots] == day[slot])].tolist())
        n_dialled = np.bincount(rows[earlier], minlength=n)
        idle = [i for i in range(n) if lawful[i, slot] and n_dialled[i] < left[i] and i not in today]
        assert idle == []


def test_the_past_way_reproduces_the_shares_whatever_the_sizes_of_segments() -> None:
    rng = np.random.default_rng(6)
    segment = np.repeat([0, 1, 2], [8_000, 1_500, 500])
    shares = np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])
    everyone, all_slots = np.full(10_000, 5), np.ones((10_000, 2), dtype=bool)
    counts = np.zeros((2, 3))
    for _ in range(30):
        rows, slots = simulate_past_way(shares, segment, all_slots, everyone, np.arange(2), np.array([40, 40]), rng)
        np.add.at(counts, (slots, segment[rows]), 1)
    assert counts / (30 * 40) == pytest.approx(shares, abs=4 * np.sqrt(0.25 / 1200))


def test_a_segment_never_dialled_in_the_slot_comes_last() -> None:
    rng = np.random.default_rng(7)
    segment = np.repeat([0, 1], [10, 100])
    one_slot = (np.ones((110, 1), dtype=bool), np.ones(110, dtype=int), np.zeros(1, dtype=int))
    rows, _ = simulate_past_way(np.array([[1.0, 0.0]]), segment, *one_slot, np.array([15]), rng)
    assert (np.bincount(segment[rows]) == [10, 5]).all()


@budget(max_examples=50, deadline=None)
@given(places=st.lists(st.integers(0, 50), min_size=1, max_size=30), share=st.floats(0.01, 1.0))
def test_scaled_places_are_whole_and_sum_as_one(places: list[int], share: float) -> None:
    scaled = scale_places(np.array(places), share)
    assert scaled.sum() == int(np.floor(sum(places) * share + 1e-9))
    assert (np.abs(scaled - np.array(places) * share) < 1).all()
    assert (scale_places(np.array(places), 1.0) == places).all()
