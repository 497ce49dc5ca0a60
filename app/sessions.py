"""Sessions of browsers: a signed cookie, a list of those that were ended, and the tokens that forms carry.

A visit is what one browser has before and after signing in. Its cookie holds no secret, only an id, whose it is and
when it began, signed with our key; signing in makes a new visit, so that an id planted earlier is worth nothing.
"""

import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from itsdangerous import BadData, Signer, URLSafeSerializer

from app.private_files import change_private, read_private

_SIGNER = {"key_derivation": "hmac", "digest_method": hashlib.sha256}


@dataclass(frozen=True)
class Visit:
    """One browser, signed in (``name``) or not.

    Attributes
    ----------
    id
        Random, 192 bits.
    mark
        The user's ``mark`` when the visit began: with another password the visit is over.
    began_at
        Seconds since 1970.
    """

    id: str
    began_at: int
    name: str | None = None
    mark: str = ""


def begin_visit(now: float, name: str | None = None, mark: str = "") -> Visit:
    """Make a new visit with an id of its own."""
    return Visit(secrets.token_urlsafe(24), int(now), name, mark)


def write_cookie(visit: Visit, key: str) -> str:
    """Sign a visit as the text of a cookie.

    >>> visit = Visit("id", 100, "sato")
    >>> read_cookie(write_cookie(visit, "key"), "key", now=110, seconds=20) == visit
    True
    """
    return str(_serializer(key).dumps(asdict(visit)))


def read_cookie(cookie: str, key: str, now: float, seconds: float) -> Visit | None:
    """Read a cookie of ours; None when it is forged, damaged, or older than ``seconds``.

    >>> read_cookie("forged.cookie", "key", now=0, seconds=1) is None
    True
    """
    try:
        visit = Visit(**_serializer(key).loads(cookie))
    except (BadData, TypeError):
        return None
    return visit if 0 <= now - visit.began_at < seconds else None


def make_form_token(visit: Visit, name: str, key: str) -> str:
    """Make a token for the forms of one page: random, and good for this visit and this person only.

    The signed double-submit pattern of the OWASP cheat sheet on cross-site request forgery, bound to the session. As
    each page gets another one, a compressed answer does not give it away (BREACH).
    """
    return _form_signer(visit, name, key).sign(secrets.token_urlsafe(12)).decode()


def is_form_token(token: str, visit: Visit, name: str, key: str) -> bool:
    """Say whether a form came from a page that this visit was shown.

    >>> mine = Visit("id", 0)
    >>> token = make_form_token(mine, "sato", "key")
    >>> is_form_token(token, mine, "sato", "key"), is_form_token(token, Visit("other", 0), "sato", "key")
    (True, False)
    """
    return _form_signer(visit, name, key).validate(token.encode("utf-8", errors="replace"))


def end_visit(file: Path, visit: Visit, now: float, seconds: float) -> None:
    """Make a visit's cookie worthless before its time, on this server and every other that shares the file.

    Parameters
    ----------
    file
        Hashes of ended visits with the time after which their cookies are too old anyway; such entries are dropped.
    seconds
        How long a visit lasts.

    Raises
    ------
    UsageError
        The file cannot be written.
    """

    def add(old: bytes | None) -> bytes:
        kept = {digest: until for digest, until in _parse(old).items() if until > now}
        return json.dumps({**kept, _digest(visit): visit.began_at + seconds}).encode()

    change_private(file, add)


def is_ended(file: Path, visit: Visit) -> bool:
    """Say whether a visit was ended before its time; cheap while the file stays as it is."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return False
    return _digest(visit) in _read_stamped(file, (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size))


@lru_cache(maxsize=8)
def _read_stamped(file: Path, stamp: tuple[int, ...]) -> dict[str, float]:  # noqa: ARG001 - the stamp is the cache's key
    return _parse(read_private(file))


def _parse(content: bytes | None) -> dict[str, float]:
    return {} if content is None else dict(json.loads(content))


def _digest(visit: Visit) -> str:
    return hashlib.sha256(visit.id.encode()).hexdigest()


def _serializer(key: str) -> URLSafeSerializer:
    return URLSafeSerializer(key, salt="kakedoki visit", signer_kwargs=_SIGNER)


def _form_signer(visit: Visit, name: str, key: str) -> Signer:
    bound = hmac.new(key.encode(), f"{visit.id}\0{name}".encode(), hashlib.sha256).hexdigest()
    return Signer(bound, salt="kakedoki form", key_derivation="hmac", digest_method=hashlib.sha256)
