"""Rejected rows: where they were, what they held, why they were refused."""

import json
from typing import Any

import numpy as np
import pandas as pd

REJECT_COLUMNS = ("table", "row", "column", "value", "reason")
"""Columns of every list of rejects; ``row`` is the line of the file (the header is line 1)."""

MASK = "•••"
"""Stands for a phone number."""

ROW_FAULT = "row_fault"
"""Reserved column of a raw frame: why the row as a whole cannot be trusted (null: it can)."""

LONGEST_VALUE = 80


def list_rejects(
    table: str, rows: np.ndarray, positions: np.ndarray, column: str, values: "pd.Series[Any]", reason: str
) -> pd.DataFrame:
    """List the cells of one column that are refused for one reason.

    Parameters
    ----------
    rows
        (n,) line number of every row of the table.
    positions
        (k,) positions of the refused cells.
    values
        (n,) what the source holds; a phone number is masked.

    Returns
    -------
    DataFrame of k rows with the columns of ``REJECT_COLUMNS`` and ``position``.

    Examples
    --------
    >>> ages = pd.Series(["20", "x"])
    >>> rejects = list_rejects("customers", np.array([2, 3]), np.array([1]), "age", ages, "not a number")
    >>> rejects[["row", "value"]].values.tolist()
    [[3, 'x']]
    """
    texts = values.iloc[positions].astype("str").fillna("").str.slice(0, LONGEST_VALUE)
    if column == "phone":
        texts = texts.where(texts.eq(""), MASK)
    return pd.DataFrame(
        {
            "table": pd.Series(table, index=range(len(positions)), dtype="str"),
            "row": rows[positions].astype("int64"),
            "column": pd.Series(column, index=range(len(positions)), dtype="str"),
            "value": texts.to_numpy(),
            "reason": pd.Series(reason, index=range(len(positions)), dtype="str"),
            "position": positions.astype("int64"),
        }
    ).astype({"value": "str"})


def join_rejects(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Put lists of rejects one below the other, sorted by row; no parts give an empty list.

    >>> list(join_rejects([]).columns)
    ['table', 'row', 'column', 'value', 'reason', 'position']
    """
    empty = list_rejects("", np.empty(0, int), np.empty(0, int), "", pd.Series([], dtype="str"), "")
    kept = [part for part in parts if len(part)]
    if not kept:
        return empty
    return pd.concat(kept, ignore_index=True).sort_values(["position", "column"], kind="stable", ignore_index=True)


_NO_REJECTS = join_rejects([])  # one for all: a log is read from many blocks, nearly all of them without any


def spell_rejects(rejects: pd.DataFrame) -> str:
    """Write a list of rejects, with its ``position``, as JSON for :func:`parse_rejects`."""
    return json.dumps(rejects.to_numpy(dtype=object).tolist(), default=int)


def parse_rejects(text: str | bytes) -> pd.DataFrame:
    """Read what :func:`spell_rejects` wrote.

    >>> parse_rejects(spell_rejects(join_rejects([]))).shape
    (0, 6)
    """
    listed = json.loads(text)
    if not listed:
        return _NO_REJECTS
    return pd.DataFrame(listed, columns=list(_NO_REJECTS.columns)).astype(_NO_REJECTS.dtypes.to_dict())


def mark_rejected(rejects: pd.DataFrame, n_rows: int) -> np.ndarray:
    """Mark the rows of a table that have any reject: (n_rows,) bool.

    >>> mark_rejected(pd.DataFrame({"position": [1, 1]}), 3).tolist()
    [False, True, False]
    """
    is_rejected = np.zeros(n_rows, dtype=bool)
    is_rejected[rejects["position"].to_numpy()] = True
    return is_rejected


def mask_phones(rejects: pd.DataFrame, phones: "pd.Series[Any]") -> pd.DataFrame:
    """Mask every value that is somebody's phone number, in whatever column it strayed into.

    >>> rejects = pd.DataFrame({"value": ["0312345678", "x"]})
    >>> mask_phones(rejects, pd.Series(["0312345678"]))["value"].tolist()
    ['•••', 'x']
    """
    values = rejects["value"].str.strip()
    known = set(phones[phones.isin(values.unique())])
    strayed = values.isin(known) & values.ne("")
    return rejects.assign(value=rejects["value"].mask(strayed, MASK))
