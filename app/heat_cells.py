"""The numbers behind the heat maps: dials and chances by hour of the day and day of the week, or week of the month."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from app.call_log import has_log
from app.kept import KeptOfNight
from app.nights import OpenNight
from features.measures import UNKNOWN, band_ages
from features.outcomes import CONTACT
from pipelines.exports.chance_sums import ChanceSums, sum_chances
from pipelines.exports.heatmaps import ALL

Across = Literal["weekday", "week_of_month"]
_COLUMNS: dict[Across, str] = {
    "weekday": "isodow({at}) - 1",
    "week_of_month": "(day({at}) - 1) // 7 + 1",
}
_LEVELS = ("region", "gender", "age")
_LAST_BAND_START = 80
_OLDEST = 200
AGES = tuple(band for band in band_ages(pd.Series([], dtype="float64")).cat.categories if band != UNKNOWN)
"""Bands of age, youngest first."""


@dataclass(frozen=True)
class Segment:
    """The customers who are looked at; "" does not limit, "unknown" asks for those of whom it is not known."""

    region: str = ""
    gender: str = ""
    age: str = ""

    def spell_where(self) -> tuple[str, list[Any]]:
        """Spell the segment as a condition on ``customers``, with the values that stand for its question marks.

        >>> Segment(region="Tokyo", age="40-49").spell_where()
        ('region = ? AND age >= ? AND age < ?', ['Tokyo', 40, 50])
        """
        conditions, values = [], []
        for column in ("region", "gender"):
            wanted = getattr(self, column)
            if wanted == UNKNOWN:
                conditions.append(f"{column} IS NULL")
            elif wanted:
                conditions.append(f"{column} = ?")
                values.append(wanted)
        if self.age == UNKNOWN:
            conditions.append("age IS NULL")
        elif self.age:
            conditions.append("age >= ? AND age < ?")
            values += read_band(self.age)
        return " AND ".join(conditions) or "true", values

    def holds(self, levels: pd.DataFrame) -> np.ndarray:
        """Say which rows of ``levels`` (region · gender · age, all text) belong to the segment; (n,) bool."""
        chosen = np.ones(len(levels), dtype=bool)
        for column in _LEVELS:
            wanted = getattr(self, column)
            if wanted:
                chosen &= (levels[column] == wanted).to_numpy()
        return chosen


def read_band(band: str) -> tuple[int, int]:
    """First age of a band, and the first beyond it.

    Raises
    ------
    ValueError
        It is no band of ``features.measures.band_ages``.

    Examples
    --------
    >>> read_band("under 20"), read_band("30-39"), read_band("80+")
    ((0, 20), (30, 40), (80, 200))
    """
    if band == "under 20":
        return 0, 20
    if band == f"{_LAST_BAND_START}+":
        return _LAST_BAND_START, _OLDEST
    start, end = band.split("-")
    return int(start), int(end) + 1


def count_dials(night: OpenNight, across: Across, segment: Segment) -> pd.DataFrame:
    """Count the log's dials and contacts of a segment by hour (rows) and day or week (columns), with margins.

    Returns
    -------
    DataFrame
        row (hour, or "all") · column (weekday 0-6 or week of the month 1-5, or "all") · n (dials) · hits (keyman
        contacts) · value = hits / n.
    """
    dials = dials_of_night(night)
    chosen = dials[segment.holds(dials)].rename(columns={"hour": "row", across: "column"})
    return add_margins(chosen.groupby(["row", "column"], as_index=False)[["n", "hits"]].sum())


def sum_dials(night: OpenNight) -> pd.DataFrame:
    """Sum the log's dials once, so that every segment and either map is a sum of few rows.

    Returns
    -------
    DataFrame
        region · gender · age (band; "unknown" where missing) · hour · weekday · week_of_month · n · hits.
    """
    if not has_log(night):
        return pd.DataFrame(columns=[*_LEVELS, "hour", *_COLUMNS, "n", "hits"])
    ages = " ".join(f"WHEN age < {read_band(band)[1]} THEN '{band}'" for band in AGES)
    levels = ", ".join(f"coalesce({name}, '{UNKNOWN}') AS {name}" for name in ("region", "gender"))
    columns = ", ".join(f"{spelled.format(at='dialled_at')} AS {name}" for name, spelled in _COLUMNS.items())
    counted = night.ask(
        f"SELECT {levels}, CASE {ages} ELSE '{UNKNOWN}' END AS age, hour(dialled_at) AS hour, {columns}, "
        f"count(*) AS n, count(*) FILTER (outcome = '{CONTACT}') AS hits "
        "FROM (SELECT customer_id, timezone(?, attempted_at) AS dialled_at, outcome FROM attempts) "
        "LEFT JOIN customers USING (customer_id) GROUP BY ALL",
        [str(night.zone)],
    )
    return counted.astype(dict.fromkeys(_LEVELS, "category"))


dials_of_night = KeptOfNight(sum_dials)


def average_chances(night: OpenNight, across: Across, segment: Segment, sums: ChanceSums | None) -> pd.DataFrame:
    """Average p_keyman of a segment by hour and day or week of the plan's slots, with margins.

    Over all customers who may be called in a slot; where the run kept no chances, over its planned dials.

    Returns
    -------
    DataFrame
        As of :func:`count_dials`: n is customers × slots (or dials), hits their expected contacts.
    """
    column = _COLUMNS[across].format(at="slot_start")
    if sums is None:
        chosen, values = _restrict("call_list", segment)
        cells = night.ask(
            f"SELECT hour(slot_start) AS row, {column} AS column, count(*) AS n, sum(p_keyman) AS hits "
            f"FROM {chosen} GROUP BY ALL",
            values,
        )
        return add_margins(cells)
    slots = night.ask(f"SELECT hour(slot_start) AS row, {column} AS column FROM slots ORDER BY slot_row")
    groups = segment.holds(sums.levels)
    cells = slots.assign(n=sums.n[groups].sum(axis=0), hits=sums.p[groups].sum(axis=0))
    return add_margins(cells[cells["n"] > 0])


def add_margins(cells: pd.DataFrame) -> pd.DataFrame:
    """Sum cells (row · column · n · hits) over rows, columns and both, named "all", and add value = hits / n.

    >>> cells = pd.DataFrame({"row": [9, 10], "column": [0, 0], "n": [10, 30], "hits": [1, 7]})
    >>> add_margins(cells).query("row == 'all' and column == 'all'")[["n", "hits", "value"]].values.tolist()
    [[40.0, 8.0, 0.2]]
    """
    typed = cells.astype({"row": "object", "column": "object"})
    grown = pd.concat([typed, typed.assign(row=ALL), typed.assign(column=ALL), typed.assign(row=ALL, column=ALL)])
    summed = grown.groupby(["row", "column"], as_index=False, sort=False)[["n", "hits"]].sum()
    return summed.assign(value=summed["hits"].astype("float64") / summed["n"].astype("float64"))


def _restrict(table: str, segment: Segment) -> tuple[str, list[Any]]:
    where, values = segment.spell_where()
    if where == "true":
        return table, []
    return f"{table} SEMI JOIN (FROM customers WHERE {where}) USING (customer_id)", values


def sum_chances_of(night: OpenNight) -> ChanceSums | None:
    """Sum the night's chances by region, gender and age band; None when the run kept none."""
    customers = night.ask("SELECT customer_id, region, gender, age FROM customers")
    return sum_chances(night.folder, name_levels(customers))


chances_of_night = KeptOfNight(sum_chances_of)


def name_levels(customers: pd.DataFrame) -> pd.DataFrame:
    """Levels of customers as text, indexed by customer_id: region · gender · age (band); "unknown" where missing.

    >>> people = pd.DataFrame({"customer_id": ["a"], "region": [None], "gender": ["male"], "age": [34.0]})
    >>> name_levels(people).loc["a"].tolist()
    ['unknown', 'male', '30-39']
    """
    texts = {
        name: customers[name].astype("object").where(customers[name].notna(), UNKNOWN) for name in ("region", "gender")
    }
    bands = band_ages(customers["age"].astype("float64")).astype("str")
    return pd.DataFrame(texts | {"age": bands}).set_index(pd.Index(customers["customer_id"]))
