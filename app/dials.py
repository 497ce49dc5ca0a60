"""The planned dials that a reader asks for: what the address says, and one page of the list that answers it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pandas as pd
from pydantic import ValidationError

from app.nights import OpenNight
from pipelines.exports.filters import ListFilter

PAGE_ROWS = 50
MOST_COUNTED = 200_000
"""Most dials whose customers are counted: telling a million texts apart takes longer than all else on the page."""
ATTRIBUTES = ("age", "gender", "region")
COLUMNS = ("slot_start", "rank", "customer_id", "p_keyman", "attempt_number", *ATTRIBUTES, "arm", "reason")
"""Columns of the list on the page, in their order; each can be sorted by."""

_LISTED = tuple(name for name in COLUMNS if name not in (*ATTRIBUTES, "reason"))
_PERCENTS = {"percent_from": "p_from", "percent_to": "p_to"}
FILTERS = (
    "slot_start",
    "weekday",
    "hour",
    "region",
    "gender",
    "age_from",
    "age_to",
    *_PERCENTS,
    "attempt_number_from",
    "attempt_number_to",
    "arm",
    "reason",
    "customer",
)
"""Names in the address that limit the list."""


class BadFilterError(ValueError):
    """A value in the address cannot be read: ``name`` says which, ``value`` what was written."""

    def __init__(self, name: str, value: str) -> None:
        super().__init__(f"{name}: {value!r} cannot be read")
        self.name, self.value = name, value


@dataclass(frozen=True)
class Address:
    """What a reader asked of the list, as an address says it; blank fields of a form are left out.

    Examples
    --------
    >>> asked = Address.read({"region": "Osaka", "hour": "", "sort": "p_keyman", "order": "desc", "page": "3"})
    >>> asked.filters, asked.sort, asked.is_descending, asked.page
    ({'region': 'Osaka'}, 'p_keyman', True, 3)
    >>> asked.turn_to(4)
    'region=Osaka&sort=p_keyman&order=desc&page=4'
    """

    filters: dict[str, str]
    sort: str = "slot_start"
    is_descending: bool = False
    page: int = 1

    @classmethod
    def read(cls, parameters: Mapping[str, str]) -> "Address":
        """Read the parameters of a request; names that are not ours are passed over."""
        filters = {name: parameters[name].strip() for name in FILTERS if parameters.get(name, "").strip()}
        sort = parameters.get("sort", "")
        page = parameters.get("page", "")
        return cls(
            filters,
            sort if sort in COLUMNS else "slot_start",
            parameters.get("order") == "desc",
            int(page[:9]) if page.isascii() and page.isdigit() and int(page[:9]) else 1,
        )

    @property
    def wanted(self) -> ListFilter:
        """The filter that the address spells.

        Raises
        ------
        BadFilterError
            A value cannot be read.
        """
        given: dict[str, Any] = {}
        for name, value in self.filters.items():
            if name in _PERCENTS:
                given[_PERCENTS[name]] = _read_percent(name, value)
            else:
                given[name] = f"{value.rstrip('*')}*" if name == "customer" else value
        try:
            return ListFilter.model_validate(given)
        except ValidationError as error:
            field = str(error.errors()[0]["loc"][0])
            name = next((percent for percent, share in _PERCENTS.items() if share == field), field)
            raise BadFilterError(name, self.filters[name]) from error

    def spell(self, **other: str | None) -> str:
        """Write the address anew, some of it changed; None takes a part away. The page begins at the first."""
        parts: dict[str, str | None] = dict(self.filters)
        if self.sort != "slot_start" or self.is_descending:
            parts |= {"sort": self.sort, "order": "desc" if self.is_descending else "asc"}
        return urlencode({name: value for name, value in (parts | other).items() if value is not None})

    def turn_to(self, page: int) -> str:
        """The same rows, another page."""
        return self.spell(page=str(page))

    def sort_by(self, name: str) -> str:
        """The same rows sorted by a column; the column of the moment turns round, chances begin with the best."""
        descends = not self.is_descending if name == self.sort else name == "p_keyman"
        return self.spell(sort=name, order="desc" if descends else "asc")


@dataclass(frozen=True)
class FoundDials:
    """One page of the dials found, and what all of them are; ``n_customers``: None where too many to be counted."""

    rows: list[dict[str, Any]]
    n_rows: int
    n_customers: int | None
    p_mean: float
    p_most: float
    page: int

    @property
    def n_pages(self) -> int:
        """Pages there are; at least one."""
        return max(math.ceil(self.n_rows / PAGE_ROWS), 1)


def find_dials(night: OpenNight, asked: Address, language: str) -> FoundDials:
    """Answer an address with one page of the list.

    Raises
    ------
    BadFilterError
        A value of the address cannot be read.
    """
    where, values = asked.wanted.to_sql()
    total = night.ask_once(
        f"SELECT count(*) AS n, avg(p_keyman) AS p_mean, max(p_keyman) AS p_most FROM call_list WHERE {where}",
        values,
    ).iloc[0]
    page = min(asked.page, max(math.ceil(int(total["n"]) / PAGE_ROWS), 1))
    people = "LEFT JOIN customers USING (customer_id)" if asked.sort in ATTRIBUTES else ""
    places = night.ask_once(
        f"SELECT call_list.rowid AS place FROM call_list {people} WHERE {where} {_spell_order(asked)} "
        f"LIMIT {PAGE_ROWS} OFFSET {PAGE_ROWS * (page - 1)}",
        values,
    )["place"].tolist()
    return FoundDials(
        _read_rows(night, places, language),
        int(total["n"]),
        _count_customers(night, asked) if total["n"] <= MOST_COUNTED else None,
        float(total["p_mean"]),
        float(total["p_most"]),
        page,
    )


def _count_customers(night: OpenNight, asked: Address) -> int:
    where, values = asked.wanted.to_sql()
    counted = night.ask_once(f"SELECT count(DISTINCT customer_id) AS n FROM call_list WHERE {where}", values)
    return int(counted["n"].iloc[0])


def count_by_slot(night: OpenNight, asked: Address) -> pd.DataFrame:
    """Count the dials found in every slot, whichever slot the address asks for: slot_start · n · p_mean."""
    filters = {name: value for name, value in asked.filters.items() if name != "slot_start"}
    where, values = Address(filters).wanted.to_sql()
    counted = night.ask_once(
        "SELECT slots.slot_start, coalesce(n, 0) AS n, p_mean FROM slots LEFT JOIN (SELECT slot_start, count(*) AS n, "
        f"avg(p_keyman) AS p_mean FROM call_list WHERE {where} GROUP BY slot_start) USING (slot_start) ORDER BY 1",
        values,
    )
    return counted.assign(slot_start=counted["slot_start"].dt.tz_convert(night.zone))


def list_choices(night: OpenNight) -> dict[str, list[Any]]:
    """What can be chosen in each drop-down list: weekday · hour · arm, and region · gender where they are known."""
    asked = {
        "weekday": "SELECT DISTINCT weekday FROM slots ORDER BY 1",
        "hour": "SELECT DISTINCT hour FROM slots ORDER BY 1",
        "arm": "SELECT DISTINCT arm FROM call_list ORDER BY 1",
    }
    for name in ("region", "gender"):
        if name in list_columns(night):
            asked[name] = f"SELECT DISTINCT {name} FROM customers WHERE {name} IS NOT NULL ORDER BY 1"
    return {name: night.ask_once(sql).iloc[:, 0].tolist() for name, sql in asked.items()}


def list_columns(night: OpenNight) -> list[str]:
    """Columns of the list that this night can fill."""
    counted = ", ".join(f"count({name}) AS {name}" for name in ATTRIBUTES)
    known = night.ask_once(f"SELECT {counted} FROM customers").iloc[0]
    return [name for name in COLUMNS if name not in ATTRIBUTES or known[name] > 0]


def _read_rows(night: OpenNight, places: list[int], language: str) -> list[dict[str, Any]]:
    """Read the few rows of a page whole; finding their places first keeps a million rows' texts out of the sorting."""
    if not places:
        return []
    told = "reason_ja" if language == "ja" else "reason"
    dials = night.ask(
        f"SELECT {', '.join(_LISTED)}, {told} AS reason, rowid AS place FROM call_list "
        f"WHERE rowid IN ({_marks(places)})",
        places,
    )
    ids = dials["customer_id"].unique().tolist()
    people = night.ask(
        f"SELECT customer_id, {', '.join(ATTRIBUTES)} FROM customers WHERE customer_id IN ({_marks(ids)})", ids
    )
    rows = dials.merge(people, on="customer_id", how="left").set_index("place").loc[places]
    rows["slot_start"] = rows["slot_start"].dt.tz_convert(night.zone)
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def _spell_order(asked: Address) -> str:
    """Rows lie in the order of slot and rank, which also decides between equals."""
    direction = "DESC" if asked.is_descending else "ASC"
    if asked.sort == "slot_start" and not asked.is_descending:
        return "ORDER BY call_list.rowid"
    return f"ORDER BY {asked.sort} {direction} NULLS LAST, call_list.rowid"


def _marks(values: list[Any]) -> str:
    return ", ".join("?" * len(values))


def _read_percent(name: str, value: str) -> float:
    try:
        share = float(value) / 100
    except ValueError as error:
        raise BadFilterError(name, value) from error
    if not 0 <= share <= 1:
        raise BadFilterError(name, value)
    return share
