"""Off-policy evaluation: what the newest days' outcomes say of the hours that the model would have chosen.

Beside ``gains.timing``, which the model values, this asks the log alone: had the first dials of the newest days, which
the judged model has not learned from, been moved towards the hours that it would choose for those customers, with as
many dials in every hour, how many more contacts would there have been? Where the log cannot bear an answer, it says so.
See docs/decisions/0007-off-policy.md.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import logit

from configs.settings import Settings
from features.calendar import seconds_of
from features.slots import build_slots
from features.table import DialLog, midnight_seconds
from models.contact.model import ContactModel, gather_evidence
from models.contact.policy_value import PolicyValue, soften, tilt_policy, value_policy
from models.contact.propensity import describe_known, estimate_propensity
from models.contact.scorer import Scorer

LEAST_EFFECTIVE = 1_000
"""Fewest effective dials that an answer may rest on: some 120 contacts, which are known to a seventh."""

LEAST_OVERLAP = 0.5
"""Least share of the hours that the model would choose that the log has tried for such customers."""

MEAN_WEIGHT_LIMITS = (0.8, 1.25)
"""Weights average 1; further off, the propensities are not those of the log, or leave out what the model would do."""

_MOST_DIALS = 30_000
_EFFECTIVE_SHARE, _MOST_SHARE = 0.5, 0.8
_TRIED = 0.2  # dialled there at least a fifth as often as others are
_SHARP = 0.01  # heat of the full move, as a share of the contact rate
_MOST_SHARP = 5_000


@dataclass(frozen=True)
class OffPolicy:
    """What the log says of the model's hours; ``value`` is None when it cannot say, and ``refusal`` tells why.

    Attributes
    ----------
    n_dials, n_days, logged_rate
        First dials of the newest days, one per customer; contacts per dial among them, NaN without dials.
    propensity_source
        "log" (estimated), "column" (given), "both", or "" when none was needed.
    value
        Of moving these dials towards the model's hours.
    model_ratio
        What the model, taken at its word, expects of that move.
    strength
        That move as a share of the full one, in contacts that the model expects; NaN where it expects none.
    overlap_share
        Share of the full move's hours that the log has tried for such customers; NaN before it is known.
    refusal
        Why there is no answer, with the numbers; empty when there is one.
    """

    n_dials: int
    n_days: int
    logged_rate: float = float("nan")
    propensity_source: str = ""
    value: PolicyValue | None = None
    model_ratio: float = float("nan")
    strength: float = float("nan")
    overlap_share: float = float("nan")
    refusal: str = ""

    @property
    def metrics(self) -> dict[str, float]:
        """Flat, ready to be logged; empty without an answer."""
        if self.value is None:
            return {}
        return {
            "off_policy.snips": self.value.snips.ratio,
            "off_policy.doubly_robust": self.value.doubly_robust.ratio,
            "off_policy.effective_dials": self.value.effective_dials,
        }


@dataclass(frozen=True)
class LoggedChoices:
    """One logged dial per customer, and what the log and the model say of every slot it might have had.

    Attributes
    ----------
    slots
        Of ``features.slots.build_slots``: the hours in which at least one of the dials was made.
    chosen : (n,) int
        Its slot row.
    is_contact : (n,) bool
    logged : (n, n_slots) float
        Chance of every slot under the past way, estimated.
    p : (n, n_slots) float
        Of the model.
    given : (n,) float
        Chance of the chosen slot as the table states it, NaN where it does not.
    """

    slots: pd.DataFrame
    chosen: np.ndarray
    is_contact: np.ndarray
    logged: np.ndarray
    p: np.ndarray
    given: np.ndarray

    @property
    def n_days(self) -> int:
        """Days that the dials come from."""
        return int(self.slots["slot_start"].dt.date.nunique())

    @property
    def places(self) -> np.ndarray:
        """Dials of each slot; (n_slots,) float."""
        return np.bincount(self.chosen, minlength=len(self.slots)).astype("float64")

    @property
    def propensity(self) -> np.ndarray:
        """Chance of the chosen slot: as given, else as estimated; (n,) float."""
        return np.where(np.isnan(self.given), self.logged[np.arange(len(self.chosen)), self.chosen], self.given)

    @property
    def propensity_source(self) -> str:
        """Where the chances of the chosen slots come from: "column", "log" or "both"."""
        is_given = ~np.isnan(self.given)
        return "column" if is_given.all() else "both" if is_given.any() else "log"


def measure_off_policy(
    model: ContactModel, log: DialLog, held_out: np.ndarray, settings: Settings, rng: np.random.Generator
) -> OffPolicy:
    """Ask the held-out days what the model's hours would have brought.

    Parameters
    ----------
    model
        Fitted without the held-out dials.
    log
        Its ``dials`` may have a column ``propensity``: the chance that the past way chose that slot.
    held_out : (n_dials,) bool
        The newest days, whole. Of each customer the first dial counts, with what was known when these days began; of
        more than 30,000 customers, as many drawn at random.
    """
    rows = find_first_dials(log, held_out)
    if len(rows) > _MOST_DIALS:
        rows = np.sort(rng.choice(rows, _MOST_DIALS, replace=False))
    n_days, n_contacts = log.dials["day"].take(rows).nunique(), int(log.is_contact[rows].sum())
    if len(rows) * _MOST_SHARE < LEAST_EFFECTIVE or n_contacts == 0:
        return OffPolicy(len(rows), n_days, n_contacts / max(len(rows), 1), refusal=_tell_few(len(rows), n_contacts))
    return judge_move(set_scene(model, log, rows, settings), settings, rng)


def find_first_dials(log: DialLog, held_out: np.ndarray) -> np.ndarray:
    """The first held-out dial of each customer who was listed when the held-out days began; (n,) sorted rows.

    Who came onto the list in between could not have been dialled on every day.
    """
    rows = np.flatnonzero(held_out)
    rows = rows[np.unique(log.history.customer_row[rows], return_index=True)[1]]
    if "listed_at" not in log.customers or len(rows) == 0:
        return rows
    listed = log.customers["listed_at"].take(log.history.customer_row[rows])
    since = np.where(listed.notna(), seconds_of(listed), np.iinfo("int64").min)
    return np.asarray(rows[(since < _find_begin(log, rows)) | (since > log.history.seconds[rows])])


def set_scene(model: ContactModel, log: DialLog, rows: np.ndarray, settings: Settings) -> LoggedChoices:
    """What was known of each dial's customer when the newest days began, and the chances of every slot dialled since.

    Parameters
    ----------
    rows : (n,) int
        Of :func:`find_first_dials`.
    """
    is_theirs = np.isin(log.history.customer_row, log.history.customer_row[rows])
    dials, is_contact = log.dials.take(rows), log.is_contact[rows]
    customers, n = log.history.customer_row[rows], len(rows)
    known_until, n_between = np.full(n, _find_begin(log, rows)), np.zeros(n, dtype="int64")
    evidence = gather_evidence(model.hierarchy, log.subset(is_theirs), customers, known_until, n_between)
    starts = _hour_starts(dials["attempted_at"])
    slots = build_slots(starts, settings)
    chosen = pd.DatetimeIndex(slots["slot_start"]).get_indexer(starts)
    p = Scorer(model, evidence, slots)(np.arange(n), 0).astype("float64")
    known = describe_known(evidence, logit(p).mean(axis=1))
    given = dials["propensity"].to_numpy("float64") if "propensity" in dials else np.full(n, np.nan)
    return LoggedChoices(slots, chosen, is_contact, estimate_propensity(known, slots, chosen), p, given)


def choose_move(scene: LoggedChoices) -> np.ndarray:
    """The way of choosing that goes towards the model's hours as far as the log bears it; (n, n_slots), rows sum to 1.

    It goes until half of the dials still count (Kish), or 1,000 of them if that is more.
    """
    share = max(_EFFECTIVE_SHARE, LEAST_EFFECTIVE / len(scene.chosen))
    heat = soften(scene.logged, scene.p, scene.chosen, scene.propensity, share)
    return tilt_policy(scene.logged, scene.p, scene.places, heat)


def judge_move(scene: LoggedChoices, settings: Settings, rng: np.random.Generator) -> OffPolicy:
    """Value the move towards the model's hours, or refuse."""
    target, n_resamples = choose_move(scene), settings.gains.n_resamples
    value = value_policy(target, scene.p, scene.chosen, scene.propensity, scene.is_contact, rng, n_resamples)
    overlap_share, full_ratio = _move_fully(scene)
    model_ratio = float((target * scene.p).sum() / (scene.logged * scene.p).sum())
    refusal = _refuse(value, overlap_share)
    return OffPolicy(
        n_dials=len(scene.chosen),
        n_days=scene.n_days,
        logged_rate=float(scene.is_contact.mean()),
        propensity_source=scene.propensity_source,
        value=None if refusal else value,
        model_ratio=model_ratio,
        strength=(model_ratio - 1) / (full_ratio - 1) if full_ratio > 1.001 else float("nan"),
        overlap_share=overlap_share,
        refusal=refusal,
    )


