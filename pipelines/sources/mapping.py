"""Tables of another system made into ours by the column and code maps of a settings file."""

import re
from collections.abc import Mapping
from typing import cast

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
    word = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)
    return any(word.search(table.query) for table in source.tables.values())


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
    try:
        passed_on = [row[0] for row in database.execute(f"DESCRIBE {table.query}").fetchall()]
        kept = [SOURCE_ROW] if SOURCE_ROW in passed_on else []
        chosen = ", ".join([*kept, *(f'{expression} AS "{column}"' for column, expression in table.columns.items())])
        frame = _arrow(database, f"SELECT {chosen} FROM ({table.query})").to_pandas()
    except duckdb.ParserException as error:
        raise UsageError(f"source.tables.{name}: not DuckDB's SQL: {_first_line(error)}") from error
    except duckdb.Error as error:
        raise ContractError(f"{name}: the map does not fit the source: {_first_line(error)}") from error
    if kept:
        frame = frame.set_index(pd.Index(frame.pop(SOURCE_ROW), name="row"))
    return frame.assign(**{column: _translate(frame, name, column, codes) for column, codes in table.codes.items()})


def _arrow(database: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    return cast("pa.Table", database.sql(query).to_arrow_table())


def _translate(frame: pd.DataFrame, name: str, column: str, codes: Mapping[str, str]) -> "pd.Series[str]":
    if column not in frame:
        raise UsageError(f"source.tables.{name}.codes.{column}: has codes but no expression in columns")
    texts = read_texts(frame[column]).values
    return texts.map(codes).fillna(texts)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
