"""The nights one beside the other: the core of each ``run.json``, kept in ``var/runs/history.jsonl``, newest last.

It names no customer, so it may be kept when a run's folder is deleted or a person is erased.
"""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.contact.rivals import RIVALS

HISTORY = "history.jsonl"
MOST_NIGHTS = 400
_KEPT = ("run_id", "run_date", "as_of", "is_simulated", "staffing_mode", "expected_contacts", "seconds", "peak_mb")


def keep_night(runs: Path, record: Mapping[str, Any], out: Path | None = None) -> None:
    """Add a run's core, and where its folder ``out`` is, to ``runs/history.jsonl``, whole or not at all.

    The newest 400 are kept.

    A run that is written again takes the place of its former line. A history that cannot be written stops nobody: the
    log says so.
    """
    core = build_core(record) | ({} if out is None else {"out": str(out.resolve())})
    before = [night for night in read_history(runs) if night.get("run_id") != core["run_id"]]
    lines = [json.dumps(night, ensure_ascii=False) + "\n" for night in [*before, core][-MOST_NIGHTS:]]
    beside = runs / f".{HISTORY}.{os.getpid()}"
    try:
        beside.write_text("".join(lines), encoding="utf-8")
        beside.replace(runs / HISTORY)
    except OSError as error:
        logging.getLogger("kakedoki").warning("%s: cannot be written, this night is missing there: %s", HISTORY, error)


def read_history(runs: Path) -> list[dict[str, Any]]:
    """Read the cores of the nights, oldest first; none where there is no history, and no line that cannot be read."""
    try:
        lines = (runs / HISTORY).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [night for night in map(_read_line, lines) if night is not None]


def build_core(record: Mapping[str, Any]) -> dict[str, Any]:
    """Take from a ``run.json`` what nights are compared by.

    Returns
    -------
    dict
        run_id · run_date · as_of · is_simulated · staffing_mode · expected_contacts · seconds · peak_mb · dials ·
        gains · model_name · model_version · challenger · is_fitted_tonight · calibration_error and log_loss (of the
        contact model on the forward fold; None when nothing was fitted) · habits ("moved", "steady", "unknown", None).

    Examples
    --------
    >>> core = build_core({"run_id": "a", "counts": {"dials": 7}, "model": {"version": "3"}})
    >>> core["dials"], core["model_version"], core["calibration_error"]
    (7, '3', None)
    """
    model, drift = record.get("model") or {}, record.get("drift") or {}
    metrics = model.get("metrics") or {}
    judged = f"{RIVALS[-1]}.forward"
    return {name: record.get(name) for name in _KEPT} | {
        "dials": (record.get("counts") or {}).get("dials"),
        "gains": record.get("gains") or {},
        "model_name": model.get("name"),
        "model_version": model.get("version"),
        "challenger": model.get("challenger"),
        "is_fitted_tonight": model.get("is_fitted_tonight"),
        "calibration_error": metrics.get(f"{judged}.calibration_error"),
        "log_loss": metrics.get(f"{judged}.log_loss"),
        "habits": (drift.get("habits") or {}).get("verdict"),
    }


def _read_line(line: str) -> dict[str, Any] | None:
    try:
        night = json.loads(line)
    except ValueError:
        return None
    return night if isinstance(night, dict) else None
