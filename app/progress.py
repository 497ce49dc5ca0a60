"""GET /progress: the line at the top of every page while a night runs, empty when none does."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.rendering import choose_language, read_words, render, speak
from pipelines.progress import read_progress

router = APIRouter()


@router.get("/progress")
def show_progress(request: Request, shown: Annotated[str, Query(max_length=100)] = "") -> Response:
    """Answer a fragment of HTML that says which stage runs; 204 where nothing has changed since ``shown``.

    An unchanged line is not sent again, so that a screen reader does not read it out every five seconds.
    """
    told = read_progress(request.app.state.nights.var)
    key = f"{told.started_at} {told.stage} {told.n_done}" if told is not None else ""
    if key == shown:
        return Response(status_code=204)
    if told is None:
        return Response(media_type="text/html")
    return render(
        request,
        "progress.html.jinja",
        told=told,
        key=key,
        stage=name_stage(told.stage, choose_language(request)),
        since=datetime.fromtimestamp(told.started_at).astimezone(),
    )


def name_stage(stage: str, language: str) -> str:
    """Name a stage in the reader's language; one without words keeps its own name.

    >>> name_stage("fit", "ja"), name_stage("polish", "en")
    ('学習', 'polish')
    """
    key = f"stage_{stage or 'begin'}"
    return speak(key, language) if key in read_words() else stage
