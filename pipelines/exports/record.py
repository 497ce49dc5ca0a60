"""``run.json``: everything that is known about a run besides its tables, in strict JSON."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from models.contact.drift import Drift
from models.planning.handling import Effort

if TYPE_CHECKING:
    from pipelines.night import Night

_PASSWORD = re.compile(r"(://[^:/@\s]*):[^@\s]*@")


def build_record(night: "Night") -> dict[str, Any]:
    """Collect the run's facts as plain JSON values: no NaN, no infinity, no password.

    Returns
    -------
    dict
        run_id · run_date · as_of · is_simulated · source · staffing_mode · horizon_days · expected_contacts · gains ·
        experiment (dials and contacts of both arms, ratio, low, high; null without one) · off_policy (null when no
        model was fitted tonight) · seats (contacts before and after, what is short, roster) · handle_times (seconds of
        a dial, learned from the log; null where places are counted in dials) · plan · counts (of the outputs) · inputs
        (fingerprint and counts) · model · drift (psi, calibration by week, slot and segment, habits; null when nothing
        was fitted) · stages (stage, seconds, peak_mb) · seconds · peak_mb · notes · versions · settings.
    """
    seconds = [stage.get("seconds") for stage in night.stages]
    peaks = [stage.get("peak_mb") for stage in night.stages]
    asked = night.fitted.off_policy if night.fitted is not None else None
    record = {
        "run_id": night.run_id,
        "run_date": night.as_of.date().isoformat(),
        "as_of": night.as_of,
        "is_simulated": night.settings.simulated,
        "source": night.source,
        "staffing_mode": night.staffing_mode,
        "horizon_days": night.settings.horizon_days,
        "expected_contacts": night.plan.get("expected_contacts"),
        "gains": night.gains,
        "experiment": asdict(night.experiment) if night.experiment is not None else None,
        "off_policy": asdict(asked) if asked is not None else None,
        "seats": _describe_seats(night),
        "handle_times": describe_handle_times(night.effort),
        "plan": night.plan,
        "counts": _count_outputs(night),
        "inputs": {"fingerprint": night.fingerprint, "counts": night.report.counts},
        "model": _describe_model(night),
        "drift": _describe_drift(night.drift),
        "stages": night.stages,
        "seconds": sum(value for value in seconds if value is not None),
        "peak_mb": max((value for value in peaks if value is not None), default=None),
        "notes": [*night.report.notes, *night.notes],
        "versions": night.versions,
        "settings": night.settings.model_dump(mode="json"),
    }
    plain: dict[str, Any] = as_plain(record)
    return plain


def spell_record(record: dict[str, Any]) -> str:
    """Write the record as JSON text that any strict reader accepts.

    Raises
    ------
    ValueError
        A value is NaN or infinite.
    """
    return json.dumps(record, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def as_plain(value: Any) -> Any:
    """Turn numpy, pandas and nested values into JSON's own; NaN, NaT and infinity become None, passwords dots.

    >>> as_plain({"auc": np.float32("nan"), "n": np.int64(3), "uri": "postgresql://me:secret@db/x"})
    {'auc': None, 'n': 3, 'uri': 'postgresql://me:•••@db/x'}
    """
    if isinstance(value, Mapping):
        return {str(key): as_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray):
        return [as_plain(item) for item in value]
    if isinstance(value, pd.DataFrame):
        return [as_plain(row) for row in value.to_dict("records")]
    if isinstance(value, np.generic):
        return as_plain(value.item())
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return _PASSWORD.sub(r"\1:•••@", str(value))


def _count_outputs(night: "Night") -> dict[str, Any]:
    return {
        "dials": len(night.call_list),
        "firm_dials": int(night.call_list["is_firm"].astype(bool).sum()),
        "customers_planned": int(night.call_list["customer_id"].nunique()),
        "excluded": len(night.excluded),
        "excluded_by_reason": dict(sorted(night.excluded["reason"].value_counts().items())),
        "slots": len(night.staffing),
        "rejected_rows": len(night.report.rejects),
        "quarantined_customers": len(night.report.quarantined_customers),
    }


def _describe_model(night: "Night") -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": night.model_name,
        "version": night.model_version,
        "is_fitted_tonight": night.is_fitted_tonight,
        "challenger": night.challenger,
        "verdict": night.verdict,
    }
    if night.fitted is None:
        return described
    fitted = night.fitted
    return described | {
        "features": fitted.model.feature_names,
        "params": fitted.params,
        "metrics": fitted.metrics,
        "rivals": fitted.rivals,
        "leads": fitted.leads,
        "calibration": fitted.calibration,
        "importance": fitted.importance,
        "seconds": fitted.seconds,
    }


def _describe_drift(drift: Drift | None) -> dict[str, Any] | None:
    if drift is None:
        return None
    return {
        "habits": vars(drift.habits),
        "metrics": drift.metrics,
        "psi": drift.stability,
        "calibration_by_week": drift.weeks,
        "calibration_by_slot": drift.slots,
        "calibration_by_segment": drift.segments,
    }


def describe_handle_times(effort: Effort | None) -> dict[str, float] | None:
    """Seconds of a dial with and without a contact, as learned; None where places are counted in dials."""
    if effort is None or effort.times is None:
        return None
    return {
        "contacted_seconds": effort.times.contacted,
        "not_contacted_seconds": effort.times.not_contacted,
        "contact_rate": effort.times.contact_rate,
        "seconds_per_agent_hour": effort.per_agent_hour,
    }


def _describe_seats(night: "Night") -> dict[str, Any] | None:
    """Expected contacts with the seats given and recommended, and the roster's totals; null when none was sought."""
    advice = night.advice
    if advice is None:
        return None
    before, after = compare_seats(night)
    described: dict[str, Any] = {
        "contacts_before": before,
        "contacts_after": after,
        "customers_looked_at": advice.n_customers,
        "frozen_days": night.settings.staffing.n_frozen_days,
        "short": advice.short,
        "roster": None,
    }
    if advice.roster is not None:
        described["roster"] = {
            "is_followed": advice.is_adopted,
            "paid_hours": advice.roster.paid_hours,
            "paid_hours_at_most": advice.roster.most_hours,
            "gap": advice.roster.gap,
            **{f"{kind}_sessions": n for kind, (_, n) in advice.roster.skipped.items()},
            **{f"{kind}_sessions_without_room": skipped for kind, (skipped, _) in advice.roster.skipped.items()},
        }
    return described


def compare_seats(night: "Night") -> tuple[float, float]:
    """Expected contacts with the seats given and with those recommended; the plan's own count is one of the two."""
    expected = float(night.plan.get("expected_contacts", math.nan))
    ratio = night.advice.ratio if night.advice is not None else 1.0
    if night.staffing_mode == "reshape":
        return expected / ratio if ratio > 0 else math.nan, expected
    return expected, expected * ratio
