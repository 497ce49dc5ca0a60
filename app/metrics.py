"""Numbers about the site itself, in the text that Prometheus reads."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.nights import OpenNight

SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
UNKNOWN = "unknown"


class Metrics:
    """What is counted for one site; nothing is shared between two of them.

    >>> metrics = Metrics()
    >>> metrics.count_request("GET", "/", 200, 0.01)
    >>> "kakedoki_requests_total" in metrics.spell()
    True
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        here = self._registry
        labels = ["method", "route", "status"]
        self._requests = Counter("kakedoki_requests", "Answered requests", labels, registry=here)
        told = "Seconds until answered"
        self._seconds = Histogram("kakedoki_request_seconds", told, ["route"], buckets=SECONDS, registry=here)
        self._age = Gauge("kakedoki_run_age_seconds", "Seconds since the newest night was written", registry=here)
        self._dials = Gauge("kakedoki_list_rows", "Rows of the newest call list", registry=here)
        self._posted = Counter("kakedoki_outcomes_posted", "New outcomes posted since the start", registry=here)

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request; ``route`` is the pattern of its address, never what somebody typed."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_outcomes(self, n: int) -> None:
        """Count new outcomes."""
        self._posted.inc(n)

    def tell_run(self, night: OpenNight, now: float, n_dials: int) -> None:
        """Keep how old the night that is shown is, at ``now`` (seconds since 1970), and how long its list."""
        self._age.set(age_seconds(night, now))
        self._dials.set(n_dials)

    def spell(self) -> str:
        """Write all numbers in Prometheus' text format."""
        return generate_latest(self._registry).decode()


def age_seconds(night: OpenNight, now: float) -> float:
    """Seconds from when the night was written to ``now``, both since 1970; never negative."""
    return max(now - night.stamp[1] / 1e9, 0.0)


class MeasuredRequests:
    """ASGI middleware that counts every request, those refused at the door too."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and count what was answered."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_counted)
        finally:
            method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "OPTIONS") else "other"
            self.metrics.count_request(method, _find_route(scope), status, time.perf_counter() - began)


def _find_route(scope: Scope) -> str:
    """The pattern of the address: what people type would make a number of its own for every customer."""
    route = scope.get("route")
    pattern = getattr(route, "path", None)
    return UNKNOWN if pattern is None else f"{scope.get('root_path', '')}{pattern}"
