"""Schemathesis reads the interface's own description and holds the interface to its word."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import schemathesis
from argon2 import PasswordHasher
from conftest import FinishedNight
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.python import asgi
from schemathesis.specs.openapi.checks import positive_data_acceptance
from schemathesis.specs.openapi.formats import register_string_format, unregister_string_format
from test_api import HALF_PAST_TEN

from app.doors import read_doors
from app.nights import Nights
from app.site import build_site
from app.users import add_user, issue_token
from configs.settings import Settings

# What the schema allows may still name no customer, no slot and no cursor of ours: that is told with 404 or 422.
NOT_ASKED = [positive_data_acceptance]
ROUTES = [
    ("/call-list", "get"),
    ("/call-list/next", "get"),
    ("/customers/{customer_id}", "get"),
    ("/excluded", "get"),
    ("/outcomes", "get"),
    ("/outcomes", "post"),
]
WITHOUT_INPUT = [("/staffing", "get"), ("/health", "get"), ("/metrics", "get")]


@dataclass(frozen=True)
class Described:
    """The whole site with doors and one user, as its description tells it."""

    schema: schemathesis.BaseSchema
    headers: dict[str, str]


@pytest.fixture(scope="module")
def described(small_night: FinishedNight, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Described]:
    var = tmp_path_factory.mktemp("schema")
    users, at = var / "users.json", datetime(2026, 11, 2, tzinfo=UTC)
    add_user(users, "dialler", "analyst", None, at, PasswordHasher(1, 8, 1))
    headers = {"Authorization": f"Bearer {issue_token(users, 'dialler', at)}"}
    doors = replace(read_doors(var, Settings().app, "127.0.0.1"), clock=HALF_PAST_TEN.timestamp, hosts=(asgi.HOST,))
    site = build_site(Nights(var, Path(small_night.out)), Settings(), doors)
    times = st.datetimes(datetime(2026, 11, 1), datetime(2026, 11, 10))  # noqa: DTZ001 - the offset follows
    register_string_format("date-time", times.map(lambda at: f"{at.isoformat(timespec='seconds')}+09:00"))
    yield Described(schemathesis.openapi.from_asgi("/api/v1/openapi.json", site, headers=headers), headers)
    unregister_string_format("date-time")


def hold_to_its_word(described: Described, route: tuple[str, str], mode: schemathesis.GenerationMode, n: int) -> None:
    operation = described.schema[route[0]][route[1]]

    @settings(max_examples=n, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=described.headers, excluded_checks=NOT_ASKED)

    ask()


def test_every_route_is_asked(described: Described) -> None:
    told = {(path, method) for path in described.schema for method in described.schema[path]}
    assert told == {*ROUTES, *WITHOUT_INPUT}


@pytest.mark.parametrize("route", [*ROUTES, *WITHOUT_INPUT], ids=" ".join)
def test_what_the_description_allows_is_answered_as_described(route: tuple[str, str], described: Described) -> None:
    n = 1 if route in WITHOUT_INPUT else 8
    hold_to_its_word(described, route, schemathesis.GenerationMode.POSITIVE, n)


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_what_the_description_does_not_allow_is_refused(route: tuple[str, str], described: Described) -> None:
    hold_to_its_word(described, route, schemathesis.GenerationMode.NEGATIVE, 8)
