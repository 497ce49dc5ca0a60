"""The log of attempts that a run kept for the page: whether there is one, and the days it tells of."""

from datetime import date, timedelta

import pandas as pd

from app.nights import OpenNight


def has_log(night: OpenNight) -> bool:
    """Say whether the run kept its log for the page; runs of older versions did not."""
    return "outcome" in set(night.ask("DESCRIBE attempts")["column_name"])


def find_days(night: OpenNight) -> tuple[date, date]:
    """First and last day of the log; the day before the run date where nothing was dialled."""
    found = night.ask("SELECT min(attempted_at) AS first, max(attempted_at) AS last FROM attempts").iloc[0]
    if pd.isna(found["first"]):
        eve = date.fromisoformat(night.record["run_date"]) - timedelta(days=1)
        return eve, eve
    return found["first"].date(), found["last"].date()
