"""The doors: who comes in, who does not, and what is tried to get in all the same."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse
from httpx import Response
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from test_users import CHEAP, NOW, PASSWORD

from app.brake import OF_ADDRESSES, OF_USERS, LoginBrake
from app.doors import Doors, Identity, TrustedProxy, add_doors, check_binding, read_doors, record_export, require
from app.hardening import CONTENT_SECURITY_POLICY
from app.login import find_next
from app.sessions import begin_visit, write_cookie
from app.users import add_user, change_password, issue_token, remove_user, revoke_tokens
from configs.errors import UsageError
from configs.settings import PageSettings, Settings, read_settings

SECRET = "s" * 64
HERE = ("127.0.0.1", 50000)
THERE = ("192.0.2.7", 50000)
PROXY = ("10.0.0.5", 50000)
HTML = {"Accept": "text/html"}


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = NOW.timestamp()

    def __call__(self) -> float:
        return self.seconds


@dataclass(frozen=True)
class House:
    """A small site behind doors, and the clock on its wall."""

    doors: Doors
    clock: Clock
    site: FastAPI

    def enter(self, peer: tuple[str, int] = THERE, base_url: str = "http://kakedoki.example") -> TestClient:
        return TestClient(self.site, base_url=base_url, client=peer, follow_redirects=False, headers=HTML)

    def audit(self) -> list[dict[str, object]]:
        file = self.doors.audit_file
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def build_pages(doors: Doors) -> FastAPI:
    """Pages as the real site has them: one to look at, one that changes something, one for admins, one for programs."""
    site = FastAPI()

    @site.get("/")
    def show(request: Request) -> HTMLResponse:
        return HTMLResponse(f"{request.state.user.name} {request.state.csrf_token}")

    @site.post("/export")
    async def export(request: Request, who: Annotated[Identity, Depends(require("analyst"))]) -> str:
        form = await request.form()
        record_export(request, filter=str(form.get("filter", "")), format="csv", rows=2)
        return f"{who.name} took {form.get('filter', '')}"

    @site.get("/users")
    def list_users(who: Annotated[Identity, Depends(require("admin"))]) -> str:
        return who.name

    @site.post("/api/v1/outcomes")
    def post_outcomes(outcomes: list[str], request: Request) -> str:
        return f"{request.state.user.name}: {len(outcomes)}"

    @site.get("/api/v1/health")
    def tell_health() -> str:
        return "up"

    add_doors(site, doors)
    return site


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., House]:
    """Build a house with other doors."""

    def build_with(**changes: object) -> House:
        clock = Clock()
        plain = Doors(
            users_file=tmp_path / "users.json",
            ended_file=tmp_path / "ended.json",
            audit_file=tmp_path / "audit" / "exports.jsonl",
            secret_key=SECRET,
            hosts=("kakedoki.example",),
            hasher=CHEAP,
            clock=clock,
        )
        doors = replace(plain, **changes)  # type: ignore[arg-type]
        return House(doors, clock, build_pages(doors))

    return build_with


@pytest.fixture
def house(build: Callable[..., House], tmp_path: Path) -> House:
    """A house with a viewer, an analyst and an admin."""
    for name, role in (("ito", "viewer"), ("sato", "analyst"), ("abe", "admin")):
        add_user(tmp_path / "users.json", name, role, PASSWORD, NOW, CHEAP)  # type: ignore[arg-type]
    return build()


def form_token(page: Response) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page.text) or re.search(r"\w+ (\S+)$", page.text)
    assert found is not None, page.text
    return found[1]


def sign_in(browser: TestClient, name: str = "sato", password: str = PASSWORD, next_path: str = "") -> Response:
    page = browser.get("/login", params={"next": next_path} if next_path else {})
    typed = {"name": name, "password": password, "next": next_path, "csrf_token": form_token(page)}
    return browser.post("/login", data=typed)


# --- signing in and out


def test_whoever_is_not_signed_in_is_asked_to_and_comes_back_to_the_page(house: House) -> None:
    browser = house.enter()
    asked = browser.get("/?region=東京&slot=18")
    assert asked.status_code == 303
    assert asked.headers["location"].startswith("/login?next=/%3F")
    page = browser.get(asked.headers["location"])
    wanted = re.search(r'name="next" value="([^"]+)"', page.text)
    assert wanted is not None
    assert wanted[1] == f"/?region={quote('東京')}&amp;slot=18"
    let_in = sign_in(browser, next_path=f"/?region={quote('東京')}&slot=18")
    assert let_in.headers["location"] == f"/?region={quote('東京')}&slot=18"
    assert browser.get("/").text.startswith("sato ")


def test_the_form_has_labels_and_both_languages(house: House) -> None:
    page = house.enter().get("/login?lang=ja").text
    for part in ('<label for="name">ユーザー名</label>', '<label for="password">', 'autocomplete="current-password"'):
        assert part in page
    assert "<script>" not in page
    assert "style=" not in page
    assert "User name" in house.enter().get("/login").text


@pytest.mark.parametrize(
    ("name", "password"), [("sato", "wrong"), ("nobody", PASSWORD), ("", ""), ("SATO' OR 1=1 --", "x")]
)
def test_a_wrong_password_and_an_unknown_name_hear_the_same(name: str, password: str, house: House) -> None:
    browser = house.enter()
    refused = sign_in(browser, name, password)
    assert refused.status_code == 401
    assert "User name or password is wrong." in refused.text
    assert "OR 1=1" not in refused.text
    assert browser.get("/").status_code == 303


def test_the_session_cookie_is_for_this_site_only_and_ends(house: House) -> None:
    browser = house.enter()
    cookie = sign_in(browser).headers["set-cookie"]
    for flag in ("HttpOnly", "SameSite=lax", "Path=/", f"Max-Age={12 * 3600}"):
        assert flag in cookie
    assert "Secure" not in cookie
    assert "Domain" not in cookie
    safe = house.enter(base_url="https://kakedoki.example")
    let_in = sign_in(safe)
    assert let_in.headers["set-cookie"].startswith("__Host-kakedoki=")
    assert "; Secure" in let_in.headers["set-cookie"]
    assert "max-age" in let_in.headers["strict-transport-security"]


def test_a_session_ends_after_its_hours(house: House) -> None:
    browser = house.enter()
    sign_in(browser)
    house.clock.seconds += 12 * 3600 - 1
    assert browser.get("/").status_code == 200
    house.clock.seconds += 1
    assert browser.get("/").status_code == 303


def test_signing_in_makes_a_new_session_so_that_a_planted_one_is_worth_nothing(house: House) -> None:
    browser = house.enter()
    browser.get("/login")
    planted = browser.cookies["kakedoki"]
    sign_in(browser)
    assert browser.cookies["kakedoki"] != planted
    thief = house.enter()
    thief.cookies.set("kakedoki", planted, domain="kakedoki.example")
    assert thief.get("/").status_code == 303


def test_signing_out_ends_copies_of_the_cookie_too_also_after_a_restart(house: House) -> None:
    browser = house.enter()
    sign_in(browser)
    copied = browser.cookies["kakedoki"]
    left = browser.post("/logout", data={"csrf_token": form_token(browser.get("/"))})
    assert (left.status_code, left.headers["location"]) == (303, "/login")
    assert "kakedoki" not in browser.cookies
    for site in (house.site, build_pages(house.doors)):
        thief = TestClient(site, base_url="http://kakedoki.example", follow_redirects=False, headers=HTML)
        thief.cookies.set("kakedoki", copied, domain="kakedoki.example")
        assert thief.get("/").status_code == 303
    assert house.doors.ended_file.stat().st_mode & 0o777 == 0o600
    assert copied not in house.doors.ended_file.read_text()


def test_another_password_and_a_removed_user_end_sessions(house: House) -> None:
    first, second = house.enter(), house.enter()
    sign_in(first, "sato")
    sign_in(second, "ito")
    change_password(house.doors.users_file, "sato", "snow on a tin roof", CHEAP)
    remove_user(house.doors.users_file, "ito")
    assert (first.get("/").status_code, second.get("/").status_code) == (303, 303)
    add_user(house.doors.users_file, "ito", "admin", "hail on a tin roof", NOW, CHEAP)  # another person, by chance
    assert second.get("/").status_code == 303


@pytest.mark.parametrize("key", ["another key", ""])
def test_a_forged_cookie_is_no_cookie(key: str, house: House) -> None:
    browser = house.enter()
    forged = write_cookie(begin_visit(house.clock(), "abe"), key or SECRET)
    if not key:  # the right key, but a letter changed
        forged = forged[:3] + ("A" if forged[3] != "A" else "B") + forged[4:]
    browser.cookies.set("kakedoki", forged, domain="kakedoki.example")
    assert browser.get("/").status_code == 303


@pytest.mark.parametrize("cookie", ["", "null", "a.b.c", "é", '{"id": 1}', "x" * 5000])
def test_a_damaged_cookie_is_no_cookie(cookie: str, house: House) -> None:
    answer = house.enter().get("/", headers={"cookie": f"kakedoki={cookie}".encode()})
    assert answer.status_code == 303


# --- roles


@pytest.mark.parametrize(("name", "export", "users"), [("ito", 403, 403), ("sato", 200, 403), ("abe", 200, 200)])
def test_everybody_may_what_their_role_may(name: str, export: int, users: int, house: House) -> None:
    browser = house.enter()
    sign_in(browser, name)
    token = form_token(browser.get("/"))
    assert browser.post("/export", data={"csrf_token": token, "filter": "x"}).status_code == export
    assert browser.get("/users").status_code == users
    refusals = [line for line in house.audit() if line["event"] == "refused"]
    assert len(refusals) == (export, users).count(403)
    assert all(line["who"] == name for line in refusals)


def test_a_route_that_nobody_thought_of_is_closed(house: House) -> None:
    stranger = house.enter()
    for path in ("/users", "/nowhere", "/openapi.json", "/login/x", "/static", "/api/v1/health/x", "//login"):
        assert stranger.get(path).status_code in (303, 401), path
    assert stranger.get("/api/v1/health").text == '"up"'
    with pytest.raises(WebSocketDisconnect), stranger.websocket_connect("/live"):
        pass


def test_programs_hear_401_as_json_and_htmx_as_a_way_to_sign_in(house: House) -> None:
    stranger = house.enter()
    told = stranger.post("/api/v1/outcomes", json=[])
    assert (told.status_code, told.headers["www-authenticate"]) == (401, "Bearer")
    assert told.json()["error"] == "Please sign in first."
    assert "kakedoki user token" in told.json()["remedy"]
    part = stranger.get("/", headers={"HX-Request": "true"})
    assert (part.status_code, part.headers["hx-redirect"]) == (401, "/login")


# --- forms from elsewhere


def test_a_form_without_its_token_changes_nothing(house: House) -> None:
    browser = house.enter()
    sign_in(browser)
    right = form_token(browser.get("/"))
    other = house.enter()
    sign_in(other, "abe")
    for token in ("", "x", right[:-1], right + "A", form_token(other.get("/"))):
        assert browser.post("/export", data={"csrf_token": token}).status_code == 403
        assert browser.post("/export", headers={"X-CSRF-Token": token}).status_code == 403
    assert browser.post("/export", params={"csrf_token": right}).status_code == 403
    assert browser.post("/logout").status_code == 403
    assert [line for line in house.audit() if line["event"] == "export"] == []


def test_the_token_may_come_in_a_form_or_in_htmx_s_header_and_the_form_arrives_whole(house: House) -> None:
    browser = house.enter()
    sign_in(browser)
    token = form_token(browser.get("/"))
    filled = {"filter": "地域=東京 & ＝", "csrf_token": token}
    for sent in (
        browser.post("/export", data=filled),
        browser.post("/export", data=filled, files={"list": b"1,2"}),
        browser.post("/export", data={"filter": "地域=東京 & ＝"}, headers={"X-CSRF-Token": token}),
    ):
        assert sent.json() == "sato took 地域=東京 & ＝"


def test_each_page_has_another_token_and_all_are_good(house: House) -> None:
    browser = house.enter()
    sign_in(browser)
    first, second = form_token(browser.get("/")), form_token(browser.get("/"))
    assert first != second
    assert browser.post("/export", headers={"X-CSRF-Token": first}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://kakedoki.example.evil.example"},
        {"Origin": "http://localhost:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_what_the_browser_says_comes_from_elsewhere_is_refused_with_a_right_token(
    headers: dict[str, str], house: House
) -> None:
    browser = house.enter()
    sign_in(browser)
    token = form_token(browser.get("/"))
    assert browser.post("/export", headers={"X-CSRF-Token": token, **headers}).status_code == 403
    own = {"Origin": "http://kakedoki.example", "Sec-Fetch-Site": "same-origin"}
    assert browser.post("/export", headers={"X-CSRF-Token": token, **own}).status_code == 200


def test_signing_somebody_in_from_elsewhere_fails(house: House) -> None:
    assert house.enter().post("/login", data={"name": "sato", "password": PASSWORD}).status_code == 403


# --- where to go next


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example",
        "evil.example", "javascript:alert(1)", "/\t/evil.example", "/\n/evil.example", " //evil.example",
        "/x\r\nSet-Cookie: a=b",
        "http:evil.example", "/login", "/logout", "", "/" + "a" * 3000, "//[",
    ],
)  # fmt: skip
def test_nobody_is_led_to_another_site(wanted: str, house: House) -> None:
    assert find_next(wanted) == "/"
    let_in = sign_in(house.enter(), next_path=wanted)
    assert let_in.headers["location"] == "/"
    assert "a=b" not in let_in.headers.get("set-cookie", "")


def test_a_path_of_this_site_is_kept() -> None:
    assert find_next("/customer/c%2F1?lang=ja#why") == "/customer/c%2F1?lang=ja#why"


# --- names of the host, sizes, headers


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "a b", "169.254.1.1"]
)
def test_a_request_for_another_host_is_refused(host: str, build: Callable[..., House]) -> None:
    """DNS rebinding: a page of evil.example whose name points at 127.0.0.1."""
    browser = build(open_on_loopback=True).enter(HERE, "http://127.0.0.1:8080")
    assert browser.get("/", headers={"Host": host}).status_code == 400
    assert browser.get("/").status_code == 200


def test_a_request_for_another_host_is_told_why_like_any_that_is_refused(house: House) -> None:
    browser, elsewhere = house.enter(), {"Host": "evil.example"}
    page = browser.get("/?lang=ja", headers=elsewhere)
    assert page.status_code == 400
    assert page.headers["content-type"].startswith("text/html")
    assert "アドレスのホスト名は" in page.text
    assert "set-cookie" not in page.headers
    told = browser.get("/api/v1/health", headers=elsewhere)
    assert told.status_code == 400
    assert told.json()["error"].startswith("This page does not go by the name in the address.")
    assert "app.hosts" in told.json()["remedy"]
    with pytest.raises(WebSocketDisconnect), browser.websocket_connect("ws://evil.example/"):
        pass


@pytest.mark.parametrize(
    "url", ["http://localhost:8080", "http://[::1]:8080", "http://kakedoki.example", "http://KAKEDOKI.example:80"]
)
def test_a_request_for_a_known_host_is_answered(url: str, build: Callable[..., House]) -> None:
    assert build(open_on_loopback=True).enter(HERE, url).get("/").status_code == 200


def test_every_answer_binds_the_browser(house: House) -> None:
    browser = house.enter()
    answers = [
        browser.get("/"), browser.get("/login"), browser.post("/export"), browser.get("/api/v1/health"),
        browser.get("/", headers={"Host": "evil.example"}), sign_in(browser), browser.get("/"), browser.get("/nowhere"),
    ]  # fmt: skip
    for answer in answers:
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert "camera=()" in answer.headers["permissions-policy"]
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "frame-ancestors 'none'" in CONTENT_SECURITY_POLICY


def test_a_request_that_is_too_large_is_refused_whether_it_says_so_or_not(
    house: House, build: Callable[..., House]
) -> None:
    small = build(max_body_bytes=1000)
    token = issue_token(small.doors.users_file, "sato", NOW)
    program = small.enter()
    program.headers["Authorization"] = f"Bearer {token}"
    assert program.post("/api/v1/outcomes", json=["x"] * 20).json() == "sato: 20"
    assert program.post("/api/v1/outcomes", json=["x" * 1000]).status_code == 413
    said_nothing = program.post("/api/v1/outcomes", content=iter([b'["' + b"x" * 600, b"x" * 600 + b'"]']))
    assert said_nothing.status_code == 413
    lied = program.post("/api/v1/outcomes", json=[], headers={"Content-Length": "-1"})
    assert lied.status_code == 413
    stranger = small.enter()
    assert stranger.post("/login", content=iter([b"name=" + b"x" * 2000]), headers={
        "Content-Type": "application/x-www-form-urlencoded"}).status_code == 413  # fmt: skip
    told = program.post("/api/v1/outcomes", json=["x" * 1000])
    assert told.json()["error"] == "What was sent is too large: at most 1,000 bytes are taken."
    page = stranger.post("/login", content=b"x" * 2000, headers={"Accept": "text/html", "Accept-Language": "ja"})
    assert page.status_code == 413
    assert page.headers["content-type"].startswith("text/html")
    assert "上限は 1,000 バイトです" in page.text


# --- tokens


def test_a_token_needs_no_form_token_until_it_is_revoked(house: House) -> None:
    token = issue_token(house.doors.users_file, "sato", NOW)
    program = house.enter()
    sent = {"Authorization": f"Bearer {token}"}
    assert program.post("/api/v1/outcomes", json=["a"], headers=sent).json() == "sato: 1"
    assert program.post("/export", headers=sent).status_code == 200
    revoke_tokens(house.doors.users_file, "sato")
    refused = program.post("/api/v1/outcomes", json=["a"], headers=sent)
    assert refused.status_code == 401
    assert "revoked" in refused.json()["error"]


@pytest.mark.parametrize("header", ["Bearer ", "Bearer kd_x", "Basic c2F0bzp4", "kd_x", "Bearer \xff", "Bearer None"])
def test_a_wrong_token_is_refused_even_beside_a_good_cookie(header: str, house: House) -> None:
    browser = house.enter()
    sign_in(browser)
    assert browser.get("/", headers={"Authorization": header.encode("latin-1")}).status_code == 401
    assert browser.get("/").status_code == 200


def test_a_viewer_s_token_takes_nothing_out(house: House) -> None:
    token = issue_token(house.doors.users_file, "sato", NOW, "viewer")
    assert house.enter().post("/export", headers={"Authorization": f"Bearer {token}"}).status_code == 403


# --- the open door of the own machine


def test_without_users_the_own_machine_comes_in_as_an_analyst(build: Callable[..., House]) -> None:
    browser = build(open_on_loopback=True).enter(HERE, "http://127.0.0.1:8080")
    page = browser.get("/")
    assert page.text.startswith("local ")
    assert browser.get("/users").status_code == 403
    assert browser.post("/export", data={"filter": "x"}).status_code == 403
    assert browser.post("/export", data={"csrf_token": form_token(page), "filter": "x"}).json() == "local took x"


@pytest.mark.parametrize(
    ("peer", "headers"),
    [
        (THERE, {}),
        (("testclient", 1), {}),
        (HERE, {"X-Forwarded-For": "192.0.2.7"}),
        (HERE, {"Forwarded": "for=192.0.2.7"}),
        (HERE, {"Via": "1.1 proxy"}),
    ],
)
def test_the_open_door_is_for_the_own_machine_only(
    peer: tuple[str, int], headers: dict[str, str], build: Callable[..., House]
) -> None:
    """A proxy on the same machine would make everybody local."""
    assert build(open_on_loopback=True).enter(peer).get("/", headers=headers).status_code == 303


def test_a_first_user_closes_the_open_door_and_a_lost_file_does_not_open_it(build: Callable[..., House]) -> None:
    house = build(open_on_loopback=True)
    browser = house.enter(HERE)
    assert browser.get("/").status_code == 200
    add_user(house.doors.users_file, "sato", "analyst", PASSWORD, NOW, CHEAP)
    assert browser.get("/").status_code == 303
    begun_with_users = build(open_on_loopback=True)
    begun_with_users.doors.users_file.unlink()
    assert begun_with_users.enter(HERE).get("/").status_code == 303


def test_a_damaged_users_file_lets_nobody_in(build: Callable[..., House]) -> None:
    house = build(open_on_loopback=True)
    house.doors.users_file.write_text("{")
    house.doors.users_file.chmod(0o600)
    told = house.enter(HERE).get("/")
    assert told.status_code == 503
    assert "nobody is let in" in told.text


def test_a_program_of_this_machine_may_post_json_and_a_browser_may_not(build: Callable[..., House]) -> None:
    program = build(open_on_loopback=True).enter(HERE)
    assert program.post("/api/v1/outcomes", json=["a"]).json() == "local: 1"
    assert program.post("/export", json={}).status_code == 403
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "none"}, {"Content-Type": "text/plain"}):
        assert program.post("/api/v1/outcomes", content=b'["a"]', headers=headers).status_code == 403


# --- a trusted proxy

TRUSTED = TrustedProxy((ip_network("10.0.0.0/28"),), "p" * 64, "X-Remote-User", "X-Remote-Role")


def told_by(secret: str = "p" * 64, **more: str) -> dict[str, str]:
    return {"X-Kakedoki-Proxy": secret, "X-Remote-User": "Sato", "X-Remote-Role": "analyst", **more}


def test_a_trusted_proxy_says_who_is_there(build: Callable[..., House]) -> None:
    browser = build(proxy=TRUSTED, open_on_loopback=True).enter(PROXY)
    page = browser.get("/", headers=told_by())
    assert page.text.startswith("sato ")
    assert browser.post("/export", headers=told_by()).status_code == 403
    assert browser.post("/export", headers=told_by(**{"X-CSRF-Token": form_token(page)})).json() == "sato took "
    strange = told_by(**{"X-Remote-Role": "root", "X-CSRF-Token": form_token(page)})
    assert browser.post("/export", headers=strange).status_code == 403  # the fixed role, viewer


@pytest.mark.parametrize(
    ("peer", "headers"),
    [
        (THERE, told_by()),
        (HERE, told_by()),
        (PROXY, told_by("wrong")),
        (PROXY, {"X-Remote-User": "sato"}),
        (THERE, told_by(**{"X-Forwarded-For": "10.0.0.5"})),
        (("10.0.0.16", 1), told_by()),
    ],
)
def test_nobody_else_is_believed(peer: tuple[str, int], headers: dict[str, str], build: Callable[..., House]) -> None:
    assert build(proxy=TRUSTED, open_on_loopback=True).enter(peer).get("/", headers=headers).status_code == 303


def test_two_names_are_none(build: Callable[..., House]) -> None:
    browser = build(proxy=TRUSTED).enter(PROXY)
    twice = [*told_by().items(), ("X-Remote-User", "abe")]
    assert browser.get("/", headers=twice).status_code == 401
    assert browser.get("/", headers=told_by(**{"X-Remote-User": "abe; admin"})).status_code == 401


def test_a_proxy_that_only_speaks_https_makes_cookies_safe_and_shows_the_address(
    build: Callable[..., House], house: House
) -> None:
    behind = build(proxy=replace(TRUSTED, identity_header=None))
    browser = behind.enter(PROXY)
    browser.headers.update(told_by(**{"X-Forwarded-Proto": "https", "X-Forwarded-For": "6.6.6.6, 192.0.2.9"}))
    page = browser.get("/login")
    assert page.headers["set-cookie"].startswith("__Host-kakedoki=")
    refused = browser.post(
        "/login",
        data={"name": "sato", "password": "wrong", "csrf_token": form_token(page)},
        headers={"Cookie": page.headers["set-cookie"].partition(";")[0]},
    )
    assert refused.status_code == 401
    assert behind.audit()[-1]["address"] == "192.0.2.9"


# --- guessing


def test_guessing_gets_slower_and_a_right_password_during_the_wait_does_not_count(house: House) -> None:
    browser = house.enter()
    answers = [sign_in(browser, "sato", f"guess {k}").status_code for k in range(OF_USERS.n_free + 2)]
    assert answers == [401] * (OF_USERS.n_free + 1) + [429]
    held_up = sign_in(browser, "sato")
    assert held_up.status_code == 429
    assert int(held_up.headers["retry-after"]) >= 1
    assert sign_in(house.enter(("192.0.2.8", 1)), "sato").status_code == 429  # by user, from wherever
    assert sign_in(house.enter(), "ito").status_code == 303  # somebody else at the same address
    house.clock.seconds += 2
    assert sign_in(browser, "sato").status_code == 303


def test_waits_double_up_to_a_limit_and_are_forgotten_after_an_hour() -> None:
    clock = Clock()
    brake = LoginBrake(clock)
    waits = []
    for _ in range(13):
        wait = brake.begin("sato", "192.0.2.7")
        if wait > 0:
            clock.seconds += wait
            assert brake.begin("sato", "192.0.2.7") == 0
        waits.append(wait)
    assert waits == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert brake.begin("sato", "192.0.2.7") == OF_USERS.longest_seconds
    clock.seconds += 3601
    assert brake.begin("sato", "192.0.2.7") == 0


def test_many_names_from_one_address_are_slowed_down_too_and_take_no_endless_memory() -> None:
    clock = Clock()
    brake = LoginBrake(clock)
    tried = [brake.begin(f"user{k}", f"2001:db8::{k:x}") for k in range(OF_ADDRESSES.n_free + 2)]
    assert tried[-1] > 0  # one /64 is one address
    for k in range(12_000):
        brake.begin(f"user{k}", f"198.51.{k // 250}.{k % 250}")
    assert len(brake._found) <= 10_000


def test_guesses_sent_at_once_do_not_slip_through_together() -> None:
    brake = LoginBrake(Clock())
    allowed = sum(brake.begin("sato", "192.0.2.7") == 0 for _ in range(100))
    assert allowed == OF_USERS.n_free + 1


# --- the audit log


def test_the_log_tells_who_came_what_left_and_never_a_password(house: House) -> None:
    browser = house.enter()
    sign_in(browser, "sato", "wrong password typed")
    sign_in(browser, "my secret password", "x")
    sign_in(browser)
    token = form_token(browser.get("/"))
    browser.post("/export", data={"csrf_token": token, "filter": "search=090-1234-5678"})
    browser.post("/logout", headers={"X-CSRF-Token": token})
    told = house.audit()
    assert [(line["event"], line["who"]) for line in told] == [
        ("login_refused", "sato"), ("login_refused", "unknown"), ("login", "sato"), ("export", "sato"),
        ("logout", "sato"),
    ]  # fmt: skip
    export = told[3]
    assert (export["role"], export["filter"], export["rows"]) == ("analyst", "search=•••", 2)
    assert {line["address"] for line in told} == {"192.0.2.7"}
    text = house.doors.audit_file.read_text()
    assert [secret for secret in (PASSWORD, "wrong password", "my secret", "5678") if secret in text] == []


# --- where to listen


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "kakedoki.example", ""])
def test_listening_beyond_this_machine_needs_credentials(host: str, tmp_path: Path) -> None:
    settings = PageSettings(hosts=("kakedoki.example",))
    doors = read_doors(tmp_path, settings, host)
    assert not doors.open_on_loopback
    with pytest.raises(UsageError, match="kakedoki user add NAME"):
        check_binding(host, doors)
    add_user(doors.users_file, "sato", "viewer", PASSWORD, NOW, CHEAP)
    check_binding(host, doors)


def test_listening_everywhere_needs_a_name(tmp_path: Path) -> None:
    doors = read_doors(tmp_path, PageSettings(), "0.0.0.0")
    add_user(doors.users_file, "sato", "viewer", PASSWORD, NOW, CHEAP)
    with pytest.raises(UsageError, match="address bar"):
        check_binding("0.0.0.0", doors)
    check_binding("192.0.2.1", read_doors(tmp_path, PageSettings(), "192.0.2.1"))


@pytest.mark.parametrize(("identity", "is_enough"), [("X-Remote-User", True), (None, False)])
def test_a_proxy_is_enough_when_it_names_people(identity: str | None, is_enough: bool, tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {"app": {"hosts": ["k.example"], "trusted_proxy": {"addresses": ["10.0.0.5"], "identity_header": identity}}}
    )
    doors = read_doors(tmp_path, settings.app, "0.0.0.0")
    assert (tmp_path / "proxy-secret").stat().st_mode & 0o777 == 0o600
    if is_enough:
        check_binding("0.0.0.0", doors)
        return
    with pytest.raises(UsageError, match="add a user"):
        check_binding("0.0.0.0", doors)


def test_loopback_needs_nothing_and_keys_are_made_once(tmp_path: Path) -> None:
    doors = read_doors(tmp_path, PageSettings(), "127.0.0.1")
    check_binding("127.0.0.1", doors)
    assert doors.open_on_loopback
    assert doors.are_open()
    assert read_doors(tmp_path, PageSettings(), "localhost").secret_key == doors.secret_key
    assert (tmp_path / "secret-key").stat().st_mode & 0o777 == 0o600
    assert doors.secret_key not in repr(doors)


@pytest.mark.parametrize("addresses", ["[]", "[0.0.0.0/0]", '["::/0"]', "[everywhere]", "[10.0.0.1/24]"])
def test_a_proxy_that_could_be_anybody_is_refused(addresses: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"app: {{trusted_proxy: {{addresses: {addresses}}}}}\n")
    with pytest.raises(UsageError, match=r"app\.trusted_proxy\.addresses"):
        read_settings(file)
