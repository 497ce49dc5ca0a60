"""The site: its pages, its interface for dialers, its assets and its doors, put together."""

from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from app import customer, downloads, staffing, today
from app.nights import Nights, NoNightError
from app.rendering import choose_language, render, speak
from configs.settings import Settings
from pipelines import exports

STATIC = Path(__file__).with_name("static")
PALETTE = Path(exports.__file__).with_name("templates") / "palette.css"


def build_site(nights: Nights, settings: Settings) -> FastAPI:
    """Put the site together; ``site.state.nights`` and ``site.state.settings`` are what its pages read."""
    site = FastAPI(title="kakedoki", docs_url=None, redoc_url=None, openapi_url=None)
    site.state.nights, site.state.settings = nights, settings
    site.add_api_route("/static/palette.css", _give_palette, include_in_schema=False)
    site.mount("/static", StaticFiles(directory=STATIC), name="static")
    site.include_router(today.router)
    site.include_router(downloads.router)
    site.include_router(customer.router)
    site.include_router(staffing.router)
    site.add_exception_handler(NoNightError, _tell_no_night)
    site.add_exception_handler(HTTPException, _tell_refusal)
    return site


def _give_palette() -> FileResponse:
    """The colours that the page shares with the report."""
    return FileResponse(PALETTE, media_type="text/css")


def _tell_no_night(request: Request, error: Exception) -> HTMLResponse:  # noqa: ARG001 - Starlette passes it
    language = choose_language(request)
    return render(
        request,
        "message.html.jinja",
        heading=speak("no_night", language),
        text=speak("no_night_remedy", language),
        command="kakedoki nightly --source FOLDER --out OUT",
    )


def _tell_refusal(request: Request, error: Exception) -> HTMLResponse:
    assert isinstance(error, HTTPException)
    language = choose_language(request)
    heading = speak("not_found", language) if error.status_code == 404 else str(error.detail)
    return render(request, "message.html.jinja", error.status_code, heading=heading, text="", command="")
