"""Observed keyman contact rates of segments, as rows that the report draws as dots with intervals."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from features.measures import UNKNOWN, add_rate_interval, build_rates
from pipelines.exports.heatmaps import find_scale
from pipelines.night import Night

TOP_LEVELS = 10


@dataclass(frozen=True)
class Level:
    """One level of a segment column: counts, rate in [0, 1], and where its 90 % interval lies on the drawn track.

    ``left``, ``width`` and ``dot`` are percentages of the track's width.
    """

    name: str
    attempts: int
    keyman_contacts: int
    rate: float
    left: float
    width: float
    dot: float


@dataclass(frozen=True)
class Segment:
    """The most dialled levels of one customer column; ``n_more`` levels were left out.

    The track of its levels runs from ``low`` to ``high``, rates in [0, 1].
    """

    column: str
    levels: tuple[Level, ...]
    n_more: int
    low: float
    high: float


def build_segments(night: Night) -> list[Segment]:
    """Rates by every column of ``settings.segment_by`` that holds text, all on one track, most dialled levels first.

    Age has its own heat map; a column in which nothing is known is left out.
    """
    customers, attempts = night.tables.customers, night.tables.call_attempts
    columns = [name for name in night.settings.segment_by if name in customers and name != "age"]
    texts = [name for name in columns if not pd.api.types.is_numeric_dtype(customers[name])]
    if attempts.empty:
        return []
    rates = {name: _rate_levels(attempts, customers[name]) for name in texts if customers[name].notna().any()}
    if not rates:
        return []
    shown = pd.concat([levels.head(TOP_LEVELS) for levels in rates.values()])
    low, high = find_scale(pd.concat([shown["low"], shown["high"]]))
    return [_lay_out(name, levels, low, high) for name, levels in rates.items()]


def _rate_levels(attempts: pd.DataFrame, levels: pd.Series) -> pd.DataFrame:
    named = levels.astype("object").where(levels.notna(), UNKNOWN).astype("str").to_numpy()
    keyed = attempts[["outcome", "converted"]].assign(level=named[attempts["customer_row"].to_numpy()])
    return add_rate_interval(build_rates(keyed, ["level"])).sort_values("attempts", ascending=False, kind="stable")


def _lay_out(column: str, rates: pd.DataFrame, low: float, high: float) -> Segment:
    shown = rates.head(TOP_LEVELS).to_dict("records")
    levels = tuple(_place({str(key): value for key, value in row.items()}, low, high - low) for row in shown)
    return Segment(column, levels, len(rates) - len(levels), low, high)


def _place(row: dict[str, Any], low: float, span: float) -> Level:
    return Level(
        row["level"],
        row["attempts"],
        row["keyman_contacts"],
        row["keyman_contact_rate"],
        round(100 * (row["low"] - low) / span, 1),
        round(100 * (row["high"] - row["low"]) / span, 1),
        round(100 * (row["keyman_contact_rate"] - low) / span, 1),
    )
