"""Pictures of every page for the README, taken in Chromium on the run of ``make demo``: ``make screenshots``."""

import argparse
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import uvicorn
from playwright.sync_api import Browser, sync_playwright

from app.doors import Doors
from app.nights import Nights
from app.site import build_site
from configs.settings import read_settings
from pipelines.runs import find_var

HOUSE = Path(__file__).resolve().parent.parent
PICTURES = HOUSE / "docs" / "pictures"
VIEWS = {
    "list": ("/", "en", 1280, "light"),
    "list-ja": ("/?weekday=1&hour=18", "ja", 1280, "light"),
    "list-phone": ("/", "ja", 390, "dark"),
    "customer": ("/customers/{customer_id}", "en", 1280, "light"),
    "heatmaps": ("/heatmaps", "en", 1280, "light"),
    "staffing": ("/staffing", "en", 1280, "dark"),
    "measures": ("/measures", "en", 1280, "light"),
    "nights": ("/nights", "en", 1280, "light"),
}
"""Name of the picture: path, language, width in pixels, colour scheme."""


def take_pictures(run: Path, var: Path, folder: Path) -> list[Path]:
    """Write ``page-NAME.png`` of every view into a folder."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("Chromium is missing: apt-get install chromium fonts-noto-cjk")
    nights = Nights(var, run)
    night = nights.current()
    somebody = night.ask("SELECT customer_id FROM call_list WHERE is_firm ORDER BY p_keyman DESC LIMIT 1").iloc[0, 0]
    folder.mkdir(parents=True, exist_ok=True)
    with serve(nights) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        return [
            take(browser, address + path.format(customer_id=somebody), language, width, scheme, folder / f"{name}.png")
            for name, (path, language, width, scheme) in ((f"page-{name}", view) for name, view in VIEWS.items())
        ]


def take(browser: Browser, url: str, language: str, width: int, scheme: str, file: Path) -> Path:
    context = browser.new_context(
        locale={"en": "en-GB", "ja": "ja-JP"}[language],
        viewport={"width": width, "height": 860 if width > 500 else 780},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    page.goto(url)
    page.wait_for_timeout(500)
    page.screenshot(path=file)
    context.close()
    return file


@contextmanager
def serve(nights: Nights) -> Iterator[str]:
    """Serve the site on a free port of this machine, with its door open."""
    with TemporaryDirectory() as kept:
        files = [Path(kept) / name for name in ("users.json", "ended.json", "exports.jsonl")]
        doors = Doors(*files, secret_key="k" * 43, open_on_loopback=True)
        site = build_site(nights, read_settings(), doors)
        server = uvicorn.Server(uvicorn.Config(site, port=0, log_level="error"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.05)
        try:
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="folder of a run (default: that of make demo)")
    parser.add_argument("--to", type=Path, default=PICTURES, help="folder of the pictures")
    given = parser.parse_args()
    var = find_var()
    for file in take_pictures(given.run or var / "demo" / "run", var, given.to):
        print(file)
