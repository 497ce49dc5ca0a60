"""The call log of a night: judged, cleaned, cut at ``as_of``; what is refused still counts against the customer."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from configs.errors import ContractError
from features.columns import ATTEMPT_COLUMNS, ParsedTable, parse_table
from features.outcomes import OUTCOMES
from features.quarantine import join_rejects, list_rejects, mark_rejected
from features.schemas import ATTEMPTS, judge_key, judge_rows

_FLOATS = ("ring_seconds", "talk_seconds", "wrap_seconds", "propensity")


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
    raw: pd.DataFrame, customer_ids: pd.Index, refused_ids: frozenset[str], as_of: pd.Timestamp, zone: str
) -> CheckedAttempts:
    """Judge the attempts before ``as_of`` and keep the good ones, sorted by time and ``attempt_id``.

    Parameters
    ----------
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
    table = parse_table("call_attempts", raw, ATTEMPT_COLUMNS, zone)
    is_after = (table.frame["attempted_at"] >= as_of).to_numpy()
    is_known_tonight = ~is_after
    if not is_known_tonight.any():
        raise ContractError(
            f"call_attempts: no attempt before {as_of.date()} ({len(raw):,} rows read): is the run date right?"
        )
    customer_rows = customer_ids.get_indexer(pd.Index(table.frame["customer_id"])).astype("int32")
    is_of_quarantined = is_known_tonight & table.frame["customer_id"].isin(list(refused_ids)).to_numpy()
    is_judged = is_known_tonight & ~is_of_quarantined
    rejects = _judge(table, customer_rows, is_judged)
    is_good = is_judged & ~mark_rejected(rejects, len(table.rows))
    repeats = join_rejects(judge_key(table, "attempt_id", is_good))
    is_kept = is_good & ~mark_rejected(repeats, len(table.rows))
    is_rejected = is_judged & ~is_kept
    return CheckedAttempts(
        frame=_clean(table, customer_rows, is_kept),
        held=_hold(table, customer_rows, is_rejected & (customer_rows >= 0)),
        of_quarantined=table.frame.loc[is_of_quarantined, ["customer_id", "attempted_at", "outcome"]],
        rejects=join_rejects([rejects, repeats]),
        n_read=len(table.rows),
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


def _judge(table: ParsedTable, customer_rows: np.ndarray, is_judged: np.ndarray) -> pd.DataFrame:
    is_sound = is_judged & ~table.is_faulty
    is_unknown = is_sound & (customer_rows < 0) & table.frame["customer_id"].notna().to_numpy()
    unknown = list_rejects(
        table.name,
        table.rows,
        np.flatnonzero(is_unknown),
        "customer_id",
        table.raw["customer_id"],
        "unknown customer: not in the customers table",
    )
    unreadable = [part.loc[is_judged[part["position"].to_numpy()]] for part in table.unreadable]
    return join_rejects([*unreadable, unknown, *judge_rows(table, ATTEMPTS, is_sound)])


def _clean(table: ParsedTable, customer_rows: np.ndarray, is_kept: np.ndarray) -> pd.DataFrame:
    kept = table.frame.loc[is_kept]
    return kept.assign(
        customer_row=customer_rows[is_kept],
        converted=kept["converted"].fillna(False).astype(bool),
        refused=kept["refused"].fillna(False).astype(bool),
        **{name: kept[name].astype("float32") for name in _FLOATS},
    ).sort_values(["attempted_at", "attempt_id"], ignore_index=True)


def _hold(table: ParsedTable, customer_rows: np.ndarray, is_held: np.ndarray) -> pd.DataFrame:
    """Keep rejected attempts for caps and bars, but for whole rows repeated word by word: those are the same dial."""
    is_copy = table.raw.duplicated().to_numpy() if is_held.any() else is_held
    rejected = table.frame.loc[is_held & ~is_copy]
    outcome = rejected["outcome"]
    said = table.raw.loc[rejected.index, "refused"] if "refused" in table.raw else None
    # what somebody wrote about a refusal and cannot be read bars the customer: better one call too few
    is_written = said.notna() & (said.astype("str").str.strip() != "") if said is not None else False
    is_unreadable = rejected["refused"].isna() & is_written
    return pd.DataFrame(
        {
            "customer_row": customer_rows[is_held & ~is_copy],
            "attempted_at": rejected["attempted_at"],
            "outcome": outcome.where(outcome.isin(OUTCOMES)),
            "refused": rejected["refused"].fillna(False).astype(bool) | is_unreadable,
        }
    ).sort_values(["customer_row", "attempted_at"], ignore_index=True)
