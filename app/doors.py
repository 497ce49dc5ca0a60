"""The doors of the site: put before any FastAPI app, they let in whom they should and close everything else."""

from collections.abc import Callable

from fastapi import FastAPI, HTTPException, Request

from app.guard import Guard
from app.hardening import BodyLimit, KnownHosts, SafeHeaders
from app.identity import Identity
from app.keys import LOOPBACK_NAMES, Doors, TrustedProxy, check_binding, is_loopback, read_doors
from app.login import build_login
from app.rendering import choose_language, speak
from app.users import hash_of_nobody
from app.witness import tell_audit
from configs.settings import Role

__all__ = [
    "Doors", "TrustedProxy", "Identity", "add_doors", "require", "read_doors", "check_binding", "is_loopback",
    "record_export",
]  # fmt: skip


def add_doors(site: FastAPI, doors: Doors) -> None:
    """Put the doors before a site: headers, host names, sizes, who is asking, forms, and the pages to sign in and out.

    Every path but ``doors.public`` needs at least a viewer from then on; routes that need more depend on
    :func:`require`. Pages find ``user`` and ``csrf_token`` in ``request.state``.

    Parameters
    ----------
    site
        Not served yet. The server must not rewrite addresses itself (uvicorn: ``proxy_headers=False``).

    Raises
    ------
    UsageError
        The users cannot be read.
    """
    hash_of_nobody(doors.hasher)  # made now, or the first unknown name would take twice as long as a known one
    site.state.doors = doors
    site.include_router(build_login(doors))
    site.add_middleware(Guard, doors=doors, may_be_open=doors.are_open())
    site.add_middleware(BodyLimit, max_bytes=doors.max_body_bytes)
    site.add_middleware(KnownHosts, names=[*LOOPBACK_NAMES, *doors.hosts])
    site.add_middleware(SafeHeaders)


def require(role: Role) -> Callable[[Request], Identity]:
    """Make a FastAPI dependency that lets in this role and those above, and gives the :class:`Identity`.

    Examples
    --------
    >>> from typing import Annotated
    >>> from fastapi import Depends
    >>> site = FastAPI()
    >>> @site.post("/export")
    ... def export(who: Annotated[Identity, Depends(require("analyst"))]) -> str:
    ...     return who.name
    """

    def check_role(request: Request) -> Identity:
        user: Identity | None = request.state.user
        if user is None:
            raise HTTPException(401, speak("sign_in_first", choose_language(request)))
        if not user.may(role):
            tell_audit(request, request.app.state.doors, "refused", user, reason=f"needs {role}", path=request.url.path)
            raise HTTPException(403, speak("role_missing", choose_language(request), role=role))
        return user

    return check_role


def record_export(request: Request, **details: str | int | float | bool | None) -> None:
    """Write an export into the audit log before it leaves.

    Parameters
    ----------
    details
        ``filter``, ``format``, ``preset``, ``rows``, ``sha256``.

    Raises
    ------
    OSError
        The log cannot be written: let it pass, so that nothing leaves unrecorded.
    """
    tell_audit(request, request.app.state.doors, "export", request.state.user, **details)
