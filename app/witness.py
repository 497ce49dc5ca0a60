"""Between a request and the audit log: who and when are known, nothing that people typed is."""

from datetime import UTC, datetime

from starlette.requests import Request

from app.audit import record
from app.identity import Identity
from app.keys import Doors, find_address


def tell_audit(
    request: Request, doors: Doors, event: str, user: Identity | None, **details: str | int | float | bool | None
) -> None:
    """Append what a request did to the audit log, with who (``unknown``: nobody we know), role and address.

    Raises
    ------
    OSError
        The log cannot be written.
    """
    who, role = ("unknown", None) if user is None else (user.name, user.role)
    when = datetime.fromtimestamp(doors.clock(), UTC)
    record(doors.audit_file, event, who, role, when, address=find_address(request, doors), **details)
