"""Where a reader has come to in a list: a bookmark that holds for one night and no other."""

import base64
import json
from collections.abc import Sequence

from app.problems import ProblemError

_LONGEST = 2000


def write_cursor(run_id: str, *place: str | int) -> str:
    """Spell the place after which the next page begins.

    >>> read_cursor(write_cursor("20261102-1a", "2026-11-02T10:00:00+09:00", 7), "20261102-1a", (str, int))
    ('2026-11-02T10:00:00+09:00', 7)
    """
    spelled = json.dumps([run_id, *place], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(spelled.encode()).decode().rstrip("=")


def read_cursor(cursor: str, run_id: str, kinds: Sequence[type]) -> tuple[str | int, ...]:
    """Read a cursor back.

    Parameters
    ----------
    kinds
        Of the parts of the place.

    Raises
    ------
    ProblemError
        422: it is none of ours. 410: it belongs to another night.
    """
    try:
        padded = cursor[:_LONGEST] + "=" * (-len(cursor[:_LONGEST]) % 4)
        parts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        parts = None
    if not isinstance(parts, list) or [type(part) for part in parts] != [str, *kinds]:
        raise ProblemError(422, "cursor: is none of ours", "send next_cursor of the page before, or leave it out")
    if parts[0] != run_id:
        raise ProblemError(
            410, f"cursor: is of night {parts[0]}, but {run_id} has taken its place", "read the new list from its start"
        )
    return tuple(parts[1:])
