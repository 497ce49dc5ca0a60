"""What may be said of a dial: each fact once, in English and in Japanese.

The Japanese is that of a supervisor's list: short, ending in nouns, in the words of the field (架電, 応答).
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pandas as pd

from models.contact.prefectures import name_region

_PARTS_EN = (
    "on weekday mornings",
    "on weekdays around noon",
    "on weekday afternoons",
    "on weekday evenings",
    "on weekend and holiday mornings",
    "on weekends and holidays around noon",
    "on weekend and holiday afternoons",
    "on weekend and holiday evenings",
)
_PARTS_JA = ("平日午前", "平日昼", "平日午後", "平日夜", "休日午前", "休日昼", "休日午後", "休日夜")
_WEEKDAYS_EN, _WEEKDAYS_JA = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), "月火水木金土日"
_COUNTS = {1: "once", 2: "twice"}
_DECADES = {20: "twenties", 30: "thirties", 40: "forties", 50: "fifties", 60: "sixties", 70: "seventies"}
_GENDERS = {"female": ("women", "女性"), "male": ("men", "男性"), "other": ("people of another gender", "その他の性別")}


class Words(NamedTuple):
    """The same fact in English and in Japanese."""

    en: str
    ja: str


class Band(NamedTuple):
    """A band of a number, ``low`` inclusive, ``high`` exclusive; None: open."""

    low: float | None
    high: float | None


NOTHING = Words("nothing stands out", "特に目立つ点なし")
NOT_DIALLED = Words("not dialled yet", "未架電")


def join_words(told: Iterable[Words]) -> Words:
    """Join several facts into one text; none at all is ``NOTHING``.

    >>> join_words([tell_answers(2, 3), tell_rest(9)]).ja
    '平日夜に2回応答／前回架電から9日'
    """
    listed = list(told) or [NOTHING]
    return Words("; ".join(words.en for words in listed), "／".join(words.ja for words in listed))


def count_times(n: int) -> str:
    """Say how often.

    >>> [count_times(n) for n in (1, 2, 3)]
    ['once', 'twice', '3 times']
    """
    return _COUNTS.get(n, f"{n} times")


def tell_answers(n: int, part: int | None = None) -> Words:
    """Say how often the person answered, in one part of the week (index into ``features.slots.PARTS``) or ever.

    >>> tell_answers(2, 3)
    Words(en='answered twice on weekday evenings', ja='平日夜に2回応答')
    >>> tell_answers(1).en
    'answered once before'
    """
    if part is None:
        return Words(f"answered {count_times(n)} before", f"過去に{n}回応答")
    return Words(f"answered {count_times(n)} {_PARTS_EN[part]}", f"{_PARTS_JA[part]}に{n}回応答")


def tell_others(n: int) -> Words:
    """Say how often somebody else of the household or office answered.

    >>> tell_others(3)
    Words(en='someone else answered 3 times', ja='本人以外が3回応答')
    """
    return Words(f"someone else answered {count_times(n)}", f"本人以外が{n}回応答")


def tell_untried(part: int) -> Words:
    """Say that the person has never been dialled in a part of the week.

    >>> tell_untried(5)
    Words(en='not dialled yet on weekends and holidays around noon', ja='休日昼は未架電')
    """
    return Words(f"not dialled yet {_PARTS_EN[part]}", f"{_PARTS_JA[part]}は未架電")


def tell_few(n: int) -> Words:
    """Say that there have been few dials.

    >>> tell_few(2)
    Words(en='dialled only twice so far', ja='架電はまだ2回')
    """
    return Words(f"dialled only {count_times(n)} so far", f"架電はまだ{n}回")


def tell_rest(days: int) -> Words:
    """Say how many days lie between the last dial and this one; 1: it was yesterday.

    >>> tell_rest(9)
    Words(en='rested 9 days since the last dial', ja='前回架電から9日')
    """
    return Words(f"rested {days} {'day' if days == 1 else 'days'} since the last dial", f"前回架電から{days}日")


def tell_hour(slot_start: pd.Timestamp) -> Words:
    """Say that a slot is a good one for this person.

    >>> tell_hour(pd.Timestamp("2026-11-24 18:00"))
    Words(en='Tue 18:00 is a good hour', ja='火曜18時はつながりやすい')
    """
    day, minute = slot_start.weekday(), f"{slot_start.minute}分" if slot_start.minute else ""
    english = f"{_WEEKDAYS_EN[day]} {slot_start:%H:%M} is a good hour"
    return Words(english, f"{_WEEKDAYS_JA[day]}曜{slot_start.hour}時{minute}はつながりやすい")


def tell_promise(callback_at: pd.Timestamp) -> Words:
    """Say that the person was promised a call at this time.

    >>> tell_promise(pd.Timestamp("2026-11-24 18:30"))
    Words(en='call-back promised for Tue 18:30', ja='火曜18:30に再架電の約束')
    """
    day, clock = callback_at.weekday(), f"{callback_at:%H:%M}"
    return Words(f"call-back promised for {_WEEKDAYS_EN[day]} {clock}", f"{_WEEKDAYS_JA[day]}曜{clock}に再架電の約束")


def tell_segment(levels: Mapping[str, str | Band], part: int) -> Words:
    """Say that people of a kind answer well in a part of the week.

    Parameters
    ----------
    levels
        Attribute to its value, or the band that a number lies in. ``age``, ``gender`` and ``region`` have words of
        their own, any other attribute is named.

    Examples
    --------
    >>> tell_segment({"age": Band(40, 50), "gender": "female", "region": "Tokyo"}, 3)
    Words(en='women in their forties in Tokyo answer well on weekday evenings', ja='東京の40代女性は平日夜によく応答')
    >>> tell_segment({"plan": "gold"}, 0).ja
    'planがgoldの顧客は平日午前によく応答'
    """
    people = _name_people(levels)
    return Words(f"{people.en} answer well {_PARTS_EN[part]}", f"{people.ja}は{_PARTS_JA[part]}によく応答")


def _name_people(levels: Mapping[str, str | Band]) -> Words:
    noun = Words("people", "")
    age = place = Words("", "")
    others = []
    for name, level in levels.items():
        if name == "gender" and level in _GENDERS:
            noun = Words(*_GENDERS[str(level)])
        elif name == "age" and isinstance(level, Band):
            age = _name_age(level)
        elif name == "region" and isinstance(level, str):
            place = Words(*name_region(level))
        else:
            others.append(_name_other(name, level))
    with_others = " and ".join(words.en for words in others)
    english = [noun.en, age.en, with_others and f"with {with_others}", place.en and f"in {place.en}"]
    tail = f"{age.ja}の{noun.ja}" if age.ja and noun.ja and not age.ja.endswith("代") else age.ja + noun.ja or "顧客"
    origin = [place.ja and f"{place.ja}の", *(f"{words.ja}の" for words in others)]
    return Words(" ".join(part for part in english if part), "".join(origin) + tail)


def _name_age(band: Band) -> Words:
    if band.low is None:
        return Words(f"under {band.high:.0f}", f"{band.high:.0f}歳未満")
    if band.high is None:
        return Words(f"aged {band.low:.0f} or over", f"{band.low:.0f}歳以上")
    if band.low in _DECADES and band.high == band.low + 10:
        return Words(f"in their {_DECADES[int(band.low)]}", f"{band.low:.0f}代")
    return Words(f"aged {band.low:.0f} to {band.high - 1:.0f}", f"{band.low:.0f}〜{band.high - 1:.0f}歳")


def _name_other(name: str, level: str | Band) -> Words:
    shown = name.replace("_", " ")
    if isinstance(level, str):
        return Words(f"{shown} {level}", f"{shown}が{level}")
    low, high = (None if end is None else f"{end:.6g}" for end in level)
    if low is None:
        return Words(f"{shown} under {high}", f"{shown}が{high}未満")
    if high is None:
        return Words(f"{shown} of {low} or more", f"{shown}が{low}以上")
    return Words(f"{shown} from {low} to under {high}", f"{shown}が{low}以上{high}未満")
