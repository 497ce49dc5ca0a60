"""``kakedoki serve``: the site on an address of this machine, until it is told to stop."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from app.doors import check_binding, read_doors
from app.nights import Nights, NoNightError
from app.site import build_site
from app.warming import keep_warm
from configs.errors import UsageError
from configs.settings import Settings

GRACE_SECONDS, KEEP_ALIVE_SECONDS = 10, 30
_BACKLOG = 512


def serve_site(
    var: Path, settings: Settings, host: str, port: int, plan: Path | None, tell: Callable[[str], None]
) -> None:
    """Serve the newest night, or ``plan``, until Ctrl-C or SIGTERM; running requests are answered before the end.

    Parameters
    ----------
    port
        0 takes any that is free; ``tell`` says which.
    tell
        Shows one line to whoever started the server.

    Raises
    ------
    UsageError
        The address cannot be used, is taken, or would be open to others; ``plan`` is no run.
    """
    doors = read_doors(var, settings.app, host)
    check_binding(host, doors)
    nights = Nights(var, None if plan is None else plan.expanduser().resolve())
    shown = _describe_night(nights, plan)
    with listen(host, port) as listener:
        site = build_site(nights, settings, doors)
        config = uvicorn.Config(
            site,
            access_log=False,  # addresses hold customers' ids; the metrics count requests
            log_config=None,
            proxy_headers=False,  # the doors judge what a proxy says
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        tell(f"{shown}: {spell_address(host, listener.getsockname()[1])} (stop with Ctrl-C)")
        with _warming(nights):
            _run(uvicorn.Server(config), listener)
        tell("stopped")


def listen(host: str, port: int) -> socket.socket:
    """Take an address, so that a second server on it is told so at once.

    Raises
    ------
    UsageError
        The port is taken or not allowed, or the host is none of this machine's.
    """
    try:
        (family, kind, _, _, address), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host {host}: is no address of this machine: try 127.0.0.1") from error
    listener = socket.socket(family, kind)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if isinstance(error, PermissionError):
            raise UsageError(f"--port {port}: needs more rights: take one above 1023") from error
        raise UsageError(f"{spell_address(host, port)}: {error.strerror}: stop it, or name another --port") from error
    return listener


def spell_address(host: str, port: int) -> str:
    """Write the address for a browser.

    >>> spell_address("127.0.0.1", 8000), spell_address("::1", 80)
    ('http://127.0.0.1:8000/', 'http://[::1]:80/')
    """
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


@contextmanager
def _warming(nights: Nights) -> Iterator[None]:
    """Keep pages warm meanwhile. The thread is waited for: a query that outlives Python brings the process down."""
    stopped = threading.Event()
    warming = threading.Thread(target=keep_warm, args=(nights, stopped), daemon=True)
    warming.start()
    try:
        yield
    finally:
        stopped.set()
        warming.join()


def _describe_night(nights: Nights, plan: Path | None) -> str:
    """Open the night now, so that a wrong folder is told here and the first reader need not wait."""
    try:
        return f"kakedoki shows run {nights.current().run_id}"
    except NoNightError as error:
        if plan is not None:
            raise UsageError(f"--plan {plan}: {error}") from error
        return "kakedoki waits for the first night"


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    """Run until told to stop, which is no failure: uvicorn raises the signal again when it has ended well."""
    try:
        server.run(sockets=[listener])
    except (KeyboardInterrupt, SystemExit):
        if not server.started:
            raise
