"""The night again and again: a Prefect deployment that this process serves."""

import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from prefect.schedules import Cron, Schedule
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.types.entrypoint import EntrypointType

from configs.errors import UsageError
from pipelines.nightly import nightly
from pipelines.order import build_order, hide_password
from pipelines.servers import PREFECT_URL, run_server


def build_schedule(cron: str, timezone: str) -> Schedule:
    """Read a cron line in the centre's time zone.

    Raises
    ------
    UsageError
        It is no cron line.

    Examples
    --------
    >>> build_schedule("0 2 * * *", "Asia/Tokyo").timezone
    'Asia/Tokyo'
    """
    try:
        return Cron(cron, timezone=timezone)
    except ValueError as error:
        raise UsageError(f"--cron {cron!r}: write five fields, such as '0 2 * * *': {error}") from error


def build_parameters(
    source: str, out: Path, horizon_days: int | None, staffing: str, config: Sequence[Path]
) -> dict[str, Any]:
    """Return the flow's parameters with absolute paths and no password; the run date is each run's scheduled day."""
    where = hide_password(source) if "://" in source else str(Path(source).expanduser().resolve())
    return {
        "source": where,
        "out": str(out.expanduser().resolve()),
        "horizon_days": horizon_days,
        "staffing": staffing,
        "config": [str(file.expanduser().resolve()) for file in config],
    }


def serve_nights(
    source: str,
    out: Path,
    cron: str,
    today: date,
    var: Path,
    horizon_days: int | None,
    staffing: str,
    config: Sequence[Path],
) -> None:
    """Serve the nightly flow until told to end; a Prefect server is started on loopback if none is up.

    Parameters
    ----------
    today
        Only to check the order as the first run will; each run plans the day it is scheduled for.

    Raises
    ------
    UsageError
        The cron line or an option is wrong; nothing has been started.
    SourceError
        The Prefect server does not start.
    """
    order = build_order(source, out, today, var, horizon_days=horizon_days, staffing_mode=staffing, config_files=config)
    when = build_schedule(cron, order.settings.timezone)
    if "PREFECT_API_URL" in os.environ:
        _serve(when, build_parameters(source, out, horizon_days, staffing, config))
        return
    # Prefect has read its environment by now: this process is told, and the runs it starts inherit the variable.
    os.environ["PREFECT_API_URL"] = f"{PREFECT_URL}/api"
    with run_server("prefect", var), temporary_settings({PREFECT_API_URL: f"{PREFECT_URL}/api"}):
        _serve(when, build_parameters(source, out, horizon_days, staffing, config))


def _serve(when: Schedule, parameters: dict[str, Any]) -> None:
    nightly.serve(
        name="nightly",
        schedule=when,
        parameters=parameters,
        limit=1,
        entrypoint_type=EntrypointType.MODULE_PATH,
        print_starting_message=True,
    )
