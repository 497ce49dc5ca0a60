"""The night: one flow, from the source to the folder of results. Its body is the table of contents."""

from datetime import date

from prefect import flow

from pipelines.cluster import open_cluster
from pipelines.intake import check, read
from pipelines.night import Night
from pipelines.order import read_order
from pipelines.planned import measure, place, staff
from pipelines.results import write
from pipelines.runs import hold_lock
from pipelines.stages import record_stages
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
    rebuild: bool = False,
) -> Night:
    """Run the whole night.

    Raises
    ------
    KakedokiError
        By cause, see DESIGN section 9; nothing half-written is left, and running it again is safe.
    """
    order = read_order(source, out, run_date, horizon_days, staffing, config, decisions, rebuild)
    with (
        hold_lock(order.var),
        open_cluster(engine, scheduler, order.var) as cluster,
        record_stages(var=order.var) as stages,
    ):
        intake = check(order, read(order))
        model = fit(order, intake, cluster=cluster)
        planned = place(order, intake, model, cluster)
        seats = staff(order, intake, planned)
        gains = measure(order, intake, planned, model)
        return write(order, intake, model, planned, seats, gains, stages)
