"""The last stage: everything a run has found becomes one frozen result, one folder, and the pointer to it."""

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pandas as pd

from models.planning.experiment import tell_experiment
from pipelines.exports.folders import point_latest
from pipelines.exports.writing import write_run
from pipelines.intake import Intake
from pipelines.listing import build_call_list, build_excluded
from pipelines.night import Chances, Night
from pipelines.order import Order
from pipelines.planned import Measured, Planned
from pipelines.stages import stage
from pipelines.train import NightModel

PACKAGES = ("kakedoki", "lightgbm", "numpy", "pandas", "prefect", "mlflow", "scikit-learn")


@stage("write", tell=lambda night: night.run_id, retries=2, retry_when=lambda error: isinstance(error, OSError))
def write(
    order: Order,
    intake: Intake,
    model: NightModel,
    planned: Planned,
    seats: pd.DataFrame,
    measured: Measured,
    stages: Sequence[dict[str, Any]],
) -> Night:
    """Write the run's folder, whole or not at all, and point ``var/runs/latest.json`` at it.

    Raises
    ------
    UsageError
        OUT holds something else.
    RuntimeError
        A listed customer is neither planned nor excluded.
    """
    if order.out is None:
        raise RuntimeError("an order without OUT writes nothing")
    night = build_night(order, intake, model, planned, seats, measured, stages)
    write_run(night, order.out)
    point_latest(order.var / "runs", order.out)
    return night


def build_night(
    order: Order,
    intake: Intake,
    model: NightModel,
    planned: Planned,
    seats: pd.DataFrame,
    measured: Measured,
    stages: Sequence[dict[str, Any]],
) -> Night:
    """Put the parts together; every listed customer is in the list or among the excluded."""
    made = planned.plan
    return Night(
        run_id=order.run_id,
        as_of=order.as_of,
        source=intake.where,
        fingerprint=intake.fingerprint,
        settings=order.settings,
        staffing_mode=order.staffing_mode,
        tables=intake.tables,
        report=intake.report,
        slots=intake.slots,
        call_list=build_call_list(order, intake, made, planned.reasons),
        excluded=build_excluded(intake, planned.outlook.eligibility, made),
        staffing=seats,
        gains=measured.gains,
        plan=_describe_plan(intake, planned),
        fitted=model.fitted,
        model_name=model.name,
        model_version=model.version,
        stages=tuple(stages),
        versions=list_versions(),
        notes=(
            *tell_notes(model),
            *planned.advice.remarks,
            *intake.decisions.notes,
            *made.notes,
            *tell_experiment(measured.experiment),
        ),
        advice=planned.advice,
        effort=intake.effort,
        drift=model.drift,
        challenger=model.challenger,
        verdict=model.verdict,
        chances=_gather_chances(intake, planned),
        experiment=measured.experiment,
    )


def _describe_plan(intake: Intake, planned: Planned) -> dict[str, float]:
    made = planned.plan
    return {
        "expected_contacts": made.expected_contacts,
        "objective": made.objective,
        "upper_bound": made.upper_bound,
        "gap": made.gap,
        "n_dials": float(len(made.dials)),
        "n_places": float(intake.effort.count_usual_dials(planned.places_obeyed).sum()),
    }


def _gather_chances(intake: Intake, planned: Planned) -> Chances:
    """Chances, prices and room in usual dials, however places were counted."""
    prices = planned.plan.prices * intake.effort.usual_places
    room = intake.effort.count_usual_dials(planned.places_obeyed)
    return Chances(planned.outlook.eligibility.eligible_rows, planned.chances, prices, room)


def tell_notes(model: NightModel) -> tuple[str, ...]:
    """Say what people must know about the model: why an earlier one plans, and that habits have moved."""
    return tuple(filter(None, (model.note, model.drift.warning if model.drift else "")))


def list_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what a run finds.

    >>> sorted(list_versions())[0]
    'kakedoki'
    """
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