def _move_fully(scene: LoggedChoices) -> tuple[float, float]:
    """Share of the full move's hours that the log has tried, and the model's ratio of it; on some 5,000 dials."""
    n = len(scene.chosen)
    some = np.arange(0, n, max(n // _MOST_SHARP, 1))
    usual, p, logged = scene.places / n, scene.p[some], scene.logged[some]
    even = np.broadcast_to(usual, p.shape)
    sharp = tilt_policy(even, p, usual * len(some), _SHARP * float(p.mean()))
    tried = logged >= _TRIED * usual
    return float(sharp[tried].sum() / len(some)), float((sharp * p).sum() / (logged * p).sum())


def _refuse(value: PolicyValue, overlap_share: float) -> str:
    if overlap_share < LEAST_OVERLAP:
        return (
            f"overlap too thin: of the hours that the model would choose only {overlap_share:.0%} have been tried for "
            f"such customers; at least {LEAST_OVERLAP:.0%} needed"
        )
    low, high = MEAN_WEIGHT_LIMITS
    if not low <= value.mean_weight <= high:
        return (
            "overlap too thin: the chances that the log gave to its hours do not bear the move, the weights average "
            f"{value.mean_weight:.2f} where they must average 1"
        )
    if value.effective_dials < LEAST_EFFECTIVE:
        return (
            f"overlap too thin: effective sample of {value.effective_dials:,.0f} dials; at least {LEAST_EFFECTIVE:,} "
            "needed"
        )
    return ""


def _tell_few(n_dials: int, n_contacts: int) -> str:
    needed = int(np.ceil(LEAST_EFFECTIVE / _MOST_SHARE))
    return (
        f"overlap too thin: the newest days hold first dials to {n_dials:,} customers, with {n_contacts:,} contacts; "
        f"at least {needed:,} dials needed"
    )


def _find_begin(log: DialLog, rows: np.ndarray) -> int:
    """00:00 of the first day among the rows, in seconds since 1970."""
    days = log.dials["day"].to_numpy("datetime64[D]")[rows]
    return int(midnight_seconds(days.min()[None], str(log.dials["attempted_at"].dt.tz))[0])


def _hour_starts(instants: pd.Series) -> pd.DatetimeIndex:
    """The full local hour in which each instant lies, also where the clocks change."""
    into_hour = pd.to_timedelta(instants.dt.minute * 60 + instants.dt.second, unit="s")
    return pd.DatetimeIndex(instants - into_hour - pd.to_timedelta(instants.dt.microsecond, unit="us")).as_unit("us")
