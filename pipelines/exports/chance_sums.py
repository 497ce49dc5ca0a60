"""The chances of a run, a row per customer and a column per slot, summed over groups of customers in one pass."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.sparse import csr_array

from pipelines.exports.page_tables import NOT_LAWFUL, PER_UNIT

CHANCES = Path("page") / "chances.parquet"
_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class ChanceSums:
    """Sums over groups of customers, per slot.

    Attributes
    ----------
    levels
        One row per group.
    n
        Customers of the group who may be called in the slot; (n_groups, n_slots) int64.
    p
        Sum of their p_keyman; (n_groups, n_slots) float64.
    """

    levels: pd.DataFrame
    n: np.ndarray
    p: np.ndarray


def sum_chances(folder: Path, levels: pd.DataFrame) -> ChanceSums | None:
    """Sum a run's chances over groups of customers; None when the run kept none.

    Parameters
    ----------
    folder
        Of the run; ``page/chances.parquet`` holds customer_id and p, a list of uint16 per slot: p_keyman × 10,000, or
        65,535 where the customer may not be called.
    levels
        Text columns that make the groups, indexed by customer_id.
    """
    file = folder / CHANCES
    if not file.is_file():
        return None
    codes, groups = _number_groups(levels)
    sums: list[tuple[np.ndarray, np.ndarray]] = []
    for batch in pq.ParquetFile(file).iter_batches(_ROWS_AT_ONCE, columns=["customer_id", "p"]):
        rows = levels.index.get_indexer(pd.Index(batch.column("customer_id").to_pandas()))
        p = pc.list_flatten(batch.column("p")).to_numpy(zero_copy_only=False).reshape(len(rows), -1)
        sums.append(sum_rows(p, np.where(rows < 0, -1, codes[rows]), len(groups)))
    if not sums:
        return None
    n, p_all = (np.sum(parts, axis=0) for parts in zip(*sums, strict=True))
    return ChanceSums(groups, n, p_all / PER_UNIT)


def _number_groups(levels: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """Number of each row's group, and the groups."""
    codes = levels.groupby(list(levels.columns), sort=False).ngroup().to_numpy()
    return codes, levels.drop_duplicates().reset_index(drop=True)


def sum_rows(p: np.ndarray, codes: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Count the lawful entries and sum them, by group and column; exact, in integers.

    Parameters
    ----------
    p
        (n, n_slots) uint16, 65,535 where unlawful.
    codes
        Group of each row, (n,); negative for none.

    Returns
    -------
    tuple
        Counts and sums, both (n_groups, n_slots) int64.

    Examples
    --------
    >>> sum_rows(np.array([[100, 65535], [300, 500]], dtype="uint16"), np.array([0, 0]), 1)
    (array([[2, 1]]), array([[400, 500]]))
    """
    known = np.flatnonzero(codes >= 0)
    shape = (n_groups, len(codes))
    members = csr_array((np.ones(len(known), dtype="int64"), (codes[known], known)), shape=shape)
    is_lawful = p != NOT_LAWFUL
    return members @ is_lawful.astype("int64"), members @ np.where(is_lawful, p, 0).astype("int64")
