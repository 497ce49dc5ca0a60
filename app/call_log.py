"""The log of attempts that a run kept for the page: whether there is one, and the days it tells of."""

from datetime import date, timedelta

import pandas as pd

from app.nights import OpenNight


def has_log(night: OpenNight) -> bool:
    """Say whether the run kept its log for the page; runs of older versions did not."""
    return "outcome" in set(night.ask("DESCRIBE attempts")["column_name"])


def find_days(night: OpenNight) -> tuple[date, date]:
    """First and last day of the log; the day before the run date where nothing was dialled."""
    day = "strftime({}, '%Y-%m-%d')"
    ends = f"{day.format('min(attempted_at)')} AS first, {day.format('max(attempted_at)')} AS last"
    found = night.ask(f"SELECT {ends} FROM attempts").iloc[0]
    if pd.isna(found["first"]):
        eve = date.fromisoformat(night.record["run_date"]) - timedelta(days=1)
        return eve, eve
    return date.fromisoformat(found["first"]), date.fromisoformat(found["last"])
