"""Since when and how habits have moved: segments that lived alike have moved alike.

Two weeks of dials cannot teach the day of every segment anew. But what moves habits moves a way of life: when offices
close, whoever kept office hours is at home, as far as they kept them. So what a segment's curve changes by is taken for
a linear function of what the curve was. The curves of the whole past, taken apart into their main components, give each
segment a few loadings, and each loading has one curve of change, which all dials since then teach together.

How much these curves vary, and since when they hold, is what makes the dials likeliest (the evidence, by Laplace's
approximation). Where nothing has moved it is all but nothing.

Source: MacKay, Bayesian interpolation (1992); Smith, A Bayesian approach to inference about a change-point (Biometrika,
1975).
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from models.contact.cells import slope_of_rows, sum_cells

DAYS = (42, 28, 21, 14, 7)
"""How long ago habits may have moved. What is older is part of the past, what is newer cannot be told from noise."""

_LEAST_EVIDENCE = 5.0  # nats, 150 to 1; noise alone brought 3 at most in 32 sample worlds
_MOST_LOADINGS = 3
_LEAST_COMPONENT = 1e-4  # of the largest
_VARIANCES = np.array([1e-5, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3])
_STEPS, _ROUNDS = 3, 4


@dataclass(frozen=True)
class Dials:
    """Dials and what is known of each without the move; (n,) each.

    ``level`` of the segment · ``day_hour`` · ``seconds`` · ``logit`` with the mean of the person · ``kappa``, what the
    doubt about the person leaves of it · ``is_contact`` · ``weight``.
    """

    level: np.ndarray
    day_hour: np.ndarray
    seconds: np.ndarray
    logit: np.ndarray
    kappa: np.ndarray
    is_contact: np.ndarray
    weight: np.ndarray

    def since(self, instant: int) -> "Dials":
        """Only the dials from an instant on, epoch seconds."""
        rows = np.flatnonzero(self.seconds >= instant)
        return Dials(**{name: values[rows] for name, values in vars(self).items()})


@dataclass(frozen=True)
class Move:
    """How habits have moved.

    Attributes
    ----------
    values : (n_levels, n_day_hours) float32
        What each segment's curve has changed by, logits.
    variance
        Of the values.
    since
        Epoch seconds.
    evidence
        How much likelier the dials are with the move than without, nats.
    """

    values: np.ndarray
    variance: float
    since: int
    evidence: float


def find_loadings(curves: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """How much each level lives by each of the main habits; (n_levels, 1 + n_habits), the first column all ones.

    Parameters
    ----------
    curves : (n_levels, n_hours)
        Logits over hours that are dialled.
    weight : (n_levels,)
        Customers of each level.

    Examples
    --------
    >>> find_loadings(np.array([[0.0, 1.0], [1.0, 0.0]]), np.ones(2)).round(1).shape
    (2, 2)
    """
    share = weight / weight.sum()
    apart = curves - share @ curves
    apart = (apart - apart.mean(axis=1, keepdims=True)) * (weight > 0)[:, None]
    _, sizes, components = np.linalg.svd(np.sqrt(share)[:, None] * apart, full_matrices=False)
    sizes = sizes[:_MOST_LOADINGS]
    sizes = sizes[sizes > max(_LEAST_COMPONENT * sizes[0], 1e-9)]
    return np.column_stack([np.ones(len(curves)), apart @ components[: len(sizes)].T / sizes])


def find_move(dials: Dials, loadings: np.ndarray, shapes: np.ndarray) -> Move | None:
    """Find the likeliest move of the last six weeks; None where none is likely enough.

    Parameters
    ----------
    loadings : (n_levels, n_loadings)
    shapes : (n_day_hours, n_shapes)
        What curves are made of, see ``models.contact.curves``.
    """
    newest = int(dials.seconds.max(initial=0))
    always = _Change(dials, loadings, shapes)  # what shrinking has left over of the curves themselves is no move
    always.search(_STEPS)
    dials = replace(dials, logit=dials.logit + always.of_dials)
    tried = [_Change(dials.since(newest - days * 86_400), loadings, shapes) for days in DAYS]
    evidence = [change.search(1) for change in tried]
    best = int(np.argmax(evidence))
    if evidence[best] < _LEAST_EVIDENCE:
        return None
    told = tried[best].search(_STEPS)
    values = tried[best].values
    return Move(values.astype("float32"), float(np.mean(values**2)), newest - DAYS[best] * 86_400, told)


class _Change:
    """Curves of change, one for each loading, taught by some dials."""

    def __init__(self, dials: Dials, loadings: np.ndarray, shapes: np.ndarray) -> None:
        self._dials, self._loadings, self._shapes = dials, loadings, shapes
        self._cell = dials.level.astype("int64") * len(shapes) + dials.day_hour
        self._found = np.zeros((loadings.shape[1], shapes.shape[1]))
        self._variances = np.full(loadings.shape[1], _VARIANCES[0])

    @property
    def values(self) -> np.ndarray:
        """What each level's curve changes by; (n_levels, n_day_hours)."""
        return np.asarray(self._loadings @ self._found @ self._shapes.T)

    @property
    def of_dials(self) -> np.ndarray:
        """What each dial's logit changes by; (n,)."""
        return np.asarray(self.values.ravel()[self._cell])

    def search(self, n_steps: int) -> float:
        """Take Newton steps from where it stands, each with the likeliest variances; the evidence at the last."""
        told = 0.0
        for _ in range(n_steps):
            pull, bent = self._expand()
            likelihood = _Quadratic(pull, bent, self._shapes.shape[1])
            told, self._variances = likelihood.search(self._variances)
            self._found = likelihood.solve(self._variances).reshape(self._found.shape)
        return told

    def _expand(self) -> tuple[np.ndarray, np.ndarray]:
        """Log-likelihood around the coefficients of the moment as pull @ x - x @ bent @ x / 2."""
        dials, loadings, shapes = self._dials, self._loadings, self._shapes
        size = len(loadings), len(shapes)
        slope, curvature = slope_of_rows(dials.logit + self.of_dials, dials.kappa, dials.is_contact, dials.weight)
        sums = sum_cells(slope, curvature, self._cell, size[0] * size[1])
        slopes, curvatures = (by_cell.reshape(size) for by_cell in sums[:2])
        pairs = [(one[:, :, None] * one[:, None, :]).reshape(len(one), -1) for one in (loadings, shapes)]
        n_loadings, n_shapes = self._found.shape
        bent = (pairs[0].T @ curvatures @ pairs[1]).reshape(n_loadings, n_loadings, n_shapes, n_shapes)
        bent = bent.transpose(0, 2, 1, 3).reshape(self._found.size, -1)
        return (loadings.T @ slopes @ shapes).ravel() + bent @ self._found.ravel(), bent


