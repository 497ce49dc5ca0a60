"""What may be asked of the interface for dialers: filters of the list, how many rows, from where on."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api_posts import Instant
from pipelines.exports.filters import ListFilter

MOST_ROWS = 5000
Limit = Annotated[int, Field(ge=1, le=MOST_ROWS, description="rows of a page", examples=[100])]
Cursor = Annotated[str | None, Field(max_length=2000, description="next_cursor of the page before")]
Share = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, Field(min_length=1, max_length=200)]


class _Question(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ListQuestion(_Question):
    """Which rows of the call list, in pages; the conditions must all hold, both ends of a range belong to it."""

    slot_start: Instant | None = Field(
        None, description="one slot; without an offset the centre's time", examples=["2026-11-02T10:00:00+09:00"]
    )
    slot_from: Instant | None = Field(None, description="slots from this one on")
    slot_to: Instant | None = Field(None, description="slots up to this one")
    weekday: int | None = Field(None, ge=0, le=6, description="0 is Monday", examples=[1])
    hour: int | None = Field(None, ge=0, le=23, description="of the centre's time", examples=[18])
    region: list[Text] = Field([], max_length=50, description="any of these; may be given again", examples=[["Tokyo"]])
    gender: list[Text] = Field([], max_length=10, description="any of these: male, female, other")
    age_from: float | None = Field(None, ge=0, le=200, description="years", examples=[40])
    age_to: float | None = Field(None, ge=0, le=200, description="years")
    p_from: Share | None = Field(None, description="p_keyman at least", examples=[0.1])
    p_to: Share | None = Field(None, description="p_keyman at most")
    attempt_number_from: int | None = Field(None, ge=1, le=1_000_000, description="number of the dial in the listing")
    attempt_number_to: int | None = Field(None, ge=1, le=1_000_000)
    arm: Text | None = Field(None, description="plan, explore or control", examples=["plan"])
    reason: Text | None = Field(None, description="part of the reason, in English or Japanese")
    customer: Text | None = Field(None, description="an id, or its beginning and *")
    is_firm: bool | None = Field(None, description="true: the run date only")
    limit: Limit = 100
    cursor: Cursor = None

    @property
    def wanted(self) -> ListFilter:
        """The filter, as page and command line know it."""
        return ListFilter.model_validate(self.model_dump(exclude={"limit", "cursor"}, exclude_none=True))


class NextQuestion(_Question):
    """Which slot, and how many customers."""

    slot_start: Literal["now"] | Instant = Field(
        "now", description="now, or the start of a slot", examples=["now", "2026-11-02T10:00:00+09:00"]
    )
    count: int = Field(1, ge=1, le=500, description="how many customers", examples=[10])


class ExcludedQuestion(_Question):
    """Which of the customers who are not called."""

    reason: Text | None = Field(None, description="only this reason", examples=["no_capacity"])
    limit: Limit = 100
    cursor: Cursor = None


class PostedQuestion(_Question):
    """Which posted outcomes."""

    since: Instant | None = Field(None, description="posted at or after this moment")
    limit: Limit = 100
    cursor: Cursor = None
