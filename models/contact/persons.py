"""How easily, and at which hours of the week, each person answers: an online Bayesian filter of person effects.

Every customer has one effect per two-hour span of the week on the logit scale, drawn from N(0, ``prior``). Each dial
updates the customer's mean and covariance by moment matching (assumed-density filtering), failures as much as contacts,
and dials in one span teach about the others through the covariance. Because the likelihood is taken dial by dial, given
all that came before, it does not matter that contacts end a series or that supervisors chose who was called when.

Beside them there is a second kind: customers who are never reached at their number, because it is somebody else's or
dead. The filter keeps the chance that a customer is of that kind; every dial that fails raises it, by more or less
after what was heard, and a contact ends it.

Source: Opper, A Bayesian approach to on-line learning (1998); MacKay's probit approximation of the logistic (1992).
"""

from dataclasses import astuple, dataclass, fields

import numpy as np
from scipy.special import expit

from features.history import HALF_LIVES_DAYS, History
from features.slots import N_SPANS
from models.contact.assumed_density import advance, filter_all, follow_never, foresee

_MACKAY = np.pi / 8
_LEAST_P = 1e-6
_ODDS_TOLD = 1e3  # of a wrong number, which is all but certain


@dataclass(frozen=True)
class PriorVariances:
    """How much persons differ, in squared logits; the covariance is the sum of the four kinds.

    Attributes
    ----------
    level
        In everything alike: easy and hard people.
    time_of_day
        In mornings against evenings, the same on working and free days; neighbouring spans are alike.
    week
        In working days against free days.
    own
        In hours of working days and of free days by themselves; only the next spans are alike.
    """

    level: float = 0.4
    time_of_day: float = 0.15
    week: float = 0.05
    own: float = 0.05

    def covariance(self) -> np.ndarray:
        """(n_spans, n_spans) covariance of person effects.

        >>> float(PriorVariances(1.0, 0.0, 0.0, 0.5).covariance()[0, 0])
        1.5
        """
        span = np.arange(N_SPANS)
        apart = np.abs(span[:, None] % 6 - span % 6)
        same_week = span[:, None] // 6 == span // 6
        kinds = (np.ones((N_SPANS, N_SPANS)), np.exp(-0.4 * apart), same_week, same_week * np.exp(-0.8 * apart))
        return np.asarray(sum(v * kind for v, kind in zip(astuple(self), kinds, strict=True)))


def attenuate(variance: np.ndarray) -> np.ndarray:
    """Factor by which a logit shrinks when its variance is integrated out; same shape, in (0, 1].

    >>> float(attenuate(np.array([0.0]))[0])
    1.0
    """
    return np.asarray(1.0 / np.sqrt(1.0 + _MACKAY * variance), dtype="float32")


@dataclass(frozen=True)
class NeverReached:
    """Customers whom no dial reaches, whatever the hour: the number is somebody else's, or dead.

    Attributes
    ----------
    share
        Of all customers, before the first dial.
    p_told
        Chance that a dial to one of them is found out and noted as a wrong number.
    """

    share: float = 0.0
    p_told: float = 0.0

    def odds(self, history: History) -> np.ndarray:
        """P(outcome | never reached) over P(outcome | not reached this time) of every sorted dial; (n,) float."""
        return np.where(history.is_wrong_number, _ODDS_TOLD, 1.0 - self.p_told)

    def updated(self, chance: np.ndarray, p_reached: np.ndarray, n_failed: np.ndarray) -> np.ndarray:
        """Chance of being never reached after more failed dials, each to be reached with ``p_reached``; all broadcast.

        >>> round(float(NeverReached(0.1).updated(np.array(0.1), np.array(0.5), np.array(1))), 3)
        0.182
        """
        gone = chance * ((1.0 - self.p_told) / (1.0 - p_reached)) ** n_failed
        return np.asarray(gone / (gone + 1.0 - chance))


