"""Planning alone: the flow that plans with the champion of earlier nights."""

from datetime import date

from prefect import flow

from configs.errors import NoModelError
from models.registry import read_champion
from pipelines.cluster import open_cluster
from pipelines.intake import check, read
from pipelines.large import STAGES_IN_CHUNKS, is_for_chunks, plan_large
from pipelines.night import Night
from pipelines.order import Order, read_order
from pipelines.planned import measure, place, staff
from pipelines.results import write
from pipelines.runs import hold_lock, open_spool
from pipelines.sampled import keep
from pipelines.stages import STAGES_OF_A_NIGHT, record_stages, stage
from pipelines.streamed import StreamedPlan
from pipelines.train import NightModel, name_of_source, open_store


@flow(name="plan")
def plan(
    source: str,
    out: str,
    run_date: date | None = None,
    horizon_days: int | None = None,
    staffing: str = "fixed",
    config: list[str] | None = None,
    decisions: str | None = None,
    engine: str = "local",
    scheduler: str | None = None,
    chunks: bool | None = None,
) -> Night | StreamedPlan:
    """Plan with the champion of earlier nights; fit nothing."""
    order = read_order(source, out, run_date, horizon_days, staffing, config, decisions)
    with hold_lock(order.var):
        in_chunks = is_for_chunks(order, chunks, engine)
        with (
            open_cluster(engine, scheduler, order.var) as cluster,
            record_stages(STAGES_IN_CHUNKS if in_chunks else STAGES_OF_A_NIGHT, order.var) as stages,
        ):
            if in_chunks:
                model = recall(order)
                with open_spool(order.var) as room:
                    return plan_large(order, keep(order, room), model, stages)
            intake = check(order, read(order))
            model = recall(order)
            planned = place(order, intake, model, cluster)
            seats = staff(order, intake, planned)
            measured = measure(order, intake, planned, model)
            return write(order, intake, model, planned, seats, measured, stages)


@stage("recall", tell=lambda model: f"{model.name} version {model.version}")
def recall(order: Order) -> NightModel:
    """Read the champion of the order's source.

    Raises
    ------
    NoModelError
        No night has registered a champion for this source.
    """
    name = name_of_source(order)
    champion = read_champion(open_store(order), name)
    if champion is None:
        raise NoModelError(f"{order.source}: no champion yet (model {name}): run kakedoki train or nightly first")
    return NightModel(champion.model, name, champion.version, None)
