"""Folders that appear whole or not at all, and the pointer to the newest of them."""

import ctypes
import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from configs.errors import UsageError
from pipelines.exports.history import keep_night

LATEST, REPLANNED = "latest.json", "replanned.json"
MOST_REPLANS = 400
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def replace_folder(out: Path, run_id: str, marker: str = "run.json") -> Iterator[Path]:
    """Give an empty folder beside ``out`` to write in; when the block ends well it takes the place of ``out``.

    Files and folders are flushed to disk before the rename. An older folder is exchanged in one step where the system
    can (Linux ``renameat2``), else renamed aside first; it is deleted last. A block that raises leaves ``out`` as it
    was. What a killed run left beside ``out`` is removed, or put back, by the next run.

    Parameters
    ----------
    out
        The folder to appear. Its parents are made. A symbolic link is followed.
    run_id
        Names the folder beside: ``.OUT.partial-<run_id>``.
    marker
        A file that every complete folder of ours holds; a folder with other content is never replaced.

    Raises
    ------
    UsageError
        ``out`` is a file, a mount point, or a non-empty folder without ``marker``.
    """
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(out, marker)
    check_replaceable(out, marker)
    suffix = re.sub(r"[^\w.-]", "-", run_id)
    partial = out.parent / f".{out.name}.partial-{suffix}"
    partial.mkdir()
    try:
        yield partial
        _flush(partial)
        _take_place(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _flush_folder(out.parent)


def check_replaceable(out: Path, marker: str = "run.json") -> None:
    """Refuse a place where a run may not be written, before hours are spent on one.

    Raises
    ------
    UsageError
        ``out`` is a file, a mount point, or a non-empty folder without ``marker``; the message names it.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise UsageError(f"{out}: is a file: name a folder for --out")
    if out.is_mount():
        raise UsageError(f"{out}: is a mount point and cannot be replaced whole: name a folder inside it")
    if any(out.iterdir()) and not (out / marker).is_file():
        raise UsageError(f"{out}: holds files that are not a run of ours ({marker} is missing): name another folder")


def point_latest(runs: Path, out: Path) -> None:
    """Name ``out`` as the newest run in ``runs/latest.json``: run_id · run_date · out, swapped in one step.

    Its core is kept in ``runs/history.jsonl``, so that nights can be set one beside the other.

    Raises
    ------
    OSError
        ``out`` holds no ``run.json``, so it is no complete run and the pointer stays as it was.
    """
    record = _read_record(out)
    pointer = {"run_id": record["run_id"], "run_date": record["run_date"], "out": str(out.resolve())}
    _point(runs, LATEST, pointer)
    keep_night(runs, record, out)
    _flush_folder(runs)


def point_replanned(runs: Path, out: Path) -> None:
    """Name ``out`` in ``runs/replanned.json`` as the newest plan of the rest of a day.

    run_id · plan (run_id of its night) · out · before: where earlier ones were written, for whoever is to be forgotten.

    Raises
    ------
    OSError
        ``out`` holds no ``run.json``.
    """
    record, earlier = _read_record(out), _read_pointer(runs) or {}
    place = str(out.resolve())
    places = dict.fromkeys([*earlier.get("before", ()), *([earlier["out"]] if earlier else [])])
    before = [each for each in places if each != place][-MOST_REPLANS:]
    _point(runs, REPLANNED, {"run_id": record["run_id"], "plan": record["plan"], "out": place, "before": before})
    _flush_folder(runs)


def read_replanned(runs: Path, run_id: str) -> Path | None:
    """Tell the folder of the newest plan of the rest of a night's day; None when that day was not planned again."""
    pointer = _read_pointer(runs)
    if pointer is None or pointer["plan"] != run_id or not Path(pointer["out"], "run.json").is_file():
        return None
    return Path(pointer["out"])


def _read_pointer(runs: Path) -> dict[str, Any] | None:
    try:
        pointer: dict[str, Any] = json.loads((runs / REPLANNED).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return pointer


def _read_record(out: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((out / "run.json").read_text(encoding="utf-8"))
    return record


def _point(runs: Path, name: str, pointer: dict[str, Any]) -> None:
    runs.mkdir(parents=True, exist_ok=True)
    beside = runs / f".{name}.{os.getpid()}"
    beside.write_text(json.dumps(pointer, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    _flush_file(beside)
    beside.replace(runs / name)


def read_latest(runs: Path) -> Path | None:
    """Tell the folder of the newest run, or None when there is none or it has been deleted."""
    try:
        out = Path(json.loads((runs / LATEST).read_text(encoding="utf-8"))["out"])
    except FileNotFoundError:
        return None
    return out if (out / "run.json").is_file() else None


def _take_place(partial: Path, out: Path) -> None:
    """Rename ``partial`` to ``out``; afterwards ``partial`` holds the older folder or is gone."""
    if not out.exists() or not any(out.iterdir()):
        partial.rename(out)
    elif not _exchange(partial, out):
        aside = out.parent / partial.name.replace(".partial-", ".old-")
        out.rename(aside)
        try:
            partial.rename(out)
        except OSError:
            aside.rename(out)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step; False where the system or the file system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    failed = rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if failed and ctypes.get_errno() not in (errno.ENOSYS, errno.EINVAL, errno.EXDEV, errno.ENOTSUP):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))
    return not failed


def _clear_leftovers(out: Path, marker: str) -> None:
    """Remove what killed runs left beside ``out``; put the older folder back if it was caught while aside."""
    for left in sorted(out.parent.iterdir()):
        if left.name.startswith(f".{out.name}.old-") and not out.exists() and (left / marker).is_file():
            left.rename(out)
        elif left.name.startswith((f".{out.name}.old-", f".{out.name}.partial-")):
            shutil.rmtree(left, ignore_errors=True)


def _flush(folder: Path) -> None:
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            _flush_file(Path(place, name))
        _flush_folder(Path(place))


def _flush_file(file: Path) -> None:
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def _flush_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
