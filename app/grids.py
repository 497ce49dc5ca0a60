"""Days by hours as shaded tables, for pages: every cell says in words what its shade means."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date

import pandas as pd

from app.spelling import spell_day


@dataclass(frozen=True)
class GridCell:
    """One cell of a grid: what it shows, what it says on hover, its CSS classes and where it leads."""

    text: str
    title: str
    tone: str
    href: str = ""


@dataclass(frozen=True)
class Grid:
    """Days (rows) by hours (columns); None where there is no slot. ``low`` and ``high`` label the ends of the ramp."""

    corner: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[GridCell | None, ...]], ...]
    low: str = ""
    high: str = ""


def lay_out_week(
    starts: Iterable[pd.Timestamp],
    cells: Iterable[GridCell],
    language: str,
    corner: str,
    ends: tuple[str, str] = ("", ""),
) -> Grid:
    """Lay cells out by day and time of day; ``starts`` are the slots' starts in the centre's zone, one per cell.

    >>> starts = pd.date_range("2026-11-02 09:00", periods=2, freq="h", tz="Asia/Tokyo")
    >>> grid = lay_out_week(starts, [GridCell("a", "", "q0"), GridCell("b", "", "q1")], "en", "day")
    >>> grid.columns, grid.rows[0][0]
    (('9', '10'), 'Mon 2 Nov')
    """
    placed: dict[tuple[date, str], GridCell] = {}
    for start, cell in zip(starts, cells, strict=True):
        placed[start.date(), f"{start:%H:%M}"] = cell
    times = sorted({time for _, time in placed})
    days = sorted({day for day, _ in placed})
    spell = _time_speller(times)
    rows = tuple((spell_day(day, language), tuple(placed.get((day, time)) for time in times)) for day in days)
    return Grid(corner, tuple(spell(time) for time in times), rows, *ends)


def _time_speller(times: list[str]) -> Callable[[str], str]:
    """Whole hours as numbers, where all are."""
    if all(time.endswith(":00") for time in times):
        return lambda time: str(int(time[:2]))
    return lambda time: time
