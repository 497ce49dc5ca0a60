"""The measures a call centre steers by, counted from attempts: rates by weekday, hour and segment, with their counts.

The names and formulas are those of the field: connect rate, keyman contact rate (RPC rate), conversion rate. A log
shows whom supervisors chose to call when, so a rate here describes the past and proves no cause.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from features.outcomes import CONNECTED, CONTACT

COUNTS = ("attempts", "connects", "keyman_contacts", "conversions")
UNKNOWN = "unknown"
_OLDEST_BAND = 80
_Z_90 = 1.6448536269514722


def build_rates(attempts: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Count attempts and the rates made of them, per group.

    Parameters
    ----------
    attempts
        One row per dial with ``outcome`` (str), ``converted`` (bool) and the columns named in ``by``.
    by
        Columns of the groups; none means one row for everything.

    Returns
    -------
    DataFrame
        One row per group that occurs, sorted by ``by``: the columns of ``by`` · attempts (dials) · connects (dials
        that a live person answered) · keyman_contacts · conversions · connect_rate = connects / attempts ·
        keyman_contact_rate = keyman_contacts / attempts · conversion_rate = conversions / keyman_contacts (NaN
        without contacts). Rates lie in [0, 1].

    Examples
    --------
    >>> dials = pd.DataFrame({"hour": [9, 9, 10, 10], "converted": [True, False, False, False],
    ...                       "outcome": ["keyman_contact", "no_answer", "no_answer", "busy"]})
    >>> build_rates(dials, ["hour"])[["hour", "attempts", "keyman_contact_rate", "conversion_rate"]]
       hour  attempts  keyman_contact_rate  conversion_rate
    0     9         2                  0.5              1.0
    1    10         2                  0.0              NaN
    """
    outcome = attempts["outcome"]
    marks = pd.DataFrame(
        {
            "attempts": np.int64(1),
            "connects": outcome.isin(list(CONNECTED)).astype("int64"),
            "keyman_contacts": (outcome == CONTACT).astype("int64"),
            "conversions": attempts["converted"].astype("int64"),
        },
        index=attempts.index,
    )
    if by:
        counts = marks.groupby([attempts[key] for key in by], observed=True, sort=True).sum().reset_index()
    else:
        counts = marks.sum().to_frame().T
    return counts.assign(
        connect_rate=_share(counts["connects"], counts["attempts"]),
        keyman_contact_rate=_share(counts["keyman_contacts"], counts["attempts"]),
        conversion_rate=_share(counts["conversions"], counts["keyman_contacts"]),
    )


def add_calling_time(attempts: pd.DataFrame) -> pd.DataFrame:
    """Add ``weekday`` (Monday 0) and ``hour`` (0-23) of ``attempted_at``, in the zone that the column carries.

    >>> dials = pd.DataFrame({"attempted_at": pd.to_datetime(["2026-11-20 18:30"]).tz_localize("Asia/Tokyo")})
    >>> add_calling_time(dials)[["weekday", "hour"]].values.tolist()
    [[4, 18]]
    """
    at = attempts["attempted_at"].dt
    return attempts.assign(weekday=at.day_of_week.astype("int8"), hour=at.hour.astype("int8"))


def band_ages(age: pd.Series) -> pd.Series:
    """Name the ten-year band of each age in years: "under 20", "20-29", ... "80+", or "unknown" for NaN.

    Returns an ordered categorical that keeps the index, so that groups come out youngest first and unknown last.

    >>> band_ages(pd.Series([18.0, 34.0, 95.0, float("nan")])).tolist()
    ['under 20', '30-39', '80+', 'unknown']
    """
    starts = range(20, _OLDEST_BAND, 10)
    names = ["under 20", *(f"{start}-{start + 9}" for start in starts), f"{_OLDEST_BAND}+", UNKNOWN]
    known = age.notna().to_numpy()
    years = np.where(known, age.to_numpy(dtype="float64", na_value=np.nan), 0.0)
    codes = np.where(known, np.digitize(years, [*starts, _OLDEST_BAND]), len(names) - 1)
    named = pd.Categorical.from_codes(codes.tolist(), categories=pd.Index(names), ordered=True)
    return pd.Series(named, index=age.index)


def add_rate_interval(rates: pd.DataFrame, hits: str = "keyman_contacts", trials: str = "attempts") -> pd.DataFrame:
    """Add ``low`` and ``high``: the 90 % Wilson score interval of ``hits / trials``, in [0, 1].

    References
    ----------
    Wilson (1927), "Probable inference, the law of succession, and statistical inference", JASA 22.

    Examples
    --------
    >>> add_rate_interval(pd.DataFrame({"keyman_contacts": [0, 50], "attempts": [10, 100]})).round(3)
       keyman_contacts  attempts    low   high
    0                0        10  0.000  0.213
    1               50       100  0.419  0.581
    """
    n = rates[trials].astype("float64")
    rate = _share(rates[hits], rates[trials])
    spread = _Z_90 * np.sqrt(rate * (1 - rate) / n + _Z_90**2 / (4 * n**2))
    middle, scale = rate + _Z_90**2 / (2 * n), 1 + _Z_90**2 / n
    return rates.assign(low=((middle - spread) / scale).clip(0, 1), high=((middle + spread) / scale).clip(0, 1))


def _share(part: pd.Series, whole: pd.Series) -> pd.Series:
    return part.astype("float64") / whole.astype("float64").where(whole > 0)
