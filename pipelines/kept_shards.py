"""The log of a large source as kept from run to run: judged, and laid out so that a chunk of customers reads its own.

``var/kept/<source>-chunks/<judge>-<shards>/<digest>.arrow``: a file for each block (``pipelines.sources.row_groups``).
A run reads and judges only the blocks that it has not met before, one piece at a time; what depends on other rows or on
the night is settled anew for every chunk (``features.attempts``).
"""

import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.judged import CELLS, JudgedLog, judge_log
from pipelines import shards
from pipelines.kept_folder import (
    KEPT,
    Fact,
    find_kept,
    name_judge,
    read_index,
    sweep,
    tell_change,
    tell_fact,
    write_private,
)
from pipelines.shards import Choice, count_pieces, find_shards, has_customer, open_shards, read_shards
from pipelines.sources import row_groups
from pipelines.sources.row_groups import GroupBlock, cut_groups, read_pieces
from pipelines.stages import tell_step

WORTH_A_PROCESS = 8
"""Blocks that take longer to read than a process takes to start."""
MOST_PROCESSES = 8
"""Each takes up to a gigabyte."""


@dataclass(frozen=True)
class KeptShards:
    """A log of any size, judged and kept.

    Attributes
    ----------
    files
        Of every block, in order, with the line of its first row.
    n_shards
        A power of two.
    n_rows, n_read
        Rows of the log, and how many of them were read and judged now.
    note
        One sentence when rows of the past are not what they were on the last run; else empty.
    """

    files: tuple[tuple[Path, int], ...]
    n_shards: int
    n_rows: int
    n_read: int
    note: str

    def read(self, number: int, n_parts: int, choose: Choice | None = None) -> JudgedLog:
        """Read the rows of one part of the customers: of those whose hash leaves ``number``.

        Parameters
        ----------
        n_parts
            A power of two.
        choose
            As :func:`pipelines.shards.read_shards`.

        Raises
        ------
        SourceError
            A kept file is damaged; the next run makes it again.
        """
        shards = range(number % self.n_shards, self.n_shards, n_parts)
        if n_parts <= self.n_shards:
            return read_shards(self.files, self.n_shards, shards, choose)

        def is_theirs(ids: Any) -> npt.NDArray[np.bool_]:
            is_here = np.asarray(find_shards(ids, n_parts) == number)
            return is_here if choose is None else is_here & choose(ids)

        return read_shards(self.files, self.n_shards, shards, is_theirs)


def keep_log(path: Path, folder: Path, zone: str, n_parts: int, *, rebuild: bool = False) -> KeptShards:
    """Judge the blocks of a Parquet file that are not in ``folder`` yet, and keep them there.

    Parameters
    ----------
    folder
        Of :func:`find_kept_shards`. What it holds of blocks that are gone, or of another kakedoki, is removed.
    zone
        The centre's, in which naive times are.
    n_parts
        In how many the log will be read, a power of two. Kept shards serve up to twice or half as many.
    rebuild
        Begin with an empty folder.

    Raises
    ------
    SourceError
        The file is missing, damaged, or replaced while it is read.
    ContractError
        A required column is missing.
    OSError
        The disk is full.
    """
    if rebuild:
        shutil.rmtree(folder, ignore_errors=True)
    home, n_shards = _find_home(folder, name_judge(zone, shards, row_groups), n_parts)
    before, blocks = read_index(home), cut_groups(path)
    known = {fact["digest"]: fact for fact in before if count_pieces(home / f"{fact['digest']}.arrow", n_shards)}
    unknown = {block.digest: block for block in blocks if block.digest not in known}
    fresh = _keep_blocks(list(unknown.values()), partial(_keep_block, path, home, n_shards, zone))
    known |= fresh
    facts = [known[block.digest] for block in blocks]
    sweep(folder, home, facts)
    files = tuple((home / f"{block.digest}.arrow", block.first_row) for block in blocks)
    n_rows, n_read = (sum(fact["n_rows"] for fact in some) for some in (facts, fresh.values()))
    return KeptShards(files, n_shards, n_rows, n_read, tell_change(before, facts))


def find_kept_shards(var: Path, source: str) -> Path:
    """Folder in which the log of a large source is kept; not created.

    >>> find_kept_shards(Path("/v"), "/data/centre").name[-7:]
    '-chunks'
    """
    kept = find_kept(var, source)
    return kept.with_name(f"{kept.name}-chunks")


def forget_in_shards(var: Path, customer_id: str) -> int:
    """Remove every kept block in which a customer occurs; the next run reads it again, from a source without them.

    Returns
    -------
    How many blocks were removed.
    """
    files = sorted((var / KEPT).glob("*-chunks/*/*.arrow"))
    theirs = [file for file in files if has_customer(file, customer_id)]
    for file in theirs:
        file.unlink()
    return len(theirs)


def _find_home(folder: Path, judge: str, n_parts: int) -> tuple[Path, int]:
    """The layout that is kept if it serves, else a new one; chunks hang on tonight's size alone, whatever is kept."""
    for home in folder.glob(f"{judge}-*"):
        n_shards = int(home.name.rpartition("-")[2])
        if n_parts // 2 <= n_shards <= 2 * n_parts:
            return home, n_shards
    return folder / f"{judge}-{n_parts}", n_parts


def _keep_blocks(blocks: Sequence[GroupBlock], keep: Callable[[GroupBlock], Fact]) -> dict[str, Fact]:
    """Keep blocks, in as many processes as there are cores and work for them."""
    n_processes = min(len(os.sched_getaffinity(0)), len(blocks) // WORTH_A_PROCESS, MOST_PROCESSES)
    facts: dict[str, Fact] = {}
    with ProcessPoolExecutor(n_processes, get_context("spawn")) if n_processes > 1 else nullcontext() as pool:
        for fact in map(keep, blocks) if pool is None else pool.map(keep, blocks):
            facts[fact["digest"]] = fact
            tell_step(f"read: block {len(facts):,} of {len(blocks):,}")
    return facts


def _keep_block(path: Path, home: Path, n_shards: int, zone: str, block: GroupBlock) -> Fact:
    times: list[pa.Array[Any]] = []
    with write_private(home / f"{block.digest}.arrow") as sink, open_shards(sink, n_shards) as write:
        for frame in read_pieces(path, block):
            log = judge_log(frame, zone)
            write(log, find_shards(log.cells["customer_id"], n_shards))
            times += log.cells["attempted_at"].chunks
    return tell_fact(block.digest, pa.chunked_array(times, CELLS.field("attempted_at").type))
