"""The call list and the list of the excluded, as people and diallers read them."""

import numpy as np
import pandas as pd

from models.planning.eligibility import Eligibility
from models.planning.schedule import CallPlan
from pipelines.intake import Intake
from pipelines.order import Order


def build_call_list(order: Order, intake: Intake, plan: CallPlan, reasons: pd.DataFrame) -> pd.DataFrame:
    """One row per planned dial, sorted by (slot_start, rank), with the columns of ``call_list.parquet``.

    Parameters
    ----------
    reasons
        reason · reason_ja, indexed by the plan's dials; dials without one (beyond the firm day) get null.
    """
    told = reasons.reindex(plan.dials.index)
    slot_start = pd.DatetimeIndex(intake.slots["slot_start"])[plan.dials["slot_row"]]
    listed = pd.DataFrame(
        {
            "run_date": order.run_date,
            "slot_start": slot_start,
            "rank": plan.dials["rank"].to_numpy(),
            "customer_id": intake.tables.customers["customer_id"].to_numpy()[plan.dials["customer_row"]],
            "p_keyman": plan.dials["p_keyman"].to_numpy(),
            "attempt_number": plan.dials["attempt_number"].to_numpy(),
            "value": plan.dials["value"].to_numpy(),
            "is_firm": is_firm(order, intake, plan),
            "arm": plan.dials["arm"].to_numpy(),
            "propensity": plan.dials["propensity"].to_numpy(),
            "reason": told["reason"].to_numpy(),
            "allowed_because": plan.dials["allowed_because"].to_numpy(),
            "reason_ja": told["reason_ja"].to_numpy(),
        }
    )
    return listed.sort_values(["slot_start", "rank"], ignore_index=True)


def is_firm(order: Order, intake: Intake, plan: CallPlan) -> np.ndarray:
    """Whether each planned dial falls on the run date, the day that is not planned again; (n_dials,) bool."""
    of_slot = intake.slots["slot_start"] < order.as_of + pd.DateOffset(days=1)
    return of_slot.to_numpy()[plan.dials["slot_row"]]


def build_excluded(intake: Intake, eligibility: Eligibility, plan: CallPlan) -> pd.DataFrame:
    """customer_id · reason, one row per listed customer who is not in the plan, with the first reason that applies.

    Raises
    ------
    RuntimeError
        A listed customer is lost: neither planned nor excluded, or both. That would be a fault of ours.
    """
    ids = intake.tables.customers["customer_id"]
    quarantined = pd.DataFrame({"customer_id": list(intake.report.quarantined_customers), "reason": "quarantined"})
    left_out = pd.concat([eligibility.excluded, plan.unplanned], ignore_index=True)
    rows = left_out["customer_row"].to_numpy(dtype="int64")
    excluded = pd.DataFrame({"customer_id": ids.to_numpy()[rows], "reason": left_out["reason"].astype("str")})
    _lose_nobody(intake, rows, plan.dials["customer_row"].to_numpy(dtype="int64"))
    return pd.concat([quarantined, excluded], ignore_index=True).astype({"customer_id": "str"})


def _lose_nobody(intake: Intake, excluded_rows: np.ndarray, planned_rows: np.ndarray) -> None:
    listed = np.flatnonzero(intake.tables.customers["listed"].to_numpy())
    planned = np.unique(planned_rows)
    accounted = np.sort(np.concatenate([planned, excluded_rows]))
    if not np.array_equal(accounted, listed):
        n_lost, n_twice = len(np.setdiff1d(listed, accounted)), len(accounted) - len(np.unique(accounted))
        raise RuntimeError(
            f"{len(listed)} customers are listed, but {len(planned)} are planned and {len(excluded_rows)} excluded: "
            f"{n_lost} lost, {n_twice} counted twice"
        )
