"""What the interface for dialers answers: every field described, with an example."""

from datetime import date, datetime

from pydantic import BaseModel, Field

from app.api_posts import Attempt, example

_OPENING = "2026-11-02T10:00:00+09:00"
_DIAL = {
    "run_date": "2026-11-02",
    "slot_start": _OPENING,
    "rank": 1,
    "customer_id": "C0001",
    "p_keyman": 0.213,
    "attempt_number": 3,
    "value": 1.0,
    "is_firm": True,
    "arm": "plan",
    "propensity": 1.0,
    "reason": "answered before at this hour of the day",
    "reason_ja": "この時間帯に応答したことがあります",
    "allowed_because": "house 2026-11-22",
}
_RUN = "20261102-1a2b3c4d"
_STAFFED = {
    "slot_start": _OPENING,
    "dials_given": 120,
    "dials_recommended": 132,
    "agents_recommended": 11.0,
    "seat_price": 1.4,
    "expected_contacts": 14.2,
    "hint": "add_seats",
}


class Dial(BaseModel):
    """One row of the call list."""

    model_config = example(**_DIAL)

    run_date: date = Field(description="first day of the plan")
    slot_start: datetime = Field(description="start of the hour in which to dial")
    rank: int = Field(description="order within the slot, 1 first")
    customer_id: str = Field(description="whom")
    p_keyman: float = Field(description="chance of a keyman contact, given that this customer's earlier rows failed")
    attempt_number: int = Field(description="number of the dial in this listing")
    value: float = Field(description="what a contact is worth compared with others")
    is_firm: bool = Field(description="true on the run date; later days are planned again tomorrow")
    arm: str = Field(description="plan, explore or control")
    propensity: float = Field(description="chance of being dialled in this slot, over arms and draws")
    reason: str | None = Field(None, description="what speaks for the dial, in words; run date only")
    reason_ja: str | None = Field(None, description="the same in Japanese")
    allowed_because: str | None = Field(None, description="rule packs and their versions")


class CallListPage(BaseModel):
    """Some rows of the call list, in the order of slot and rank."""

    model_config = example(run_id=_RUN, run_date="2026-11-02", rows=[_DIAL], next_cursor="WyIyMDI2...")

    run_id: str = Field(description="of the night; when it changes, there is a new list")
    run_date: date = Field(description="first day of the plan")
    rows: list[Dial]
    next_cursor: str | None = Field(description="send it as cursor for the next page; null: this was the last")


class NextDials(BaseModel):
    """Whom to dial next in a slot."""

    model_config = example(run_id=_RUN, slot_start=_OPENING, slot_end="2026-11-02T11:00:00+09:00", rows=[_DIAL], left=1)

    run_id: str = Field(description="of the night")
    slot_start: datetime | None = Field(description="of the slot; null: no slot of the plan holds this moment")
    slot_end: datetime | None = Field(description="when the slot is over")
    rows: list[Dial] = Field(description="in the order in which to dial")
    left: int = Field(description="rows of this slot that are still to be dialled, these included")


class ChanceOfSlot(BaseModel):
    """Probability that a first dial in a slot reaches the customer."""

    model_config = example(slot_start=_OPENING, p_keyman=0.213)

    slot_start: datetime
    p_keyman: float | None = Field(description="null: no call is lawful")


class CustomerAnswer(BaseModel):
    """What the night plans for one customer, or why it plans nothing."""

    model_config = example(
        run_id=_RUN,
        customer_id="C0001",
        plan=[_DIAL],
        excluded_reason=None,
        chances=[{"slot_start": _OPENING, "p_keyman": 0.213}],
        is_finished=False,
        posted=[],
    )

    run_id: str = Field(description="of the night")
    customer_id: str
    plan: list[Dial] = Field(description="planned dials, earliest first")
    excluded_reason: str | None = Field(description="why the customer is not called; null when planned")
    chances: list[ChanceOfSlot] = Field(description="of every slot of the horizon; empty where the run kept none")
    is_finished: bool = Field(description="by posted outcomes: reached today, refused, or a wrong number")
    posted: list[Attempt] = Field(description="what was posted about this customer, earliest first")


class Excluded(BaseModel):
    """A listed customer who is not called."""

    model_config = example(customer_id="C0002", reason="do_not_call")

    customer_id: str
    reason: str = Field(description="the first that applies")


class ExcludedPage(BaseModel):
    """Some of the customers who are not called, in the order of their ids."""

    model_config = example(run_id=_RUN, rows=[{"customer_id": "C0002", "reason": "do_not_call"}], next_cursor=None)

    run_id: str = Field(description="of the night")
    rows: list[Excluded]
    next_cursor: str | None = Field(description="send it as cursor for the next page; null: this was the last")


class StaffedSlot(BaseModel):
    """Places and seats of one slot."""

    model_config = example(**_STAFFED)

    slot_start: datetime
    dials_given: int = Field(description="places as given")
    dials_recommended: int = Field(description="places as recommended; their sum is never larger")
    agents_recommended: float | None = Field(description="the same in agents")
    seat_price: float | None = Field(description="contacts that one more agent-hour would bring")
    expected_contacts: float | None = Field(description="of the plan in this slot")
    hint: str = Field(description="add_seats, break, training, one_to_one or hold")


class StaffingAnswer(BaseModel):
    """Staffing of every slot of the horizon."""

    model_config = example(run_id=_RUN, rows=[_STAFFED])

    run_id: str = Field(description="of the night")
    rows: list[StaffedSlot]


class Health(BaseModel):
    """Whether a list is there, and how old it is."""

    model_config = example(status="ok", run_id=_RUN, run_date="2026-11-02", run_age_seconds=21600.0, dials=12000)

    status: str = Field(description="ok")
    run_id: str = Field(description="of the newest night")
    run_date: date
    run_age_seconds: float = Field(description="since the night was written")
    dials: int = Field(description="rows of its list")
