"""What people choose from a call list: the same filter for the command line, the page and the interface for dialers."""

import re
import shlex
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from configs.errors import UsageError
from configs.settings import WEEKDAYS

KEYS = ("slot", "weekday", "hour", "region", "gender", "age", "p", "attempt", "arm", "reason", "customer", "firm")
"""What ``ListFilter.parse`` knows, in the order in which it spells them."""

_RANGES = {
    "slot": ("slot_from", "slot_to"),
    "age": ("age_from", "age_to"),
    "p": ("p_from", "p_to"),
    "attempt": ("attempt_number_from", "attempt_number_to"),
}
_LISTS = ("region", "gender")
_FIELDS = {"slot": "slot_start", "firm": "is_firm"}
_CONDITION = re.compile(r"(?P<key>[A-Za-z_]+)\s*(?P<sign>>=|<=|=)(?P<value>.*)", flags=re.DOTALL)
_EXAMPLE = "weekday=Tue hour=18 region=Tokyo gender=female age>=40 p>=0.1"
_DAYS = {day.lower(): number for number, day in enumerate(WEEKDAYS)} | {
    day: number for number, day in enumerate("月火水木金土日")
}
_YES = {"yes": True, "true": True, "no": False, "false": False}


def _read_weekday(day: Any) -> Any:
    """Monday, Mon or 月 is 0."""
    return _DAYS.get(day.strip().lower()[:3], day) if isinstance(day, str) else day


def _read_texts(texts: Any) -> Any:
    """One text is a tuple of one; blanks, which empty fields of a form send, are nothing."""
    given = () if texts is None else (texts,) if isinstance(texts, str) else texts
    return tuple(text for text in given if text != "") if isinstance(given, list | tuple) else given


Age = Annotated[float, Field(ge=0, le=200)]
Chance = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Text = Annotated[str, Field(max_length=500)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_read_texts), Field(max_length=200)]


