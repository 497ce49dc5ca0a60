"""The morning's path in a real Chromium: filter, look at one customer's why, take the Excel, and nothing leaves."""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import pandas as pd
import pytest
import uvicorn
from argon2 import PasswordHasher
from axe_playwright_python.sync_playwright import Axe
from conftest import FinishedNight
from fastapi import FastAPI
from page_readers import build_guarded_site, ids_on, n_found, read_call_list
from playwright.sync_api import Browser, Page, sync_playwright

from app.users import add_user
from pipelines.stages import record_stages, stage

SCREENS = [("en", 1280, "light"), ("ja", 390, "dark")]
WORDS = {
    "en": {"why": "Why not another time", "filters": "Filters", "excel": "Excel", "list": "Call list"},
    "ja": {"why": "ほかの時間にしない理由", "filters": "絞り込み", "excel": "Excel", "list": "今日の架電リスト"},
}
PASSWORD = "a long enough password"


@dataclass
class Visit:
    """A reader's window, and everything it asked for."""

    page: Page
    address: str
    asked: list[str]
    faults: list[str]

    def go(self, path: str) -> None:
        self.page.goto(self.address + path)

    def wait_for(self, n: int) -> None:
        """Wait until the page says that it has found so many dials."""
        self.page.wait_for_function("n => document.querySelector('#found strong').textContent === n", arg=f"{n:,}")

    def check(self) -> None:
        """Nothing serious for axe, nothing wider than the screen, no fault, no request to anywhere else."""
        found = Axe().run(self.page).response["violations"]
        serious = [
            (rule["id"], rule["nodes"][0]["html"]) for rule in found if rule["impact"] in ("serious", "critical")
        ]
        assert serious == []
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert self.faults == []
        assert [url for url in self.asked if not url.startswith(self.address)] == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None and "CI" not in os.environ:
        pytest.skip("Chromium is missing: apt-get install chromium fonts-noto-cjk")
    assert chromium is not None, "Chromium is missing: .ci/run installs it"
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])


