"""The report's drawn figures, each a pure function to SVG in a wide and a narrow cut, so that type stays legible."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from features.measures import add_rate_interval
from pipelines.exports.heatmaps import WEEKDAYS, find_scale, shade
from pipelines.exports.marks import draw, join, line, mark, titled, words
from pipelines.exports.sentences import count, decimal, judge_gain, percent

WIDTHS = {"wide": 1032.0, "narrow": 354.0}
_RATIO_TICKS = (0.25, 0.33, 0.5, 0.67, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)
AWAY_CLASSES = {"breaks": "away-breaks", "training": "away-training", "one_to_ones": "away-one-to-ones"}
CALIBRATION_WORDS = {
    "name": "Observed contact rate against predicted",
    "predicted": "predicted",
    "observed": "observed",
    "bin": "predicted {p}, observed {rate} of {n} dials",
}
_Scale = Callable[[float], float]


@dataclass(frozen=True)
class SeatWords:
    """What the staffing figure says, so that a page can say it in the reader's language.

    ``tell_day`` names a day (narrow: in little room), ``tell_slot`` says what a slot's row of staffing.csv holds.
    """

    name: str
    seat: str
    tell_day: Callable[[date, bool], str]
    tell_slot: Callable[[dict[str, Any]], str]


def draw_both(figure: Callable[..., Markup], *facts: Any) -> Markup:
    """Draw a figure in both cuts; the style sheet shows the one that fits the screen."""
    return join(*(figure(*facts, kind=kind) for kind in WIDTHS))


def draw_forest(gains: dict[str, dict[str, Any]], kind: str = "wide") -> Markup:
    """Draw the gains as points with 90 % intervals on a logarithmic axis of ratios; the line at 1.0 means no gain."""
    known = {name: gain for name, gain in gains.items() if judge_gain(gain) != "unknown"}
    width, left = WIDTHS[kind], 84.0 if kind == "narrow" else 120.0
    right, step = width - (16.0 if kind == "narrow" else 190.0), 44.0
    height = step * len(known) + 46
    ends = [0.9, 1.1, *(gain[key] for gain in known.values() for key in ("low", "high", "ratio") if gain[key] > 0)]
    low, high = math.log(min(ends) * 0.98), math.log(max(ends) * 1.02)
    across = _scale((low, high), (left, right))
    marks = _ratio_axis(lambda ratio: across(math.log(ratio)), math.exp(low), math.exp(high), height - 30)
    for i, (name, gain) in enumerate(known.items()):
        marks += _forest_row(name, gain, lambda ratio: across(math.log(max(ratio, math.exp(low)))), 22 + step * i, kind)
    return draw("Gains with 90 % intervals; 1.0 means no gain", width, height, kind, *marks)


def draw_staffing(staffing: pd.DataFrame, told: SeatWords | None = None, kind: str = "wide") -> Markup:
    """Draw dials given against dials recommended per slot, days side by side, with the seat price as a strip below."""
    told = told or _ENGLISH
    width, left, top, bottom = WIDTHS[kind], 44.0, 14.0, 240.0 if kind == "wide" else 190.0
    slots = staffing.reset_index(drop=True)
    if slots.empty:
        return Markup("")
    step = (width - left - 4) / len(slots)
    peak = max(float(slots[["dials_given", "dials_recommended"]].to_numpy().max()), 1.0)
    down = _scale((0.0, peak), (bottom, top))
    marks = [line(left, down(tick), width, down(tick), "grid") for tick in _round_ticks(peak)]
    marks += [words(left - 6, down(tick) + 4, count(tick), "tick", "end") for tick in _round_ticks(peak)]
    marks.append(mark("path", d=_steps(slots["dials_given"], left, step, down, bottom), class_="given"))
    marks.append(mark("path", d=_steps(slots["dials_recommended"], left, step, down), class_="recommended"))
    marks += _seat_strip(slots, left, step, bottom + 12, told)
    marks += _day_marks(slots["slot_start"], left, step, top, bottom + 52, kind, told)
    marks += [
        titled(
            "rect",
            told.tell_slot(slot),
            x=left + step * i,
            y=top,
            width=step,
            height=bottom + 32 - top,
            class_="hover",
        )
        for i, slot in enumerate(_rows(slots))
    ]
    return draw(told.name, width, bottom + 62, kind, *marks)


def draw_away(away: pd.DataFrame, kind: str = "wide") -> Markup:
    """Draw agent-hours off the phone per slot, stacked: breaks, training, one-to-ones; seat price as a strip below.

    ``away``: slot_start · breaks · training · one_to_ones · seat_price (NaN where the centre does not dial).
    """
    width, left, top, bottom = WIDTHS[kind], 44.0, 14.0, 200.0 if kind == "wide" else 160.0
    slots = away.reset_index(drop=True)
    if slots.empty:
        return Markup("")
    step = (width - left - 4) / len(slots)
    stacked = slots[list(AWAY_CLASSES)].cumsum(axis=1)
    peak = max(float(stacked.to_numpy().max()), 1.0)
    down = _scale((0.0, peak), (bottom, top))
    marks = [line(left, down(tick), width, down(tick), "grid") for tick in _round_ticks(peak)]
    marks += [words(left - 6, down(tick) + 4, f"{tick:g}", "tick", "end") for tick in _round_ticks(peak)]
    for name, tone in AWAY_CLASSES.items():
        for i, (high, own) in enumerate(zip(stacked[name], slots[name], strict=True)):
            if own > 0:
                x, y, below = left + step * i + 0.5, down(high), down(high - own)
                marks.append(mark("rect", x=x, y=y, width=max(step - 1, 1.0), height=below - y, class_=tone))
    marks += _seat_strip(slots, left, step, bottom + 12, _ENGLISH)
    marks += _day_marks(slots["slot_start"], left, step, top, bottom + 52, kind, _ENGLISH)
    marks += [
        titled(
            "rect", _title_away(slot), x=left + step * i, y=top, width=step, height=bottom + 32 - top, class_="hover"
        )
        for i, slot in enumerate(_rows(slots))
    ]
    return draw("Agent-hours off the phone per slot, seat price below", width, bottom + 62, kind, *marks)


def draw_calibration(
    calibration: pd.DataFrame, kind: str = "wide", said: Mapping[str, str] = CALIBRATION_WORDS
) -> Markup:
    """Draw observed contact rate against predicted, ten bins with 90 % intervals; on the diagonal is right.

    ``said`` are the words in it, in another language than English.
    """
    side, left, bottom = 340.0, 46.0, 296.0
    bins = calibration.dropna(subset=["p_mean", "contact_rate"])
    if bins.empty:
        return Markup("")
    bins = add_rate_interval(bins.assign(hits=bins["contact_rate"] * bins["n"]), "hits", "n")
    peak = min(max(float(bins[["p_mean", "high"]].to_numpy().max()) * 1.08, 0.01), 1.0)
    across, down = _scale((0.0, peak), (left, side - 8)), _scale((0.0, peak), (bottom, 12.0))
    marks = [line(across(0), down(0), across(peak), down(peak), "diagonal")]
    for tick in _round_ticks(peak):
        marks += [line(left, down(tick), side - 8, down(tick), "grid")]
        marks += [words(left - 6, down(tick) + 4, _spell_tick(tick), "tick", "end")]
        marks += [words(across(tick), bottom + 18, _spell_tick(tick), "tick", "middle")]
    for row in _rows(bins):
        x, title = across(row["p_mean"]), _title_bin(row, said["bin"])
        marks.append(line(x, down(row["low"]), x, down(row["high"]), "interval gain"))
        marks.append(titled("circle", title, cx=x, cy=down(row["contact_rate"]), r=5, class_="point gain"))
    marks.append(words((left + side) / 2, bottom + 38, said["predicted"], "axis", "middle"))
    marks.append(words(left - 34, 8, said["observed"], "axis"))
    return draw(said["name"], side, bottom + 44, kind, *marks)


def draw_weeks(weeks: pd.DataFrame, kind: str = "wide") -> Markup:
    """Draw per week the contact rate seen (point) and the interval in which nine of ten should lie (bar)."""
    width, left, top, bottom = WIDTHS[kind], 46.0, 12.0, 190.0 if kind == "wide" else 160.0
    low, high = find_scale(pd.concat([weeks["low"], weeks["high"], weeks["contact_rate"]]))
    margin = 0.1 * (high - low)
    down, step = _scale((max(low - margin, 0.0), high + margin), (bottom, top)), (width - left - 4) / len(weeks)
    every_tick = _round_ticks(high - low + 2 * margin)[1]
    ticks = [k * every_tick for k in range(1, 200) if low - margin <= k * every_tick <= high + margin]
    marks = [line(left, down(tick), width, down(tick), "grid") for tick in ticks]
    marks += [words(left - 6, down(tick) + 4, _spell_tick(tick), "tick", "end") for tick in ticks]
    every = 1 if kind == "wide" else max(math.ceil(len(weeks) / 4), 1)
    for i, week in enumerate(_rows(weeks)):
        x, start = left + step * (i + 0.5), week["week_start"]
        tone = "gain" if week["low"] <= week["contact_rate"] <= week["high"] else "loss"
        marks.append(line(x, down(week["low"]), x, down(week["high"]), "interval expected"))
        marks.append(line(x - 7, down(week["p_mean"]), x + 7, down(week["p_mean"]), "expected-mean"))
        marks.append(
            titled("circle", _title_week(week), cx=x, cy=down(week["contact_rate"]), r=5, class_=f"point {tone}")
        )
        if (len(weeks) - 1 - i) % every == 0:
            marks.append(words(x, bottom + 20, f"{start:%b} {start.day}", "tick", "middle"))
    return draw("Contact rate expected and seen by week", width, bottom + 28, kind, *marks)


def _forest_row(name: str, gain: dict[str, Any], across: _Scale, y: float, kind: str) -> list[Markup]:
    verdict, said = judge_gain(gain), f"{decimal(gain['low'])} to {decimal(gain['high'])}"
    title = f"{name}: {decimal(gain['ratio'])}, 90 % interval {said}"
    x, size = across(gain["ratio"]), 8.0 if name == "total" else 5.5
    emphasis = " total" if name == "total" else ""
    marks = [words(0, y + 5, name.capitalize(), f"name{emphasis}")]
    marks += [line(across(gain["low"]), y, across(gain["high"]), y, f"interval {verdict}")]
    if name == "total":
        corners = f"{x - size:.1f},{y:.1f} {x:.1f},{y - size:.1f} {x + size:.1f},{y:.1f} {x:.1f},{y + size:.1f}"
        marks += [titled("polygon", title, points=corners, class_=f"point {verdict}")]
    else:
        marks += [titled("circle", title, cx=x, cy=y, r=size, class_=f"point {verdict}")]
    if kind == "wide":
        marks += [words(WIDTHS[kind], y + 5, f"{decimal(gain['ratio'])}  ({said})", f"figure-text{emphasis}", "end")]
    else:
        marks += [words(0, y + 19, f"{decimal(gain['ratio'])}", f"tick{emphasis}")]
    return marks


def _ratio_axis(across: _Scale, low: float, high: float, bottom: float) -> list[Markup]:
    marks: list[Markup] = []
    taken = -math.inf
    for tick in (tick for tick in _RATIO_TICKS if low <= tick <= high):
        x = across(tick)
        if tick == 1.0 or (x - taken > 38 and abs(x - across(1.0)) > 52):
            marks.append(line(x, 2, x, bottom, "unity" if tick == 1.0 else "grid"))
            marks.append(words(x, bottom + 17, "no gain 1.0" if tick == 1.0 else f"{tick:g}", "tick", "middle"))
            taken = x
    return marks


def _seat_strip(slots: pd.DataFrame, left: float, step: float, y: float, told: SeatWords) -> list[Markup]:
    prices = slots["seat_price"].astype("float64").fillna(0.0)
    low, high = float(prices.min()), float(prices.max())
    marks = [words(left - 6, y + 14, told.seat, "tick", "end")]
    for i, price in enumerate(prices):
        tone = f"cell q{shade(price, low, high)}"
        marks.append(mark("rect", x=left + step * i, y=y, width=step + 0.3, height=20, class_=tone))
    return marks


def _day_marks(
    starts: pd.Series, left: float, step: float, top: float, y: float, kind: str, told: SeatWords
) -> list[Markup]:
    marks: list[Markup] = []
    days = starts.dt.date
    firsts = np.flatnonzero((days != days.shift()).to_numpy())
    for first, following in zip(firsts, [*firsts[1:], len(days)], strict=True):
        name, x = told.tell_day(days.iloc[first], kind == "narrow"), left + step * float(first)
        if first:
            marks.append(line(x, top, x, y - 18, "day"))
        if step * float(following - first) > 26:
            marks.append(words(x + step * float(following - first) / 2, y, name, "tick", "middle"))
    return marks


def _name_day(day: date, is_narrow: bool) -> str:
    return WEEKDAYS[day.weekday()] if is_narrow else f"{WEEKDAYS[day.weekday()]} {day.day}"


def _title_slot(slot: dict[str, Any]) -> str:
    start = slot["slot_start"]
    return (
        f"{WEEKDAYS[start.weekday()]} {start:%m-%d %H:%M}: {count(slot['dials_given'])} given, "
        f"{count(slot['dials_recommended'])} recommended, seat price {decimal(slot['seat_price'])}"
    )


def _title_away(slot: dict[str, Any]) -> str:
    start = slot["slot_start"]
    hours = ", ".join(f"{name.replace('_', '-')} {decimal(slot[name], 1)}" for name in AWAY_CLASSES)
    price = decimal(slot["seat_price"])
    return f"{WEEKDAYS[start.weekday()]} {start:%m-%d %H:%M}: agent-hours in {hours}; seat price {price}"


def _steps(values: pd.Series, left: float, step: float, down: _Scale, base: float | None = None) -> str:
    """Spell a step line over the slots as an SVG path, closed down to ``base`` when that is given."""
    points = [f"{left + step * (i + side):.1f},{down(float(v)):.1f}" for i, v in enumerate(values) for side in (0, 1)]
    path = "M" + " L".join(points)
    if base is None:
        return path
    return f"M{left:.1f},{base:.1f} L{path[1:]} L{left + step * len(values):.1f},{base:.1f} Z"


def _scale(source: tuple[float, float], target: tuple[float, float]) -> _Scale:
    slope = (target[1] - target[0]) / (source[1] - source[0])
    return lambda value: target[0] + (float(value) - source[0]) * slope


def _round_ticks(peak: float) -> Sequence[float]:
    """Three to six round numbers from zero up to ``peak``."""
    rough = peak / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough)
    return [step * i for i in range(int(peak / step + 1e-9) + 1)]


def _title_bin(row: dict[str, Any], said: str) -> str:
    return said.format(p=percent(row["p_mean"]), rate=percent(row["contact_rate"]), n=count(row["n"]))


def _title_week(week: dict[str, Any]) -> str:
    return (
        f"week from {week['week_start'].date()}: {percent(week['contact_rate'])} of {count(week['n'])} dials seen, "
        f"{percent(week['p_mean'])} expected ({percent(week['low'])} to {percent(week['high'])})"
    )


def _spell_tick(share: float) -> str:
    return f"{100 * share:g} %"


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


_ENGLISH = SeatWords("Dials given and recommended per slot, seat price below", "seat", _name_day, _title_slot)
