"""Heat maps as tables: rows of hours, columns of days or segments, so that they read on paper, phones and aloud."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.measures import add_calling_time, band_ages, build_rates
from models.planning.handling import Effort, count_in_dials
from pipelines.exports.sentences import MIN_DIALS, MINUS, count, decimal, percent
from pipelines.night import Night

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
ALL = "all"
N_SHADES = 9
FEW_AGENTS = 10  # where moves are smaller than this, tenths of an agent are told
_NARROWEST = 0.3


@dataclass(frozen=True)
class Cell:
    """One cell: its text and tooltip, its shade (0 low to 8 high, None: unshaded), and whether it is too thin."""

    text: str
    title: str
    shade: int | None
    is_thin: bool


@dataclass(frozen=True)
class HeatMap:
    """A shaded table; ``low`` and ``high`` label the ends of its colour scale.

    ``rows`` are pairs of a label and its cells, as many as ``columns``; None where nothing was dialled.
    """

    caption: str
    corner: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    low: str
    high: str
    has_thin: bool


def build_observed_map(attempts: pd.DataFrame) -> HeatMap | None:
    """Observed keyman contact rate by hour (rows) and weekday (columns), with margins; None without attempts."""
    timed = add_calling_time(attempts)
    columns = pd.Series(np.array(WEEKDAYS)[timed["weekday"].to_numpy()], index=timed.index)
    return _build_rate_map("Observed keyman contact rate by hour and weekday", timed, columns, WEEKDAYS)


def build_age_map(attempts: pd.DataFrame, customers: pd.DataFrame) -> HeatMap | None:
    """Observed keyman contact rate by hour (rows) and age band (columns); None where no age is known.

    ``attempts`` carries ``customer_row``, the position of the customer in ``customers``.
    """
    bands = band_ages(customers["age"])
    present = [str(band) for band in bands.cat.categories if band != "unknown" and bool((bands == band).any())]
    if not present or attempts.empty:
        return None
    columns = bands.take(attempts["customer_row"].to_numpy()).astype("str").set_axis(attempts.index)
    return _build_rate_map("Observed keyman contact rate by hour and age", add_calling_time(attempts), columns, present)


def build_plan_maps(night: Night) -> tuple[HeatMap, HeatMap] | None:
    """Planned dials, and their mean p_keyman, by hour (rows) and day (columns); None when nothing is planned."""
    if night.call_list.empty:
        return None
    starts = night.call_list["slot_start"]
    firm = set(starts[night.call_list["is_firm"].astype(bool)].dt.date)
    days = {day: _name_day(day, day in firm) for day in sorted(set(night.slots["slot_start"].dt.date))}
    dials = pd.DataFrame(
        {"row": starts.dt.hour, "column": starts.dt.date.map(days), "p": night.call_list["p_keyman"].astype("float64")}
    )
    grown = pd.concat([dials, dials.assign(row=ALL), dials.assign(column=ALL), dials.assign(row=ALL, column=ALL)])
    cells = grown.groupby(["row", "column"])["p"].agg(n="size", value="mean").reset_index()
    cells["title"] = [f"{percent(p)} of {count(n)} dials" for p, n in zip(cells["value"], cells["n"], strict=True)]
    inner = (cells["row"] != ALL) & (cells["column"] != ALL)
    cells = cells.assign(is_thin=False, text=cells["value"].map(_spell_rate), is_scaled=True)
    counted = cells.assign(value=cells["n"].astype("float64"), text=cells["n"].map(count), is_scaled=inner)
    columns = [*days.values(), ALL]
    return (
        _lay_out("Planned dials by hour and day", "hour", columns, counted, count, floor=0.0),
        _lay_out("Expected contact rate of those dials", "hour", columns, cells, percent),
    )


def build_seat_map(night: Night) -> HeatMap | None:
    """Seat price by hour (rows) and day (columns), each cell with the agents to move in or out; None without slots.

    The prices are those of the places given, which say where agents are wanted; with ``--staffing reshape`` those of
    staffing.csv are what is left of them after the move.
    """
    if night.staffing.empty:
        return None
    effort, prices = night.effort or count_in_dials(night.settings), night.staffing["seat_price"]
    if night.advice is not None:
        prices = pd.Series(night.advice.before.prices * effort.per_agent_hour, index=night.staffing.index)
    settings, starts = night.settings, night.staffing["slot_start"].dt.tz_convert(night.settings.timezone)
    days = {day: _name_day(day, is_firm=False) for day in sorted(set(starts.dt.date))}
    seats = pd.DataFrame(
        {
            "row": starts.dt.hour,
            "column": starts.dt.date.map(days),
            "value": prices.astype("float64").fillna(0.0),
            "moved": _count_moved(night.staffing, effort.per_agent_hour * settings.slot_minutes / 60, effort),
        }
    )
    cells = seats.groupby(["row", "column"])[["value", "moved"]].mean().reset_index()
    digits = 0 if cells["moved"].abs().max() >= FEW_AGENTS else 1
    cells["text"] = [_spell_move(moved, digits) for moved in cells["moved"]]
    cells["title"] = [
        f"seat price {decimal(price)}, {_spell_move(moved, 1) or 'no'} agents"
        for price, moved in zip(cells["value"], cells["moved"], strict=True)
    ]
    cells = cells.assign(is_thin=False, is_scaled=True)
    caption = "Seat price of the seats as given, with the agents to move in (+) or out (−)"
    return _lay_out(caption, "hour", [*days.values()], cells, decimal, has_margin=False)


def _count_moved(staffing: pd.DataFrame, places_per_agent: float, effort: Effort) -> pd.Series:
    """Agents to move in or out of each slot; where places are agent-seconds, by the slot's own dials per agent."""
    moved = staffing["dials_recommended"] - staffing["dials_given"]
    if effort.times is None:
        return moved / places_per_agent
    here = staffing["dials_recommended"] / staffing["agents_recommended"]
    return moved / here.where(here > 0, places_per_agent / effort.usual_places)


