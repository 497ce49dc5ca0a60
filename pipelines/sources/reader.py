"""The one door for data: any source in, raw tables with a fingerprint out."""

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from configs.errors import ContractError
from configs.settings import Settings, SourceSettings
from pipelines.sources.addresses import mask_password
from pipelines.sources.blocks import Block, cut_frame
from pipelines.sources.databases import fingerprint_table, read_database
from pipelines.sources.days import HASHING, cut_days
from pipelines.sources.folders import list_tables, open_table, read_folder
from pipelines.sources.mapping import map_tables, names_table

REQUIRED_TABLES = ("customers", "call_attempts")
LOG = "call_attempts"
TABLES = (*REQUIRED_TABLES, "agents", "capacity")


@dataclass(frozen=True)
class RawSource:
    """What was read, before any check.

    Attributes
    ----------
    tables
        customers and call_attempts, and agents and capacity where they exist. An index named ``row`` holds lines of
        the file; a column ``row_fault`` marks rows with too few or too many fields.
    fingerprint
        SHA-256 of every table that was read, by its name in the source: of the file, or of a database table's content.
    where
        Folder or address, passwords masked.
    """

    tables: dict[str, pd.DataFrame]
    fingerprint: dict[str, str]
    where: str


@dataclass(frozen=True)
class OpenSource:
    """A source whose log has been found but not yet read.

    Attributes
    ----------
    tables
        As of :class:`RawSource`, without call_attempts.
    blocks
        Of call_attempts, in order.
    fingerprint, where
        As of :class:`RawSource`.
    """

    tables: dict[str, pd.DataFrame]
    blocks: list[Block]
    fingerprint: dict[str, str]
    where: str


def read_source(source: str, settings: Settings) -> RawSource:
    """Read the tables of a folder (CSV, Parquet) or database (``sqlite:///``, ``duckdb:///``, ``postgresql://``).

    Raises
    ------
    SourceError
        The source cannot be reached, is empty, or a file of it is damaged.
    ContractError
        A required table is missing (the message names what was found), or the maps do not fit the source.
    UsageError
        The maps of the settings file are not DuckDB's SQL.
    """
    is_needed = need_tables(settings.source)
    if "://" in source:
        raw, names = read_database(source, is_needed)
        fingerprint = {name: fingerprint_table(table) for name, table in raw.items()}
    else:
        raw, fingerprint = read_folder(Path(source), is_needed)
        names = list_tables(Path(source))
    where = mask_password(source)
    tables = raw if settings.source is None else map_tables(raw, settings.source)
    tables = {name: tables[name] for name in TABLES if name in tables}
    require_tables(tables, names, where)
    return RawSource(tables, fingerprint, where)


def open_source(source: str, settings: Settings) -> OpenSource:
    """Read all tables but the log, which is only cut into blocks; failures are those of :func:`read_source`.

    The file of a folder is hashed, not parsed; DuckDB and PostgreSQL are asked for sums of hashes by day. A log that
    comes from SQLite, or through a map, is read whole and then cut: its blocks are known by their rows.
    """
    scheme, separator, _ = source.partition("://")
    is_mapped = settings.source is not None
    if separator and not is_mapped and scheme.lower() in HASHING:
        return _open_database(source)
    if separator or is_mapped or LOG not in list_tables(Path(source)):
        raw = read_source(source, settings)
        others = {name: table for name, table in raw.tables.items() if name != LOG}
        return OpenSource(others, cut_frame(raw.tables[LOG]), raw.fingerprint, raw.where)
    with ThreadPoolExecutor(1) as beside:
        opened = beside.submit(open_table, Path(source), LOG)
        tables, fingerprint = read_folder(Path(source), lambda name: name in TABLES and name != LOG)
    tables = {name: tables[name] for name in TABLES if name in tables}
    require_tables({*tables, LOG}, list_tables(Path(source)), source)
    blocks, fingerprint[LOG] = opened.result()
    return OpenSource(tables, blocks, dict(sorted(fingerprint.items())), source)


def _open_database(source: str) -> OpenSource:
    tables, names = read_database(source, lambda name: name in TABLES and name != LOG)
    where = mask_password(source)
    require_tables({*tables, *({LOG} & {*names})}, names, where)
    blocks, said = cut_days(source)
    fingerprint = {name: fingerprint_table(table) for name, table in tables.items()} | {LOG: said}
    tables = {name: tables[name] for name in TABLES if name in tables}
    return OpenSource(tables, blocks, dict(sorted(fingerprint.items())), where)


def need_tables(source: SourceSettings | None) -> Callable[[str], bool]:
    """Say which tables of a source are needed: ours, and those that a map names."""
    if source is None:
        return TABLES.__contains__
    return lambda name: name in TABLES or names_table(source, name)


def require_tables(tables: Collection[str], names: Collection[str], where: str) -> None:
    """Refuse a source that lacks a required table.

    Raises
    ------
    ContractError
        The table is named, and what was found.
    """
    for name in REQUIRED_TABLES:
        if name not in tables:
            found = ", ".join(names) or "no table"
            raise ContractError(
                f"{name}: table missing in {where} (found {found}): add it, or map it (configs/sources/)"
            )
