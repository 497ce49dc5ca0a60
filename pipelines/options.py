"""Options that several commands share, with the words of their ``--help``."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

Source = Annotated[
    str,
    typer.Option(
        help="Folder of CSV or Parquet tables, or sqlite:///FILE, duckdb:///FILE, postgresql://...",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option(help="Folder for the results; replaced whole.", show_default=False)]
RunDate = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d"],
        metavar="YYYY-MM-DD",
        help="First day of the plan; only calls before it count as known.",
        show_default="today in the centre",
    ),
]
Horizon = Annotated[int | None, typer.Option(min=1, max=31, help="Days to plan.", show_default="7, or the settings'")]
Staffing = Annotated[
    Literal["fixed", "reshape"],
    typer.Option(help="fixed: the list obeys the places given. reshape: it obeys the places recommended."),
]
Config = Annotated[
    list[Path] | None,
    typer.Option(help="Settings file, e.g. configs/sources/vicidial_log.yaml; may be given again.", show_default=False),
]
Engine = Annotated[
    Literal["local", "dask"],
    typer.Option(help="local: this process. dask: workers of dask.distributed score, price and grow the trees."),
]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Of a Dask scheduler.", show_default="one worker per core of this machine"),
]
Chunks = Annotated[
    bool | None,
    typer.Option(
        "--chunks/--no-chunks",
        help="Plan in chunks, with memory that does not grow with the customers.",
        show_default="from half a million customers on",
    ),
]
Decided = Annotated[
    Path | None,
    typer.Option("--decisions", help="CSV of customer_id, slot_start, decision: pin or block.", show_default=False),
]
