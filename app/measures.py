"""GET /measures: the measures of the field by day, week, slot, team or agent, beside their targets."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Any, Literal

import pandas as pd
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from app.call_log import find_days, has_log
from app.nights import OpenNight
from app.rendering import choose_language, render, speak
from configs.settings import TargetSettings
from features.outcomes import CONNECTED, CONTACT
from features.performance import LESS_IS_BETTER, MEASURES, build_performance, measure_gap
from pipelines.exports.sentences import MINUS, count, decimal, percent

Grouping = Literal["day", "week", "slot", "team", "agent"]
GROUPINGS: dict[Grouping, str] = {
    "day": "strftime(attempted_at, '%Y-%m-%d')",
    "week": "strftime(date_trunc('week', attempted_at), '%Y-%m-%d')",
    "slot": "strftime(attempted_at, '%u %H')",
    "team": "team",
    "agent": "agent_id",
}
SHARES = frozenset(name for name in MEASURES if name.endswith("_rate")) | {"occupancy"}
SECONDS = frozenset(name for name in MEASURES if name.endswith("_seconds"))
N_DAYS_SHOWN = 28
_CONNECTED = ", ".join(f"'{outcome}'" for outcome in sorted(CONNECTED))
_ANY_TIME = "(talk_seconds IS NOT NULL OR wrap_seconds IS NOT NULL)"
_HANDLED = "coalesce(talk_seconds, 0) + coalesce(wrap_seconds, 0)"
_AGENT_HOUR = "hash(agent_id, date_trunc('hour', attempted_at))"

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
    performance = build_performance(sum_attempts(night, by, chosen_start, chosen_end))
    whole, groups = performance[performance["is_whole"]], performance[~performance["is_whole"]]
    targets, language = find_targets(request, night), choose_language(request)
    return render(
        request,
        "measures.html.jinja",
        night=night,
        by=by,
        groupings=list(GROUPINGS),
        start=chosen_start,
        end=chosen_end,
        first=first,
        last=last,
        measures=MEASURES,
        most=LESS_IS_BETTER,
        targets={name: spell_measure(name, target) for name, target in targets.items()},
        totals=_tell_row(whole.iloc[0], targets) if int(whole["attempts"].iloc[0]) else None,
        rows=[(name_group(by, row["key"], language), _tell_row(row, targets)) for _, row in groups.iterrows()],
    )


def sum_attempts(night: OpenNight, by: Grouping, start: date, end: date) -> pd.DataFrame:
    """Sum what :func:`features.performance.build_performance` reads, per group and once for everything.

    Returns
    -------
    DataFrame
        key (str, None where unknown) · is_whole (the row of everything) · the columns of
        ``features.performance.SUMS``; sorted by key, unknown last.
    """
    return night.ask(
        f"""
        SELECT {GROUPINGS[by]} AS key, grouping({GROUPINGS[by]}) = 1 AS is_whole, count(*) AS attempts,
            count(*) FILTER (outcome IN ({_CONNECTED})) AS connects,
            count(*) FILTER (outcome = '{CONTACT}') AS keyman_contacts,
            count(*) FILTER (converted) AS conversions,
            count(*) FILTER (outcome = 'abandoned') AS abandoned,
            count(*) FILTER (outcome = '{CONTACT}' AND {_ANY_TIME}) AS contacted_timed,
            sum({_HANDLED}) FILTER (outcome = '{CONTACT}' AND {_ANY_TIME}) AS contacted_seconds,
            count(*) FILTER (outcome <> '{CONTACT}' AND {_ANY_TIME}) AS other_timed,
            sum({_HANDLED}) FILTER (outcome <> '{CONTACT}' AND {_ANY_TIME}) AS other_seconds,
            count(talk_seconds) FILTER (outcome IN ({_CONNECTED})) AS talks,
            sum(talk_seconds) FILTER (outcome IN ({_CONNECTED})) AS talk_seconds,
            count(wrap_seconds) AS wraps, sum(wrap_seconds) AS wrap_seconds,
            count(agent_id) AS agent_attempts,
            count(DISTINCT {_AGENT_HOUR}) FILTER (agent_id IS NOT NULL) AS agent_hours,
            sum({_HANDLED}) FILTER (agent_id IS NOT NULL AND {_ANY_TIME}) AS busy_seconds
        FROM attempts WHERE attempted_at >= ? AND attempted_at < ?
        GROUP BY GROUPING SETS (({GROUPINGS[by]}), ()) ORDER BY is_whole, key NULLS LAST
        """,
        [_begin(night, start), _begin(night, end + timedelta(days=1))],
    )


def find_targets(request: Request, night: OpenNight) -> dict[str, float]:
    """Targets of the page's settings, and of the night's where the page's say nothing."""
    of_night = night.record["settings"].get("targets") or {}
    of_page: TargetSettings = request.app.state.settings.targets
    merged = of_night | of_page.model_dump(exclude_none=True)
    return {name: float(merged[name]) for name in MEASURES if merged.get(name) is not None}


def spell_measure(name: str, reached: float) -> str:
    """Spell a measure with its unit; "–" when it is not known.

    >>> spell_measure("cph", 12.04), spell_measure("att_seconds", 95.2), spell_measure("occupancy", float("nan"))
    ('12.0', '95 s', '–')
    """
    if name in SHARES:
        return percent(reached)
    if name in SECONDS:
        return f"{decimal(reached, 0)} s" if pd.notna(reached) else "–"
    return count(reached) if name == "attempts" else decimal(reached, 1)


def tell_measure(name: str, reached: float, target: float | None) -> Told:
    """Tell a measure, and its gap to the target where there is one.

    >>> told = tell_measure("keyman_contact_rate", 0.125, 0.12)
    >>> told.gap.replace("\N{NO-BREAK SPACE}", " "), told.is_met
    ('+0.5 pt', True)
    """
    text = spell_measure(name, reached)
    if target is None or pd.isna(reached):
        return Told(text, "", None)
    gap, is_met = measure_gap(name, reached, target)
    size = abs(gap)
    spelled = f"{size:.0f} s" if name in SECONDS else f"{100 * size:.1f} pt" if name in SHARES else f"{size:.1f}"
    return Told(text, f"{'+' if gap >= 0 else MINUS}{spelled}".replace(" ", "\N{NO-BREAK SPACE}"), is_met)


def name_group(by: Grouping, key: Any, language: str) -> str:
    """Name a group in the reader's language: a slot by weekday and hour, a day with its weekday.

    >>> name_group("slot", "1 18", "ja"), name_group("team", None, "en")
    ('月 18:00', 'unknown')
    """
    if pd.isna(key):
        return speak("measure_unknown", language)
    weekdays = speak("measure_weekdays", language).split()
    if by == "slot":
        return f"{weekdays[int(key[0]) - 1]} {key[2:]}:00"
    if by == "day":
        return f"{key} {weekdays[date.fromisoformat(key).weekday()]}"
    return str(key)


def _tell_no_log(request: Request, night: OpenNight) -> HTMLResponse:
    language = choose_language(request)
    heading, text = speak("measures", language), speak("measure_no_page", language)
    return render(request, "message.html.jinja", night=night, heading=heading, text=text, command="")


def _tell_row(row: pd.Series, targets: dict[str, float]) -> dict[str, Told]:
    return {name: tell_measure(name, float(row[name]), targets.get(name)) for name in MEASURES}


def _begin(night: OpenNight, day: date) -> pd.Timestamp:
    return pd.Timestamp(day, tz=night.zone)
