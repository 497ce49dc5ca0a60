"""The interface for dialers under ``/api/v1``: the list, whom to dial next, who is not called, outcomes back."""

from datetime import UTC, datetime
from typing import Annotated, Any

import pandas as pd
from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request
from fastapi.responses import PlainTextResponse
from fastapi.security import HTTPBearer

from app.api_answers import CallListPage, CustomerAnswer, ExcludedPage, Health, NextDials, StaffingAnswer
from app.api_docs import add_docs
from app.api_posts import Attempt, OutcomesKept, OutcomesPage, OutcomesPost
from app.api_questions import ExcludedQuestion, ListQuestion, NextQuestion, PostedQuestion
from app.api_rows import (
    Slot,
    find_excluded_reason,
    find_slot,
    is_known,
    list_chances,
    list_dials,
    list_excluded,
    list_plan,
    list_staffing,
    list_unknown,
    list_waiting,
)
from app.cursors import read_cursor, write_cursor
from app.doors import record_export, require
from app.metrics import age_seconds
from app.nights import NoNightError, OpenNight
from app.problems import FaultyRow, Problem, ProblemError, add_problems
from pipelines.outcomes import (
    COLUMNS,
    OutcomeConflictError,
    PostedAttempt,
    has_ended,
    list_finished,
    post_outcomes,
    read_outcomes,
    read_outcomes_of,
)

ABOUT = """\
Programs of the centre read the night's call list here and post outcomes back. Every answer carries the `run_id` of its
night: when it changes, a new list has taken the place of the old one. Errors are `{"error", "remedy"}`.
"""
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "nobody we know asks"},
    403: {"model": Problem, "description": "the token's role may not do this"},
    422: {"model": Problem, "description": "a parameter or what was posted cannot be read"},
    503: {"model": Problem, "description": "no night has been run yet"},
}
_GONE: dict[int | str, dict[str, Any]] = {410: {"model": Problem, "description": "the cursor belongs to another night"}}
_MISSING: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "there is no such thing"}}
_CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"model": Problem, "description": "an attempt_id was posted before with another content; nothing was kept"}
}

_token = HTTPBearer(auto_error=False, description="`kakedoki user token NAME` makes one")

looking = APIRouter(dependencies=[Depends(_token), Depends(require("viewer"))], responses=_PROBLEMS)
working = APIRouter(dependencies=[Depends(_token), Depends(require("analyst"))], responses=_PROBLEMS)
watching = APIRouter(responses={503: _PROBLEMS[503]})


def build_api(site: FastAPI) -> FastAPI:
    """Build the app to be mounted at ``/api/v1``; it shares the site's ``state``: nights, doors, metrics."""
    api = FastAPI(title="kakedoki", version="1", description=ABOUT, docs_url=None, redoc_url=None)
    api.state = site.state
    for routes in (looking, working, watching):
        api.include_router(routes)
    add_problems(api)
    add_docs(api)
    return api


@looking.get("/call-list", summary="The call list in pages", responses=_GONE)
def read_call_list(request: Request, question: Annotated[ListQuestion, Query()]) -> CallListPage:
    """Rows by slot and rank, filtered as on the page.

    Send `next_cursor` as `cursor` until it is null: every row comes exactly once. When a new night takes the list's
    place, the cursor is refused with 410.
    """
    night = _night(request)
    after = None
    if question.cursor is not None:
        start, rank = read_cursor(question.cursor, night.run_id, (str, int))
        after = (_read_start(str(start)), int(rank))
    rows = list_dials(night, question.wanted, after, question.limit + 1)
    shown, last = rows[: question.limit], rows[question.limit - 1 :][:1]
    cursor = None
    if len(rows) > question.limit:
        cursor = write_cursor(night.run_id, last[0]["slot_start"].isoformat(), last[0]["rank"])
    record_export(request, filter=question.wanted.spell(), format="api", rows=len(shown))
    return CallListPage.model_validate(_facts(night) | {"rows": shown, "next_cursor": cursor})


