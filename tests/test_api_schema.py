"""Schemathesis reads the interface's own description and holds the interface to its word."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import schemathesis
from argon2 import PasswordHasher
from conftest import FinishedNight
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

CONFIG = schemathesis.Config.from_dict(
    {
        "seed": 7,
        "generation": {"max-examples": 6, "deterministic": True, "database": "none"},
        "phases": {"stateful": {"enabled": False}},
    }
)
# What the schema allows may still name no customer, no slot and no cursor of ours: that is told with 404 or 422.
NOT_ASKED = [positive_data_acceptance]
HEADERS: dict[str, str] = {}


@pytest.fixture(scope="module")
def described(
    small_night: FinishedNight, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[schemathesis.BaseSchema]:
    """The whole site with doors and one user, as its description tells it."""
    var = tmp_path_factory.mktemp("schema")
    users, at = var / "users.json", datetime(2026, 11, 2, tzinfo=UTC)
    add_user(users, "dialler", "analyst", None, at, PasswordHasher(1, 8, 1))
    HEADERS["Authorization"] = f"Bearer {issue_token(users, 'dialler', at)}"
    settings = Settings()
    doors = replace(read_doors(var, settings.app, "127.0.0.1"), clock=HALF_PAST_TEN.timestamp, hosts=(asgi.HOST,))
    site = build_site(Nights(var, Path(small_night.out)), settings, doors)
    times = st.datetimes(datetime(2026, 11, 1), datetime(2026, 11, 10))  # noqa: DTZ001 - the offset follows
    register_string_format("date-time", times.map(lambda at: f"{at.isoformat(timespec='seconds')}+09:00"))
    yield schemathesis.openapi.from_asgi("/api/v1/openapi.json", site, config=CONFIG, headers=HEADERS)
    unregister_string_format("date-time")


schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
def test_the_interface_keeps_its_own_description(case: schemathesis.Case) -> None:
    case.call_and_validate(headers=HEADERS, excluded_checks=NOT_ASKED)
