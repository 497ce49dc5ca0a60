"""The morning's first page: the ranked list by slot, filtered, sorted, in pages, and taken out as a file."""

from datetime import datetime
from typing import Any

import pandas as pd
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from app.dials import Address, BadFilterError, count_by_slot, find_dials, list_choices, list_columns
from app.grids import Grid, GridCell, lay_out_week
from app.nights import OpenNight
from app.rendering import choose_language, render, speak
from app.spelling import spell_attribute, spell_day, spell_slot, spell_weekday
from pipelines.exports.heatmaps import shade
from pipelines.exports.sentences import count, percent

router = APIRouter(include_in_schema=False)
_FIELD_WORDS = {"slot_start": "slot", "percent": "p_keyman_percent", "customer": "customer_id"}


@router.get("/")
def show_today(request: Request) -> HTMLResponse:
    """The list of the night that is shown; HTMX takes from the page what a changed filter changes."""
    night: OpenNight = request.app.state.nights.current()
    language = choose_language(request)
    asked, refusal = read_address(request, language)
    found = find_dials(night, asked, language)
    page = render(
        request,
        "today.html.jinja",
        night=night,
        asked=asked,
        found=found,
        refusal=refusal,
        columns=list_columns(night),
        week=build_slot_grid(count_by_slot(night, asked), asked, language),
        choices=spell_choices(list_choices(night), language),
        day=spell_day(pd.Timestamp(night.record["run_date"]).date(), language),
        slot_chosen=_spell_chosen(asked, night, language),
        spell_slot=spell_slot,
        spell_attribute=spell_attribute,
    )
    page.headers["HX-Push-Url"] = f"/?{asked.turn_to(found.page)}"
    return page


def _spell_chosen(asked: Address, night: OpenNight, language: str) -> str:
    start = asked.wanted.slot_start
    return "" if start is None else spell_slot(_in_zone(start, night), language)


def _in_zone(time: datetime, night: OpenNight) -> pd.Timestamp:
    """Times without an offset are the centre's."""
    instant = pd.Timestamp(time)
    return instant.tz_convert(night.zone) if instant.tzinfo else instant.tz_localize(night.zone)


def read_address(request: Request, language: str) -> tuple[Address, str]:
    """Read what is asked; a filter that cannot be read gives the whole list, and a sentence that says which."""
    asked = Address.read(request.query_params)
    try:
        _ = asked.wanted
    except BadFilterError as error:
        name = error.name.removesuffix("_from").removesuffix("_to")
        said = speak(_FIELD_WORDS.get(name, name), language)
        return Address({}), speak("bad_value", language, name=said, value=error.value)
    return asked, ""


def build_slot_grid(counted: pd.DataFrame, asked: Address, language: str) -> Grid:
    """Lay the dials found out by day and hour; every slot that holds any leads to its own list."""
    most = float(counted["n"].max()) if len(counted) else 0.0
    cells = []
    for start, n, p_mean in counted[["slot_start", "n", "p_mean"]].itertuples(index=False):
        address = start.isoformat()
        is_chosen = asked.filters.get("slot_start") == address
        title = speak("slot_cell", language, slot=spell_slot(start, language), n=count(n), p=percent(p_mean))
        tone = f"q{shade(n, 0.0, most)}{' chosen' if is_chosen else ''}" if n else "plain"
        href = f"/?{asked.spell(slot_start=None if is_chosen else address)}" if n else ""
        cells.append(GridCell(count(n), title, tone, href))
    corner = speak("day_corner", language)
    return lay_out_week(counted["slot_start"], cells, language, corner, ("0", count(most)) if most else ("", ""))


def spell_choices(choices: dict[str, list[Any]], language: str) -> dict[str, list[tuple[Any, str]]]:
    """Spell every choice of the drop-down lists: pairs of what the address says and what people read."""
    spell = {
        "weekday": lambda value: spell_weekday(value, language),
        "hour": lambda value: f"{value}:00",
        "arm": lambda value: speak(f"arm_{value}", language),
        "region": lambda value: spell_attribute("region", value, language),
        "gender": lambda value: spell_attribute("gender", value, language),
    }
    return {name: [(value, spell[name](value)) for value in values] for name, values in choices.items()}
