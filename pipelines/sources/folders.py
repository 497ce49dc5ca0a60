"""A folder of CSV and Parquet files; a table is named by its file's stem."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from configs.errors import SourceError
from pipelines.sources.delimited import read_csv

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
    files = _find_files(folder)
    tables, fingerprint = {}, {}
    for name, path in files.items():
        if not is_needed(name):
            continue
        try:
            content = path.read_bytes()
        except OSError as error:
            raise SourceError(f"{path}: cannot be read: {error.strerror}: check its permissions") from error
        fingerprint[name] = hashlib.sha256(content).hexdigest()
        tables[name] = read_csv(path, content) if path.suffix.lower() == ".csv" else _read_parquet(path, content)
    return tables, fingerprint


def list_tables(folder: Path) -> tuple[str, ...]:
    """Names of the tables of a folder, sorted."""
    return tuple(_find_files(folder))


def _find_files(folder: Path) -> dict[str, Path]:
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


def _read_parquet(path: Path, content: bytes) -> pd.DataFrame:
    try:
        frame = pq.read_table(pa.BufferReader(content)).to_pandas(ignore_metadata=True)
    except (pa.ArrowException, OSError) as error:
        first_line = str(error).splitlines()[0]
        raise SourceError(f"{path.name}: damaged or cut short: {first_line}: export it again") from error
    return frame.rename(columns=lambda name: str(name).strip())
