"""What the doors are opened with: where users are kept, our secrets, the proxy that is believed."""

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path

from argon2 import PasswordHasher
from starlette.requests import Request

from app.audit import find_audit_file
from app.private_files import read_or_make_secret
from app.users import read_users
from configs.errors import UsageError
from configs.settings import PageSettings, ProxySettings, Role

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
SECRET_HEADER = "X-Kakedoki-Proxy"
_ANY = ("0.0.0.0", "::", "")


@dataclass(frozen=True)
class TrustedProxy:
    """A proxy whose word is taken: for who is there, for the address behind it, and for https.

    Attributes
    ----------
    networks
        Addresses it comes from.
    secret
        What it sends in ``X-Kakedoki-Proxy``; kept in ``var/proxy-secret``.
    """

    networks: tuple[IPv4Network | IPv6Network, ...]
    secret: str = field(repr=False)
    identity_header: str | None = None
    role_header: str | None = None
    role: Role = "viewer"

    def sent(self, request: Request) -> bool:
        """Say whether a request came through this proxy: from its address and with its secret."""
        peer = find_peer(request)
        if peer is None or not any(peer in network for network in self.networks):
            return False
        given = request.headers.getlist(SECRET_HEADER)
        return len(given) == 1 and hmac.compare_digest(given[0].encode(), self.secret.encode())


@dataclass(frozen=True)
class Doors:
    """Everything that decides who comes in.

    Attributes
    ----------
    users_file, ended_file, audit_file
        Users and tokens; sessions ended before their time; the audit log.
    secret_key
        Signs cookies and forms.
    hosts
        Names a request may be for, besides those of loopback.
    open_on_loopback
        Without users, people on this very machine come in as the analyst "local".
    public
        Paths that need nobody; with a slash at the end everything below.
    clock
        Seconds since 1970.
    """

    users_file: Path
    ended_file: Path
    audit_file: Path
    secret_key: str = field(repr=False)
    session_hours: float = 12.0
    hosts: tuple[str, ...] = ()
    proxy: TrustedProxy | None = None
    open_on_loopback: bool = False
    max_body_bytes: int = 4 * 1024 * 1024
    public: tuple[str, ...] = ("/login", "/static/", "/health", "/api/v1/health")
    hasher: PasswordHasher = field(default_factory=PasswordHasher, repr=False, compare=False)
    clock: Callable[[], float] = field(default=time.time, repr=False, compare=False)

    @property
    def session_seconds(self) -> int:
        """How long a session lasts."""
        return int(self.session_hours * 3600)

    def are_open(self) -> bool:
        """Say whether nobody is asked who they are: loopback, no proxy that names people, no user."""
        return self.open_on_loopback and not self._has_credentials()

    def _has_credentials(self) -> bool:
        named = self.proxy is not None and self.proxy.identity_header is not None
        return named or bool(read_users(self.users_file).users)


def read_doors(var: Path, settings: PageSettings, host: str) -> Doors:
    """Put the doors together for a server that will listen on ``host``; secrets are made the first time.

    Raises
    ------
    UsageError
        A private file can be read by others or is damaged.
    """
    proxy = None if settings.trusted_proxy is None else _read_proxy(var, settings.trusted_proxy)
    own_name = () if host in _ANY or is_loopback(host) else (_bracketed(host),)
    return Doors(
        users_file=var / "users.json",
        ended_file=var / "sessions-ended.json",
        audit_file=find_audit_file(var),
        secret_key=read_or_make_secret(var / "secret-key"),
        session_hours=settings.session_hours,
        hosts=(*own_name, *settings.hosts),
        proxy=proxy,
        open_on_loopback=is_loopback(host),
    )


def check_binding(host: str, doors: Doors) -> None:
    """Refuse to listen beyond this machine while nobody is asked who they are.

    Parameters
    ----------
    host
        Address or name that the server is to listen on.

    Raises
    ------
    UsageError
        Not loopback, and there are no users and no proxy that names people, or no name to be reached by; the message
        says what to do.
    """
    if is_loopback(host):
        return
    if not doors._has_credentials():
        raise UsageError(
            f"{host}: others could open the page: add a user first (kakedoki user add NAME --role analyst), "
            "set app.trusted_proxy, or listen on 127.0.0.1"
        )
    if not doors.hosts:
        raise UsageError(f"{host}: name what people type into the address bar in the settings: app: {{hosts: [NAME]}}")


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach an address.

    >>> is_loopback("localhost"), is_loopback("127.0.0.2"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    address = read_address(host.strip("[]"))
    return host == "localhost" or (address is not None and address.is_loopback)


def find_peer(request: Request) -> IPv4Address | IPv6Address | None:
    """Return the address at the other end of the connection, whatever headers say."""
    return None if request.client is None else read_address(request.client.host)


def find_address(request: Request, doors: Doors) -> str:
    """Return where a person sits: the peer, or what a trusted proxy says that its own peer was."""
    forwarded = ",".join(request.headers.getlist("x-forwarded-for"))
    if forwarded and doors.proxy is not None and doors.proxy.sent(request):
        behind = read_address(forwarded.rpartition(",")[2].strip())
        if behind is not None:
            return str(behind)
    peer = find_peer(request)
    return "unknown" if peer is None else str(peer)


def is_https(request: Request, doors: Doors) -> bool:
    """Say whether the person's browser speaks https, to us or to the trusted proxy."""
    if request.url.scheme == "https":
        return True
    told = request.headers.get("x-forwarded-proto", "")
    return told == "https" and doors.proxy is not None and doors.proxy.sent(request)


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address; one of version 4 in the clothes of version 6 is one of version 4.

    >>> read_address("::ffff:10.0.0.5")
    IPv4Address('10.0.0.5')
    """
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _read_proxy(var: Path, settings: ProxySettings) -> TrustedProxy:
    return TrustedProxy(
        networks=tuple(ip_network(address) for address in settings.addresses),
        secret=read_or_make_secret(var / "proxy-secret"),
        identity_header=settings.identity_header,
        role_header=settings.role_header,
        role=settings.role,
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
