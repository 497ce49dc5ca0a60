"""The site: its pages, its interface for dialers, its assets and its doors, put together."""

from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from app import customer, downloads, heatmaps, measures, model_nights, progress, staffing, today
from app.api import build_api
from app.doors import Doors, add_doors
from app.metrics import MeasuredRequests, Metrics
from app.nights import Nights, NoNightError
from app.rendering import choose_language, render, speak
from configs.settings import Settings
from pipelines import exports

STATIC = Path(__file__).with_name("static")
PALETTE = Path(exports.__file__).with_name("templates") / "palette.css"


def build_site(nights: Nights, settings: Settings, doors: Doors | None = None) -> FastAPI:
    """Put the site together; ``site.state.nights`` and ``site.state.settings`` are what its pages read.

    Parameters
    ----------
    doors
        Decide who comes in. Without doors, as in tests of one page, there is no interface for programs either.
    """
    site = FastAPI(title="kakedoki", docs_url=None, redoc_url=None, openapi_url=None)
    site.state.nights, site.state.settings, site.state.metrics = nights, settings, Metrics()
    site.add_api_route("/static/palette.css", _give_palette, include_in_schema=False)
    site.mount("/static", StaticFiles(directory=STATIC), name="static")
    for view in (today, downloads, customer, staffing, heatmaps, measures, model_nights, progress):
        site.include_router(view.router)
    site.add_exception_handler(NoNightError, _tell_no_night)
    site.add_exception_handler(HTTPException, _tell_refusal)
    if doors is not None:
        site.mount("/api/v1", build_api(site))
        add_doors(site, doors)
    site.add_middleware(MeasuredRequests, metrics=site.state.metrics)  # added last: outermost, sees refusals too
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
