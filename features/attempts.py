"""The call log of a night: settled with the other tables, cut at ``as_of``; what is refused counts all the same."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from configs.errors import ContractError
from features.columns import ATTEMPT_COLUMNS
from features.judged import JudgedLog, judge_log
from features.outcomes import OUTCOMES
from features.quarantine import join_rejects, list_rejects, mark_rejected

Column: TypeAlias = Any
"""A column of an Arrow table, of whatever type."""

_NAME = "call_attempts"
_REPEATED = "repeated: the first row with this key is kept"
_UNKNOWN = "unknown customer: not in the customers table"


@dataclass(frozen=True)
class CheckedAttempts:
    """Clean attempts and what was refused; read = kept + rejected + after ``as_of`` + of quarantined customers.

    ``of_quarantined`` has customer_id · attempted_at · outcome, as far as they can be read.
    """

    frame: pd.DataFrame
    held: pd.DataFrame
    of_quarantined: pd.DataFrame
    rejects: pd.DataFrame
    n_read: int
    n_rejected: int
    n_after_as_of: int
    n_of_quarantined: int


def check_attempts(
    raw: pd.DataFrame | JudgedLog, customer_ids: pd.Index, refused_ids: frozenset[str], as_of: pd.Timestamp, zone: str
) -> CheckedAttempts:
    """Judge the attempts before ``as_of`` and keep the good ones, sorted by time and ``attempt_id``.

    Parameters
    ----------
    raw
        The log as read, or its cells judged before.
    customer_ids
        Ids of the clean customers; their position becomes ``customer_row``.
    refused_ids
        Customers that exist but were refused: their attempts are left out, which is no fault of the attempts.

    Raises
    ------
    ContractError
        A required column is missing; no attempt lies before ``as_of``.

    Examples
    --------
    >>> row = {"attempt_id": 1, "customer_id": "a", "outcome": "busy", "attempted_at": "2024-09-01"}
    >>> as_of = pd.Timestamp("2024-09-02", tz="Asia/Tokyo")
    >>> checked = check_attempts(pd.DataFrame([row]), pd.Index(["a"]), frozenset(), as_of, "Asia/Tokyo")
    >>> checked.frame["customer_row"].tolist()
    [0]
    """
    log = raw if isinstance(raw, JudgedLog) else judge_log(raw, zone)
    cells = log.cells
    is_after = _flags(
        pc.greater_equal(cells["attempted_at"], pa.scalar(as_of.tz_convert("UTC"), pa.timestamp("us", "UTC")))
    )
    is_known_tonight = ~is_after
    if not is_known_tonight.any():
        raise ContractError(
            f"{_NAME}: no attempt before {as_of.date()} ({len(log):,} rows read): is the run date right?"
        )
    customer_rows = _find(cells["customer_id"], customer_ids)
    is_of_quarantined = is_known_tonight & (_find(cells["customer_id"], sorted(refused_ids)) >= 0)
    is_judged = is_known_tonight & ~is_of_quarantined
    rejects = _judge(log, customer_rows, is_judged)
    is_good = is_judged & ~mark_rejected(rejects, len(log))
    repeats = _list(log, is_good & _repeats(cells["attempt_id"], is_good), "attempt_id", _REPEATED)
    is_kept = is_good & ~mark_rejected(repeats, len(log))
    is_rejected = is_judged & ~is_kept
    return CheckedAttempts(
        frame=_clean(cells, customer_rows, is_kept, zone),
        held=_hold(cells, customer_rows, is_rejected & (customer_rows >= 0), zone),
        of_quarantined=_frame(cells, is_of_quarantined, ("customer_id", "attempted_at", "outcome"), zone),
        rejects=join_rejects([rejects, repeats]),
        n_read=len(log),
        n_rejected=int(is_rejected.sum()),
        n_after_as_of=int(is_after.sum()),
        n_of_quarantined=int(is_of_quarantined.sum()),
    )


def find_phone_dials(of_quarantined: pd.DataFrame, refused_phones: pd.DataFrame) -> pd.DataFrame:
    """Find the dials to phones of refused customers: a phone shared with somebody sound rang all the same.

    Parameters
    ----------
    of_quarantined
        customer_id · attempted_at · outcome.
    refused_phones
        customer_id · phone · listed_at; dials before a known listed_at are of an earlier listing.

    Returns
    -------
    DataFrame
        phone · attempted_at or NaT · outcome or null, sorted.
    """
    dials = of_quarantined.merge(refused_phones, on="customer_id")
    dials = dials.loc[~(dials["attempted_at"] < dials["listed_at"]), ["phone", "attempted_at", "outcome"]]
    outcome = dials["outcome"].where(dials["outcome"].isin(OUTCOMES))
    return dials.assign(outcome=outcome).sort_values(["phone", "attempted_at"], ignore_index=True)


def _judge(log: JudgedLog, customer_rows: np.ndarray, is_judged: np.ndarray) -> pd.DataFrame:
    is_sound = is_judged & ~_flags(log.cells["is_faulty"])
    is_unknown = is_sound & (customer_rows < 0) & _flags(log.cells["customer_id"].is_valid())
    broken = log.rejects[is_judged[log.rejects["position"].to_numpy()]]
    return join_rejects([broken, _list(log, is_unknown, "customer_id", _UNKNOWN)])


def _list(log: JudgedLog, is_meant: np.ndarray, column: str, reason: str) -> pd.DataFrame:
    positions = np.flatnonzero(is_meant)
    few = log.cells.select(["row", column]).take(positions)
    listed = list_rejects(
        _NAME, few["row"].to_numpy(), np.arange(len(positions)), column, few[column].to_pandas(), reason
    )
    return listed.assign(position=positions)


def _repeats(ids: Column, is_asked: np.ndarray) -> np.ndarray:
    """Whether an earlier one of the asked rows has the same id; (n,) bool. Codes are given by first appearance."""
    codes = ids.filter(pa.array(is_asked)).combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    newest = np.maximum.accumulate(np.append(-1, codes))[:-1]
    repeated = np.zeros(len(is_asked), dtype=bool)
    repeated[is_asked] = codes <= newest
    return repeated


def _clean(cells: pa.Table, customer_rows: np.ndarray, is_kept: np.ndarray, zone: str) -> pd.DataFrame:
    order = _sort(cells.select(["attempted_at", "attempt_id"]), np.flatnonzero(is_kept))
    kept = _frame(cells, order, tuple(ATTEMPT_COLUMNS), zone)
    return kept.assign(customer_row=customer_rows[order])


def _sort(keys: pa.Table, rows: np.ndarray) -> np.ndarray:
    """The rows by time, those of one instant by ``attempt_id``: only of these are ids compared."""
    at = keys["attempted_at"].cast(pa.int64()).to_numpy()[rows]
    order = np.argsort(at, kind="stable")
    is_same = np.diff(at[order]) == 0
    tied = np.flatnonzero(np.append(is_same, False) | np.append(False, is_same))
    ids = keys["attempt_id"].take(rows[order[tied]]).to_numpy(zero_copy_only=False)
    nth = np.unique(ids.astype(object), return_inverse=True)[1] if len(tied) else tied
    order[tied] = order[tied][np.lexsort((nth, at[order[tied]]))]
    return rows[order]


def _hold(cells: pa.Table, customer_rows: np.ndarray, is_held: np.ndarray, zone: str) -> pd.DataFrame:
    """Keep rejected attempts for caps and bars, but for whole rows repeated word by word: those are the same dial."""
    is_copy = pd.Series(cells["content"].to_numpy()).duplicated().to_numpy() if is_held.any() else is_held
    is_meant = is_held & ~is_copy
    rejected = _frame(cells, is_meant, ("attempted_at", "outcome", "refused", "is_refusal_unreadable"), zone)
    outcome = rejected["outcome"]
    return pd.DataFrame(
        {
            "customer_row": customer_rows[is_meant],
            "attempted_at": rejected["attempted_at"],
            "outcome": outcome.where(outcome.isin(OUTCOMES)),
            "refused": rejected["refused"] | rejected["is_refusal_unreadable"],
        }
    ).sort_values(["customer_row", "attempted_at"], ignore_index=True)


def _frame(cells: pa.Table, rows: np.ndarray, columns: tuple[str, ...], zone: str) -> pd.DataFrame:
    """Chosen rows (positions, or a mask) and columns in pandas; flags that are not said are no."""
    chosen = cells.select(list(columns))
    chosen = chosen.filter(pa.array(rows)) if rows.dtype == bool else chosen.take(rows)
    typed: list[Any] = []
    for name in columns:
        column: Column = chosen[name]
        if pa.types.is_dictionary(column.type):
            column = column.cast(pa.large_string())
        elif pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("us", zone))
        typed.append(pc.fill_null(column, False) if pa.types.is_boolean(column.type) else column)
    return pa.table(typed, names=list(columns)).to_pandas()


def _find(ids: Column, known: Iterable[str]) -> np.ndarray:
    """Position of each id among the known ones, -1 for none; (n,) int32."""
    found: Column = pc.index_in(ids, pa.array(known, pa.large_string()))
    return np.asarray(found.fill_null(-1).to_numpy().astype("int32"))


def _flags(flags: Column) -> np.ndarray:
    return np.asarray(pc.fill_null(flags, False).to_numpy(zero_copy_only=False))
