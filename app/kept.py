"""What is made once of a night and asked many times, however many readers ask at the same moment."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from app.nights import OpenNight

Made = TypeVar("Made")


class KeptOfNight(Generic[Made]):
    """Keeps what ``make`` makes of a night until another night is asked for.

    >>> from types import SimpleNamespace
    >>> made = KeptOfNight(lambda night: night.stamp[0].upper())
    >>> made(SimpleNamespace(stamp=("a", 1))), made(SimpleNamespace(stamp=("b", 2)))
    ('A', 'B')
    """

    def __init__(self, make: Callable[[OpenNight], Made]) -> None:
        self._make = make
        self._kept: tuple[tuple[str, int], Made] | None = None
        self._lock = threading.Lock()

    def __call__(self, night: OpenNight) -> Made:
        """Give what was made of the night; others who ask meanwhile wait for it."""
        with self._lock:
            if self._kept is None or self._kept[0] != night.stamp:
                self._kept = (night.stamp, self._make(night))
            return self._kept[1]
