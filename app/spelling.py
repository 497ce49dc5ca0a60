"""Days, slots and people's attributes, spelled in the reader's language."""

from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from configs.settings import WEEKDAYS
from models.contact.prefectures import name_region

WEEKDAYS_JA = "月火水木金土日"
_GENDERS_JA = {"female": "女性", "male": "男性", "other": "その他"}


def spell_day(day: date, language: str) -> str:
    """Spell a day with its weekday.

    >>> spell_day(date(2026, 11, 3), "en"), spell_day(date(2026, 11, 3), "ja")
    ('Tue 3 Nov', '11月3日（火）')
    """
    if language == "ja":
        return f"{day.month}月{day.day}日（{WEEKDAYS_JA[day.weekday()]}）"
    return f"{WEEKDAYS[day.weekday()]} {day.day} {day:%b}"


def spell_slot(start: pd.Timestamp, language: str) -> str:
    """Spell a slot's start; it is read as it stands, in the centre's zone.

    >>> spell_slot(pd.Timestamp("2026-11-03 18:00", tz="Asia/Tokyo"), "ja")
    '11月3日（火） 18:00'
    """
    return f"{spell_day(start.date(), language)} {start:%H:%M}"


def spell_instant(at: pd.Timestamp, language: str) -> str:
    """Spell an instant of the past, with its year.

    >>> spell_instant(pd.Timestamp("2026-08-17 08:00", tz="Asia/Tokyo"), "en")
    'Mon 17 Aug 2026 08:00'
    """
    day = f"{at.year}年{spell_day(at, language)}" if language == "ja" else f"{spell_day(at, language)} {at.year}"
    return f"{day} {at:%H:%M}"


def spell_weekday(weekday: int, language: str) -> str:
    """Name a weekday, 0 being Monday.

    >>> spell_weekday(1, "en"), spell_weekday(1, "ja")
    ('Tue', '火')
    """
    return WEEKDAYS_JA[weekday] if language == "ja" else WEEKDAYS[weekday]


def spell_attribute(name: str, value: Any, language: str) -> str:
    """Spell what is known of a customer; "–" where nothing is.

    >>> spell_attribute("region", "Tokyo", "ja"), spell_attribute("age", 41.0, "en"), spell_attribute("age", None, "en")
    ('東京', '41', '–')
    """
    if value is None or pd.isna(value):
        return "–"
    if name == "region":
        return name_region(str(value))[language == "ja"]
    if name == "gender" and language == "ja":
        return _GENDERS_JA.get(str(value), str(value))
    if isinstance(value, pd.Timestamp):
        return spell_instant(value, language)
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)
