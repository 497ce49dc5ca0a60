"""Signing in and out: a form that works without scripts, slowed down for whoever guesses."""

from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.brake import LoginBrake
from app.guard import cookie_name, set_visit
from app.identity import Identity
from app.keys import Doors, find_address
from app.rendering import choose_language, render, speak
from app.sessions import begin_visit, end_visit
from app.users import User, check_password, is_user_name, read_users
from app.witness import tell_audit

_AT_ONCE = 2  # each check of a password takes 64 MiB


@dataclass(frozen=True)
class _Form:
    name: str
    password: str
    next_path: str


def build_login(doors: Doors) -> APIRouter:
    """Build the routes ``GET /login``, ``POST /login`` and ``POST /logout``; the guard checks their forms."""
    routes = APIRouter(include_in_schema=False)
    brake = LoginBrake(doors.clock)
    limiter = CapacityLimiter(_AT_ONCE)

    @routes.get("/login")
    async def show_login(request: Request) -> Response:
        """Show the form, or go on for whoever is signed in already."""
        next_path = find_next(request.query_params.get("next", ""))
        if request.state.user is not None:
            return RedirectResponse(next_path, 303)
        return _show(request, _Form("", "", next_path))

    @routes.post("/login")
    async def sign_in(request: Request) -> Response:
        """Check name and password."""
        form = await _read_form(request)
        address = find_address(request, doors)
        wait = brake.begin(form.name, address)
        if wait > 0:
            return _show(request, form, 429, "login_wait", wait)
        check = partial(check_password, read_users(doors.users_file), form.name, form.password, doors.hasher)
        user = await to_thread.run_sync(check, limiter=limiter)
        if user is None:
            _tell_refused(request, doors, form.name)
            return _show(request, form, 401, "login_wrong")
        brake.forgive(form.name, address)
        return _let_in(request, doors, form, user)

    @routes.post("/logout")
    async def sign_out(request: Request) -> Response:
        """End the session here and everywhere its cookie may have been copied to."""
        return _let_out(request, doors)

    return routes


def find_next(wanted: str) -> str:
    """Return the path to go to after signing in: one of this site, else the first page.

    >>> find_next("/measures?by=team"), find_next("//evil.example/x"), find_next("https://evil.example")
    ('/measures?by=team', '/', '/')
    """
    has_oddities = "\\" in wanted or any(not letter.isprintable() or letter.isspace() for letter in wanted)
    if has_oddities or len(wanted) > 2000 or not wanted.startswith("/") or wanted.startswith("//"):
        return "/"
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return "/"
    is_ours = not parts.scheme and not parts.netloc and parts.path not in ("/login", "/logout")
    return wanted if is_ours else "/"


async def _read_form(request: Request) -> _Form:
    async with request.form() as form:
        texts = {key: typed if isinstance(typed := form.get(key), str) else "" for key in ("name", "password", "next")}
    return _Form(texts["name"].strip().lower()[:64], texts["password"], find_next(texts["next"]))


def _show(request: Request, form: _Form, status: int = 200, fault: str = "", wait: float = 0) -> Response:
    seconds = int(wait) + 1
    told = speak(fault, choose_language(request), seconds=seconds) if fault else ""
    name = form.name if is_user_name(form.name) else ""
    page = render(request, "login.html.jinja", status, fault=told, name=name, next=form.next_path)
    if wait > 0:
        page.headers["Retry-After"] = str(seconds)
    return page


def _let_in(request: Request, doors: Doors, form: _Form, user: User) -> Response:
    """Begin a new visit: an id that somebody planted before is worth nothing, and an older session ends."""
    _end(request, doors)
    answer = RedirectResponse(form.next_path, 303)
    set_visit(answer, begin_visit(doors.clock(), form.name, user.mark), request, doors)
    tell_audit(request, doors, "login", Identity(form.name, user.role, "session"))
    return answer


def _let_out(request: Request, doors: Doors) -> Response:
    user: Identity | None = request.state.user
    _end(request, doors)
    answer = RedirectResponse("/login" if user is None or user.way == "session" else "/", 303)
    answer.delete_cookie(cookie_name(request, doors), httponly=True, samesite="lax")
    if user is not None:
        tell_audit(request, doors, "logout", user)
    return answer


def _end(request: Request, doors: Doors) -> None:
    if request.state.visit.name is not None:
        end_visit(doors.ended_file, request.state.visit, doors.clock(), doors.session_seconds)


def _tell_refused(request: Request, doors: Doors, name: str) -> None:
    """Names that are none of ours are not written down: people type passwords into the wrong field."""
    user = read_users(doors.users_file).users.get(name)
    known = None if user is None else Identity(name, user.role, "session")
    tell_audit(request, doors, "login_refused", known)
