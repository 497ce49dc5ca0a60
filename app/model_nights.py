"""GET /nights: tonight's rivals, gate, calibration, drift and gains, and the nights one beside the other."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from app.nights import OpenNight
from app.progress import name_stage
from app.rendering import choose_language, read_words, render, speak
from app.verdicts import translate_verdict
from pipelines.exports.figures import draw_calibration
from pipelines.exports.history import build_core, read_history
from pipelines.exports.sentences import judge_gain
from pipelines.progress import read_failure
from pipelines.servers import find_pages

N_NIGHTS_SHOWN = 60
N_WEEKS_SHOWN = 13
TRACK_WIDTH = 120.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1", "testserver")
_SHORT_SECONDS = 120
_WIDEST = math.log(4.0)

router = APIRouter()


@dataclass(frozen=True)
class Gain:
    """A gain with its 90 % interval, judged, and where it lies on a track of 120 units (None where not known)."""

    ratio: float | None
    low: float | None
    high: float | None
    basis: str
    verdict: str
    track: dict[str, float] | None


@router.get("/nights")
def show_nights(request: Request) -> HTMLResponse:
    """Show what the newest night found about its models, and the nights before it."""
    nights = request.app.state.nights
    night, language = nights.current(), choose_language(request)
    record = night.night_record
    history = list_nights(read_history(nights.var / "runs"), record)
    model, reach = record["model"], find_reach([record["gains"], *(core["gains"] for core in history)])
    return render(
        request,
        "nights.html.jinja",
        night=night,
        record=record,
        model=model,
        verdict=translate_verdict(model["verdict"], language) if model.get("verdict") else None,
        failure=read_failure(nights.var),
        local_time=lambda seconds: datetime.fromtimestamp(seconds, night.zone),
        gains={name: judge(gain, reach) for name, gain in record["gains"].items()},
        rivals=group_rivals(model.get("rivals") or []),
        leads={lead["against"]: lead for lead in model.get("leads") or []},
        calibration=group_by_fold(model.get("calibration") or []),
        figures=draw_calibrations(model.get("calibration") or [], language),
        weeks=((record["drift"] or {}).get("calibration_by_week") or [])[-N_WEEKS_SHOWN:],
        history=[(core, judge(core["gains"].get("total") or {}, reach)) for core in history],
        links=list_links(request, night),
        name_stage=name_stage,
        name_input=lambda column: name_input(column, language),
        spell_seconds=lambda seconds: spell_seconds(seconds, language),
    )


def list_nights(history: Sequence[dict[str, Any]], record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The nights to show, newest first; the one that is shown is among them even where the history lacks it."""
    known = {core["run_id"]: core for core in history}
    known.setdefault(record["run_id"], build_core(record))
    newest_first = sorted(known.values(), key=lambda core: str(core["run_date"]), reverse=True)
    return newest_first[:N_NIGHTS_SHOWN]


def group_rivals(rivals: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rivals by fold, the best (smallest log loss) first.

    >>> folds = group_rivals([{"fold": "forward", "rival": "a", "log_loss": 0.4},
    ...                       {"fold": "forward", "rival": "b", "log_loss": 0.3}])
    >>> [rival["rival"] for rival in folds["forward"]]
    ['b', 'a']
    """
    judged = sorted(rivals, key=lambda rival: math.inf if rival["log_loss"] is None else rival["log_loss"])
    return group_by_fold(judged)


def group_by_fold(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows by their fold, in the order in which folds first occur by name."""
    return {fold: [row for row in rows if row["fold"] == fold] for fold in sorted({row["fold"] for row in rows})}


def draw_calibrations(calibration: Sequence[dict[str, Any]], language: str) -> dict[str, Markup]:
    """Draw the calibration of each fold, labelled in the reader's language."""
    said = {part: speak(f"night_calibration_{part}", language, p="{p}", rate="{rate}", n="{n}") for part in _DRAWN}
    return {fold: draw_calibration(pd.DataFrame(rows), said=said) for fold, rows in group_by_fold(calibration).items()}


_DRAWN = ("name", "predicted", "observed", "bin")


def judge(gain: Mapping[str, Any], reach: float) -> Gain:
    """Judge a gain and place it on the track.

    >>> judge({"ratio": 1.1, "low": 1.02, "high": 1.2, "basis": "model"}, math.log(1.2)).verdict
    'gain'
    """
    verdict = judge_gain(dict(gain))
    ends = {name: gain.get(name) for name in ("ratio", "low", "high")}
    track = None
    if verdict != "unknown":
        track = {name: place(float(end), reach) for name, end in ends.items() if end is not None}
    return Gain(ends["ratio"], ends["low"], ends["high"], str(gain.get("basis") or ""), verdict, track)


def place(ratio: float, reach: float) -> float:
    """Place a ratio on a logarithmic track of 120 units whose middle is 1.0; what lies beyond ends at the edge.

    >>> place(1.0, math.log(2)), place(2.0, math.log(2)), place(9.0, math.log(2))
    (60.0, 114.0, 114.0)
    """
    side = math.log(ratio) / reach if ratio > 0 else -1.0
    return round(TRACK_WIDTH / 2 + max(-1.0, min(1.0, side)) * (TRACK_WIDTH / 2 - 6), 1)


def find_reach(gains: Sequence[Mapping[str, Any]]) -> float:
    """How far the track reaches to both sides of 1.0, in logarithms: as far as the widest interval, at most to × 4."""
    ends = [gain.get(end) for parts in gains for gain in parts.values() for end in ("low", "high")]
    widest = max((abs(math.log(end)) for end in ends if end is not None and end > 0), default=0.0)
    return min(max(widest, math.log(1.1)), _WIDEST)


def name_input(column: str, language: str) -> str:
    """Name an input of the model in the reader's language; an attribute of the centre's own keeps its name.

    >>> name_input("hour_of_week", "ja"), name_input("occupation", "ja")
    ('曜日・時刻', 'occupation')
    """
    return speak(f"input_{column}", language) if f"input_{column}" in read_words() else column.replace("_", " ")


def spell_seconds(seconds: float | None, language: str) -> str:
    """Spell how long a night took: in minutes from two minutes on.

    >>> spell_seconds(706.4, "en"), spell_seconds(31.2, "en"), spell_seconds(None, "en")
    ('12 min', '31 s', '–')
    """
    if seconds is None:
        return "–"
    if seconds < _SHORT_SECONDS:
        return speak("night_seconds_short", language, seconds=f"{seconds:.0f}")
    return speak("night_minutes", language, minutes=f"{seconds / 60:.0f}")


def list_links(request: Request, night: OpenNight) -> dict[str, str]:
    """Addresses of the pages of MLflow and Prefect; those on loopback only for a reader who sits at this machine."""
    found = find_pages(request.app.state.settings.mlflow.tracking_uri, is_near=request.url.hostname in _LOOPBACK)
    model = night.record["model"]
    if "mlflow" in found and str(model["version"]).isdigit():
        found["mlflow"] += f"/#/models/{model['name']}/versions/{model['version']}"
    return found
