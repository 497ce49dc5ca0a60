"""Outcomes that come back from dialers: what may be posted, and what is told of it."""

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from features.outcomes import OUTCOMES
from features.schemas import EARLIEST, LATEST, LONGEST_SECONDS

_TEXT_WITHOUT_CONTROL = r"^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?$"
_DATE_FIRST = re.compile(r"\d{4}-\d{2}-\d{2}")
MOST_ATTEMPTS = 5000
_ATTEMPT = {
    "attempt_id": "A1004",
    "customer_id": "C0001",
    "attempted_at": "2026-11-02T10:05:00+09:00",
    "outcome": "keyman_contact",
    "ring_seconds": 12,
    "talk_seconds": 214,
    "wrap_seconds": 60,
    "agent_id": "agent-7",
    "converted": False,
    "refused": False,
}


def example(**fields: Any) -> ConfigDict:
    """Settings of a model that shows this example in the interface's description."""
    return ConfigDict(extra="forbid", json_schema_extra={"example": fields})


def mend_plus(written: Any) -> Any:
    """Mend a time whose ``+`` an address has turned into a blank, which happens to everybody once.

    >>> mend_plus("2026-11-02T10:00:00 09:00")
    '2026-11-02T10:00:00+09:00'
    """
    if isinstance(written, str) and "T" in written and written.count(" ") == 1:
        return written.replace(" ", "+")
    return written


def require_text_time(written: Any) -> Any:
    """Take ISO 8601 only: a bare number is no time.

    Raises
    ------
    ValueError
        It is something else.
    """
    if isinstance(written, datetime) or (isinstance(written, str) and _DATE_FIRST.match(written)):
        return written
    raise ValueError("not a time: write ISO 8601, such as 2026-11-02T10:05:00+09:00")


def require_plausible(instant: datetime) -> datetime:
    """Refuse years that no log has, as the contract of the log does.

    Raises
    ------
    ValueError
        The clock is wrong.
    """
    if not EARLIEST.year <= instant.year < LATEST.year:
        raise ValueError(f"outside the years {EARLIEST.year} to {LATEST.year - 1}: is the clock wrong?")
    return instant


def require_outcome(outcome: str) -> str:
    """Refuse what is none of the eight outcomes.

    Raises
    ------
    ValueError
        It is none of them; the message names them.
    """
    if outcome not in OUTCOMES:
        raise ValueError(f"unknown outcome: write one of {', '.join(OUTCOMES)}")
    return outcome


Instant = Annotated[
    datetime, BeforeValidator(mend_plus), BeforeValidator(require_text_time), AfterValidator(require_plausible)
]
Outcome = Annotated[str, AfterValidator(require_outcome), Field(json_schema_extra={"enum": list(OUTCOMES)})]
Id = Annotated[str, Field(min_length=1, max_length=200, pattern=_TEXT_WITHOUT_CONTROL)]
Seconds = Annotated[float, Field(strict=True, ge=0, le=LONGEST_SECONDS)]


class Attempt(BaseModel):
    """One dial and what came of it, as in the table ``call_attempts``."""

    model_config = example(**_ATTEMPT)

    attempt_id: Id = Field(description="the same as in the centre's log, so that no dial counts twice")
    customer_id: str = Field(min_length=1, max_length=500, description="whom, as in the list")
    attempted_at: Instant = Field(description="when the dial began; without an offset it is the centre's time")
    outcome: Outcome
    ring_seconds: Seconds | None = None
    talk_seconds: Seconds | None = None
    wrap_seconds: Seconds | None = None
    agent_id: Id | None = None
    converted: bool = Field(False, strict=True, description="bought, agreed, paid")
    refused: bool = Field(False, strict=True, description="asked not to be called again: bars for good")


class OutcomesPost(BaseModel):
    """Outcomes to be kept, all or none."""

    model_config = example(attempts=[_ATTEMPT])

    attempts: list[Attempt] = Field(min_length=1, max_length=MOST_ATTEMPTS)


class OutcomesKept(BaseModel):
    """What became of a post."""

    model_config = example(accepted=2, new=1, known=1)

    accepted: int = Field(description="attempts of the post")
    new: int = Field(description="kept now")
    known: int = Field(description="posted before with the same content: nothing changed")


class PostedOutcome(Attempt):
    """One posted dial, and when it came."""

    model_config = example(**_ATTEMPT, posted_at="2026-11-02T10:09:30+09:00")

    posted_at: datetime


class OutcomesPage(BaseModel):
    """Some of the posted outcomes, in the order in which they came."""

    model_config = example(rows=[_ATTEMPT | {"posted_at": "2026-11-02T10:09:30+09:00"}], next_cursor=None)

    rows: list[PostedOutcome]
    next_cursor: str | None = Field(description="send it as cursor for what comes after; null: nothing more yet")
