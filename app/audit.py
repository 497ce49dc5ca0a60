"""The audit log ``var/audit/exports.jsonl``: who took what out, who came in, who was refused, who changed users."""

import json
import os
from datetime import datetime
from pathlib import Path

from pipelines.failures import mask_numbers

_LONGEST_TEXT = 600
_AS_IT_IS = frozenset({"sha256", "address"})


def find_audit_file(var: Path) -> Path:
    """Return the file of the audit log under the folder of run artefacts.

    >>> find_audit_file(Path("/v")).as_posix()
    '/v/audit/exports.jsonl'
    """
    return var / "audit" / "exports.jsonl"


def record(
    file: Path, event: str, who: str, role: str | None, when: datetime, **details: str | int | float | bool | None
) -> None:
    """Append one line to the audit log; any number of processes may do so at once.

    Parameters
    ----------
    file
        See :func:`find_audit_file`; made with mode 600 in a folder of mode 700.
    event
        ``export``, ``login``, ``login_refused``, ``logout``, ``refused``, ``user_added`` and so on.
    when
        Now, with its zone.
    details
        For an export: ``filter``, ``format``, ``preset``, ``rows``, ``sha256`` of the bytes that left. What may be a
        telephone number is masked in every text, and long texts are cut; passwords and tokens never come here.

    Raises
    ------
    OSError
        The log cannot be written: then the export must not leave either.

    Examples
    --------
    >>> import tempfile
    >>> from datetime import UTC
    >>> file = find_audit_file(Path(tempfile.mkdtemp()))
    >>> record(file, "export", "sato", "analyst", datetime(2026, 11, 2, 8, 30, tzinfo=UTC), format="csv", rows=2)
    >>> json.loads(file.read_text())["who"]
    'sato'
    """
    told = {name: _tell(name, detail) for name, detail in details.items()}
    entry = {"when": when.isoformat(timespec="seconds"), "event": event, "who": _tell("who", who), "role": role, **told}
    line = (json.dumps(entry, ensure_ascii=False) + "\n").encode()
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # One write of one line on a file opened for appending: lines of several processes never mix (POSIX, O_APPEND).
    log = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.write(log, line) != len(line):
            raise OSError(f"{file}: the disk took a part of a line only")
    finally:
        os.close(log)


def _tell(name: str, detail: str | int | float | bool | None) -> str | int | float | bool | None:
    if not isinstance(detail, str) or name in _AS_IT_IS:
        return detail
    return mask_numbers(detail[: 10 * _LONGEST_TEXT])[:_LONGEST_TEXT]
