"""Shapes that daily curves are made of: smooth at first, then learned from all curves together.

A curve over the hours of working and of free days is drawn from a Gaussian process: over some hours it is alike, and
every hour has a little of its own, because people have lunch at twelve and not around it. Its largest components over
the hours that are dialled are the shapes. What curves turn out to be made of then bends them, an EM step at a time.

Source: Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), ch. 2.
"""

import numpy as np

_HOURS_ALIKE = 3.0  # standard deviation, hours, of the kernel of a curve
_OWN_SHARE = 0.2  # what an hour has of its own
_KINDS_ALIKE, _KIND_SHARE = 0.5, 0.3  # how alike working and free days are; a kind of day as a whole
_MOST_SHAPES = 20
_FAITH = 10.0  # levels' worth of belief in the shapes of the moment
_LEAST = 1e-6  # of the mean size of a shape: none is lost for good


def smooth_shapes(dialled: np.ndarray) -> np.ndarray:
    """Shapes before any curve is known; (48, n_shapes), covariance of the dialled hours about shapes @ shapes.T.

    Parameters
    ----------
    dialled : (m,) int
        Hours that occur, rising, those of free days from 24 on. Hours that nobody dialled follow the nearest ones.

    Examples
    --------
    >>> shapes = smooth_shapes(np.arange(9, 21))
    >>> shapes.shape, bool(shapes[12] @ shapes[13] > shapes[12] @ shapes[20])
    ((48, 12), True)
    """
    hour, kind = np.arange(48) % 24, np.arange(48) // 24
    apart = np.abs(hour[:, None] - hour)
    apart = np.minimum(apart, 24 - apart)
    smooth, is_same_kind = np.exp(-0.5 * (apart / _HOURS_ALIKE) ** 2), kind[:, None] == kind
    alike = smooth * np.where(is_same_kind, 1.0, _KINDS_ALIKE) + _KIND_SHARE * is_same_kind
    own = _OWN_SHARE * (apart == 0) * np.where(is_same_kind, 1.0, _KINDS_ALIKE)
    values, vectors = np.linalg.eigh((alike + own)[np.ix_(dialled, dialled)])
    values, vectors = values[-_MOST_SHAPES:], vectors[:, -_MOST_SHAPES:]
    shapes = alike[:, dialled] @ (vectors / np.sqrt(values))
    shapes[dialled] = vectors * np.sqrt(values)
    return np.asarray(shapes)


def to_coefficients(values: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """Coefficients (n_levels, n_shapes) whose curves come nearest to ``values`` (n_levels, n_slot_levels)."""
    return np.asarray(np.linalg.lstsq(shapes, values.T.astype("float64"), rcond=None)[0].T)


def believe_in(shapes: np.ndarray) -> np.ndarray:
    """Second moment that curves of these very shapes would have; (n_shapes, n_shapes)."""
    return np.asarray(_FAITH * np.eye(shapes.shape[1]))


def second_moment(found: np.ndarray, spread: np.ndarray, n_levels: int) -> np.ndarray:
    """Expected sum over levels of a level's coefficients times themselves; (n_shapes, n_shapes).

    Parameters
    ----------
    found, spread
        Coefficients of all levels, (n_levels · n_shapes,), and their covariance.
    """
    by_level = found.reshape(n_levels, -1)
    blocks = spread.reshape(*by_level.shape, *by_level.shape)
    return np.asarray(by_level.T @ by_level + np.einsum("lalb->ab", blocks))


def learn_shapes(shapes: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Shapes whose covariance is what the curves of all levels have shown (an EM step), the mean size kept."""
    n_shapes = shapes.shape[1]
    moment = moment * (n_shapes / np.trace(moment))
    return np.asarray(shapes @ np.linalg.cholesky(moment + _LEAST * np.eye(n_shapes)))