def _spell_move(agents: float, digits: int) -> str:
    """Spell agents moved with their sign; nothing where they round to none."""
    rounded = round(abs(agents), digits)
    return f"{'+' if agents > 0 else MINUS}{rounded:.{digits}f}" if rounded else ""


def shade(value: float, low: float, high: float) -> int:
    """Place a value on the scale of nine shades.

    >>> [shade(v, 0.1, 0.3) for v in (0.1, 0.2, 0.3, 9.0)]
    [0, 4, 8, 8]
    """
    if not high > low:
        return N_SHADES // 2
    return int(np.clip((value - low) / (high - low) * N_SHADES, 0, N_SHADES - 1))


def _build_rate_map(caption: str, timed: pd.DataFrame, columns: pd.Series, order: Sequence[str]) -> HeatMap | None:
    if timed.empty:
        return None
    marks = timed[["outcome", "converted"]].assign(row=timed["hour"], column=columns.to_numpy())
    parts = [
        build_rates(marks, ["row", "column"]),
        build_rates(marks, ["row"]).assign(column=ALL),
        build_rates(marks, ["column"]).assign(row=ALL),
        build_rates(marks).assign(row=ALL, column=ALL),
    ]
    cells = pd.concat([part.astype({"row": "object", "column": "object"}) for part in parts], ignore_index=True)
    is_thin = cells["attempts"] < MIN_DIALS
    cells = cells.assign(
        value=cells["keyman_contact_rate"],
        text=cells["keyman_contact_rate"].map(_spell_rate),
        is_thin=is_thin,
        is_scaled=~is_thin,
        title=[
            f"{percent(rate)}: {count(hits)} contacts of {count(n)} dials"
            for rate, hits, n in zip(
                cells["keyman_contact_rate"], cells["keyman_contacts"], cells["attempts"], strict=True
            )
        ],
    )
    return _lay_out(caption, "hour", [*order, ALL], cells, percent)


def _lay_out(
    caption: str,
    corner: str,
    columns: Sequence[str],
    cells: pd.DataFrame,
    spell: Any,
    floor: float | None = None,
    has_margin: bool = True,
) -> HeatMap:
    """Lay cells (row · column · value · text · title · is_thin · is_scaled) out, shaded on one scale."""
    low, high = find_scale(cells.loc[cells["is_scaled"], "value"], floor)
    placed = {
        (str(cell.row), str(cell.column)): Cell(
            str(cell.text),
            f"{_name_row(cell.row)}, {cell.column}: {cell.title}",
            shade(float(str(cell.value)), low, high) if cell.is_scaled else None,
            bool(cell.is_thin),
        )
        for cell in cells.itertuples(index=False)
    }
    hours = sorted(int(row) for row in set(cells["row"]) - {ALL})
    rows = [*range(hours[0], hours[-1] + 1), *([ALL] if has_margin else [])]
    return HeatMap(
        caption,
        corner,
        tuple(columns),
        tuple((_name_row(row), tuple(placed.get((str(row), column)) for column in columns)) for row in rows),
        spell(low),
        spell(high),
        bool(cells["is_thin"].any()),
    )


def find_scale(values: pd.Series, floor: float | None = None) -> tuple[float, float]:
    """Ends of the colour scale, never closer than 30 % of their middle, so that noise does not look like a pattern.

    >>> [round(end, 3) for end in find_scale(pd.Series([0.10, 0.101]))]
    [0.085, 0.116]
    """
    if values.empty:
        return 0.0, 0.0
    low, high = float(values.min()) if floor is None else floor, float(values.max())
    middle = (low + high) / 2
    if high - low >= _NARROWEST * middle:
        return low, high
    return middle * (1 - _NARROWEST / 2), middle * (1 + _NARROWEST / 2)


def _spell_rate(rate: float) -> str:
    return f"{100 * rate:.1f}"


def _name_row(row: object) -> str:
    return ALL if row == ALL else f"{int(str(row)):02d}:00"


def _name_day(day: Any, is_firm: bool) -> str:
    return f"{WEEKDAYS[day.weekday()]} {day.day}{' firm' if is_firm else ''}"
