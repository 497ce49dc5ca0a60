"""What the report, run.json and the terminal say about drift."""

import json
from dataclasses import replace
from io import StringIO
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from models.contact.drift import Drift
from models.contact.fitting import FittedNight
from models.contact.habits import Habits
from models.contact.reliability import compare_groups, compare_slots, compare_weeks
from models.contact.stability import compare_shares
from pipelines.exports import build_report, figures
from pipelines.exports.drift import build_gap_map
from pipelines.exports.record import as_plain, build_record, spell_record
from pipelines.night import Night
from pipelines.results import tell_notes
from pipelines.summary import tell_model
from pipelines.train import NightModel
from tests.test_report import night as night

MOVED = Habits(
    "moved",
    "habits have moved: last week people were reached 18 % less often than expected on weekday evenings "
    "(90 % interval 9 to 26 %)",
    pd.DataFrame({"look": ["hour"], "weeks": [1], "n_cells": [48], "noise": [1.0], "size": [4.0], "p_value": [0.001]}),
    0.005,
)


@pytest.fixture(scope="module")
def drift() -> Drift:
    rng = np.random.default_rng(1)
    n = 4000
    weeks_ago, p = rng.integers(0, 10, n), rng.uniform(0.05, 0.2, n)
    hour, weekday = rng.integers(9, 21, n), rng.integers(0, 5, n)
    is_contact = rng.random(n) < np.where(hour == 9, 3 * p, p)
    dials = pd.DataFrame({"hour_of_week": weekday * 24 + hour, "part": np.digitize(hour, (12, 15, 18))})
    weeks = compare_weeks(weeks_ago, np.datetime64("2026-11-02"), p, is_contact)
    stability = [
        {"input": name, **compare_shares(np.array([90.0, 10]), np.array([50.0, b]))}
        for name, b in (("a_b", 5), ("c", 50))
    ]
    segments = compare_groups(rng.choice(["<b>·male", "other"], n), p, is_contact).rename(columns={"group": "segment"})
    return Drift(
        pd.DataFrame(stability),
        weeks.assign(is_held_out=weeks["week_start"] == weeks["week_start"].max()),
        compare_slots(dials, p, is_contact),
        segments,
        MOVED,
    )


def test_the_section_tells_the_alarm_the_weeks_and_what_was_moved(night: Night, drift: Drift) -> None:
    page = build_report(replace(night, drift=drift)).replace("\N{NO-BREAK SPACE}", " ")
    section = page[page.index('id="drift"') : page.index('id="card"')]
    assert "Habits have moved: last week people were reached 18 % less often" in section
    assert section.count("<svg") == 2
    assert "Other dials are made than before: c (moved)." in section
    assert "&lt;b&gt;·male" in section
    assert "nan" not in section


def test_a_night_that_fits_nothing_says_so(night: Night) -> None:
    page = build_report(night)
    assert "Nothing was measured: no model was fitted tonight, or the newest days hold no dial." in page


def test_only_what_noise_does_not_explain_is_shaded(drift: Drift) -> None:
    heat = build_gap_map(drift.slots)
    rows = dict(heat.rows)
    nine, every = rows["09:00"][-1], [cell for _, cells in heat.rows[1:-1] for cell in cells if cell is not None]
    assert nine is not None
    assert nine.shade is not None
    assert nine.shade >= 7
    assert nine.text.startswith("+")
    assert sum(cell.shade is not None for cell in every) <= 0.3 * len(every)
    assert all(cell.shade is None for cell in every if cell.is_thin)


def test_every_week_has_a_point_and_late_or_early_weeks_are_marked(drift: Drift) -> None:
    drawn = figures.draw_weeks(drift.weeks)
    off = (drift.weeks["contact_rate"] < drift.weeks["low"]) | (drift.weeks["contact_rate"] > drift.weeks["high"])
    assert drawn.count("<circle") == len(drift.weeks)
    assert drawn.count('class="point loss"') == off.sum()


def test_the_record_holds_it_as_strict_json(night: Night, drift: Drift) -> None:
    written = json.loads(spell_record(build_record(replace(night, drift=drift))))["drift"]
    assert written["habits"]["verdict"] == "moved"
    assert written["calibration_by_week"][-1]["is_held_out"] is True
    assert {row["input"] for row in written["psi"]} == {"a_b", "c"}
    assert written["metrics"] == as_plain(drift.metrics)
    assert json.loads(spell_record(build_record(night)))["drift"] is None


def test_the_warning_is_among_the_notes_and_on_the_terminal(drift: Drift) -> None:
    steady = replace(drift, habits=replace(MOVED, verdict="steady"))
    none = cast(Any, None)
    rivals = pd.DataFrame(columns=["rival", "fold", "log_loss", "auc", "calibration_error"])
    fitted = FittedNight(none, none, rivals, none, none, none, {}, {}, drift=drift)
    chosen = NightModel(none, "m", "1", fitted, "the champion plans")
    assert tell_notes(chosen) == ("the champion plans", MOVED.sentence)
    assert tell_notes(replace(chosen, fitted=replace(fitted, drift=steady))) == ("the champion plans",)
    assert tell_notes(NightModel(none, "m", "1", None)) == ()
    console = Console(record=True, width=200, file=StringIO())
    tell_model(chosen, console)
    assert f"warning: {MOVED.sentence}" in console.export_text()
