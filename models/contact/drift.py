"""Drift of a night: whether inputs, calibration or habits of the newest days differ from the days before."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from configs.settings import Settings
from features.levels import name_levels
from features.table import DialLog, cut_nights
from models.contact.folds import Folds, is_recent
from models.contact.habits import Habits, judge_habits
from models.contact.model import ContactModel, build_rows, gather_evidence_of_dials
from models.contact.reliability import compare_segments, compare_slots, compare_weeks, mean_gap
from models.contact.stability import measure_stability

_MOST_EARLIER_ROWS = 150_000


@dataclass(frozen=True)
class Drift:
    """What has moved, and what has not.

    Attributes
    ----------
    stability
        Per input, see :func:`models.contact.stability.measure_stability`.
    weeks
        Contacts expected and seen per week, see :func:`models.contact.reliability.compare_weeks`, and is_held_out:
        whether nothing was learned from that week. Of the other weeks the model has seen the other dials, and of each
        dial's customer only what was known on a night before it.
    slots, segments
        The forward fold by hour of the week and by segment, see ``models.contact.reliability``.
    habits
        Whether the pattern of contacts has moved.
    """

    stability: pd.DataFrame
    weeks: pd.DataFrame
    slots: pd.DataFrame
    segments: pd.DataFrame
    habits: Habits

    @property
    def warning(self) -> str:
        """What people must be told: that habits have moved, else nothing."""
        return self.habits.sentence if self.habits.verdict == "moved" else ""

    @property
    def metrics(self) -> dict[str, float]:
        """Finite scalars to log, named ``drift.*``; a PSI less what noise alone would bring."""
        slots, by_chance_slots = mean_gap(self.slots[~self.slots["is_pooled"]])
        segments, by_chance_segments = mean_gap(self.segments)
        newest = self.weeks.iloc[-1]
        found = {
            "drift.psi_max": float(self.stability["excess"].max()),
            **{f"drift.psi.{row['input']}": float(row["excess"]) for row in self.stability.to_dict("records")},
            "drift.habits_moved": float(bool(self.warning)),
            "drift.habits_p_value": self.habits.p_value,
            "drift.newest_week_ratio": float(newest["contact_rate"] / newest["p_mean"]),
            "drift.calibration_error.slots": slots,
            "drift.calibration_error.slots_by_chance": by_chance_slots,
            "drift.calibration_error.segments": segments,
            "drift.calibration_error.segments_by_chance": by_chance_segments,
        }
        return {name: value for name, value in found.items() if np.isfinite(value)}


def measure_drift(
    model: ContactModel,
    log: DialLog,
    folds: Folds,
    as_of_day: np.datetime64,
    settings: Settings,
    rng: np.random.Generator,
) -> Drift | None:
    """Measure the drift of the forward fold against the recent days before it.

    Parameters
    ----------
    model
        Has learned nothing from ``folds.forward``.
    as_of_day
        Day of the night, datetime64[D].
    rng
        Draws the nights at which dials are cut, and the earlier dials where there are more than 150,000.

    Returns
    -------
    Drift or None
        None when no dial is in the forward fold, or none before it.
    """
    new = np.flatnonzero(folds.forward)
    before = np.flatnonzero(~folds.forward & is_recent(log, as_of_day, settings))
    if len(new) == 0 or len(before) == 0:
        return None
    if len(before) > _MOST_EARLIER_ROWS:
        before = np.sort(rng.choice(before, _MOST_EARLIER_ROWS, replace=False))
    rows = np.sort(np.concatenate([before, new]))
    p, is_contact, is_new = _predict(model, log, rows, rng), log.is_contact[rows], folds.forward[rows]
    dials, customers = log.dials.take(rows), log.history.customer_row[rows]
    weeks_ago = (as_of_day - dials["day"].to_numpy("datetime64[D]")).astype("int64") - 1
    weeks_ago //= 7
    levels = {name: name_levels(log.customers, name).take(customers) for name in settings.attributes}
    weeks = compare_weeks(weeks_ago, as_of_day, p, is_contact)
    return Drift(
        stability=measure_stability(log, new, before, settings),
        weeks=weeks.assign(is_held_out=[bool(is_new[weeks_ago == ago].all()) for ago in np.unique(weeks_ago)[::-1]]),
        slots=compare_slots(dials[is_new], p[is_new], is_contact[is_new]),
        segments=compare_segments(log, customers[is_new], p[is_new], is_contact[is_new], settings),
        habits=judge_habits(dials, levels, settings.segment_by, weeks_ago, p, is_contact, rng),
    )


def _predict(model: ContactModel, log: DialLog, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Probability of each dial as on a night zero to six days before it; (m,) float64."""
    cutoff, n_between = cut_nights(log, rows, rng)
    evidence = gather_evidence_of_dials(model.hierarchy, log, rows, cutoff, n_between)
    return model.predict_rows(build_rows(evidence, log.dials.take(rows), model.attributes)).astype("float64")
