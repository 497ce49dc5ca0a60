"""The folder of what is kept of a source from run to run: where it is, who judged, what it lists and what goes.

``var/kept/<source>/<judge>/`` holds a file for each block of the log, named by the block's digest, and ``log.json``.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features import cells, columns, judged, outcomes, quarantine, schemas

KEPT = "kept"
Fact = dict[str, Any]
"""What ``log.json`` says of a block: digest · n_rows · min and max, its first and last instant (ISO 8601) or None."""

_CODE = (cells, columns, judged, outcomes, quarantine, schemas)
_LIBRARIES = ("duckdb", "numpy", "pandas", "pandera", "pyarrow")
_INDEX = "log.json"


def find_kept(var: Path, source: str) -> Path:
    """Folder in which is kept what was learned from a source (password masked); not created.

    >>> find_kept(Path("/v"), "/data/centre").name[:8]
    'dbc64efe'
    """
    place = source if "://" in source else str(Path(source).expanduser().resolve())
    return var / KEPT / hashlib.sha256(place.encode()).hexdigest()[:16]


def name_judge(zone: str, *code: ModuleType) -> str:
    """Name of what judges cells: its code and any further, the libraries under it, and the zone; another keeps apart.

    >>> name_judge("Asia/Tokyo") == name_judge("Asia/Tokyo"), name_judge("Asia/Tokyo") == name_judge("UTC")
    (True, False)
    """
    seen = hashlib.sha256(zone.encode())
    for module in (*_CODE, *code):
        seen.update(Path(str(module.__file__)).read_bytes())
    seen.update(" ".join(version(name) for name in _LIBRARIES).encode())
    return seen.hexdigest()[:16]


def tell_fact(digest: str, times: "pa.ChunkedArray[Any]") -> Fact:
    """List a block by the instants of its rows, of which some may be missing.

    >>> tell_fact("abc", pa.chunked_array([[None]], pa.timestamp("us", "UTC")))
    {'digest': 'abc', 'n_rows': 1, 'min': None, 'max': None}
    """
    ends: Any = pc.min_max(times).as_py()
    span = {name: None if ends[name] is None else ends[name].isoformat() for name in ("min", "max")}
    return {"digest": digest, "n_rows": len(times), **span}


def read_index(home: Path) -> list[Fact]:
    """Facts of the blocks that were kept at the end of the last run; none where nothing can be read."""
    try:
        index: list[Fact] = json.loads((home / _INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return index


def sweep(folder: Path, home: Path, facts: Sequence[Fact]) -> None:
    """Write what is kept now, and remove what no block of the log stands for any more, or another judge kept."""
    wanted = {fact["digest"] for fact in facts}
    try:
        for other in folder.iterdir():
            if other.is_dir() and other != home:
                shutil.rmtree(other)
        for file in home.iterdir():
            if file.stem not in wanted and file.name != _INDEX:
                file.unlink(missing_ok=True)
        beside = home / f".{_INDEX}.{os.getpid()}"
        beside.write_text(json.dumps(list(facts)), encoding="utf-8")
        beside.replace(home / _INDEX)
    except OSError as error:
        logging.getLogger("kakedoki").warning("%s: cannot be tidied: %s", folder, error)


def tell_change(before: Sequence[Fact], now: Sequence[Fact]) -> str:
    """One sentence when rows of the past are not what they were on the last run; else empty.

    What is newest may have grown, and what is oldest may have been left out of the export; the rest is the past.
    """
    known = {fact["digest"] for fact in now}
    begins = min((fact["min"] for fact in now if fact["min"]), default="")
    ended = max((fact["max"] for fact in before if fact["max"]), default="")
    gone = [
        fact
        for fact in before
        if fact["digest"] not in known and fact["min"] and fact["min"] >= begins and fact["max"] != ended
    ]
    if not gone:
        return ""
    first, last = min(fact["min"] for fact in gone)[:10], max(fact["max"] for fact in gone)[:10]
    n_rows = sum(fact["n_rows"] for fact in gone)
    return (
        f"rows between {first} and {last} were changed, added or removed since the last run: the {n_rows:,} attempts "
        "around them were read again"
    )


@contextmanager
def write_private(file: Path) -> Iterator[IO[bytes]]:
    """Write a file that only its owner can read, whole or not at all.

    Raises
    ------
    OSError
        The disk is full, or the folder is not ours.
    """
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as sink:
            yield sink
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)


def keep_table(file: Path, table: pa.Table) -> None:
    """Write a private Parquet file; a full disk costs only the keeping."""
    try:
        with write_private(file) as sink:
            pq.write_table(table, sink, compression="zstd", compression_level=1)
    except OSError as error:
        logging.getLogger("kakedoki").warning("%s: cannot be kept: %s", file, error)
