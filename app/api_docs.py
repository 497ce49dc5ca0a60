"""The interface described for people: one page made on the server from the OpenAPI document, without foreign assets."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse

from app.rendering import render

_PLACE = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Operation:
    """One route as people read it.

    Attributes
    ----------
    parameters
        name · where · type · needed · description.
    command
        A line for the shell that asks it.
    answers
        status · description · example as JSON text, or empty.
    """

    method: str
    path: str
    summary: str
    description: str
    parameters: list[dict[str, str]]
    body: str
    command: str
    answers: list[dict[str, str]]


def add_docs(api: FastAPI) -> None:
    """Serve ``/docs``, a page made from the app's own OpenAPI document."""

    @api.get("/docs", include_in_schema=False)
    def show_docs(request: Request) -> HTMLResponse:
        """Describe every route."""
        prefix = request.scope.get("root_path", "")
        return render(request, "api.html.jinja", operations=list_operations(api.openapi(), prefix), prefix=prefix)


def list_operations(document: dict[str, Any], prefix: str) -> list[Operation]:
    """List the routes of an OpenAPI document in its order.

    Parameters
    ----------
    prefix
        Where the app is mounted.
    """
    return [
        _describe(document, prefix + path, method, route)
        for path, routes in document["paths"].items()
        for method, route in routes.items()
    ]


def _describe(document: dict[str, Any], path: str, method: str, route: dict[str, Any]) -> Operation:
    parameters = route.get("parameters", [])
    body = _find_example(document, route.get("requestBody", {}))
    return Operation(
        method.upper(),
        path,
        route["summary"],
        route.get("description", ""),
        [_describe_parameter(document, parameter) for parameter in parameters],
        body,
        _spell_command(method, path, parameters, bool(body)),
        [
            {"status": status, "description": answer["description"], "example": _find_example(document, answer)}
            for status, answer in route["responses"].items()
        ],
    )


def _describe_parameter(document: dict[str, Any], parameter: dict[str, Any]) -> dict[str, str]:
    schema = parameter["schema"]
    return {
        "name": parameter["name"],
        "type": _spell_type(document, schema),
        "needed": "yes" if parameter.get("required") else "",
        "default": "" if schema.get("default") in (None, []) else str(schema["default"]),
        "description": parameter.get("description", schema.get("description", "")),
    }


def _spell_type(document: dict[str, Any], schema: dict[str, Any]) -> str:
    """One or two words: integer, date-time, any of several."""
    if "anyOf" in schema:
        return " or ".join(_spell_type(document, part) for part in schema["anyOf"] if part.get("type") != "null")
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"{_spell_type(document, schema['items'])}, may be given again"
    return str(schema.get("format") or schema.get("type", ""))


def _find_example(document: dict[str, Any], part: dict[str, Any]) -> str:
    content = part.get("content", {}).get("application/json", {})
    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    shown = content.get("example", document["components"]["schemas"].get(name, {}).get("example"))
    return "" if shown is None else json.dumps(shown, ensure_ascii=False, indent=2)


def _spell_command(method: str, path: str, parameters: list[dict[str, Any]], has_body: bool) -> str:
    examples = {each["name"]: each["schema"].get("examples", [None])[0] for each in parameters if each["in"] == "query"}
    shown = {name: value for name, value in list(examples.items())[:1] if value is not None}
    address = f"{_PLACE}{path}".replace("{customer_id}", "C0001") + (f"?{urlencode(shown)}" if shown else "")
    posted = " -H 'Content-Type: application/json' -d @outcomes.json" if has_body else ""
    given = "" if path.endswith("/health") else " -H 'Authorization: Bearer TOKEN'"
    return f"curl{' -X POST' if method == 'post' else ''}{given}{posted} '{address}'"
