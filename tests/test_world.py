"""The sample world looks like a running centre and keeps the rules by which its people were dialled."""

from dataclasses import FrozenInstanceError
from datetime import date

import numpy as np
import pandas as pd
import pytest

from configs.errors import UsageError
from configs.settings import Settings
from features.contracts import check_tables
from pipelines.world import World, build_world

END = date(2026, 11, 2)


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(8_000, 3, np.random.default_rng(7), END)


@pytest.fixture(scope="module")
def dials(world: World) -> pd.DataFrame:
    """Attempts with the customer row, the local day and hour, and the listing they belong to."""
    attempts = world.call_attempts
    return attempts.assign(
        row=attempts["customer_id"].str[1:].astype(int) - 1,
        day=attempts["attempted_at"].dt.normalize(),
        hour=attempts["attempted_at"].dt.hour,
        is_contact=attempts["outcome"] == "keyman_contact",
        listing=world.truth.listing_number,
        number=world.truth.attempt_number,
        p=world.truth.attempt_p,
    )


def test_the_tables_have_the_columns_of_the_design(world: World) -> None:
    assert list(world.customers) == [
        "customer_id", "age", "gender", "region", "do_not_call", "listed", "listed_at", "timezone", "value",
        "callback_at", "phone",
    ]  # fmt: skip
    assert list(world.call_attempts) == [
        "attempt_id", "customer_id", "attempted_at", "outcome", "ring_seconds", "talk_seconds", "wrap_seconds",
        "agent_id", "converted", "refused", "campaign_id", "propensity",
    ]  # fmt: skip
    assert list(world.agents) == ["agent_id", "age", "gender", "skill", "team"]
    assert list(world.capacity) == ["slot_start", "dials"]


def test_the_contract_takes_every_row_of_the_world(world: World) -> None:
    raw = {
        "customers": world.customers,
        "call_attempts": world.call_attempts,
        "agents": world.agents,
        "capacity": world.capacity,
    }
    tables, report = check_tables(raw, pd.Timestamp(END, tz="Asia/Tokyo"), Settings())
    assert report.rejects.empty
    assert report.quarantined_customers == ()
    assert tables.customers["customer_id"].tolist() == world.customers["customer_id"].tolist()
    assert len(tables.call_attempts) == len(world.call_attempts)


