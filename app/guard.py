"""The guard before every route: who is asking, may they, and did the form come from a page of ours."""

import logging
from collections.abc import Awaitable, Callable
from urllib.parse import quote, urlsplit

from starlette.datastructures import MutableHeaders, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.identity import Identity, RefusedError, identify
from app.keys import LOOPBACK_NAMES, Doors, is_https
from app.problems import answer_refusal
from app.rendering import choose_language, render, speak
from app.sessions import Visit, begin_visit, is_form_token, make_form_token, read_cookie, write_cookie
from app.witness import tell_audit
from configs.errors import UsageError

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FORM_FIELD = "csrf_token"
FORM_HEADER = "X-CSRF-Token"
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_NAVIGATION = frozenset({"same-origin", "none"})
_log = logging.getLogger("kakedoki.doors")


class Guard:
    """ASGI middleware; whatever is not public needs somebody, so that a forgotten route is closed, not open.

    It leaves in ``request.state``: ``user`` (:class:`Identity` or None), ``visit`` and ``csrf_token``.

    Parameters
    ----------
    may_be_open
        The doors were open when the site was built.
    """

    def __init__(self, app: ASGIApp, doors: Doors, may_be_open: bool) -> None:
        self.app = app
        self.doors = doors
        self.may_be_open = may_be_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "no websockets here"})
        else:
            await self._guard(scope, receive, send)

    async def _guard(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        kept = read_visit(request, self.doors)
        visit = kept or begin_visit(self.doors.clock())
        remember = send if kept else self._remember(request, visit, send)
        state = scope.setdefault("state", {})
        state.update(user=None, visit=visit, csrf_token=make_form_token(visit, "", self.doors.secret_key))
        try:
            user = identify(request, self.doors, visit, may_be_open=self.may_be_open)
            state.update(user=user, csrf_token=make_form_token(visit, _name_of(user), self.doors.secret_key))
            if user is None and not self._is_public(scope["path"]):
                raise RefusedError(401, "sign_in_first")
            passed_on = await self._check_form(request, user, visit)
        except (RefusedError, UsageError, HTTPException) as error:
            await self._refuse(request, error)(scope, receive, remember)
            return
        await self.app(scope, passed_on, remember)

    def _is_public(self, path: str) -> bool:
        return any(path.startswith(known) if known.endswith("/") else path == known for known in self.doors.public)

    async def _check_form(self, request: Request, user: Identity | None, visit: Visit) -> Receive:
        """Return what the route reads the body from; the form's token is in there, or in a header."""
        if request.method in SAFE_METHODS or (user is not None and user.way == "token") or _is_program(request, user):
            return request.receive
        if not _is_same_site(request, self.doors):
            raise RefusedError(403, "from_elsewhere")
        token, passed_on = await _find_form_token(request)
        if not is_form_token(token, visit, _name_of(user), self.doors.secret_key):
            raise RefusedError(403, "form_too_old")
        return passed_on

    def _refuse(self, request: Request, error: RefusedError | UsageError | HTTPException) -> Response:
        user: Identity | None = request.state.user
        if isinstance(error, RefusedError) and user is not None:
            tell_audit(request, self.doors, "refused", user, reason=error.key, path=request.url.path)
        if isinstance(error, UsageError):
            _log.error("%s", error)
            return refuse(request, 503, "users_unreadable")
        if isinstance(error, HTTPException):
            return refuse(request, error.status_code, "body_unreadable")
        return refuse(request, error.status, error.key)

    def _remember(self, request: Request, visit: Visit, send: Send) -> Callable[[Message], Awaitable[None]]:
        """Give the browser a visit of its own with the first page, so that its forms can be told from others'."""

        async def send_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html") and "set-cookie" not in headers:
                    cookie = Response()
                    set_visit(cookie, visit, request, self.doors)
                    headers.append("set-cookie", cookie.headers["set-cookie"])
            await send(message)

        return send_cookie


def read_visit(request: Request, doors: Doors) -> Visit | None:
    """Read the visit of the request's cookie; None without a valid one."""
    cookie = request.cookies.get(cookie_name(request, doors), "")
    return read_cookie(cookie, doors.secret_key, doors.clock(), doors.session_seconds)


def set_visit(response: Response, visit: Visit, request: Request, doors: Doors) -> None:
    """Let a response carry a visit's cookie."""
    response.set_cookie(
        cookie_name(request, doors),
        write_cookie(visit, doors.secret_key),
        max_age=doors.session_seconds,
        httponly=True,
        samesite="lax",
        secure=is_https(request, doors),
    )


def cookie_name(request: Request, doors: Doors) -> str:
    """Return the cookie's name; over https one that browsers take from no other host (``__Host-``)."""
    return "__Host-kakedoki" if is_https(request, doors) else "kakedoki"


def refuse(request: Request, status: int, key: str, **parts: str) -> Response:
    """Say no: to a program as JSON, to a person as a page, or by asking them to sign in."""
    told = speak(key, choose_language(request), **parts)
    is_page = "text/html" in request.headers.get("accept", "")
    if "hx-request" in request.headers and status == 401:
        return Response(told, status, {"HX-Redirect": "/login"}, "text/plain")
    if not is_page or request.url.path.startswith("/api/"):
        return answer_refusal(status, told)
    if status == 401 and request.method in SAFE_METHODS and key == "sign_in_first":
        where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(where, safe='/')}", 303)
    return render(request, "message.html.jinja", status, heading=told, text="", command="")


def _name_of(user: Identity | None) -> str:
    return "" if user is None else f"{user.way}:{user.name}"


def _is_program(request: Request, user: Identity | None) -> bool:
    """Say whether a program of this machine speaks JSON to the interface through the open door.

    No browser sends a request from another site so: it adds Origin, and asks first before it sends JSON (CORS).
    """
    return (
        user is not None
        and user.way == "open"
        and request.url.path.startswith("/api/")
        and request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
        and not any(name in request.headers for name in ("origin", "referer", "cookie", "sec-fetch-site"))
    )


def _is_same_site(request: Request, doors: Doors) -> bool:
    """Believe the browser where it says that a request was caused by another site."""
    if request.headers.get("sec-fetch-site", "same-origin") not in _NAVIGATION:
        return False
    origin = request.headers.get("origin", "null")
    if origin == "null":
        return True  # says nothing; the form's token decides
    told = urlsplit(origin)
    return told.netloc == request.headers.get("host") or (told.hostname or "") in _names_of(doors)


def _names_of(doors: Doors) -> frozenset[str]:
    return frozenset(doors.hosts) - frozenset(LOOPBACK_NAMES)


async def _find_form_token(request: Request) -> tuple[str, Receive]:
    given = request.headers.get(FORM_HEADER)
    if given is not None:
        return given, request.receive
    if not request.headers.get("content-type", "").lower().startswith(_FORMS):
        return "", request.receive
    body = await request.body()
    async with Request(request.scope, _replay(body, request.receive)).form() as form:
        token = form.get(FORM_FIELD, "")
    return "" if isinstance(token, UploadFile) else token, _replay(body, request.receive)


def _replay(body: bytes, receive: Receive) -> Receive:
    is_sent = False

    async def receive_again() -> Message:
        nonlocal is_sent
        if is_sent:
            return await receive()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