@pytest.fixture(scope="module")
def address(small_night: FinishedNight, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from serve(build_guarded_site(small_night, tmp_path_factory.mktemp("doors")))


def serve(site: FastAPI) -> Iterator[str]:
    """Serve a site on a free port of this machine until the test has ended."""
    server = uvicorn.Server(uvicorn.Config(site, port=0, log_level="error", proxy_headers=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def open_window(browser: Browser, address: str, language: str, width: int, scheme: str) -> Visit:
    context = browser.new_context(
        locale={"en": "en-GB", "ja": "ja-JP"}[language],
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
        service_workers="block",
    )
    visit = Visit(context.new_page(), address, [], [])
    visit.page.on("request", lambda request: visit.asked.append(request.url))
    visit.page.on("pageerror", lambda error: visit.faults.append(str(error)))
    visit.page.on("console", lambda said: visit.faults.append(said.text) if "Content Security" in said.text else None)
    return visit


def choose_somebody(listed: pd.DataFrame) -> pd.Series:
    """Somebody whom the plan dials on Tuesday at 18:00 and of whom region, gender and age are known."""
    starts = listed["slot_start"]
    tuesday = listed[(starts.dt.day_of_week == 1) & (starts.dt.hour == 18)]
    return tuesday.dropna(subset=["age", "gender", "region"]).iloc[0]


@pytest.mark.parametrize(("language", "width", "scheme"), SCREENS)
def test_the_path_of_a_morning(
    browser: Browser,
    address: str,
    small_night: FinishedNight,
    tmp_path: Path,
    language: str,
    width: int,
    scheme: str,
) -> None:
    listed = read_call_list(small_night)
    somebody = choose_somebody(listed)
    oldest = int(somebody["age"]) - 1
    same = (listed["region"] == somebody["region"]) & (listed["gender"] == somebody["gender"])
    in_slot = (listed["slot_start"].dt.day_of_week == 1) & (listed["slot_start"].dt.hour == 18)
    wanted = listed[same & in_slot & (listed["age"] >= oldest)]
    visit = open_window(browser, address, language, width, scheme)
    page, words = visit.page, WORDS[language]

    visit.go("/")
    assert page.get_by_role("heading", name=words["list"], level=1).is_visible()
    visit.check()
    if width < 900:
        page.get_by_text(words["filters"], exact=True).first.click()
    page.evaluate("window.isSamePage = true")
    choices = {"weekday": "1", "hour": "18", "region": somebody["region"], "gender": somebody["gender"]}
    for name, value in choices.items():
        page.locator(f"#by-{name}").select_option(value)
    page.locator("input[name=age_from]").fill(str(oldest))
    page.locator("input[name=age_from]").press("Tab")
    visit.wait_for(len(wanted))
    page.wait_for_url(f"**/?{urlencode(choices | {'age_from': str(oldest)})}*")
    assert page.evaluate("window.isSamePage") is True
    assert ids_on(page.content()) == wanted["customer_id"].tolist()
    visit.check()

    with page.expect_download() as taking:
        page.get_by_role("link", name=words["excel"], exact=True).click()
    taking.value.save_as(tmp_path / "taken.xlsx")
    taken = pd.read_excel(tmp_path / "taken.xlsx", engine="openpyxl")
    assert taken["customer_id"].tolist() == wanted["customer_id"].tolist()
    assert taken["p_keyman"].to_numpy() == pytest.approx(wanted["p_keyman"].to_numpy(), abs=1e-6)

    answer = page.request.get(f"{address}/api/v1/call-list?{urlencode(choices | {'age_from': str(oldest)})}")
    assert [row["customer_id"] for row in answer.json()["rows"]] == taken["customer_id"].tolist()

    bookmark = page.url
    page.get_by_role("link", name=wanted["customer_id"].iloc[0]).click()
    assert page.get_by_role("heading", name=words["why"]).is_visible()
    visit.check()
    page.go_back()
    assert page.url == bookmark
    assert ids_on(page.content()) == wanted["customer_id"].tolist()
    visit.go("/staffing")
    visit.check()
    page.context.close()


def test_sorting_and_slots_change_the_table_only_and_keyboards_reach_it(browser: Browser, address: str) -> None:
    visit = open_window(browser, address, "en", 1280, "dark")
    page = visit.page
    visit.go("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.evaluate("window.isSamePage = true")
    page.locator("#sort-p_keyman").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/?sort=p_keyman&order=desc*")
    assert page.locator("th[aria-sort=descending]").count() == 1
    assert page.evaluate("document.activeElement.id") == "sort-p_keyman"
    page.locator("td a[href*='slot_start=2026-11-03T18']").click()
    page.wait_for_url("**slot_start=2026-11-03T18*")
    assert "sort=p_keyman" in page.url
    page.locator("#by-gender").select_option("female")
    page.wait_for_url("**gender=female*")
    assert "slot_start=" in page.url
    assert page.evaluate("window.isSamePage") is True
    visit.check()
    page.context.close()


@pytest.mark.parametrize("path", ["/heatmaps", "/measures", "/nights", "/api/v1/docs"])
def test_the_other_pages_are_as_accessible_and_as_closed(browser: Browser, address: str, path: str) -> None:
    for language, width, scheme in SCREENS:
        visit = open_window(browser, address, language, width, scheme)
        visit.go(path)
        assert visit.page.locator("h1").is_visible()
        visit.check()
        visit.page.context.close()


def test_while_a_night_runs_every_page_says_so_and_stops_when_it_ends(
    browser: Browser, small_night: FinishedNight, tmp_path: Path
) -> None:
    @stage("fit")
    def look(visit: Visit) -> None:
        visit.go("/measures")
        visit.page.locator("#progress strong").wait_for()
        assert "学習" in visit.page.locator("#progress").inner_text()
        visit.check()

    for address in serve(build_guarded_site(small_night, tmp_path, var=tmp_path)):
        visit = open_window(browser, address, "ja", 390, "light")
        with record_stages(2, tmp_path):
            look(visit)
        visit.page.locator("#progress strong").wait_for(state="detached", timeout=15_000)
        visit.page.context.close()


def test_it_works_without_scripts(browser: Browser, address: str, small_night: FinishedNight) -> None:
    context = browser.new_context(java_script_enabled=False, locale="en-GB")
    page = context.new_page()
    page.goto(address)
    page.locator("#by-gender").select_option("female")
    page.get_by_role("button", name="Apply").click()
    listed = read_call_list(small_night)
    assert n_found(page.content()) == (listed["gender"] == "female").sum()
    context.close()


def test_whoever_signs_in_sees_what_their_role_may(
    browser: Browser, small_night: FinishedNight, tmp_path: Path
) -> None:
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    add_user(tmp_path / "users.json", "ito", "viewer", PASSWORD, datetime(2026, 11, 2, tzinfo=UTC), hasher)
    for address in serve(build_guarded_site(small_night, tmp_path)):
        visit = open_window(browser, address, "ja", 390, "light")
        page = visit.page
        visit.go("/?region=Tokyo")
        assert page.url.startswith(f"{address}/login")
        visit.check()
        page.locator("#name").fill("ito")
        page.locator("#password").fill("not the password")
        page.locator("main button").click()
        assert page.get_by_role("alert").is_visible()
        page.locator("#password").fill(PASSWORD)
        page.locator("main button").click()
        page.wait_for_url(f"{address}/?region=Tokyo")
        assert page.locator("a[href^='/export']").count() == 0
        refused = page.goto(f"{address}/export?region=Tokyo")
        assert refused is not None
        assert refused.status == 403
        visit.check()
        page.context.close()
