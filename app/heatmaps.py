"""GET /heatmaps: contact rate, attempts, predicted probability and expected gain by hour, observed beside predicted."""

from collections.abc import Callable
from typing import Annotated, Any

import pandas as pd
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from app.heat_cells import AGES, Across, Segment, average_chances, chances_of_night, count_dials
from app.nights import OpenNight
from app.rendering import choose_language, render, speak
from features.measures import UNKNOWN
from pipelines.exports.heatmaps import ALL, Cell, HeatMap, find_scale, shade
from pipelines.exports.sentences import MIN_DIALS, count, decimal, percent

_LEAST_GAIN = 0.05

router = APIRouter()


@router.get("/heatmaps")
def show_heatmaps(
    request: Request,
    across: Across = "weekday",
    region: Annotated[str, Query(max_length=200)] = "",
    gender: Annotated[str, Query(max_length=200)] = "",
    age: Annotated[str, Query(max_length=20)] = "",
) -> HTMLResponse:
    """Show the four maps of a segment; a band of age that does not exist is read as every age."""
    night = request.app.state.nights.current()
    segment = Segment(region, gender, age if age in (*AGES, UNKNOWN) else "")
    sums, language = chances_of_night(night), choose_language(request)

    def draw() -> dict[str, HeatMap]:
        seen, expected = count_dials(night, across, segment), average_chances(night, across, segment, sums)
        return build_maps(seen, expected, across, language)

    return render(
        request,
        "heatmaps.html.jinja",
        night=night,
        across=across,
        segment=segment,
        choices=list_choices(night),
        has_chances=sums is not None,
        maps=night.keep(("heat maps", across, segment, language), draw),
    )


def list_choices(night: OpenNight) -> dict[str, list[str]]:
    """What a segment can be made of: the regions and genders that occur, and the bands of age."""
    found = {
        column: night.ask_once(f"SELECT DISTINCT {column} AS level FROM customers ORDER BY level NULLS LAST")["level"]
        for column in ("region", "gender")
    }
    named = {
        column: [UNKNOWN if pd.isna(level) else str(level) for level in levels] for column, levels in found.items()
    }
    return named | {"age": [*AGES, UNKNOWN]}


def build_maps(seen: pd.DataFrame, expected: pd.DataFrame, across: Across, language: str) -> dict[str, HeatMap]:
    """Lay out the maps: seen rate, expected rate, attempts and gain; those without a cell are left out.

    Parameters
    ----------
    seen, expected
        Of :func:`app.heat_cells.count_dials` and :func:`app.heat_cells.average_chances`.
    """
    hours = sorted({int(row) for cells in (seen, expected) for row in cells["row"] if row != ALL})
    columns = name_columns(across, seen, expected, language)
    told = {
        "seen": shade_cells(seen, language, "heat_title_seen", percent),
        "expected": shade_cells(expected, language, "heat_title_expected", percent),
        "attempts": shade_counts(seen, language),
        "gain": shade_gains(expected, language),
    }
    return {name: lay_out(name, cells, hours, columns, language) for name, cells in told.items() if not cells.empty}


def shade_cells(cells: pd.DataFrame, language: str, title: str, spell: Callable[[float], str]) -> pd.DataFrame:
    """Add text, title, is_thin and shade to cells of rates; thin ones take no part in the scale."""
    is_thin = cells["n"] < MIN_DIALS
    low, high = find_scale(cells.loc[~is_thin, "value"])
    return cells.assign(
        is_thin=is_thin,
        text=[f"{100 * value:.1f}" for value in cells["value"]],
        title=[
            speak(title, language, rate=spell(row["value"]), hits=count(row["hits"]), n=count(row["n"]))
            for row in _rows(cells)
        ],
        shade=_shade_solid(cells["value"], is_thin, low, high),
        low=spell(low),
        high=spell(high),
    )


