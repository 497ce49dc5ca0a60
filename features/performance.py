"""What a centre's work is measured by, from sums over attempts: rates, handling times, pace, occupancy, abandonment.

The names and formulas are those of the field (GLOSSARY.md). Sums come in, whoever counted them; a measure whose parts
are not known is NaN, never zero.
"""

import pandas as pd

from features.measures import COUNTS

SUMS = (
    *COUNTS,
    "abandoned",
    "contacted_timed",
    "contacted_seconds",
    "other_timed",
    "other_seconds",
    "talks",
    "talk_seconds",
    "wraps",
    "wrap_seconds",
    "agent_attempts",
    "agent_hours",
    "busy_seconds",
)
"""Columns of sums that :func:`build_performance` reads."""

MEASURES = (
    "attempts",
    "connect_rate",
    "keyman_contact_rate",
    "conversion_rate",
    "aht_contacted_seconds",
    "aht_other_seconds",
    "att_seconds",
    "acw_seconds",
    "cph",
    "occupancy",
    "abandonment_rate",
)
"""The measures that :func:`build_performance` adds, in the order in which they are shown."""

LESS_IS_BETTER = frozenset(
    {"aht_contacted_seconds", "aht_other_seconds", "att_seconds", "acw_seconds", "occupancy", "abandonment_rate"}
)
"""Measures whose target is a most: handling times, abandonment, and occupancy, which burns people out near 100 %."""


def build_performance(sums: pd.DataFrame) -> pd.DataFrame:
    """Make the measures of the field from sums, row by row.

    Parameters
    ----------
    sums
        One row per group with the columns of ``SUMS``: attempts · connects · keyman_contacts · conversions ·
        abandoned (answered, then dropped before an agent came) · contacted_timed and other_timed (keyman contacts, and
        other attempts, whose talk or wrap time is known) · contacted_seconds and other_seconds (talk + wrap of
        those) · talks and talk_seconds (connects whose talk time is known) · wraps and wrap_seconds (attempts whose
        wrap time is known) · agent_attempts (whose agent is known) · agent_hours (hours of the clock in which an agent
        dialled, added up over agents) · busy_seconds (talk + wrap of those attempts).

    Returns
    -------
    DataFrame
        ``sums`` with the columns of ``MEASURES``: connect_rate = connects / attempts; keyman_contact_rate =
        keyman_contacts / attempts; conversion_rate = conversions / keyman_contacts; aht_* = talk + wrap seconds per
        attempt; att_seconds = talk seconds per connect; acw_seconds = wrap seconds per attempt; cph = attempts /
        agent-hours; occupancy = busy seconds / agent seconds; abandonment_rate = abandoned / connects. NaN where the
        divisor is zero.

    Examples
    --------
    >>> day = pd.DataFrame([dict.fromkeys(SUMS, 0) | {"attempts": 24, "connects": 6, "keyman_contacts": 3,
    ...     "agent_attempts": 24, "agent_hours": 2, "busy_seconds": 5400}])
    >>> build_performance(day)[["keyman_contact_rate", "cph", "occupancy", "att_seconds"]].iloc[0].tolist()
    [0.125, 12.0, 0.75, nan]
    """
    return sums.assign(
        connect_rate=_divide(sums, "connects", "attempts"),
        keyman_contact_rate=_divide(sums, "keyman_contacts", "attempts"),
        conversion_rate=_divide(sums, "conversions", "keyman_contacts"),
        aht_contacted_seconds=_divide(sums, "contacted_seconds", "contacted_timed"),
        aht_other_seconds=_divide(sums, "other_seconds", "other_timed"),
        att_seconds=_divide(sums, "talk_seconds", "talks"),
        acw_seconds=_divide(sums, "wrap_seconds", "wraps"),
        cph=_divide(sums, "agent_attempts", "agent_hours"),
        occupancy=_divide(sums, "busy_seconds", "agent_hours") / 3600.0,
        abandonment_rate=_divide(sums, "abandoned", "connects"),
    )


def measure_gap(measure: str, reached: float, target: float) -> tuple[float, bool]:
    """How far a measure lies from its target, and whether the target is met.

    >>> measure_gap("keyman_contact_rate", 0.125, 0.12), measure_gap("occupancy", 0.9, 0.85)
    ((0.0050000000000000044, True), (0.050000000000000044, False))
    """
    gap = reached - target
    return gap, gap <= 0 if measure in LESS_IS_BETTER else gap >= 0


def _divide(sums: pd.DataFrame, part: str, whole: str) -> pd.Series:
    divisor = sums[whole].astype("float64")
    return sums[part].astype("float64") / divisor.where(divisor > 0)
