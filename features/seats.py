"""The optional tables: who works (agents) and how much each slot holds (capacity)."""

import pandas as pd

from configs.errors import ContractError
from features.columns import AGENT_COLUMNS, CAPACITY_COLUMNS, ParsedTable, parse_table
from features.quarantine import join_rejects, mark_rejected
from features.schemas import AGENTS, AGENTS_CAPACITY, DIALS_CAPACITY, judge_key, judge_rows


def check_agents(raw: pd.DataFrame, zone: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Judge the agents; the good ones, sorted by ``agent_id``, and the rejects.

    >>> agents, rejects = check_agents(pd.DataFrame({"agent_id": ["b", "a", "a"]}), "Asia/Tokyo")
    >>> agents["agent_id"].tolist(), rejects["row"].tolist()
    (['a', 'b'], [4])
    """
    table = parse_table("agents", raw, AGENT_COLUMNS, zone)
    kept, rejects = _keep(table, "agent_id", judge_rows(table, AGENTS, ~table.is_faulty))
    return kept.assign(age=kept["age"].astype("float32")), rejects


def check_capacity(raw: pd.DataFrame, zone: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Judge the capacity; the good slots with ``dials`` (or ``agents``, where only those are given), and the rejects.

    Raises
    ------
    ContractError
        Neither ``dials`` nor ``agents`` is there.

    Examples
    --------
    >>> raw = pd.DataFrame({"slot_start": ["2024-09-02T09:00"], "agents": ["12"]})
    >>> check_capacity(raw, "Asia/Tokyo")[0]["agents"].tolist()
    [12.0]
    """
    table = parse_table("capacity", raw, CAPACITY_COLUMNS, zone)
    if not table.present & {"dials", "agents"}:
        raise ContractError("capacity.dials: column missing, and no column agents either: add one of the two")
    measure, schema = ("dials", DIALS_CAPACITY) if "dials" in table.present else ("agents", AGENTS_CAPACITY)
    kept, rejects = _keep(table, "slot_start", judge_rows(table, schema, ~table.is_faulty))
    return kept[["slot_start", measure]], rejects


def _keep(table: ParsedTable, key: str, broken: list[pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    rejects = join_rejects([*table.unreadable, *broken])
    is_good = ~mark_rejected(rejects, len(table.rows))
    rejects = join_rejects([rejects, *judge_key(table, key, is_good)])
    is_kept = ~mark_rejected(rejects, len(table.rows))
    return table.frame.loc[is_kept].sort_values(key, ignore_index=True), rejects