@dataclass(frozen=True)
class _Quadratic:
    """A log-likelihood pull @ x - x @ bent @ x / 2, whose x has ``n_each`` coefficients for every variance."""

    pull: np.ndarray
    bent: np.ndarray
    n_each: int

    @cached_property
    def _of_nothing(self) -> float:
        return self._weigh(np.full(len(self.pull) // self.n_each, _VARIANCES[0]))

    def search(self, start: np.ndarray) -> tuple[float, np.ndarray]:
        """The likeliest variances, one after the other until none moves; with the evidence for them."""
        best, told = start.copy(), self._weigh(start)
        for _ in range(_ROUNDS):
            before = best.copy()
            for k in range(len(best)):
                tried = [np.where(np.arange(len(best)) == k, variance, best) for variance in _VARIANCES]
                weights = [self._weigh(variances) for variances in tried]
                best, told = tried[int(np.argmax(weights))], max(weights)
            if np.array_equal(best, before):
                break
        return told - self._of_nothing, best

    def solve(self, variances: np.ndarray) -> np.ndarray:
        """The likeliest coefficients."""
        return np.asarray(np.linalg.solve(self.bent + np.diag(self._precision(variances)), self.pull))

    def _precision(self, variances: np.ndarray) -> np.ndarray:
        return np.repeat(1.0 / variances, self.n_each)

    def _weigh(self, variances: np.ndarray) -> float:
        precision = self._precision(variances)
        factor = np.linalg.cholesky(self.bent + np.diag(precision))
        told = np.linalg.solve(factor, self.pull)
        return float(told @ told / 2 - np.log(np.diag(factor)).sum() + np.log(precision).sum() / 2)
