"""Seats given against seats recommended, what a seat is worth when, and where time off the phone costs least."""

from datetime import date
from typing import Any

import pandas as pd
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from app.grids import Grid, GridCell, lay_out_week
from app.nights import OpenNight
from app.rendering import choose_language, render, speak
from app.spelling import spell_day, spell_slot, spell_weekday
from pipelines.exports.figures import SeatWords, draw_both, draw_staffing
from pipelines.exports.heatmaps import FEW_AGENTS, find_scale, shade
from pipelines.exports.sentences import MINUS, count, decimal

router = APIRouter(include_in_schema=False)
HINTS = ("add_seats", "break", "training", "one_to_one")


@router.get("/staffing")
def show_staffing(request: Request) -> HTMLResponse:
    """The staffing of the night that is shown."""
    night: OpenNight = request.app.state.nights.current()
    language = choose_language(request)
    slots = read_staffing(night)
    return render(
        request,
        "staffing.html.jinja",
        night=night,
        slots=_rows(slots),
        totals=sum_staffing(slots),
        seats=night.record.get("seats") or {},
        figure=night.keep(("seats", language), lambda: draw_seats(slots, language)),
        price_map=night.keep(("prices", language), lambda: build_price_map(slots, night, language)),
        hint_map=night.keep(("hints", language), lambda: build_hint_map(slots, language)),
        hinted={hint: name_times(slots[slots["hint"] == hint], language) for hint in HINTS},
        shifts=_rows(night.ask("SELECT * REPLACE (CAST(date AS TIMESTAMP) AS date) FROM shifts")),
        spell_slot=spell_slot,
        spell_day=spell_day,
    )


def read_staffing(night: OpenNight) -> pd.DataFrame:
    """Read the rows of staffing.csv in order, times in the centre's zone, slots without a hint as ``hold``."""
    slots = night.ask("SELECT * FROM staffing ORDER BY slot_start")
    starts = slots["slot_start"].dt.tz_convert(night.zone)
    return slots.assign(slot_start=starts, hint=slots["hint"].fillna("hold"))


def sum_staffing(slots: pd.DataFrame) -> dict[str, float]:
    """Sum dials: given · recommended · moved (those that leave a slot for another).

    >>> sum_staffing(pd.DataFrame({"dials_given": [10, 5], "dials_recommended": [7, 8]}))
    {'given': 15.0, 'recommended': 15.0, 'moved': 3.0}
    """
    leaving = (slots["dials_given"] - slots["dials_recommended"]).clip(lower=0)
    given, recommended = slots["dials_given"].sum(), slots["dials_recommended"].sum()
    return {"given": float(given), "recommended": float(recommended), "moved": float(leaving.sum())}


def draw_seats(slots: pd.DataFrame, language: str) -> Markup:
    """Draw given against recommended dials as in the report, in the reader's language."""

    def tell_day(day: date, is_narrow: bool) -> str:
        return spell_weekday(day.weekday(), language) if is_narrow else spell_day(day, language)

    def tell_slot(slot: dict[str, Any]) -> str:
        return speak(
            "seat_slot",
            language,
            slot=spell_slot(slot["slot_start"], language),
            given=count(slot["dials_given"]),
            recommended=count(slot["dials_recommended"]),
            price=decimal(slot["seat_price"]),
        )

    told = SeatWords(speak("seats_figure", language), speak("seat_strip", language), tell_day, tell_slot)
    return draw_both(draw_staffing, slots, told)


def count_dials_per_agent_hour(record: dict[str, Any]) -> float:
    """Usual dials of an agent in an hour: by the handle times of the run, else by its settings.

    >>> times = {"contacted_seconds": 240, "not_contacted_seconds": 40, "contact_rate": 0.1}
    >>> count_dials_per_agent_hour({"handle_times": times | {"seconds_per_agent_hour": 3060}})
    51.0
    """
    times = record.get("handle_times")
    if times is None:
        return float(record["settings"]["planning"]["dials_per_agent_hour"])
    rate = times["contact_rate"]
    usual = rate * times["contacted_seconds"] + (1 - rate) * times["not_contacted_seconds"]
    return float(times["seconds_per_agent_hour"] / usual)


def build_price_map(slots: pd.DataFrame, night: OpenNight, language: str) -> Grid:
    """Lay seat prices out by day and hour; each cell tells the agents to move in (+) or out (−)."""
    settings = night.record["settings"]
    per_agent = count_dials_per_agent_hour(night.record) * settings["slot_minutes"] / 60
    moved = (slots["dials_recommended"] - slots["dials_given"]) / per_agent
    digits = 0 if moved.abs().max() >= FEW_AGENTS else 1
    prices = slots["seat_price"].fillna(0.0)
    low, high = find_scale(prices)
    cells = []
    for start, price, agents in zip(slots["slot_start"], prices, moved, strict=True):
        said = {"slot": spell_slot(start, language), "price": decimal(price), "moved": spell_move(agents, 1) or "0"}
        title = speak("seat_cell", language, **said)
        cells.append(GridCell(spell_move(agents, digits), title, f"q{shade(price, low, high)}"))
    corner = speak("day_corner", language)
    return lay_out_week(slots["slot_start"], cells, language, corner, (decimal(low), decimal(high)))


def build_hint_map(slots: pd.DataFrame, language: str) -> Grid:
    """Lay the hints out by day and hour, shaded by seat price."""
    prices = slots["seat_price"].fillna(0.0)
    low, high = find_scale(prices)
    cells = []
    for start, price, hint in zip(slots["slot_start"], prices, slots["hint"], strict=True):
        said = speak(f"hint_{hint}", language)
        title = speak("hint_cell", language, slot=spell_slot(start, language), hint=said, price=decimal(price))
        cells.append(GridCell(speak(f"hint_short_{hint}", language), title, f"q{shade(price, low, high)}"))
    corner = speak("day_corner", language)
    return lay_out_week(slots["slot_start"], cells, language, corner, (decimal(low), decimal(high)))


def name_times(slots: pd.DataFrame, language: str) -> list[tuple[str, str]]:
    """Name slots day by day: pairs of a day and its times.

    >>> starts = pd.DataFrame({"slot_start": pd.to_datetime(["2026-11-02 12:00", "2026-11-02 13:00"])})
    >>> name_times(starts, "en")
    [('Mon 2 Nov', '12:00, 13:00')]
    """
    between = "、" if language == "ja" else ", "
    by_day: dict[date, list[str]] = {}
    for start in slots["slot_start"]:
        by_day.setdefault(start.date(), []).append(f"{start:%H:%M}")
    return [(spell_day(day, language), between.join(times)) for day, times in by_day.items()]


def spell_move(agents: float, digits: int) -> str:
    """Spell agents moved with their sign; nothing where they round to none.

    >>> spell_move(1.24, 1), spell_move(0.01, 1)
    ('+1.2', '')
    """
    rounded = round(abs(agents), digits)
    return f"{'+' if agents > 0 else MINUS}{rounded:.{digits}f}" if rounded else ""


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
