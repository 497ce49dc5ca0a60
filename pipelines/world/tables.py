"""From persons and dials to the tables that a centre hands over: what it knows, with its gaps and slips."""

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.world.answers import OUTCOMES, draw_seconds
from pipelines.world.book import Book
from pipelines.world.centre import opening_slots
from pipelines.world.people import GENDERS, People
from pipelines.world.prefectures import PREFECTURES
from pipelines.world.rhythms import TIMEZONE

CAMPAIGN = "new-customers"

_LISTING_HOUR = 8
_CALLBACK_DAYS = 5
_CALLBACK_SHARE = 0.01  # of the callable customers dialled before
_UNLISTED_SHARE = 0.01
_NOTED_REFUSAL_SHARE = 0.5  # of the refusals that found their way into customers.do_not_call
_NULL_AGE_SHARE, _NULL_GENDER_SHARE, _NULL_REGION_SHARE = 0.03, 0.02, 0.01
_SHARED_PHONE_SHARE = 0.006


def build_attempts(
    dials: pd.DataFrame, slots: pd.DatetimeIndex, agents: pd.DataFrame, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give dials their second within the hour, their durations and names.

    Returns
    -------
    tuple of pandas.DataFrame
        The call_attempts table in order of attempted_at, and ``dials`` in that same order.
    """
    seconds = dials["slot"].to_numpy() * 3600 + rng.integers(0, 3600, len(dials))
    order = np.argsort(seconds, kind="stable")
    dials, seconds = dials.iloc[order].reset_index(drop=True), seconds[order] % 3600
    outcome, converted = dials["outcome"].to_numpy(), dials["converted"].to_numpy()
    ring, talk, wrap = draw_seconds(outcome, converted, rng)
    attempts = pd.DataFrame({
        "attempt_id": _name_rows("A", 9, len(dials)),
        "customer_id": _take_names(customer_ids(int(dials["row"].max()) + 1 if len(dials) else 0), dials["row"]),
        "attempted_at": slots[dials["slot"]] + pd.to_timedelta(seconds, unit="s").as_unit("us"),
        "outcome": _take_names(pd.Series(OUTCOMES, dtype="str"), outcome),
        "ring_seconds": ring,
        "talk_seconds": talk,
        "wrap_seconds": wrap,
        "agent_id": _take_names(agents["agent_id"], dials["agent"]),
        "converted": converted,
        "refused": dials["refused"],
        "campaign_id": pd.Series(CAMPAIGN, index=dials.index, dtype="str"),
        "propensity": np.full(len(dials), np.nan, np.float32),
    })  # fmt: skip
    return attempts, dials


def build_customers(
    people: People, book: Book, was_barred: NDArray[np.bool_], first: date, end: date, rng: np.random.Generator
) -> pd.DataFrame:
    """Build the customers table as it stands on the run date.

    Customers who bought are no longer listed. Only some refusals were noted in ``do_not_call``; the others, and all
    wrong numbers, show in the attempts alone. ``was_barred`` (n,) were never to be dialled. A few customers share a
    phone with the row before; the centre dialled each of them as if they did not.
    """
    n = len(people.age)
    noted = book.has_refused & (rng.random(n) < _NOTED_REFUSAL_SHARE)
    opened = pd.Timestamp(first) + pd.Timedelta(hours=_LISTING_HOUR)
    listed_at = pd.DatetimeIndex(opened + pd.to_timedelta(book.listed_day, unit="D"))
    region = pd.Series([place.name for place in PREFECTURES], dtype="str")
    gender = pd.Series(GENDERS, dtype="str")
    return pd.DataFrame({
        "customer_id": customer_ids(n),
        "age": pd.Series(people.age, dtype="Int16").mask(rng.random(n) < _NULL_AGE_SHARE),
        "gender": _take_names(gender, people.gender).mask(rng.random(n) < _NULL_GENDER_SHARE),
        "region": _take_names(region, people.region).mask(rng.random(n) < _NULL_REGION_SHARE),
        "do_not_call": was_barred | noted,
        "listed": ~book.has_converted & (rng.random(n) >= _UNLISTED_SHARE),
        "listed_at": listed_at.as_unit("us").tz_localize(TIMEZONE),
        "timezone": pd.Series(TIMEZONE, index=range(n), dtype="str"),
        "value": 1.0,
        "callback_at": _draw_callbacks(book, end, rng),
        "phone": _draw_phones(n, rng),
    })  # fmt: skip


def customer_ids(n: int) -> pd.Series:
    """Ids in order of customer row.

    Examples
    --------
    >>> customer_ids(2).tolist()
    ['C0000001', 'C0000002']
    """
    return _name_rows("C", 7, n)


def _draw_callbacks(book: Book, end: date, rng: np.random.Generator) -> pd.Series:
    """Call-backs promised to a few callable customers, in an opening hour of the first days of the horizon."""
    slots = opening_slots(end, _CALLBACK_DAYS)
    drawn = pd.Series(slots[rng.integers(0, len(slots), len(book.is_done))])
    has_promise = ~book.is_done & (book.n_attempts > 0) & (rng.random(len(drawn)) < _CALLBACK_SHARE)
    return drawn.where(has_promise)


def _draw_phones(n: int, rng: np.random.Generator) -> pd.Series:
    """Phone numbers that cannot exist (no Japanese number begins with 000); a few are shared with the row before."""
    number = np.arange(1, n + 1)
    number = np.where(rng.random(n) < _SHARED_PHONE_SHARE, np.maximum(number - 1, 1), number)
    return pd.Series([f"000-{each // 10_000:04d}-{each % 10_000:04d}" for each in number.tolist()], dtype="str")


def _name_rows(letter: str, width: int, n: int) -> pd.Series:
    return pd.Series([f"{letter}{number:0{width}d}" for number in range(1, n + 1)], dtype="str")


def _take_names(names: pd.Series, codes: Any) -> pd.Series:
    return names.take(np.asarray(codes)).reset_index(drop=True)