def join_kinds(logit: np.ndarray, never: np.ndarray) -> np.ndarray:
    """Log-odds of a contact from those of who can be reached and the chance that nobody can be; same shape.

    >>> join_kinds(np.array([0.0]), np.array([0.5])).round(3).tolist()
    [-1.099]
    """
    p = np.maximum((1.0 - never) * expit(logit), _LEAST_P)
    return np.asarray(np.log(p) - np.log1p(-p))


@dataclass(frozen=True)
class Beliefs:
    """What is believed of m customers, each at an instant.

    Attributes
    ----------
    mean, variance : (m, n_spans) float32
        Of the person effects of those who can be reached.
    never : (m,) float32
        Chance of being never reached.
    faded : (m, n_half_lives, n_spans) float32
        Faded failures, see ``models.contact.fatigue``.
    seconds : (m,) int64
        The instants.
    """

    mean: np.ndarray
    variance: np.ndarray
    never: np.ndarray
    faded: np.ndarray
    seconds: np.ndarray

    def take(self, rows: np.ndarray) -> "Beliefs":
        """Those of chosen rows, any order, repeats allowed."""
        return Beliefs(*(getattr(self, item.name)[rows] for item in fields(self)))


@dataclass(frozen=True)
class PersonStates:
    """Filtered person effects around every dial of the sorted log.

    Attributes
    ----------
    mean_before, variance_before : (n,) float32
        Of the dialled span just before the dial: what the next night would have believed.
    p_reached : (n,) float64
        Chance that it had of a contact, of those who can be reached.
    never_before, never_after : (n,) float32
        Chance that the customer is never reached, before and after it.
    mean_after, variance_after : (n, n_spans) float32
        Of all spans just after it.
    prior_variance : (n_spans,) float32
        Before anything is known.
    prior_never
        Before anything is known.
    log_likelihood
        Of all dials, each given those before it; nats.
    """

    mean_before: np.ndarray
    variance_before: np.ndarray
    p_reached: np.ndarray
    never_before: np.ndarray
    mean_after: np.ndarray
    variance_after: np.ndarray
    never_after: np.ndarray
    prior_variance: np.ndarray
    prior_never: float
    log_likelihood: float

    def at(self, position: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean and variance of all spans (m, spans), chance of never (m,), of customers whose dials begin at ``first``.

        ``position`` (m,) is what :meth:`features.history.History.position` returns.
        """
        known = position > first
        never = np.full(len(position), self.prior_never, dtype="float32")
        if len(self.mean_after) == 0:
            empty = np.zeros((len(position), N_SPANS), dtype="float32")
            return empty, empty + self.prior_variance, never
        row = np.clip(position - 1, 0, None)
        mean = np.where(known[:, None], self.mean_after[row], np.float32(0.0))
        variance = np.where(known[:, None], self.variance_after[row], self.prior_variance)
        return mean, variance, np.where(known, self.never_after[row], never)


def tell_last(history: History, of_dials: np.ndarray) -> np.ndarray:
    """For every sorted dial (n,), what ``of_dials`` (n,) says of its customer's last one."""
    return np.asarray(of_dials[history.first[1:][history.customer_row] - 1])


def filter_persons(
    history: History, logit: np.ndarray, prior: np.ndarray, never: NeverReached = NeverReached()
) -> PersonStates:
    """Run the filter over the whole log.

    Parameters
    ----------
    history
        The sorted log.
    logit : (n,) float
        Of each sorted dial, without the person: what segment, slot and fatigue say.
    prior : (n_spans, n_spans)
        Covariance of person effects, squared logits.
    never
        The kind that no dial reaches; by default there is none.

    Returns
    -------
    PersonStates

    Examples
    --------
    One customer who failed once is believed a little harder to reach, in every hour of the week:

    >>> import pandas as pd
    >>> from features.history import build_history
    >>> log = pd.DataFrame({"customer_row": [0], "outcome": ["busy"], "part": [3], "span": [4],
    ...     "attempted_at": pd.to_datetime(["2026-11-02 19:00"]).tz_localize("Asia/Tokyo")})
    >>> states = filter_persons(build_history(log, 1), np.array([-1.0]), PriorVariances().covariance())
    >>> bool((states.mean_after < 0).all())
    True
    """
    first = history.first.astype("int64")
    dials = (first[:-1], first[1:], history.span, history.is_contact)
    laws = (np.ascontiguousarray(logit, dtype="float64"), np.ascontiguousarray(prior, dtype="float64"))
    before, variance, p, after, variances = filter_all(*dials, *laws)
    never_before, never_after, nats = trace_never(history, p, never)
    return PersonStates(
        mean_before=before,
        variance_before=variance,
        p_reached=p,
        never_before=never_before,
        mean_after=after,
        variance_after=variances,
        never_after=never_after,
        prior_variance=np.diag(prior).astype("float32"),
        prior_never=never.share,
        log_likelihood=nats,
    )


@dataclass(frozen=True)
class Foreseen:
    """What was believed of the dialled span just before every dial of the sorted log, of those who can be reached.

    Attributes
    ----------
    mean, variance : (n,) float32
        Of the person effect.
    p_reached : (n,) float64
        Chance of a contact.
    """

    mean: np.ndarray
    variance: np.ndarray
    p_reached: np.ndarray


def foresee_dials(history: History, logit: np.ndarray, prior: np.ndarray) -> Foreseen:
    """What :func:`filter_persons` says of each dial before it, several times as fast; inputs are the same."""
    first = history.first.astype("int64")
    dials = (first[:-1], first[1:], history.span, history.is_contact)
    return Foreseen(*foresee(*dials, np.ascontiguousarray(logit, dtype="float64"), np.ascontiguousarray(prior)))


def trace_never(history: History, p_reached: np.ndarray, never: NeverReached) -> tuple[np.ndarray, np.ndarray, float]:
    """Chance of being never reached before and after every dial, (n,) float32 each; nats of all dials."""
    first = history.first.astype("int64")
    stretches = (first[:-1], first[1:], history.is_contact, never.odds(history))
    before, after, nats = follow_never(*stretches, p_reached, never.share)
    return before, after, float(nats.sum())


def advance_persons(
    history: History,
    logit: np.ndarray,
    prior: np.ndarray,
    never: NeverReached,
    fatigue: np.ndarray,
    start: Beliefs,
    customer_rows: np.ndarray,
    path: "FailedDials",
) -> Beliefs:
    """What will be believed once the dials of a path have failed too: the filter's own steps, and fatigue.

    Parameters
    ----------
    history, logit, prior, never
        As in :func:`filter_persons`.
    fatigue : (N_WEIGHTS,)
        Weights of :func:`models.contact.fatigue.fatigue_columns`.
    start
        Of m customers; only ``faded`` and ``seconds`` are read, the rest is filtered again from the log.
    customer_rows : (m,) int
    path
        The dials that will have failed, m stretches of them.
    """
    first, known = history.first[customer_rows], history.position(customer_rows, start.seconds)
    log = (history.span, history.is_contact, never.odds(history), logit.astype("float64"))
    planned = (
        path.part.astype("int8"),
        path.span.astype("int8"),
        path.seconds.astype("int64"),
        path.logit.astype("float64"),
    )
    half_lives = np.array(HALF_LIVES_DAYS) * 86_400.0
    laws = (np.ascontiguousarray(prior, dtype="float64"), never.share, 1.0 - never.p_told, np.asarray(fatigue, float))
    stretch = (path.begin.astype("int64"), path.end.astype("int64"))
    return Beliefs(*advance(first, known, *log, *stretch, *planned, *laws, start.faded, start.seconds, half_lives))


@dataclass(frozen=True)
class FailedDials:
    """Dials taken to have failed: ``part``, ``span``, ``seconds``, ``logit`` (without person and fatigue), (k,) each.

    ``begin`` and ``end`` (m,) are the stretch of them that belongs to each of m customers, oldest first.
    """

    part: np.ndarray
    span: np.ndarray
    seconds: np.ndarray
    logit: np.ndarray
    begin: np.ndarray
    end: np.ndarray
