"""The site: its pages, its interface for dialers, its assets and its doors, put together."""

from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from app.heatmaps import router as heatmaps
from app.measures import router as measures
from app.model_nights import router as model_nights
from app.nights import Nights, NoNightError
from app.progress import router as progress
from app.rendering import choose_language, render, speak
from configs.settings import Settings

STATIC = Path(__file__).with_name("static")


def build_site(nights: Nights, settings: Settings) -> FastAPI:
    """Put the site together; ``site.state.nights`` and ``site.state.settings`` are what its pages read."""
    site = FastAPI(title="kakedoki", docs_url=None, redoc_url=None, openapi_url=None)
    site.state.nights, site.state.settings = nights, settings
    site.mount("/static", StaticFiles(directory=STATIC), name="static")
    for views in (heatmaps, measures, model_nights, progress):
        site.include_router(views)
    site.add_exception_handler(NoNightError, _tell_no_night)
    site.add_exception_handler(HTTPException, _tell_refusal)
    return site


def _tell_no_night(request: Request, error: Exception) -> HTMLResponse:
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
