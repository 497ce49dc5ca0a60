"""The night: one flow, from the source to the folder of results. Its body is the table of contents."""

from datetime import date

from prefect import flow

from pipelines.cluster import open_cluster
from pipelines.intake import check, read
from pipelines.large import STAGES_IN_CHUNKS, is_for_chunks, plan_large
from pipelines.night import Night
from pipelines.order import read_order
from pipelines.planned import measure, place, staff
from pipelines.results import write
from pipelines.runs import hold_lock, open_spool
from pipelines.sampled import keep, take_sample
from pipelines.stages import STAGES_OF_A_NIGHT, record_stages
from pipelines.streamed import StreamedPlan, require_capacity
from pipelines.train import fit


@flow(name="nightly")
def nightly(
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
    rebuild: bool = False,
) -> Night | StreamedPlan:
    """Run the whole night.

    Raises
    ------
    KakedokiError
        By cause, see DESIGN section 9; nothing half-written is left, and running it again is safe.
    """
    order = read_order(source, out, run_date, horizon_days, staffing, config, decisions, rebuild)
    with hold_lock(order.var):
        in_chunks = is_for_chunks(order, chunks, engine)
        with (
            open_cluster(engine, scheduler, order.var) as cluster,
            record_stages(STAGES_IN_CHUNKS if in_chunks else STAGES_OF_A_NIGHT, order.var) as stages,
        ):
            if in_chunks:
                with open_spool(order.var) as room:
                    large = keep(order, room)
                    require_capacity(large.folder)
                    return plan_large(order, large, fit(order, take_sample(order, large)), stages)
            intake = check(order, read(order))
            model = fit(order, intake, cluster=cluster)
            planned = place(order, intake, model, cluster)
            seats = staff(order, intake, planned)
            measured = measure(order, intake, planned, model)
            return write(order, intake, model, planned, seats, measured, stages)
