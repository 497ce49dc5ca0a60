"""The report's section on drift: what has moved, in sentences, a drawing by week, a heat map and two short tables."""

from typing import Any

import numpy as np
import pandas as pd

from models.contact.drift import Drift
from models.contact.reliability import mean_gap
from pipelines.exports.figures import draw_both, draw_weeks
from pipelines.exports.heatmaps import ALL, WEEKDAYS, Cell, HeatMap, shade
from pipelines.exports.sentences import MIN_DIALS, count, percent
from pipelines.night import Night

TOP_SEGMENTS = 12
MOST_WEEKS = 13
_LEAST_SCALE = 0.02


def tell_drift(night: Night) -> dict[str, Any]:
    """Collect what the section shows; ``drift`` is None when nothing was fitted tonight."""
    drift = night.drift
    if drift is None:
        return {"drift": None}
    return {
        "drift": drift,
        "drift_sentences": [_tell_habits(drift), _tell_newest_week(drift.weeks)],
        "weeks_figure": draw_both(draw_weeks, drift.weeks.tail(MOST_WEEKS)),
        "stability": drift.stability.to_dict("records"),
        "stability_sentence": _tell_stability(drift.stability),
        "gap_map": build_gap_map(drift.slots),
        "gap_sentences": [
            _tell_gaps("hours of the week", drift.slots[~drift.slots["is_pooled"]]),
            _tell_gaps("segments", drift.segments),
        ],
        "drift_segments": drift.segments.head(TOP_SEGMENTS).to_dict("records"),
    }


def build_gap_map(slots: pd.DataFrame) -> HeatMap:
    """Seen minus predicted contact rate, in points, by hour (rows) and weekday (columns).

    Only what noise brings less than one time in ten is shaded, on one scale to both sides of zero.

    Parameters
    ----------
    slots
        Of ``models.contact.drift.Drift``.
    """
    cells = _add_margins(slots[slots["weekday"].notna()])
    gap = cells["seen"] - cells["expected"]
    spread = 1.645 * np.sqrt(cells["variance"])
    is_thin, is_off = cells["n"] < MIN_DIALS, gap.abs() > spread
    rate = gap / cells["n"]
    end = max(float(rate[is_off & ~is_thin].abs().max()), _LEAST_SCALE) if bool((is_off & ~is_thin).any()) else 0.0
    placed = {
        (row, column): Cell(
            f"{100 * points:+.1f}",
            f"{row}, {column}: predicted {percent(p)}, seen {percent(seen)} of {count(n)} dials",
            shade(points, -end, end) if off and not thin else None,
            bool(thin),
        )
        for row, column, points, p, seen, n, off, thin in zip(
            cells["row"],
            cells["column"],
            rate,
            cells["expected"] / cells["n"],
            cells["seen"] / cells["n"],
            cells["n"],
            is_off,
            is_thin,
            strict=True,
        )
    }
    rows = [*sorted(set(cells["row"]) - {ALL}), ALL]
    columns = (*WEEKDAYS, ALL)
    laid = tuple((row, tuple(placed.get((row, column)) for column in columns)) for row in rows)
    ends = (f"{-100 * end:+.1f}", f"{100 * end:+.1f}") if end else ("", "")
    return HeatMap("Seen minus predicted contact rate, in points", "hour", columns, laid, *ends, bool(is_thin.any()))


def _add_margins(hours: pd.DataFrame) -> pd.DataFrame:
    """Row · column · n · expected · seen · variance (contacts), with sums over hours and weekdays as "all"."""
    n = hours["n"].astype("float64")
    inner = pd.DataFrame(
        {
            "row": [f"{hour:02d}:00" for hour in hours["hour"]],
            "column": [WEEKDAYS[day] for day in hours["weekday"]],
            "n": n,
            "expected": n * hours["p_mean"],
            "seen": n * hours["contact_rate"],
            "variance": (n * (hours["high"] - hours["p_mean"]) / 1.645) ** 2,
        }
    )
    grown = pd.concat([inner, inner.assign(row=ALL), inner.assign(column=ALL), inner.assign(row=ALL, column=ALL)])
    return grown.groupby(["row", "column"], as_index=False).sum()


def _tell_habits(drift: Drift) -> str:
    habits = drift.habits
    said = f"{habits.sentence[0].upper()}{habits.sentence[1:]}."
    if habits.verdict == "unknown":
        return said
    return (
        f"{said} {count(len(habits.looks))} looks at hours, parts of the week and attributes set the newest weeks "
        "against those before; all together they raise a false alarm on about one night in twenty, and "
        f"{percent(habits.p_value, 0)} of nights on which nothing moves look as telling as this one."
    )


def _tell_newest_week(weeks: pd.DataFrame) -> str:
    newest = weeks.iloc[-1]
    side = "as expected" if newest["low"] <= newest["contact_rate"] <= newest["high"] else "not as expected"
    return (
        f"In the week from {newest['week_start'].date()}, {percent(newest['contact_rate'])} of {count(newest['n'])} "
        f"dials reached the intended person, {side}: the model, which had "
        f"{'not seen that week' if newest['is_held_out'] else 'seen a part of that week'}, expected "
        f"{percent(newest['p_mean'])} ({percent(newest['low'])} to {percent(newest['high'])} nine times in ten)."
    )


def _tell_stability(stability: pd.DataFrame) -> str:
    moved = [f"{row['input']} ({row['verdict']})" for row in stability.to_dict("records") if row["verdict"] != "steady"]
    if not moved:
        return "The newest dials are of the same customers, hours and outcomes as those before."
    return f"Other dials are made than before: {', '.join(moved).replace('_', ' ')}. That alone is no change of habits."


def _tell_gaps(what: str, groups: pd.DataFrame) -> str:
    error, by_chance = mean_gap(groups)
    n_off = int(((groups["contact_rate"] < groups["low"]) | (groups["contact_rate"] > groups["high"])).sum())
    return (
        f"Over {count(len(groups))} {what}, thin ones pooled, the calibration error is {percent(error)} where chance "
        f"alone brings {percent(by_chance)}; {n_off} lie outside their 90 % interval where {0.1 * len(groups):.0f} "
        "should."
    )