@pytest.mark.parametrize("field", ["customers", "truth", "kind"])
def test_a_world_cannot_be_changed(world: World, field: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(world, field, None)


def test_the_log_ends_the_day_before_the_run_date_and_begins_three_months_earlier(dials: pd.DataFrame) -> None:
    assert dials["day"].min() == pd.Timestamp("2026-08-02", tz="Asia/Tokyo")
    assert dials["day"].max() == pd.Timestamp("2026-11-01", tz="Asia/Tokyo")


def test_attempts_are_in_order_of_time_with_unique_rising_ids(dials: pd.DataFrame) -> None:
    assert dials["attempted_at"].is_monotonic_increasing
    assert dials["attempt_id"].is_unique
    assert dials["attempt_id"].is_monotonic_increasing


def test_nobody_is_dialled_outside_the_opening_hours(dials: pd.DataFrame) -> None:
    assert dials["hour"].between(9, 20).all()
    assert set(dials["hour"]) == set(range(9, 21))


def test_nobody_is_dialled_twice_on_a_day(dials: pd.DataFrame) -> None:
    assert not dials.duplicated(["row", "day"]).any()


def test_no_listing_holds_more_than_ten_attempts_and_some_hold_exactly_ten(dials: pd.DataFrame) -> None:
    sizes = dials.groupby(["row", "listing"]).size()
    assert sizes.max() == 10
    assert (sizes == 10).mean() > 0.02


def test_attempt_numbers_count_the_dials_of_a_listing_from_one(dials: pd.DataFrame) -> None:
    counted = dials.groupby(["row", "listing"]).cumcount() + 1
    assert (counted.to_numpy() == dials["number"].to_numpy()).all()


def test_a_contact_ends_the_series(dials: pd.DataFrame) -> None:
    is_last = ~dials.duplicated(["row", "listing"], keep="last")
    assert dials["is_contact"].any()
    assert is_last[dials["is_contact"]].all()


@pytest.mark.parametrize("stop", ["refused", "converted", "wrong_number"])
def test_nobody_is_dialled_again_after_a_stop(dials: pd.DataFrame, stop: str) -> None:
    stopped = dials["outcome"] == "wrong_number" if stop == "wrong_number" else dials[stop]
    is_last = ~dials.duplicated("row", keep="last")
    assert stopped.any()
    assert is_last[stopped].all()


def test_nobody_is_dialled_before_being_listed_and_the_listing_holds_the_later_dials(
    world: World, dials: pd.DataFrame
) -> None:
    listed_at = world.customers["listed_at"].iloc[dials["row"]].reset_index(drop=True)
    in_last_listing = dials["listing"] == dials.groupby("row")["listing"].transform("max")
    is_since = dials["attempted_at"] >= listed_at
    assert is_since[~in_last_listing].sum() == 0
    relisted_later = listed_at > dials.groupby("row")["attempted_at"].transform("max")
    assert (is_since | relisted_later)[in_last_listing].all()


def test_some_people_come_back_on_the_list_after_a_rest(dials: pd.DataFrame) -> None:
    spans = dials.groupby(["row", "listing"])["day"].agg(["min", "max"])
    rests = (spans["min"] - spans["max"].groupby("row").shift()).dropna()
    assert len(rests) > 50
    assert rests.min() >= pd.Timedelta(days=28)


def test_people_barred_from_the_start_were_never_dialled(world: World, dials: pd.DataFrame) -> None:
    barred = np.flatnonzero(world.customers["do_not_call"])
    refused = set(dials.loc[dials["refused"], "row"])
    never_refused = set(barred.tolist()) - refused
    assert 0.01 < len(never_refused) / len(world.customers) < 0.02
    assert not never_refused & set(dials["row"])


def test_only_part_of_the_refusals_is_noted_in_the_customers_table(world: World, dials: pd.DataFrame) -> None:
    noted = world.customers["do_not_call"].to_numpy()[dials.loc[dials["refused"], "row"]]
    assert 0.4 < noted.mean() < 0.6


def test_buyers_are_no_longer_listed(world: World, dials: pd.DataFrame) -> None:
    assert not world.customers["listed"].to_numpy()[dials.loc[dials["converted"], "row"]].any()


def test_the_rates_are_those_of_a_campaign(dials: pd.DataFrame) -> None:
    assert 0.08 < dials["is_contact"].mean() < 0.15
    shares = dials["outcome"].value_counts(normalize=True)
    assert 0.03 < shares["busy"] < 0.06
    assert 0.2 < shares["voicemail"] < 0.44
    assert set(shares.index) == {
        "keyman_contact", "third_party", "no_answer", "busy", "voicemail", "wrong_number", "abandoned", "failed",
    }  # fmt: skip


def test_there_are_about_four_attempts_per_customer_in_three_months(dials: pd.DataFrame) -> None:
    assert 3.7 < len(dials) / 8_000 < 4.3


def test_dials_are_steady_over_the_weeks_but_for_holidays(dials: pd.DataFrame) -> None:
    week = (dials["day"] - pd.Timestamp("2026-08-03", tz="Asia/Tokyo")) // pd.Timedelta(days=7)
    per_week = week[week >= 0].value_counts()
    assert per_week.min() > 0.6 * per_week.median()
    assert per_week.max() < 1.15 * per_week.median()


def test_the_last_month_is_not_a_cold_start(dials: pd.DataFrame) -> None:
    recent = dials[dials["day"] >= pd.Timestamp("2026-10-05", tz="Asia/Tokyo")]
    weekly = recent.groupby(recent["day"].dt.isocalendar().week)["is_contact"].mean()
    assert recent["number"].gt(3).mean() > 0.3
    assert weekly.max() / weekly.min() < 1.35


def test_most_listed_customers_are_callable_at_the_run_date(world: World, dials: pd.DataFrame) -> None:
    customers = world.customers
    stops = dials["refused"] | (dials["outcome"] == "wrong_number")
    since = dials[dials["attempted_at"] >= customers["listed_at"].iloc[dials["row"]].reset_index(drop=True)]
    n_since = since.groupby("row").size().reindex(range(len(customers)), fill_value=0)
    is_callable = customers["listed"] & ~customers["do_not_call"] & (n_since < 10)
    is_callable &= ~customers.index.isin(dials.loc[stops, "row"])
    is_callable &= ~customers.index.isin(since.loc[since["is_contact"], "row"])
    assert 0.45 < is_callable.mean() < 0.7
    assert (n_since[is_callable] > 0).mean() > 0.5


def test_hard_to_reach_people_collect_attempts(dials: pd.DataFrame) -> None:
    first_p = dials.groupby("row")["p"].first()
    n_attempts = dials[dials["listing"] == 1].groupby("row").size()
    by_count = first_p.groupby(n_attempts.clip(upper=10)).mean()
    assert by_count[10] < 0.8 * by_count[1]
    assert by_count[[8, 9, 10]].mean() < by_count[[2, 3, 4]].mean()


def test_the_historical_way_of_calling_is_heavy_by_day(dials: pd.DataFrame) -> None:
    is_working_day = dials["attempted_at"].dt.day_of_week < 5
    assert (dials["hour"].between(9, 16) & is_working_day).mean() > 0.6
    assert (dials["hour"] >= 19).mean() < 0.12


def test_supervisors_call_the_old_in_the_morning_more_than_the_young(world: World, dials: pd.DataFrame) -> None:
    age = pd.Series(world.truth.people.age).iloc[dials["row"]].to_numpy()
    is_morning = dials["hour"] < 12
    assert is_morning[age >= 60].mean() > 1.1 * is_morning[age < 45].mean()


def test_regions_have_their_weekday(world: World, dials: pd.DataFrame) -> None:
    region = world.customers["region"].iloc[dials["row"]].to_numpy()
    in_osaka = dials["attempted_at"].dt.day_of_week[region == "Osaka"].value_counts(normalize=True)
    overall = dials["attempted_at"].dt.day_of_week.value_counts(normalize=True)
    assert (in_osaka / overall).idxmax() == 4


def test_contacts_take_longer_than_other_dials_and_only_people_talk(dials: pd.DataFrame) -> None:
    work = dials["talk_seconds"] + dials["wrap_seconds"]
    assert work[dials["is_contact"]].mean() > 10 * work[dials["outcome"] == "no_answer"].mean()
    is_silent = dials["outcome"].isin(["no_answer", "busy", "voicemail", "failed", "abandoned"])
    assert (dials.loc[is_silent, "talk_seconds"] == 0).all()
    assert (dials[["ring_seconds", "talk_seconds", "wrap_seconds"]] >= 0).all(axis=None)


def test_refusals_and_sales_come_only_from_conversations(dials: pd.DataFrame) -> None:
    assert set(dials.loc[dials["refused"], "outcome"]) == {"keyman_contact", "third_party"}
    assert set(dials.loc[dials["converted"], "outcome"]) == {"keyman_contact"}
    assert not (dials["converted"] & dials["refused"]).any()
    contacts = dials[dials["is_contact"]]
    assert 0.25 < contacts["refused"].mean() < 0.35
    assert 0.05 < contacts["converted"].mean() < 0.12


def test_skilled_agents_sell_more_and_reach_no_more(world: World) -> None:
    big = world.call_attempts.merge(world.agents, on="agent_id")
    is_contact = big["outcome"] == "keyman_contact"
    sold = big[is_contact].groupby("skill")["converted"].mean()
    reached = is_contact.groupby(big["skill"]).mean()
    assert sold["skilled"] > sold["trainee"]
    assert reached.max() / reached.min() < 1.25


def test_agents_work_their_shift(world: World, dials: pd.DataFrame) -> None:
    team = dials["agent_id"].map(world.agents.set_index("agent_id")["team"])
    assert set(team[dials["hour"] < 13]) == {"early"}
    assert set(team[dials["hour"] >= 17]) == {"late"}
    assert set(team[dials["hour"].between(13, 16)]) == {"early", "late"}


def test_capacity_covers_the_weeks_after_the_log(world: World) -> None:
    slots = world.capacity["slot_start"]
    assert slots.min() == pd.Timestamp("2026-11-02 09:00", tz="Asia/Tokyo")
    assert slots.max() == pd.Timestamp("2026-11-15 20:00", tz="Asia/Tokyo")
    assert (slots < pd.Timestamp("2026-11-09", tz="Asia/Tokyo")).sum() == 84


def test_capacity_is_what_the_centre_dialled_in_an_ordinary_week(world: World, dials: pd.DataFrame) -> None:
    ordinary = dials[dials["day"].between("2026-10-19", "2026-10-25")]
    assert world.capacity["dials"].iloc[84:].sum() == pytest.approx(len(ordinary), rel=0.08)


def test_the_tables_have_the_gaps_of_real_ones(world: World) -> None:
    customers = world.customers
    shares = customers.isna().mean()
    assert 0.02 < shares["age"] < 0.04
    assert 0.01 < shares["gender"] < 0.03
    assert 0.005 < shares["region"] < 0.015
    assert 0.002 < customers["phone"].duplicated().mean() < 0.01
    assert 0 < customers["callback_at"].notna().sum() < 0.02 * len(customers)


def test_call_backs_are_promised_within_the_first_days_and_in_opening_hours(world: World) -> None:
    promised = world.customers["callback_at"].dropna()
    assert promised.isin(world.capacity["slot_start"]).all()
    assert (promised < pd.Timestamp("2026-11-07", tz="Asia/Tokyo")).all()


def test_telephone_numbers_cannot_exist(world: World) -> None:
    assert world.customers["phone"].str.fullmatch(r"000-\d{4}-\d{4}").all()


def test_the_same_seed_gives_the_same_world() -> None:
    one, two = (build_world(400, 1, np.random.default_rng(3)) for _ in range(2))
    for name in ("customers", "call_attempts", "agents", "capacity"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(two, name))
    assert (one.truth.by_part == two.truth.by_part).all()


def test_another_seed_gives_another_world() -> None:
    one, two = (build_world(400, 1, np.random.default_rng(seed)) for seed in (3, 4))
    assert not one.customers["age"].equals(two.customers["age"])


@pytest.mark.parametrize("n_customers", [1, 2, 30])
def test_the_smallest_worlds_can_be_built(n_customers: int) -> None:
    world = build_world(n_customers, 1, np.random.default_rng(7))
    assert len(world.customers) == n_customers
    assert world.true_p(range(n_customers), world.capacity["slot_start"]).shape == (n_customers, 168)


@pytest.mark.parametrize(("n_customers", "n_months"), [(0, 3), (10, 0), (-5, 1)])
def test_a_world_without_people_or_days_is_refused(n_customers: int, n_months: int) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        build_world(n_customers, n_months, np.random.default_rng(7))


def test_progress_rises_from_zero_to_one() -> None:
    told: list[float] = []
    build_world(30, 1, np.random.default_rng(7), progress=told.append)
    assert told[0] == 0
    assert told[-1] == 1
    assert told == sorted(told)
