"""What every answer carries and every request obeys: headers that bind the browser, names of ours, a limit on sizes."""

from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.guard import refuse
from app.rendering import choose_language, speak

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
# Referrers stay within the site: they hold filters. Not "no-referrer", under which browsers send "Origin: null".
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_OF_ANOTHER_HOST = 400
_TOO_LARGE = 413


class SafeHeaders:
    """Adds the headers to every answer; pages and lists stay in no cache, only the shipped assets may.

    A route that needs another policy sets it itself.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, rule in HEADERS.items():
                    headers.setdefault(name, rule)
                headers.setdefault("Cache-Control", _cache_rule(scope["path"]))
                if scope["scheme"] == "https":
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        await self.app(scope, receive, send_safely if scope["type"] == "http" else send)


class KnownHosts:
    """Refuses requests under other names: a page of another site may point its own name at 127.0.0.1 (DNS rebinding).

    Starlette judges the name; its plain words are said as all our refusals are.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        self.app = app
        self.names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""

        async def pass_on(*_: object) -> None:
            await self.app(scope, receive, send)

        async def say_no(message: Message) -> None:
            if message["type"] == "http.response.start":
                await refuse(Request(scope), _OF_ANOTHER_HOST, "unknown_host")(scope, receive, send)

        judge = TrustedHostMiddleware(pass_on, self.names, www_redirect=False)
        await judge(scope, receive, say_no if scope["type"] == "http" else send)


class BodyLimit:
    """Refuses requests larger than a limit: those that say so at once, the others when they have sent too much."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdecimal() or int(declared[:20]) > self.max_bytes:
            await refuse(Request(scope), _TOO_LARGE, "too_large", limit=f"{self.max_bytes:,}")(scope, receive, send)
            return
        n_bytes = 0

        async def receive_limited() -> Message:
            nonlocal n_bytes
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > self.max_bytes:
                told = speak("too_large", choose_language(Request(scope)), limit=f"{self.max_bytes:,}")
                raise HTTPException(_TOO_LARGE, told)
            return message

        await self.app(scope, receive_limited, send)


def _cache_rule(path: str) -> str:
    return "public, max-age=3600" if path.startswith("/static/") else "no-store"
