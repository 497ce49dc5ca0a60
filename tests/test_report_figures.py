"""The report's shaded tables and drawings: what they show, and what they refuse to exaggerate."""

import re

import numpy as np
import pandas as pd
import pytest

from pipelines.exports import figures, sentences
from pipelines.exports.heatmaps import build_age_map, build_observed_map, find_scale, shade

ZONE = "Asia/Tokyo"
GAINS = {
    "timing": {"ratio": 1.043, "low": 0.991, "high": 1.094, "basis": "model"},
    "list": {"ratio": 1.212, "low": 1.171, "high": 1.258, "basis": "model"},
    "staffing": {"ratio": 0.93, "low": 0.9, "high": 0.96, "basis": "model"},
    "total": {"ratio": 1.176, "low": 1.1, "high": 1.25, "basis": "model"},
}
STAFFING = pd.DataFrame(
    {
        "slot_start": pd.date_range("2026-11-02 10:00", periods=30, freq="h", tz=ZONE),
        "dials_given": [40] * 20 + [20] * 10,
        "dials_recommended": [35] * 20 + [30] * 10,
        "seat_price": np.linspace(0.2, 1.4, 30),
    }
)


def test_observed_cells_hold_the_rate_and_thin_ones_are_marked_and_left_unshaded() -> None:
    monday = pd.Timestamp("2026-10-05 10:00", tz=ZONE)
    outcomes = ["keyman_contact"] * 30 + ["no_answer"] * 30 + ["keyman_contact"] * 2
    times = [monday] * 60 + [monday + pd.Timedelta(hours=2)] * 2
    log = pd.DataFrame({"attempted_at": times, "outcome": outcomes, "converted": False})
    heat = build_observed_map(log)
    assert heat is not None
    rows = dict(heat.rows)
    assert list(rows) == ["10:00", "11:00", "12:00", "all"]
    solid, thin = rows["10:00"][0], rows["12:00"][0]
    assert solid is not None
    assert thin is not None
    assert (solid.text, solid.is_thin, solid.title.replace("\N{NO-BREAK SPACE}", " ")) == (
        "50.0",
        False,
        "10:00, Mon: 50.0 %: 30 contacts of 60 dials",
    )
    assert (thin.text, thin.is_thin, thin.shade) == ("100.0", True, None)
    assert rows["11:00"][0] is None
    assert heat.has_thin
    assert build_observed_map(log.head(0)) is None


def test_small_differences_are_not_painted_as_large_ones() -> None:
    assert find_scale(pd.Series([0.10, 0.30])) == (0.10, 0.30)
    low, high = find_scale(pd.Series([0.10, 0.101]))
    assert shade(0.101, low, high) - shade(0.10, low, high) <= 1
    assert find_scale(pd.Series([], dtype="float64")) == (0.0, 0.0)


def test_the_forest_draws_every_measured_gain_and_skips_the_unknown() -> None:
    drawn = figures.draw_forest(GAINS)
    assert drawn.count("<title>") == 4
    assert drawn.count('class="point none"') == 1
    assert drawn.count('class="point loss"') == 1
    assert drawn.count("<polygon") == 1
    unknown = {**GAINS, "list": {"ratio": None, "low": None, "high": None, "basis": "model"}}
    assert figures.draw_forest(unknown).count("<title>") == 3


def test_the_staffing_figure_has_one_tooltip_per_slot_and_survives_an_empty_or_idle_week() -> None:
    assert figures.draw_staffing(STAFFING).count("<title>") == len(STAFFING)
    assert figures.draw_staffing(STAFFING.head(0)) == ""
    idle = STAFFING.assign(dials_given=0, dials_recommended=0, seat_price=np.nan)
    assert "nan" not in figures.draw_staffing(idle).replace("seat price –", "")


AWAY = pd.DataFrame(
    {
        "slot_start": pd.date_range("2026-11-02 10:00", periods=4, freq="h", tz=ZONE),
        "breaks": [0.0, 4.0, 2.0, 0.0],
        "training": [6.0, 0.0, 1.5, 0.0],
        "one_to_ones": [0.0, 0.0, 0.5, 0.0],
        "seat_price": [0.2, 0.3, np.nan, 0.9],
    }
)


def test_time_away_is_stacked_and_every_slot_has_a_tooltip() -> None:
    drawn = figures.draw_away(AWAY)
    assert [drawn.count(f'class="{tone}"') for tone in figures.AWAY_CLASSES.values()] == [2, 2, 1]
    assert drawn.count("<title>") == len(AWAY)
    assert "12:00: agent-hours in breaks 2.0, training 1.5, one-to-ones 0.5; seat price –" in drawn
    heights = [float(h) for h in re.findall(r'height="([\d.]+)" class="away-', drawn)]
    assert heights[0] / heights[1] == pytest.approx(4 / 2, rel=1e-3)
    assert figures.draw_away(AWAY.head(0)) == ""


def test_what_seats_bring_is_said_with_its_sign_and_not_at_all_when_unknown() -> None:
    assert "recommended 95 (−5.0" in sentences.build_seats(100.0, 95.0)
    assert sentences.build_seats(100.0, 100.0).startswith("No other seats were found")
    assert sentences.build_seats(float("nan"), 1.0) == ""


def test_calibration_points_on_the_diagonal_are_as_far_right_as_high() -> None:
    bins = pd.DataFrame({"fold": "forward", "n": 500, "p_mean": [0.1, 0.2], "contact_rate": [0.1, 0.2]})
    circles = re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', figures.draw_calibration(bins))
    (x1, y1), (x2, y2) = [(float(x), float(y)) for x, y in circles]
    assert (x2 - x1) / (y1 - y2) == pytest.approx((340 - 8 - 46) / (296 - 12), rel=1e-2)
    assert figures.draw_calibration(bins.head(0)) == ""


def test_ages_are_shown_youngest_first_and_the_unknown_only_in_the_margin() -> None:
    customers = pd.DataFrame({"age": np.array([71, 19, np.nan, 25], dtype="float32")})
    at = pd.DatetimeIndex(["2026-10-05 10:00"] * 5).tz_localize(ZONE)
    log = pd.DataFrame({"attempted_at": at, "outcome": "busy", "converted": False, "customer_row": [0, 0, 1, 2, 3]})
    heat = build_age_map(log, customers)
    assert heat is not None
    assert heat.columns == ("under 20", "20-29", "70-79", "all")
    titles = [cell.title.rsplit("of ")[-1] for cell in dict(heat.rows)["10:00"] if cell is not None]
    assert titles == ["1 dials", "1 dials", "2 dials", "5 dials"]
    assert build_age_map(log, customers.assign(age=np.float32("nan"))) is None


def test_the_best_hour_comes_with_its_interval_and_thin_hours_do_not_compete() -> None:
    rates = pd.DataFrame({"hour": [9, 18, 20], "attempts": [1000, 1000, 10], "keyman_contacts": [100, 120, 9]})
    rates = rates.assign(keyman_contact_rate=rates["keyman_contacts"] / rates["attempts"])
    said = sentences.build_best_hour(rates).replace("\N{NO-BREAK SPACE}", " ")
    assert "18:00, stands at 1.05 times the mean (90 % interval 0.91 to 1.21, and the best of 2" in said
    assert sentences.build_best_hour(rates.tail(1)) == "No hour has enough dials to be compared."
