"""GET /measures: the measures of the field by day, week, slot, team or agent, beside their targets."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Any

import pandas as pd
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from app.call_log import find_days, has_log
from app.hourly import GROUPINGS, Grouping, hours_of_night, sum_groups
from app.nights import OpenNight
from app.rendering import choose_language, render, speak
from configs.settings import TargetSettings
from features.performance import LESS_IS_BETTER, MEASURES, build_performance, measure_gap
from pipelines.exports.sentences import MINUS, count, decimal, percent

SHARES = frozenset(name for name in MEASURES if name.endswith("_rate")) | {"occupancy"}
SECONDS = frozenset(name for name in MEASURES if name.endswith("_seconds"))
N_DAYS_SHOWN = 28

router = APIRouter()


@dataclass(frozen=True)
class Told:
    """One measure in words: its value, and beside a target the gap and whether it is met (None without one)."""

    text: str
    gap: str
    is_met: bool | None


@router.get("/measures")
def show_measures(
    request: Request,
    by: Grouping = "day",
    start: Annotated[date | None, Query(alias="from")] = None,
    end: Annotated[date | None, Query(alias="to")] = None,
) -> HTMLResponse:
    """Show the measures from one day to another, both included; the newest four weeks of the log without a choice."""
    night = request.app.state.nights.current()
    if not has_log(night):
        return _tell_no_log(request, night)
    first, last = find_days(night)
    chosen_end = end or last
    chosen_start = start or max(first, chosen_end - timedelta(days=N_DAYS_SHOWN - 1))
    groups, whole = map(build_performance, sum_groups(hours_of_night(night), by, chosen_start, chosen_end))
    targets, language = find_targets(request, night), choose_language(request)
    return render(
        request,
        "measures.html.jinja",
        night=night,
        by=by,
        groupings=GROUPINGS,
        start=chosen_start,
        end=chosen_end,
        first=first,
        last=last,
        measures=MEASURES,
        most=LESS_IS_BETTER,
        targets={name: spell_measure(name, target, language) for name, target in targets.items()},
        totals=_tell_row(whole.iloc[0], targets, language) if len(groups) else None,
        rows=[(name_group(by, key, language), _tell_row(row, targets, language)) for key, row in groups.iterrows()],
    )


def find_targets(request: Request, night: OpenNight) -> dict[str, float]:
    """Targets of the page's settings, and of the night's where the page's say nothing."""
    of_night = night.record["settings"].get("targets") or {}
    of_page: TargetSettings = request.app.state.settings.targets
    merged = of_night | of_page.model_dump(exclude_none=True)
    return {name: float(merged[name]) for name in MEASURES if merged.get(name) is not None}


def spell_measure(name: str, reached: float, language: str = "en") -> str:
    """Spell a measure with its unit; "–" when it is not known.

    >>> spell_measure("cph", 12.04), spell_measure("att_seconds", 95.2), spell_measure("occupancy", float("nan"))
    ('12.0', '95 s', '–')
    """
    if name in SHARES:
        return percent(reached)
    if name in SECONDS:
        return speak("measure_seconds", language, n=decimal(reached, 0)) if pd.notna(reached) else "–"
    return count(reached) if name == "attempts" else decimal(reached, 1)


def tell_measure(name: str, reached: float, target: float | None, language: str = "en") -> Told:
    """Tell a measure, and its gap to the target where there is one.

    >>> told = tell_measure("keyman_contact_rate", 0.125, 0.12)
    >>> told.gap.replace("\N{NO-BREAK SPACE}", " "), told.is_met
    ('+0.5 pt', True)
    """
    text = spell_measure(name, reached, language)
    if target is None or pd.isna(reached):
        return Told(text, "", None)
    gap, is_met = measure_gap(name, reached, target)
    size = abs(gap)
    seconds = speak("measure_seconds", language, n=f"{size:.0f}")
    spelled = seconds if name in SECONDS else f"{100 * size:.1f} pt" if name in SHARES else f"{size:.1f}"
    return Told(text, f"{'+' if gap >= 0 else MINUS}{spelled}".replace(" ", "\N{NO-BREAK SPACE}"), is_met)


def name_group(by: Grouping, key: Any, language: str) -> str:
    """Name a group of :func:`app.hourly.sum_groups` in the reader's language.

    >>> name_group("slot", 18, "ja"), name_group("day", pd.Timestamp("2026-11-02"), "en")
    ('月 18:00', '2026-11-02 Mon')
    """
    if pd.isna(key):
        return speak("measure_unknown", language)
    weekdays = speak("measure_weekdays", language).split()
    if by == "slot":
        return f"{weekdays[key // 24]} {key % 24:02d}:00"
    if by == "day":
        return f"{key:%Y-%m-%d} {weekdays[key.day_of_week]}"
    return f"{key:%Y-%m-%d}" if by == "week" else str(key)


def _tell_no_log(request: Request, night: OpenNight) -> HTMLResponse:
    language = choose_language(request)
    heading, text = speak("measures", language), speak("measure_no_page", language)
    return render(request, "message.html.jinja", night=night, heading=heading, text=text, command="")


def _tell_row(row: pd.Series, targets: dict[str, float], language: str) -> dict[str, Told]:
    return {name: tell_measure(name, float(row[name]), targets.get(name), language) for name in MEASURES}