class ListFilter(BaseModel):
    """Which rows of a call list are wanted; what is left out does not limit, and both ends of a range belong to it.

    Attributes
    ----------
    slot_start, slot_from, slot_to
        Start of the slot; times without an offset are the centre's.
    weekday, hour
        0 (Monday) to 6, and 0 to 23, in the centre's time.
    region, gender
        Any of these; customers without one never match.
    age_from, age_to
        Years; customers without an age never match.
    p_from, p_to
        p_keyman, 0 to 1.
    attempt_number_from, attempt_number_to
        Number of the dial in the customer's listing.
    reason
        Part of the reason, in either language, whatever its case.
    customer
        An id, or its beginning and ``*``.

    Examples
    --------
    >>> chosen = ListFilter.parse("weekday=Tue hour=18 region=Tokyo,Osaka age>=40")
    >>> chosen.weekday, chosen.region, chosen.age_from, chosen.age_to
    (1, ('Tokyo', 'Osaka'), 40.0, None)
    >>> chosen.spell()
    'weekday=Tue hour=18 region=Tokyo,Osaka age>=40'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slot_start: datetime | None = None
    slot_from: datetime | None = None
    slot_to: datetime | None = None
    weekday: Annotated[int, Field(ge=0, le=6), BeforeValidator(_read_weekday)] | None = None
    hour: Annotated[int, Field(ge=0, le=23)] | None = None
    region: Texts = ()
    gender: Texts = ()
    age_from: Age | None = None
    age_to: Age | None = None
    p_from: Chance | None = None
    p_to: Chance | None = None
    attempt_number_from: Count | None = None
    attempt_number_to: Count | None = None
    arm: Text | None = None
    reason: Text | None = None
    customer: Text | None = None
    is_firm: bool | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _blank_is_nothing(cls, value: Any) -> Any:
        """Empty fields of a form limit nothing."""
        return None if isinstance(value, str) and value.strip() == "" else value

    @field_validator("slot_start", "slot_from", "slot_to")
    @classmethod
    def _in_our_time(cls, time: datetime | None) -> datetime | None:
        """Years far off cannot be moved between zones, and no list has them."""
        if time is not None and not 1900 <= time.year <= 2200:
            raise ValueError("write a year from 1900 to 2200")
        return time

    @property
    def needs_customers(self) -> bool:
        """Whether it asks for what the call list itself does not tell: region, gender or age."""
        return bool(self.region or self.gender or self.age_from is not None or self.age_to is not None)

    @classmethod
    def parse(cls, text: str) -> "ListFilter":
        r"""Read conditions such as ``weekday=Tue age>=40``, separated by blanks; all of them must hold.

        Values with blanks stand in quotes. Commas separate several regions or genders; ``\,`` is a comma of a name.

        Raises
        ------
        UsageError
            A word is no condition, its key is unknown, or its value cannot be read; the message names it.
        """
        given: dict[str, Any] = {}
        for word in _split(text):
            for field, value in _read_condition(word):
                if field in given:
                    raise UsageError(f"--filter {word}: is said twice: say it once")
                given[field] = value
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            field = str(first["loc"][0])
            raise UsageError(f"--filter: {_key_of(field)} {str(first['input'])!r}: {first['msg']}") from error

    def spell(self) -> str:
        """Write it as ``parse`` reads it: for the audit log, a link, or the command line."""
        return " ".join(f"{key}{sign}{shlex.quote(value)}" for key, sign, value in self._list_conditions())

    def to_sql(self) -> tuple[str, list[Any]]:
        """Give a DuckDB condition over ``call_list`` and the values of its ``?``, for a connection of ``open_run``.

        Examples
        --------
        >>> ListFilter(arm="plan").to_sql()
        ('call_list.arm = ?', ['plan'])
        >>> ListFilter().to_sql()
        ('true', [])
        """
        conditions = [*self._limit_slots(), *self._limit_customers(), *self._limit_dials()]
        return " AND ".join(sql for sql, _ in conditions) or "true", [
            value for _, values in conditions for value in values
        ]

    def _limit_slots(self) -> Iterator[tuple[str, list[Any]]]:
        """The few slots are looked up first: a million rows need no calendar."""
        asked = (
            ("slot_start = CAST(? AS TIMESTAMPTZ)", self.slot_start),
            ("slot_start >= CAST(? AS TIMESTAMPTZ)", self.slot_from),
            ("slot_start <= CAST(? AS TIMESTAMPTZ)", self.slot_to),
        )
        for sql, time in asked:
            if time is not None:
                yield f"call_list.{sql}", [time]
        calendar = [
            (name, value) for name, value in (("weekday", self.weekday), ("hour", self.hour)) if value is not None
        ]
        if calendar:
            where = " AND ".join(f"{name} = ?" for name, _ in calendar)
            yield f"call_list.slot_start IN (SELECT slot_start FROM slots WHERE {where})", [v for _, v in calendar]

    def _limit_customers(self) -> Iterator[tuple[str, list[Any]]]:
        conditions: list[str] = []
        values: list[Any] = []
        for name, texts in (("region", self.region), ("gender", self.gender)):
            if texts:
                conditions.append(f"{name} IN ({', '.join('?' * len(texts))})")
                values += texts
        for sql, age in (("age >= ?", self.age_from), ("age <= ?", self.age_to)):
            if age is not None:
                conditions.append(sql)
                values.append(age)
        if conditions:
            yield (
                f"call_list.customer_id IN (SELECT customer_id FROM customers WHERE {' AND '.join(conditions)})",
                values,
            )

    def _limit_dials(self) -> Iterator[tuple[str, list[Any]]]:
        asked = (
            ("p_keyman >= CAST(? AS FLOAT)", self.p_from),
            ("p_keyman <= CAST(? AS FLOAT)", self.p_to),
            ("attempt_number >= ?", self.attempt_number_from),
            ("attempt_number <= ?", self.attempt_number_to),
            ("arm = ?", self.arm),
            ("is_firm = ?", self.is_firm),
        )
        for sql, value in asked:
            if value is not None:
                yield f"call_list.{sql}", [value]
        if self.reason is not None:
            columns = ("call_list.reason", "call_list.reason_ja")
            yield f"({' OR '.join(f'contains(lower({name}), lower(?))' for name in columns)})", [self.reason] * 2
        if self.customer is not None and self.customer.endswith("*"):
            yield "starts_with(call_list.customer_id, ?)", [self.customer[:-1]]
        elif self.customer is not None:
            yield "call_list.customer_id = ?", [self.customer]

    def _list_conditions(self) -> Iterator[tuple[str, str, str]]:
        for key in KEYS:
            value = getattr(self, _FIELDS.get(key, key), None)
            if value is not None and value != ():
                yield key, "=", _spell_value(key, value)
            for sign, field in zip((">=", "<="), _RANGES.get(key, ()), strict=False):
                if getattr(self, field) is not None:
                    yield key, sign, _spell_value(key, getattr(self, field))


def _split(text: str) -> list[str]:
    """Split at blanks, those of Japanese keyboards too, but not inside quotes."""
    words = shlex.shlex(text, posix=True)
    words.whitespace += "\u3000"
    words.whitespace_split, words.commenters = True, ""
    try:
        return list(words)
    except ValueError as error:
        raise UsageError(f"--filter {text}: a quote is not closed; write for example: {_EXAMPLE}") from error


def _read_condition(word: str) -> Iterator[tuple[str, Any]]:
    """Turn one word into fields and values."""
    condition = _CONDITION.fullmatch(word)
    if condition is None:
        raise UsageError(
            f"--filter {word}: is no condition: write KEY=VALUE, KEY>=VALUE or KEY<=VALUE, like {_EXAMPLE}"
        )
    key, sign, value = condition["key"].lower(), condition["sign"], condition["value"]
    if key not in KEYS:
        raise UsageError(f"--filter {word}: unknown key {key}: use one of {', '.join(KEYS)}")
    if value.strip() == "":
        raise UsageError(f"--filter {word}: the value is missing")
    low, high = _RANGES.get(key, (None, None))
    if sign != "=":
        if low is None or high is None:
            raise UsageError(f"--filter {word}: {key} takes = only; {', '.join(_RANGES)} also take >= and <=")
        yield (low if sign == ">=" else high), value
    elif low is None or high is None or key == "slot":
        yield _FIELDS.get(key, key), _read_value(key, value)
    else:
        yield low, value
        yield high, value


def _read_value(key: str, value: str) -> Any:
    if key in _LISTS:
        return tuple(re.sub(r"\\(.)", r"\1", part).strip() for part in re.findall(r"(?:\\.|[^,\\])+", value))
    return _YES.get(value.lower(), value) if key == "firm" else value


def _spell_value(key: str, value: Any) -> str:
    if key == "weekday":
        return str(WEEKDAYS[value])
    if key == "firm":
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return ",".join(re.sub(r"([,\\])", r"\\\1", text) for text in value) if isinstance(value, tuple) else str(value)


def _key_of(field: str) -> str:
    """The key by which people said a field.

    >>> _key_of("attempt_number_to"), _key_of("is_firm")
    ('attempt', 'firm')
    """
    ranged = {name: key for key, fields in _RANGES.items() for name in fields}
    return ranged.get(field) or {name: key for key, name in _FIELDS.items()}.get(field, field)
