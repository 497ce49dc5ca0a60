"""A folder of CSV and Parquet files; a table is named by its file's stem."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from configs.errors import SourceError
from pipelines.sources.blocks import Block, cut_csv, cut_parquet, number_rows
from pipelines.sources.delimited import open_csv, read_csv

SUFFIXES = (".csv", ".parquet")


def read_folder(folder: Path, is_needed: Callable[[str], bool]) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """Read the needed tables of a folder.

    Returns
    -------
    Tables by name, and the SHA-256 of each file.

    Raises
    ------
    SourceError
        No such folder, nothing to read in it, two files for one table, or a file that is damaged or not readable.
    """
    files = find_files(folder)
    tables, fingerprint = {}, {}
    for name, path in files.items():
        if not is_needed(name):
            continue
        content = _read_bytes(path)
        fingerprint[name] = hashlib.sha256(content).hexdigest()
        tables[name] = read_csv(path, content) if path.suffix.lower() == ".csv" else _read_parquet(path, content)
    return tables, fingerprint


def open_table(folder: Path, name: str) -> tuple[list[Block], str]:
    """Find the blocks of one table of a folder, to be read one by one, and take the SHA-256 of its file.

    A CSV is cut where its own lines say so (:func:`pipelines.sources.blocks.cut_csv`), a Parquet file into its row
    groups, and those that are too large by their rows. Failures are those of :func:`read_folder`.
    """
    path = find_files(folder)[name]
    content = _read_bytes(path)
    fingerprint = hashlib.sha256(content).hexdigest()
    if path.suffix.lower() == ".csv":
        return cut_csv(open_csv(path, content)), fingerprint
    try:
        return cut_parquet(content), fingerprint
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def list_tables(folder: Path) -> tuple[str, ...]:
    """Names of the tables of a folder, sorted."""
    return tuple(find_files(folder))


def find_files(folder: Path) -> dict[str, Path]:
    """Find the files of a folder's tables by name; failures are those of :func:`read_folder`."""
    if not folder.exists():
        raise SourceError(f"{folder}: no such folder: check --source")
    if not folder.is_dir():
        raise SourceError(f"{folder}: is a file: --source takes the folder it lies in, or sqlite:/// or duckdb:///")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or not path.is_file() or path.name.startswith("."):
            continue
        if path.stem in files:
            raise SourceError(f"{folder}: {files[path.stem].name} and {path.name} are both {path.stem}: keep one")
        files[path.stem] = path
    if not files:
        raise SourceError(f"{folder}: holds no CSV or Parquet file: put customers.csv and call_attempts.csv there")
    return files


def count_parquet(path: Path) -> int:
    """Count the rows of a Parquet file by its footer.

    Raises
    ------
    SourceError
        The file is missing or damaged.
    """
    try:
        with failing_clearly(path):
            return int(pq.ParquetFile(path).metadata.num_rows)
    except pa.ArrowException as error:
        raise _damaged(path, error) from error


@contextmanager
def failing_clearly(path: Path) -> Iterator[None]:
    """Turn the failure to read a file into a :class:`SourceError`."""
    try:
        yield
    except FileNotFoundError as error:
        raise SourceError(f"{path}: no such file: check --source") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}: check its permissions") from error


def _read_bytes(path: Path) -> bytes:
    with failing_clearly(path):
        return path.read_bytes()


def _read_parquet(path: Path, content: bytes) -> pd.DataFrame:
    try:
        return number_rows(pq.read_table(pa.BufferReader(content)), 2)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> SourceError:
    return SourceError(f"{path.name}: damaged or cut short: {str(error).splitlines()[0]}: export it again")
