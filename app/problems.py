"""What the interface says when it cannot answer: always JSON with what is wrong and what to do."""

from collections.abc import Sequence

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from app.nights import NoNightError
from configs.errors import KakedokiError

DOCS = "see /api/v1/docs"
_REMEDIES = {
    400: "correct the request; it goes to localhost or to a name of app.hosts",
    401: "send Authorization: Bearer TOKEN; kakedoki user token NAME makes one",
    403: "ask whoever runs kakedoki here for a token of a higher role",
    404: DOCS,
    405: DOCS,
    413: "send it in parts",
}
_LONGEST_VALUE = 80
_MOST_ROWS = 100


class FaultyRow(BaseModel):
    """One thing that is wrong with one posted attempt."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "row": 3,
                "attempt_id": "A1004",
                "column": "outcome",
                "value": "ANSWERED",
                "reason": "unknown outcome",
            }
        }
    )

    row: int = Field(description="position in the list that was posted, 0 first")
    attempt_id: str | None = Field(description="of this attempt, as far as it can be read")
    column: str = Field(description="which field; empty: the whole attempt")
    value: str = Field(description="what stood there, cut short")
    reason: str = Field(description="what is wrong with it")


class Problem(BaseModel):
    """Why there is no answer, and what to do."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "error": "no night has been run yet",
                "remedy": "kakedoki nightly --source FOLDER --out OUT",
                "rows": [],
            }
        }
    )

    error: str = Field(description="what is wrong")
    remedy: str = Field(description="what to do")
    rows: list[FaultyRow] = Field([], description="of posted attempts only: which are wrong, the first hundred")


class ProblemError(KakedokiError):
    """A question that cannot be answered; told as :class:`Problem` with the HTTP status."""

    def __init__(self, status: int, error: str, remedy: str, rows: Sequence[FaultyRow] = ()) -> None:
        super().__init__(error)
        self.status = status
        self.problem = Problem(error=error, remedy=remedy, rows=list(rows[:_MOST_ROWS]))


def add_problems(api: FastAPI) -> None:
    """Let every failure of an app be told as :class:`Problem`."""
    api.add_exception_handler(ProblemError, _tell_problem)
    api.add_exception_handler(NoNightError, _tell_no_night)
    api.add_exception_handler(KakedokiError, _tell_unusable)
    api.add_exception_handler(RequestValidationError, _tell_invalid)
    api.add_exception_handler(HTTPException, _tell_refusal)


def answer_refusal(status: int, told: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Answer a program that is not let in: what is wrong, what to do, and for 401 how to say who is asking.

    >>> answer_refusal(401, "this token is unknown").headers["www-authenticate"]
    'Bearer'
    """
    asking = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return _answer(status, Problem(error=told, remedy=_REMEDIES.get(status, DOCS)), (headers or {}) | asking)


def _answer(status: int, problem: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(problem.model_dump(), status, headers)


def _tell_problem(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    assert isinstance(error, ProblemError)
    return _answer(error.status, error.problem)


def _tell_no_night(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    fault, _, remedy = str(error).partition(": ")
    return _answer(503, Problem(error=fault, remedy=remedy or "run kakedoki nightly"), {"Retry-After": "60"})


def _tell_unusable(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    return _answer(503, Problem(error=str(error), remedy="run kakedoki nightly again"), {"Retry-After": "60"})


def _tell_refusal(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    told = f"{request.url.path}: there is no such address" if error.status_code == 404 else str(error.detail)
    return answer_refusal(error.status_code, told, dict(error.headers or {}))


def _tell_invalid(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    """Faults of posted attempts are told row by row, other faults by the name of the parameter."""
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    rows = [_read_fault(fault) for fault in faults if _is_of_row(fault["loc"])]
    if rows:
        told = f"{len({row.row for row in rows}):,} attempts cannot be read: nothing was kept"
        return _answer(422, Problem(error=told, remedy="correct the rows and post all again", rows=rows[:_MOST_ROWS]))
    first = faults[0]
    name = ".".join(str(part) for part in first["loc"][1:]) or "body"
    return _answer(422, Problem(error=f"{name}: {first['msg']}", remedy=DOCS))


def _is_of_row(place: Sequence[object]) -> bool:
    return tuple(place[:2]) == ("body", "attempts") and len(place) > 2 and isinstance(place[2], int)


def _read_fault(fault: dict[str, object]) -> FaultyRow:
    place, given = fault["loc"], fault["input"]
    assert isinstance(place, tuple)
    column = ".".join(str(part) for part in place[3:])
    attempt_id = given.get("attempt_id") if isinstance(given, dict) else None
    return FaultyRow(
        row=place[2],
        attempt_id=str(attempt_id)[:_LONGEST_VALUE] if attempt_id is not None else None,
        column=column,
        value="" if isinstance(given, dict | list) else str(given)[:_LONGEST_VALUE],
        reason=str(fault["msg"]),
    )