@looking.get("/call-list/next", summary="The next customers to dial in a slot", responses=_MISSING)
def read_next(request: Request, question: Annotated[NextQuestion, Query()]) -> NextDials:
    """Rows of the slot by rank, without customers who are finished.

    Finished is whose series has ended by a posted outcome (a contact today, a refusal or a wrong number), and who was
    dialled in this slot already. Nothing is reserved: asked again before outcomes are posted, the answer is the same.
    Where several dialers work one list, ask once for as many as all of them need, and share the answer out.
    """
    night = _night(request)
    slot = _slot_of(night, question, _now(request))
    if slot is None:
        return NextDials(run_id=night.run_id, slot_start=None, slot_end=None, rows=[], left=0)
    finished = list_finished(request.app.state.nights.var, _as_of(night), slot.start, slot.end)
    rows, n_waiting = list_waiting(night, slot, finished, question.count)
    told = {"run_id": night.run_id, "slot_start": slot.start, "slot_end": slot.end, "rows": rows, "left": n_waiting}
    return NextDials.model_validate(told)


@looking.get("/customers/{customer_id:path}", summary="One customer", responses=_MISSING)
def read_customer(request: Request, customer_id: Annotated[str, Path(examples=["C0001"])]) -> CustomerAnswer:
    """Planned dials, or the reason for not being called; chances of the week; what was posted."""
    night = _night(request)
    if not is_known(night, customer_id):
        raise ProblemError(404, f"{customer_id[:80]}: the night knows no such customer", "take ids from the call list")
    posted = read_outcomes_of(request.app.state.nights.var, customer_id)
    told = {
        "run_id": night.run_id,
        "customer_id": customer_id,
        "plan": list_plan(night, customer_id),
        "excluded_reason": find_excluded_reason(night, customer_id),
        "chances": list_chances(night, customer_id),
        "is_finished": has_ended(posted, _as_of(night)),
        "posted": _spell_posted(posted[list(COLUMNS)], night),
    }
    return CustomerAnswer.model_validate(told)


@looking.get("/excluded", summary="Listed customers who are not called", responses=_GONE)
def read_excluded(request: Request, question: Annotated[ExcludedQuestion, Query()]) -> ExcludedPage:
    """Each with the first reason that applies, in the order of their ids, in pages as the call list."""
    night = _night(request)
    after = None if question.cursor is None else str(read_cursor(question.cursor, night.run_id, (str,))[0])
    rows = list_excluded(night, question.reason, after, question.limit + 1)
    shown = rows[: question.limit]
    cursor = write_cursor(night.run_id, shown[-1]["customer_id"]) if len(rows) > question.limit else None
    record_export(request, filter=f"excluded {question.reason or ''}".strip(), format="api", rows=len(shown))
    return ExcludedPage.model_validate({"run_id": night.run_id, "rows": shown, "next_cursor": cursor})


@looking.get("/staffing", summary="Places and seats of every slot")
def read_staffing(request: Request) -> StaffingAnswer:
    """Given against recommended, seat prices and hints; empty for the rest of a day planned again."""
    night = _night(request)
    return StaffingAnswer.model_validate({"run_id": night.run_id, "rows": list_staffing(night)})


@working.post("/outcomes", summary="Post outcomes", responses=_CONFLICT)
def write_outcomes(request: Request, post: OutcomesPost) -> OutcomesKept:
    """All attempts are kept, or none.

    Posting the same again changes nothing, so repeat a post whenever its answer was lost. Outcomes count for `next` at
    once, and when the rest of the day is planned again (`kakedoki replan`) as long as the centre's log does not hold
    the same `attempt_id`.
    """
    night = _night(request)
    _refuse_unknown(night, post.attempts)
    attempts = [_localise(attempt, night) for attempt in post.attempts]
    try:
        n_new = post_outcomes(request.app.state.nights.var, attempts, _now(request))
    except OutcomeConflictError as error:
        remedy = "give a new dial an attempt_id of its own; what was posted before is not changed"
        raise ProblemError(409, str(error), remedy, _mark_rows(post.attempts, set(error.attempt_ids))) from error
    request.app.state.metrics.count_outcomes(n_new)
    return OutcomesKept(accepted=len(attempts), new=n_new, known=len(attempts) - n_new)


@working.get("/outcomes", summary="What was posted")
def read_posted(request: Request, question: Annotated[PostedQuestion, Query()]) -> OutcomesPage:
    """In the order of posting, in pages; a cursor also serves to ask later for what has come since."""
    night = _night(request)
    after = 0 if question.cursor is None else int(read_cursor(question.cursor, "posted", (int,))[0])
    since = None if question.since is None else _in_zone(question.since, night)
    posted = read_outcomes(request.app.state.nights.var, since, after, question.limit + 1)
    shown = posted.iloc[: question.limit]
    cursor = write_cursor("posted", int(shown["sequence"].iloc[-1])) if len(posted) > question.limit else None
    rows = _spell_posted(shown.drop(columns="sequence"), night)
    return OutcomesPage.model_validate({"rows": rows, "next_cursor": cursor})


