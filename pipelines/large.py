"""When an order is planned in chunks, and the run that does it."""

from typing import Any

from configs.errors import UsageError
from pipelines.order import Order
from pipelines.results import list_versions, tell_notes
from pipelines.sampled import LargeSource, is_large
from pipelines.streamed import StreamedPlan, plan_in_chunks, refuse_settings
from pipelines.train import NightModel

STAGES_IN_CHUNKS = 6


def is_for_chunks(order: Order, asked: bool | None, engine: str = "local") -> bool:
    """Say whether an order is planned in chunks: as asked, else where the source holds very many customers.

    Parameters
    ----------
    asked
        None leaves it to the source; a cluster then plans in one piece.

    Raises
    ------
    UsageError
        The order is for chunks and wants something that they do not know.
    KakedokiError
        As :func:`pipelines.sampled.is_large`.
    """
    if asked is False or (asked is None and (engine != "local" or not is_large(order))):
        return False
    wanted = {
        "--staffing reshape": order.staffing_mode != "fixed",
        "--decisions": order.decisions is not None,
        "--engine dask": engine != "local",
    }
    for option, is_wanted in wanted.items():
        if is_wanted:
            raise UsageError(f"{option}: not known to a plan in chunks; --no-chunks plans in one piece, all in memory")
    refuse_settings(order.settings)
    return True


def plan_large(order: Order, large: LargeSource, model: NightModel, stages: list[dict[str, Any]]) -> StreamedPlan:
    """Plan in chunks into the order's folder; ``stages`` are those of the run so far, and grow.

    Raises
    ------
    KakedokiError
        As :func:`pipelines.streamed.plan_in_chunks`.
    """
    if order.out is None:
        raise RuntimeError("an order without OUT writes nothing")
    facts = {
        "run_id": order.run_id,
        "source": order.source,
        "model": {"name": model.name, "version": model.version, "is_fitted_tonight": model.fitted is not None},
        "stages": stages,
        "versions": list_versions(),
    }
    planned = (large.folder, large.log, order.out, model.model, order.as_of, order.settings)
    return plan_in_chunks(*planned, facts=facts, notes=tell_notes(model), fingerprint=large.fingerprint)
