"""The log summed by agent and hour of the clock, once a night, so that every grouping of measures is quick."""

from datetime import date, timedelta
from typing import Any, Literal

import pandas as pd

from app.kept import KeptOfNight
from app.nights import OpenNight
from features.outcomes import CONNECTED, CONTACT
from features.performance import SUMS

Grouping = Literal["day", "week", "slot", "team", "agent"]
GROUPINGS: tuple[Grouping, ...] = ("day", "week", "slot", "team", "agent")
_CONNECTED = ", ".join(f"'{outcome}'" for outcome in sorted(CONNECTED))
_HANDLED = "coalesce(talk_seconds, 0) + coalesce(wrap_seconds, 0)"
_TIMED = "(talk_seconds IS NOT NULL OR wrap_seconds IS NOT NULL)"


def sum_hours(night: OpenNight) -> pd.DataFrame:
    """Sum the log by agent and hour of the clock.

    Returns
    -------
    DataFrame
        hour_start (the centre's time, without a zone) · agent_id · team (both None where unknown) · the columns of
        ``features.performance.SUMS``.
    """
    return night.ask(
        f"""
        SELECT date_trunc('hour', dialled_at) AS hour_start, agent_id, team, count(*) AS attempts,
            count(*) FILTER (outcome IN ({_CONNECTED})) AS connects,
            count(*) FILTER (outcome = '{CONTACT}') AS keyman_contacts,
            count(*) FILTER (converted) AS conversions,
            count(*) FILTER (outcome = 'abandoned') AS abandoned,
            count(*) FILTER (outcome = '{CONTACT}' AND {_TIMED}) AS contacted_timed,
            sum({_HANDLED}) FILTER (outcome = '{CONTACT}' AND {_TIMED}) AS contacted_seconds,
            count(*) FILTER (outcome <> '{CONTACT}' AND {_TIMED}) AS other_timed,
            sum({_HANDLED}) FILTER (outcome <> '{CONTACT}' AND {_TIMED}) AS other_seconds,
            count(talk_seconds) FILTER (outcome IN ({_CONNECTED})) AS talks,
            sum(talk_seconds) FILTER (outcome IN ({_CONNECTED})) AS talk_seconds,
            count(wrap_seconds) AS wraps, sum(wrap_seconds) AS wrap_seconds,
            count(agent_id) AS agent_attempts,
            CAST(agent_id IS NOT NULL AS INTEGER) AS agent_hours,
            sum({_HANDLED}) FILTER (agent_id IS NOT NULL AND {_TIMED}) AS busy_seconds
        FROM (SELECT *, timezone(?, attempted_at) AS dialled_at FROM attempts) GROUP BY hour_start, agent_id, team
        """,
        [str(night.zone)],
    )


hours_of_night = KeptOfNight(sum_hours)


def sum_groups(hours: pd.DataFrame, by: Grouping, start: date, end: date) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sum the hours of some days, both ends included, by group and altogether.

    Returns
    -------
    tuple
        One row per group, indexed by its key and sorted, unknown last; and one row for everything. A sum of which no
        part is known is NaN.

    Examples
    --------
    >>> starts = pd.to_datetime(["2026-11-02 09:00", "2026-11-09 09:00"])
    >>> hours = pd.DataFrame({"hour_start": starts, "team": "early", "agent_id": "x"}).assign(**dict.fromkeys(SUMS, 1))
    >>> sum_groups(hours, "slot", date(2026, 11, 1), date(2026, 11, 30))[0]["attempts"].to_dict()
    {9: 2}
    """
    after = pd.Timestamp(end + timedelta(days=1))
    chosen = hours[(hours["hour_start"] >= pd.Timestamp(start)) & (hours["hour_start"] < after)]
    sums = chosen[list(SUMS)]
    groups = sums.groupby(_find_keys(chosen, by).rename("key"), dropna=False, sort=True).sum(min_count=1)
    return groups, sums.sum(min_count=1).to_frame().T


def _find_keys(hours: pd.DataFrame, by: Grouping) -> "pd.Series[Any]":
    """Key of each row: a day, a Monday, weekday × 24 + hour, a team or an agent."""
    start = hours["hour_start"].dt
    weekday = start.day_of_week
    keys: dict[Grouping, pd.Series[Any]] = {
        "day": start.normalize(),
        "week": start.normalize() - pd.to_timedelta(weekday, unit="D"),
        "slot": weekday * 24 + start.hour,
        "team": hours["team"],
        "agent": hours["agent_id"],
    }
    return keys[by]
