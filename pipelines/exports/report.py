"""``report.html``: what a night found and decided, in one file that opens without internet."""

from functools import cache
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from features.measures import add_calling_time, build_rates
from pipelines.exports import figures, heatmaps, sentences
from pipelines.exports.drift import tell_drift
from pipelines.exports.record import as_plain, compare_seats
from pipelines.exports.segments import build_segments
from pipelines.night import Night

HEAD_ROWS = 20
TOP_FEATURES = 15
TOP_SEATS = 8


def build_report(night: Night) -> str:
    """Write the report as one HTML page: styles and drawings inside, no script, no outside address.

    The page is the same for the same night. Text of the data is escaped.
    """
    context = _tell_result(night) | _tell_log(night) | _tell_plan(night) | _tell_model(night)
    context |= _tell_seats(night) | tell_drift(night) | _tell_run(night)
    return _build_environment().get_template("report.html.jinja").render(context)


@cache
def _build_environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipelines.exports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    spelling = {"count": sentences.count, "percent": sentences.percent, "decimal": sentences.decimal}
    environment.filters.update(spelling)
    return environment


def _tell_result(night: Night) -> dict[str, Any]:
    contacts, n_dials = night.plan.get("expected_contacts"), len(night.call_list)
    total = night.gains.get("total", {})
    order = [name for name in sentences.GAIN_MEANINGS if name in night.gains]
    gains = {name: night.gains[name] for name in order}
    return {
        "night": night,
        "run_date": night.as_of.date(),
        "headline": sentences.build_headline(night),
        "comparison": sentences.build_comparison(night),
        "verdict": sentences.judge_gain(total),
        "tiles": {
            "dials planned": sentences.count(n_dials),
            "customers planned": sentences.count(night.call_list["customer_id"].nunique()),
            "expected keyman contacts": sentences.count(contacts if contacts is not None else float("nan")),
            "expected per dial": sentences.percent(
                contacts / n_dials if contacts is not None and n_dials else float("nan")
            ),
            "against the historical way": sentences.build_gain_tile(total),
        },
        "gains": gains,
        "gain_meanings": sentences.GAIN_MEANINGS,
        "gain_verdicts": {name: sentences.judge_gain(gain) for name, gain in gains.items()},
        "basis": sentences.build_basis(gains),
        "gain_remarks": sentences.build_gain_remarks(gains),
        "off_policy": sentences.build_off_policy(night.fitted.off_policy if night.fitted else None),
        "forest": figures.draw_both(figures.draw_forest, gains),
    }


def _tell_log(night: Night) -> dict[str, Any]:
    attempts = night.tables.call_attempts
    timed = add_calling_time(attempts)
    overall = build_rates(attempts)
    return {
        "observed": heatmaps.build_observed_map(attempts),
        "ages": heatmaps.build_age_map(attempts, night.tables.customers),
        "segments": build_segments(night),
        "best_hour": sentences.build_best_hour(build_rates(timed, ["hour"])),
        "overall": as_plain(overall.iloc[0].to_dict()),
        "min_dials": sentences.MIN_DIALS,
        "log_from": attempts["attempted_at"].min(),
        "log_to": attempts["attempted_at"].max(),
    }


def _tell_plan(night: Night) -> dict[str, Any]:
    reasons = night.excluded["reason"].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    staffing = night.staffing
    hinted = staffing[staffing["hint"].fillna("hold") != "hold"]
    return {
        "plan_maps": heatmaps.build_plan_maps(night),
        "head": night.call_list.head(HEAD_ROWS).to_dict("records"),
        "reasons": {str(reason): int(number) for reason, number in reasons.items()},
        "reason_meanings": sentences.EXCLUDED_MEANINGS,
        "staffing_figure": figures.draw_both(figures.draw_staffing, night.staffing),
        "dearest": _rows(staffing.sort_values("seat_price", ascending=False, kind="stable").head(TOP_SEATS)),
        "cheapest": _rows(staffing.sort_values("seat_price", kind="stable").head(TOP_SEATS)),
        "hints": {str(hint): int(number) for hint, number in hinted["hint"].value_counts().sort_index().items()},
        "dials_given": float(staffing["dials_given"].sum()),
        "dials_recommended": float(staffing["dials_recommended"].sum()),
    }


def _tell_seats(night: Night) -> dict[str, Any]:
    roster = night.advice.roster if night.advice is not None else None
    told: dict[str, Any] = {
        "seats_sentence": sentences.build_seats(*compare_seats(night)) if night.advice is not None else "",
        "seat_map": heatmaps.build_seat_map(night),
        "roster_sentence": "",
        "away_figure": "",
    }
    if roster is not None and night.advice is not None and len(roster.shifts):
        priced = night.staffing[["slot_start", "seat_price"]]
        away = roster.away.merge(priced, on="slot_start", how="left")
        told["roster_sentence"] = sentences.build_roster(roster, night.advice.is_adopted)
        told["away_figure"] = figures.draw_both(figures.draw_away, away)
        told["shift_rows"] = _rows(roster.shifts)
    return told


def _tell_model(night: Night) -> dict[str, Any]:
    if night.fitted is None:
        return {"fitted": None}
    fitted = night.fitted
    folds = [str(fold) for fold in fitted.rivals["fold"].unique()]
    forward = fitted.calibration[fitted.calibration["fold"] == "forward"]
    return {
        "fitted": fitted,
        "rivals": {fold: _rows(fitted.rivals[fitted.rivals["fold"] == fold]) for fold in folds},
        "best": {fold: _name_best(fitted.rivals[fitted.rivals["fold"] == fold]) for fold in folds},
        "winners": [sentences.build_winner(fitted.rivals, fold, fitted.leads) for fold in folds],
        "gate": sentences.build_gate(night),
        "timing_honesty": sentences.build_timing_honesty(fitted.rivals),
        "calibration": figures.draw_calibration(forward if len(forward) else fitted.calibration),
        "importance": _rows(fitted.importance.head(TOP_FEATURES)),
        "time_share": sentences.build_time_share(fitted.importance),
    }


def _tell_run(night: Night) -> dict[str, Any]:
    rejects = night.report.rejects
    return {
        "rejected": rejects.groupby(["table", "column", "reason"])
        .size()
        .sort_values(ascending=False)
        .head(HEAD_ROWS)
        .to_dict(),
        "notes": [*night.report.notes, *night.notes],
        "plan_scalars": as_plain(night.plan),
        "source": as_plain(night.source),
    }


def _name_best(rivals: pd.DataFrame) -> str | None:
    judged = rivals.dropna(subset=["log_loss"]).sort_values("log_loss", kind="stable")
    return str(judged["rival"].iloc[0]) if len(judged) else None


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
