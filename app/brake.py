"""The brake on guessing passwords: each failure in a row doubles the wait, by user and by address."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

_MOST_KEYS = 10_000
_FORGET_SECONDS = 3600.0


@dataclass(frozen=True)
class Patience:
    """How many failures cost nothing, and the longest wait that they lead to.

    >>> [Patience(2, 10).wait_seconds(n) for n in (1, 2, 3, 4, 5, 6, 7)]
    [0, 0, 1, 2, 4, 8, 10]
    """

    n_free: int
    longest_seconds: int

    def wait_seconds(self, n_failures: int) -> int:
        """Seconds to wait after so many failures in a row."""
        beyond = n_failures - self.n_free
        return 0 if beyond <= 0 else min(self.longest_seconds, 2 ** min(beyond - 1, 30))


# A user is held up a minute at most, so that nobody can be locked out by somebody else for long; an address a quarter
# of an hour. A whole centre may come from one address, hence more free failures there.
OF_USERS = Patience(n_free=4, longest_seconds=60)
OF_ADDRESSES = Patience(n_free=20, longest_seconds=900)


@dataclass
class _Failures:
    n: int = 0
    last_at: float = 0.0


class LoginBrake:
    """Counts failures in memory, of 10,000 users and addresses at most; the longest untouched are forgotten first.

    Parameters
    ----------
    clock
        Seconds since any fixed instant.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._found: OrderedDict[tuple[str, str], _Failures] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, name: str, address: str) -> float:
        """Return the seconds to wait, or 0: then the password may be checked.

        The attempt counts as failed until :meth:`forgive`, so that guesses sent at once do not slip through together.
        While there is a wait nothing is counted: an impatient person does not make it longer.
        """
        keys = _keys(name, address)
        with self._lock:
            wait = max(self._left(key, patience) for key, patience in keys)
            if wait > 0:
                return wait
            for key, _ in keys:
                self._count(key)
            return 0.0

    def forgive(self, name: str, address: str) -> None:
        """The password was right: the user's failures are forgotten, and the attempt no longer counts."""
        by_user, by_address = (key for key, _ in _keys(name, address))
        with self._lock:
            self._found.pop(by_user, None)
            if by_address in self._found:
                self._found[by_address].n -= 1

    def _left(self, key: tuple[str, str], patience: Patience) -> float:
        known = self._found.get(key)
        if known is None or self._clock() - known.last_at > _FORGET_SECONDS:
            self._found.pop(key, None)
            return 0.0
        return known.last_at + patience.wait_seconds(known.n) - self._clock()

    def _count(self, key: tuple[str, str]) -> None:
        known = self._found.setdefault(key, _Failures())
        known.n, known.last_at = known.n + 1, self._clock()
        self._found.move_to_end(key)
        while len(self._found) > _MOST_KEYS:
            self._found.popitem(last=False)


def _keys(name: str, address: str) -> tuple[tuple[tuple[str, str], Patience], tuple[tuple[str, str], Patience]]:
    return (("user", name[:64]), OF_USERS), (("address", _network_of(address)), OF_ADDRESSES)


def _network_of(address: str) -> str:
    """One household has 2^64 addresses of IP version 6; they count as one."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    return str(int(parsed) >> 64) if isinstance(parsed, IPv6Address) else str(parsed)
