"""What ``kakedoki forget`` does: one customer taken out of everything that kakedoki keeps.

Runs, what was posted, audit and other logs, what is kept of the source's log. Models hold no row of a person. The
source itself and files that people took away are not ours: the command says so.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from configs.errors import UsageError
from pipelines.erasure import (
    erase_from_csv,
    erase_from_outcomes,
    erase_from_parquet,
    strike_in_log,
    strike_in_record,
    strike_in_report,
)
from pipelines.exports.folders import LATEST, REPLANNED
from pipelines.exports.history import read_history
from pipelines.kept_folder import KEPT
from pipelines.kept_persons import forget_kept
from pipelines.outcomes import FILE as OUTCOMES
from pipelines.runs import SPOOL, hold_lock

_ERASERS: dict[str, tuple[Callable[[Path, str], int], str]] = {
    ".parquet": (erase_from_parquet, "rows removed"),
    ".csv": (erase_from_csv, "rows removed"),
    ".html": (strike_in_report, "mentions struck out"),
    ".json": (strike_in_record, "mentions struck out"),
}
_BESIDE = ("{name}.failed", ".{name}.partial-*", ".{name}.old-*")


@dataclass(frozen=True)
class Erased:
    """What was done to one file: how many rows or mentions, and in words what happened to them."""

    file: Path
    n: int
    what: str

    def spell(self) -> str:
        """Say it in a line.

        >>> Erased(Path("/run/call_list.csv"), 2, "rows removed").spell()
        '/run/call_list.csv: 2 rows removed'
        """
        what = self.what if self.n > 1 else re.sub(r"s\b", "", self.what, count=1)
        return f"{self.file}: {self.n:,} {what}"


def forget_customer(var: Path, customer_id: str, folders: Sequence[Path] = ()) -> list[Erased]:
    """Take a customer out of every run that is known, of what was posted, of the logs and of what is kept.

    Every file changes whole or not at all, and a second call finds nothing more, so that it is safe to repeat after a
    failure. Runs are those that ``var/runs`` names, what lies under ``var``, and ``folders``. No run may go on.

    Returns
    -------
    list of Erased
        The files that named the customer; none where nothing did.

    Raises
    ------
    UsageError
        The id is blank, or one of ``folders`` is no folder of a run.
    LockedError
        A run is going on.
    OSError
        A file cannot be written; those before it are done.
    """
    if not customer_id.strip():
        raise UsageError("CUSTOMER_ID: is blank: name the customer as the source does")
    for folder in folders:
        if not (folder / "run.json").is_file():
            raise UsageError(f"--run {folder}: is no folder of a run: run.json is missing")
    with hold_lock(var):
        runs = list_runs(var, folders)
        done = [erased for run in runs for erased in _erase_run(run, customer_id)]
        return [*done, *_erase_var(var, customer_id)]


def list_runs(var: Path, folders: Sequence[Path] = ()) -> list[Path]:
    """Folders of all runs that are known and still there, each once, with what failed runs left beside them."""
    pointers = [var / "runs" / name for name in (LATEST, REPLANNED)]
    told = [json.loads(file.read_text(encoding="utf-8")) for file in pointers if file.is_file()]
    named = [Path(out) for each in [*read_history(var / "runs"), *told] for out in _read_places(each)]
    named += [found.parent for found in sorted(var.glob("*/**/run.json"))]
    known = dict.fromkeys(folder.expanduser().resolve() for folder in [*folders, *named])
    beside = [
        found
        for folder in known
        for form in _BESIDE
        for found in folder.parent.glob(form.format(name=escape(folder.name)))
    ]
    return [folder for folder in dict.fromkeys([*known, *beside]) if folder.is_dir()]


def _read_places(told: dict[str, Any]) -> list[str]:
    """Where a night, or the replans that a pointer remembers, were written."""
    return [out for out in (told.get("out"), *told.get("before", ())) if out]


def _erase_run(folder: Path, customer_id: str) -> Iterator[Erased]:
    """The record comes last and is made new, so that a page which shows the run opens it again."""
    record = folder / "run.json"
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file != record]
    done = list(_erase_files(files, customer_id))
    if record.is_file():
        done += _erase_files([record], customer_id)
        if done:
            os.utime(record)
    yield from done


def _erase_files(files: Sequence[Path], customer_id: str) -> Iterator[Erased]:
    for file in files:
        erase, what = _ERASERS.get(file.suffix, (None, ""))
        n = 0 if erase is None else erase(file, customer_id)
        if n:
            yield Erased(file, n, what)


def _erase_var(var: Path, customer_id: str) -> Iterator[Erased]:
    """What was posted, the logs, and blocks of the source's log, which go whole: the next run reads them anew."""
    store = var / OUTCOMES
    n_posted = erase_from_outcomes(store, customer_id) if store.is_file() else 0
    if n_posted:
        yield Erased(store, n_posted, "posted outcomes removed")
    for file in sorted([*var.glob("audit/*"), *var.glob("logs/*")]):
        n = strike_in_log(file, customer_id) if file.is_file() else 0
        if n:
            yield Erased(file, n, "mentions struck out")
    shutil.rmtree(var / SPOOL, ignore_errors=True)  # of a run that was killed; none goes on
    n_kept = forget_kept(var, customer_id)
    if n_kept:
        yield Erased(var / KEPT, n_kept, "files of the kept log removed or made new; the next run reads the rest anew")
