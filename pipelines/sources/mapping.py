"""Tables of another system made into ours by the column and code maps of a settings file."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import duckdb
import pandas as pd
import pyarrow as pa

from configs.errors import ContractError, UsageError
from configs.settings import SourceSettings, TableMap
from features.cells import read_texts
from features.quarantine import ROW_FAULT

SOURCE_ROW = "source_row"
"""Column that every raw table has while it is mapped: the line of its file. A query that passes it on (``SELECT *``)
lets rejects name the line."""


def names_table(source: SourceSettings, name: str) -> bool:
    """Whether any query of the maps names this table.

    >>> source = SourceSettings(name="x", tables={"customers": TableMap(query="FROM people", columns={})})
    >>> names_table(source, "people"), names_table(source, "person")
    (True, False)
    """
    return any(mentions_table(table, name) for table in source.tables.values())


def mentions_table(table: TableMap, name: str) -> bool:
    """Whether the query of one map names this table.

    >>> mentions_table(TableMap(query="FROM people", columns={}), "people")
    True
    """
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", table.query, re.IGNORECASE) is not None


def map_tables(raw: Mapping[str, pd.DataFrame], source: SourceSettings) -> dict[str, pd.DataFrame]:
    """Make our tables from the raw ones; a table without a map is taken as it is.

    Rows that were cut short go through the maps alone, and come out marked, so that the contract counts them and holds
    them against their customer.

    Raises
    ------
    ContractError
        The source lacks a table or column that a map names, or holds values its query cannot take.
    UsageError
        A query or expression of the settings file is not DuckDB's SQL.

    Examples
    --------
    >>> raw = {"people": pd.DataFrame({"id": ["1"], "sex": ["F"]})}
    >>> columns = {"customer_id": "id", "gender": "sex"}
    >>> table = TableMap(query="SELECT * FROM people", columns=columns, codes={"gender": {"F": "female"}})
    >>> map_tables(raw, SourceSettings(name="x", tables={"customers": table}))["customers"].values.tolist()
    [['1', 'female']]
    """
    sound = {
        name: frame.loc[~_is_faulty(frame)].drop(columns=ROW_FAULT, errors="ignore") for name, frame in raw.items()
    }
    with _open(sound) as database:
        mapped: dict[str, pd.DataFrame] = {
            name: _map_table(database, name, table) for name, table in source.tables.items()
        }
    for name, frame in raw.items():
        if _is_faulty(frame).any():
            mapped = _add_faulty(mapped, raw, name, source)
    unmapped = {name: frame for name, frame in raw.items() if name not in mapped}
    return {**unmapped, **mapped}


def _is_faulty(frame: pd.DataFrame) -> "pd.Series[bool]":
    return frame[ROW_FAULT].notna() if ROW_FAULT in frame else pd.Series(False, index=frame.index)


def _add_faulty(
    mapped: dict[str, pd.DataFrame], raw: Mapping[str, pd.DataFrame], name: str, source: SourceSettings
) -> dict[str, pd.DataFrame]:
    emptied = {other: frame.iloc[:0].drop(columns=ROW_FAULT, errors="ignore") for other, frame in raw.items()}
    faulty = raw[name].loc[_is_faulty(raw[name])]
    reason = f"a row of {name}: {faulty[ROW_FAULT].iloc[0]}"
    joined = dict(mapped)
    with _open({**emptied, name: faulty.drop(columns=ROW_FAULT)}) as database:
        for target, table in source.tables.items():
            extra = _map_table(database, target, table)
            if len(extra):
                index = [*mapped[target].index, *extra.index]
                both = pd.concat([joined[target], extra.assign(**{ROW_FAULT: reason})], ignore_index=True)
                joined[target] = both.set_axis(pd.Index(index, name=mapped[target].index.name), axis=0)
    return joined


def _open(tables: Mapping[str, pd.DataFrame]) -> duckdb.DuckDBPyConnection:
    database = duckdb.connect(
        ":memory:", config={"enable_external_access": "false", "python_enable_replacements": "false"}
    )
    for name, frame in tables.items():
        rows = frame.index.to_numpy() if frame.index.name == "row" else range(2, len(frame) + 2)
        database.register(name, frame.assign(**{SOURCE_ROW: rows}).reset_index(drop=True))
    return database


def _map_table(database: duckdb.DuckDBPyConnection, name: str, table: TableMap) -> pd.DataFrame:
    with failing_clearly(name):
        query, is_passed_on = spell_query(database, name, table)
        frame = _arrow(database, query).to_pandas()
    if is_passed_on:
        frame = frame.set_index(pd.Index(frame.pop(SOURCE_ROW), name="row"))
    return frame.assign(**{column: translate(frame[column], table.codes[column]) for column in table.codes})


def spell_query(database: duckdb.DuckDBPyConnection, name: str, table: TableMap) -> tuple[str, bool]:
    """Write the query of a map with its expressions, and say whether it passes ``source_row`` on."""
    for column in table.codes:
        if column not in table.columns:
            raise UsageError(f"source.tables.{name}.codes.{column}: has codes but no expression in columns")
    is_passed_on = SOURCE_ROW in [row[0] for row in database.execute(f"DESCRIBE {table.query}").fetchall()]
    asked = [f'{expression} AS "{column}"' for column, expression in table.columns.items()]
    return f"SELECT {', '.join([*[SOURCE_ROW] * is_passed_on, *asked])} FROM ({table.query})", is_passed_on


@contextmanager
def failing_clearly(name: str) -> Iterator[None]:
    """Turn what DuckDB says of the map of one of our tables into the errors of :func:`map_tables`."""
    try:
        yield
    except duckdb.ParserException as error:
        raise UsageError(f"source.tables.{name}: not DuckDB's SQL: {_first_line(error)}") from error
    except (duckdb.Error, pa.ArrowException) as error:
        raise ContractError(f"{name}: the map does not fit the source: {_first_line(error)}") from error


def _arrow(database: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    return cast("pa.Table", database.sql(query).to_arrow_table())


def translate(cells: "pd.Series[Any]", codes: Mapping[str, str]) -> "pd.Series[str]":
    """Replace codes by ours; what is no code of the map stays as it is.

    >>> translate(pd.Series([1, 2]), {"1": "busy"}).tolist()
    ['busy', '2']
    """
    texts = read_texts(cells).values
    return texts.map(codes).fillna(texts)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
