"""How earlier failed dials weigh on the next one: in all, and more in the same part of the week; both fade.

Repeating the same good slot has diminishing returns (Kulka & Weeks 1988). Who is hard to reach collects failures too,
but that is the filter's to say (``models.contact.persons``): weights fitted beside what it believed before each dial
keep the two apart, because each dial's error is judged given everything that came before it.
"""

import numpy as np

from features.history import HALF_LIVES_DAYS

N_WEIGHTS = 2 * len(HALF_LIVES_DAYS)
_DAY = 86_400


def fatigue_columns(faded: np.ndarray, known_seconds: np.ndarray, part: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """What the weights of fatigue multiply.

    Parameters
    ----------
    faded : (m, n_half_lives, n_parts)
        Faded failures (``History.faded_failures_at``) as of ``known_seconds`` (m,).
    part, seconds : (m,)
        Of the dial to come.

    Returns
    -------
    (m, N_WEIGHTS) float32
        Failures in any part by half-life, then those in the dial's own part.

    Examples
    --------
    >>> faded = np.ones((1, 2, 8), dtype="float32")
    >>> fatigue_columns(faded, np.zeros(1), np.array([3]), np.array([4 * 86_400])).round(2).tolist()
    [[4.0, 7.25, 0.5, 0.91]]
    """
    kept = fade(known_seconds, seconds)
    same = faded[np.arange(len(part)), :, part]
    return np.concatenate([faded.sum(axis=2) * kept, same * kept], axis=1).astype("float32")


def fade(from_seconds: np.ndarray, to_seconds: np.ndarray) -> np.ndarray:
    """Share of a failure that is left later, by half-life; (m, n_half_lives)."""
    days = np.clip((to_seconds - from_seconds) / _DAY, 0.0, None)
    return np.asarray(0.5 ** (days[:, None] / np.array(HALF_LIVES_DAYS)))
