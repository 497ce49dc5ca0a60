"""Who is asking: a token, a trusted proxy's word, a session, or the open door of the own machine, in this order."""

from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request

from app.keys import Doors, find_peer
from app.sessions import Visit, is_ended
from app.users import ROLES, is_at_least, is_user_name, read_users
from configs.errors import KakedokiError
from configs.settings import Role

# A proxy that forwards others to an open door would make all of them local: whoever forwards says so in one of these.
_FORWARDING = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")


class RefusedError(KakedokiError):
    """A request that is not let in.

    Attributes
    ----------
    status
        Of the HTTP answer.
    key
        Of the sentence in ``app/words/doors.yaml``.
    """

    def __init__(self, status: int, key: str) -> None:
        super().__init__(key)
        self.status, self.key = status, key


@dataclass(frozen=True)
class Identity:
    """Who is asking.

    Attributes
    ----------
    way
        ``token``: a program, whose credentials no browser sends by itself. The others are a browser's.
    """

    name: str
    role: Role
    way: Literal["token", "proxy", "session", "open"]

    def may(self, role: Role) -> bool:
        """Say whether this person may do what the role may.

        >>> Identity("sato", "viewer", "session").may("analyst")
        False
        """
        return is_at_least(self.role, role)


def identify(request: Request, doors: Doors, visit: Visit | None, *, may_be_open: bool) -> Identity | None:
    """Find out who is asking; None: nobody we know.

    Parameters
    ----------
    visit
        What the request's cookie says.
    may_be_open
        The doors were open when the server started. A users file that vanishes later does not open them.

    Raises
    ------
    RefusedError
        A token that is none of ours, or a proxy's word that cannot be understood: no other way is tried then.
    UsageError
        The users cannot be read.
    """
    if "authorization" in request.headers:
        return _read_token(request, doors)
    named = _read_proxy(request, doors)
    if named is not None:
        return named
    if visit is not None and visit.name is not None:
        return _read_session(doors, visit)
    if may_be_open and doors.are_open() and _is_local(request):
        return Identity("local", "analyst", "open")
    return None


def _read_token(request: Request, doors: Doors) -> Identity:
    given = request.headers.getlist("authorization")
    scheme, _, token = given[0].partition(" ")
    found = None
    if len(given) == 1 and scheme.lower() == "bearer":
        found = read_users(doors.users_file).find_token(token.strip())
    if found is None:
        raise RefusedError(401, "token_unknown")
    return Identity(*found, "token")


def _read_proxy(request: Request, doors: Doors) -> Identity | None:
    proxy = doors.proxy
    if proxy is None or proxy.identity_header is None or not proxy.sent(request):
        return None
    names = request.headers.getlist(proxy.identity_header)
    if not names:
        return None
    name = names[0].strip().lower()
    if len(names) > 1 or not is_user_name(name):
        raise RefusedError(401, "proxy_unclear")  # two: one of them may have come from outside
    return Identity(name, _read_role(request, proxy.role_header, proxy.role), "proxy")


def _read_role(request: Request, header: str | None, otherwise: Role) -> Role:
    told = [] if header is None else request.headers.getlist(header)
    wanted = told[0].strip().lower() if len(told) == 1 else ""
    return next((role for role in ROLES if role == wanted), otherwise)


def _read_session(doors: Doors, visit: Visit) -> Identity | None:
    user = read_users(doors.users_file).users.get(visit.name or "")
    if user is None or user.mark != visit.mark or is_ended(doors.ended_file, visit):
        return None
    return Identity(str(visit.name), user.role, "session")


def _is_local(request: Request) -> bool:
    peer = find_peer(request)
    return peer is not None and peer.is_loopback and not any(name in request.headers for name in _FORWARDING)
