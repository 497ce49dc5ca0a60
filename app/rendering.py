"""Pages from templates, in English or Japanese, with everything escaped."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from pipelines.exports import sentences

LANGUAGES = ("en", "ja")
LANGUAGE_COOKIE = "kakedoki_language"
WORDS = Path(__file__).with_name("words")


def render(request: Request, template: str, status_code: int = 200, **values: Any) -> HTMLResponse:
    """Fill a template of ``app/templates``.

    Templates always know ``t`` (the words of ``app/words`` in the reader's language), ``language``, ``request``,
    ``user`` (who is signed in, or None) and ``csrf_token``.
    """
    language = choose_language(request)
    known = {
        "t": lambda key, **parts: speak(key, language, **parts),
        "language": language,
        "request": request,
        "user": getattr(request.state, "user", None),
        "csrf_token": getattr(request.state, "csrf_token", ""),
    }
    return HTMLResponse(build_environment().get_template(template).render(known | values), status_code)


def choose_language(request: Request) -> str:
    """``?lang=`` first, then what was chosen before (a cookie), then what the browser prefers; English otherwise."""
    for wish in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
        if wish in LANGUAGES:
            return str(wish)
    preferred = request.headers.get("accept-language", "").lower()
    return "ja" if preferred.startswith("ja") else "en"


def speak(key: str, language: str, **parts: Any) -> str:
    """Give the words of a key, with ``parts`` filled in; an unknown key is a fault of ours.

    >>> speak("today", "ja")
    '今日の架電リスト'
    """
    return read_words()[key][language].format(**parts)


@cache
def read_words() -> dict[str, dict[str, str]]:
    """Read every ``app/words/*.yaml``: ``key: {en: ..., ja: ...}``; no key stands in two files.

    Raises
    ------
    ValueError
        A key has no words in one of the languages, or stands twice.
    """
    found: dict[str, dict[str, str]] = {}
    for file in sorted(WORDS.glob("*.yaml")):
        for key, told in yaml.safe_load(file.read_text(encoding="utf-8")).items():
            if key in found or set(told) != set(LANGUAGES):
                raise ValueError(f"{file.name}: {key}: wants one entry with {LANGUAGES}")
            found[key] = told
    return found


@cache
def build_environment() -> Environment:
    """Jinja, strict and escaping, with the numbers spelled as in the report."""
    environment = Environment(
        loader=PackageLoader("app"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    spelling: dict[str, Callable[..., str]] = {
        "count": sentences.count,
        "percent": sentences.percent,
        "decimal": sentences.decimal,
    }
    environment.filters.update(spelling)
    return environment