def shade_counts(cells: pd.DataFrame, language: str) -> pd.DataFrame:
    """Add text, title, is_thin and shade to counts of dials, shaded from zero; sums at the margins are unshaded."""
    is_inner = (cells["row"] != ALL) & (cells["column"] != ALL)
    low, high = find_scale(cells.loc[is_inner, "n"], floor=0.0)
    return cells.assign(
        is_thin=False,
        text=cells["n"].map(count),
        title=[speak("heat_title_attempts", language, n=count(n)) for n in cells["n"]],
        shade=_shade_solid(cells["n"], ~is_inner, low, high),
        low=count(low),
        high=count(high),
    )


def shade_gains(expected: pd.DataFrame, language: str) -> pd.DataFrame:
    """Turn expected rates into ratios to the segment's mean, shaded to both sides of 1.0; the mean itself is left out.

    >>> cells = pd.DataFrame({"row": [9, "all"], "column": [0, "all"], "n": [80, 80], "hits": [8, 8],
    ...                       "value": [0.15, 0.10]})
    >>> shade_gains(cells, "en")[["text", "shade"]].values.tolist()
    [['1.50', 8.0]]
    """
    is_mean = (expected["row"] == ALL) & (expected["column"] == ALL)
    if not bool(is_mean.any()) or not float(expected.loc[is_mean, "value"].iloc[0]) > 0:
        return expected.iloc[:0]
    mean = float(expected.loc[is_mean, "value"].iloc[0])
    cells = expected[~is_mean].assign(value=expected["value"] / mean)
    is_thin = cells["n"] < MIN_DIALS
    end = max(float((cells.loc[~is_thin, "value"] - 1.0).abs().max()) if not is_thin.all() else 0.0, _LEAST_GAIN)
    return cells.assign(
        is_thin=is_thin,
        text=cells["value"].map(decimal),
        title=[
            speak(
                "heat_title_gain",
                language,
                ratio=decimal(row["value"]),
                rate=percent(row["value"] * mean),
                n=count(row["n"]),
            )
            for row in _rows(cells)
        ],
        shade=_shade_solid(cells["value"], is_thin, 1 - end, 1 + end),
        low=decimal(1 - end),
        high=decimal(1 + end),
    )


def name_columns(across: Across, seen: pd.DataFrame, expected: pd.DataFrame, language: str) -> dict[int, str]:
    """Name the columns that occur, in order: weekdays, or weeks of the month."""
    present = sorted({int(column) for cells in (seen, expected) for column in cells["column"] if column != ALL})
    if across == "weekday":
        weekdays = speak("heat_weekdays", language).split()
        return {day: weekdays[day] for day in range(7) if day in present or day < 5}
    return {week: speak("heat_week", language, week=week) for week in present}


def lay_out(name: str, cells: pd.DataFrame, hours: list[int], columns: dict[int, str], language: str) -> HeatMap:
    """Lay shaded cells (row · column · text · title · is_thin · shade · low · high) out as a table of hours."""
    everything = speak("heat_all", language)
    spelled: dict[Any, str] = {**columns, ALL: everything}
    placed = {
        (str(cell["row"]), str(cell["column"])): Cell(
            cell["text"],
            f"{spelled[cell['column']]} {_name_hour(cell['row'], everything)}: {cell['title']}",
            None if pd.isna(cell["shade"]) else int(cell["shade"]),
            cell["is_thin"],
        )
        for cell in _rows(cells)
    }
    rows = [*range(hours[0], hours[-1] + 1), ALL]
    return HeatMap(
        speak(f"heat_caption_{name}", language),
        speak("heat_hour", language),
        tuple(spelled.values()),
        tuple(
            (_name_hour(row, everything), tuple(placed.get((str(row), str(column))) for column in spelled))
            for row in rows
        ),
        str(cells["low"].iloc[0]),
        str(cells["high"].iloc[0]),
        bool(cells["is_thin"].any()),
    )


def _shade_solid(values: pd.Series, is_left_out: pd.Series, low: float, high: float) -> pd.Series:
    """Shade of each value (0 to 8), NaN for those left out."""
    shades = [float(shade(float(value), low, high)) for value in values]
    return pd.Series(shades, index=values.index).where(~is_left_out)


def _rows(cells: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in cells.to_dict("records")]


def _name_hour(row: object, everything: str) -> str:
    return everything if row == ALL else f"{int(str(row)):02d}:00"