@watching.get("/health", summary="Whether a list is there")
def read_health(request: Request) -> Health:
    """Needs no token. 503 while no night has been run."""
    night = _night(request)
    age = age_seconds(night, _now(request).timestamp())
    told = {"status": "ok", "run_age_seconds": age, "dials": _count_dials(night)}
    return Health.model_validate(_facts(night) | told)


@looking.get("/metrics", summary="Numbers for Prometheus", response_class=PlainTextResponse)
def read_metrics(request: Request) -> str:
    """Requests by route and status, seconds, age of the night, rows of its list, outcomes posted."""
    metrics = request.app.state.metrics
    try:
        night = _night(request)
        metrics.tell_run(night, _now(request).timestamp(), _count_dials(night))
    except NoNightError:
        pass  # the numbers about requests are there all the same
    return str(metrics.spell())


def _night(request: Request) -> OpenNight:
    night: OpenNight = request.app.state.nights.current()
    return night


def _now(request: Request) -> datetime:
    return datetime.fromtimestamp(request.app.state.doors.clock(), UTC)


def _as_of(night: OpenNight) -> datetime:
    return pd.Timestamp(night.record["run_date"], tz=night.zone).to_pydatetime()


def _facts(night: OpenNight) -> dict[str, Any]:
    return {"run_id": night.run_id, "run_date": night.record["run_date"]}


def _count_dials(night: OpenNight) -> int:
    return int(night.ask("SELECT count(*) AS n FROM call_list")["n"].iloc[0])


def _slot_of(night: OpenNight, question: NextQuestion, now: datetime) -> Slot | None:
    if question.slot_start == "now":
        return find_slot(night, now)
    start = _in_zone(question.slot_start, night)
    slot = find_slot(night, start)
    if slot is None or slot.start != start:
        raise ProblemError(404, f"{start.isoformat()}: no slot of the plan starts then", "take one of GET /call-list")
    return slot


def _read_start(spelled: str) -> datetime:
    try:
        return datetime.fromisoformat(spelled).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ProblemError(422, "cursor: is none of ours", "send next_cursor of the page before") from error


def _in_zone(moment: datetime, night: OpenNight) -> datetime:
    return moment.replace(tzinfo=night.zone) if moment.tzinfo is None else moment.astimezone(night.zone)


def _localise(attempt: Attempt, night: OpenNight) -> PostedAttempt:
    return PostedAttempt(**attempt.model_dump() | {"attempted_at": _in_zone(attempt.attempted_at, night)})


def _refuse_unknown(night: OpenNight, attempts: list[Attempt]) -> None:
    unknown = list_unknown(night, (attempt.customer_id for attempt in attempts))
    if unknown:
        rows = [
            FaultyRow(
                row=row,
                attempt_id=attempt.attempt_id,
                column="customer_id",
                value=attempt.customer_id,
                reason="unknown customer: not in the night's customers",
            )
            for row, attempt in enumerate(attempts)
            if attempt.customer_id in unknown
        ]
        told = f"{len(rows):,} attempts are of customers whom the night does not know: nothing was kept"
        raise ProblemError(422, told, "correct or leave out these rows and post all again", rows)


def _mark_rows(attempts: list[Attempt], attempt_ids: set[str]) -> list[FaultyRow]:
    reason = "posted before, or twice in this post, with another content"
    return [
        FaultyRow(row=row, attempt_id=attempt.attempt_id, column="attempt_id", value=attempt.attempt_id, reason=reason)
        for row, attempt in enumerate(attempts)
        if attempt.attempt_id in attempt_ids
    ]


def _spell_posted(posted: pd.DataFrame, night: OpenNight) -> list[dict[str, Any]]:
    times = {name: posted[name].dt.tz_convert(night.zone) for name in ("attempted_at", "posted_at") if name in posted}
    plain = posted.assign(**times).astype("object")
    return [{str(k): v for k, v in row.items()} for row in plain.where(plain.notna(), None).to_dict("records")]
