"""The command line, and the only place that reads the clock. What is heavy is imported by the command that needs it."""

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import typer

from pipelines.failures import end_with_exit_code
from pipelines.options import Chunks, Config, Decided, Engine, Horizon, Out, RunDate, Scheduler, Source, Staffing
from pipelines.runs import find_var, hold_lock
from pipelines.servers import set_environment

EXIT_CODES = """\
**Exit codes.** 0 done · 2 wrong option or settings · 10 source or cluster unreachable · 11 a table breaks its
contract · 12 too many bad rows (they are in OUT.failed) · 13 no champion and no model can be fitted · 14 no place to
dial in the horizon · 15 another run holds the lock · 20 unexpected (see var/logs). One line on stderr says what to do.
"""

app = typer.Typer(
    name="kakedoki",
    help="""\
**kakedoki** 架け時: whom to call when. Last night's call log in; this morning's ranked call list and staffing hints
out.

Try it: `kakedoki demo`.

Your own data: a folder with customers.csv and call_attempts.csv (or the same tables as Parquet or in a database).

1. `kakedoki check --source FOLDER` says what is wrong with the tables.

2. `kakedoki nightly --source FOLDER --out OUT` writes OUT: call_list.csv (dial each hour's rows by rank),
excluded.csv (who is not called, and why), staffing.csv, report.html (open it first), run.json.

3. `kakedoki schedule --cron "0 2 * * *" --source FOLDER --out OUT` does it every night.
""",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line."""
    atexit.register(_end_quietly)
    app()


def _end_quietly() -> None:
    """Close stderr for good: DuckDB's bindings list what Prefect's threads still hold, after all has been said."""
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


@app.command()
def nightly(
    source: Source,
    out: Out,
    run_date: RunDate = None,
    horizon_days: Horizon = None,
    staffing: Staffing = "fixed",
    config: Config = None,
    decisions: Decided = None,
    engine: Engine = "local",
    scheduler: Scheduler = None,
    chunks: Chunks = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Read the whole log again; nothing kept of earlier runs is used.")
    ] = False,
) -> None:
    """Run the whole night: read, check, fit, plan, staff, measure gains, write.

    Example: kakedoki nightly --source data --out tonight --run-date 2026-11-02
    """
    with _running("nightly", needs_lock=True):
        from pipelines.nightly import nightly as flow
        from pipelines.stages import run_flow
        from pipelines.summary import tell_night

        when = _date_of(run_date, config)
        decided = None if decisions is None else str(decisions)
        asked = (source, str(out), when, horizon_days, staffing, _names(config), decided, engine, scheduler, chunks)
        tell_night(run_flow(flow, *asked, rebuild), out)


@app.command()
def plan(
    source: Source,
    out: Out,
    run_date: RunDate = None,
    horizon_days: Horizon = None,
    staffing: Staffing = "fixed",
    config: Config = None,
    decisions: Decided = None,
    engine: Engine = "local",
    scheduler: Scheduler = None,
    chunks: Chunks = None,
) -> None:
    """Plan with the champion of earlier nights, without fitting a model.

    Example: kakedoki plan --source data --out today --run-date 2026-11-02
    """
    with _running("plan", needs_lock=True):
        from pipelines.plan import plan as flow
        from pipelines.stages import run_flow
        from pipelines.summary import tell_night

        when = _date_of(run_date, config)
        decided = None if decisions is None else str(decisions)
        asked = (source, str(out), when, horizon_days, staffing, _names(config), decided, engine, scheduler, chunks)
        tell_night(run_flow(flow, *asked), out)


@app.command()
def replan(
    source: Source,
    plan: Annotated[Path, typer.Option(help="Folder of the night's run; it stays as it is.", show_default=False)],
    out: Out,
    now: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"],
            metavar="YYYY-MM-DDTHH:MM",
            help="Outcomes until then count; slots from then on are filled. The centre's time.",
            show_default="now",
        ),
    ] = None,
    config: Config = None,
    decisions: Decided = None,
) -> None:
    """Plan the rest of the day again, with this morning's outcomes; nobody is dialled twice a day.

    Example: kakedoki replan --source data --plan tonight --now 2026-11-02T12:10 --out afternoon
    """
    with _running("replan"):
        from pipelines.replan import replan as plan_again
        from pipelines.summary import tell_replan

        instant = now or datetime.now().astimezone()
        tell_replan(plan_again(source, plan, out, instant, config or [], decisions), out)


@app.command()
def preview(source: Source, run_date: RunDate = None, horizon_days: Horizon = None, config: Config = None) -> None:
    """Say who will not be called, and why, before a night is run; needs no model.

    Example: kakedoki preview --source data --run-date 2026-11-02
    """
    with _running("preview"):
        from pipelines.preview import preview as look_ahead
        from pipelines.preview import tell_preview

        tell_preview(look_ahead(source, _date_of(run_date, config), horizon_days, config or []))


@app.command()
def train(
    source: Source,
    run_date: RunDate = None,
    config: Config = None,
    accept_changed_past: Annotated[
        bool,
        typer.Option(
            "--accept-changed-past",
            help="The log's past was changed on purpose (a new code map): judge it all the same.",
        ),
    ] = False,
) -> None:
    """Fit, judge and register a model, without planning.

    Example: kakedoki train --source data --run-date 2026-11-02
    """
    with _running("train", needs_lock=True):
        from pipelines.stages import run_flow
        from pipelines.summary import tell_model
        from pipelines.train import train as flow

        tell_model(run_flow(flow, source, _date_of(run_date, config), _names(config), accept_changed_past))


@app.command()
def compare(
    source: Source,
    nights: Annotated[int, typer.Option(min=1, max=1000, help="How many nights to show, newest first.")] = 14,
    config: Config = None,
) -> None:
    """Show all models of the newest night side by side, nights against each other, and who won by how much.

    Example: kakedoki compare --source data --nights 14
    """
    with _running("compare"):
        from pipelines.champions import compare_nights, tell_comparison

        tell_comparison(compare_nights(source, _date_of(None, config), nights, config or []))


@app.command()
def rollback(
    source: Source,
    to: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="Version to make champion.", show_default="the champion's predecessor"),
    ] = None,
    config: Config = None,
) -> None:
    """Take the champion back to the one before it, or to a version; the next challenger has to beat that one.

    Example: kakedoki rollback --source data
    """
    with _running("rollback", needs_lock=True):
        from pipelines.champions import take_back, tell_rollback

        tell_rollback(take_back(source, _date_of(None, config), to, config or []))


@app.command()
def tune(
    source: Source,
    trials: Annotated[int, typer.Option(min=1, help="How many more settings of the trees to try.")] = 30,
    timeout: Annotated[float | None, typer.Option(min=1, help="Seconds after which no new trial begins.")] = None,
    run_date: RunDate = None,
    config: Config = None,
) -> None:
    """Search better settings of the trees; the next nights on this source use what is found.

    Example: kakedoki tune --source data --trials 50 --timeout 3600
    """
    with _running("tune"):
        from pipelines.search import search, tell_search

        tell_search(search(source, _date_of(run_date, config), trials, timeout, config or []))


@app.command()
def check(source: Source, run_date: RunDate = None, config: Config = None) -> None:
    """Say what is wrong with a source before a night is wasted on it.

    Example: kakedoki check --source data --config configs/sources/vicidial_log.yaml
    """
    with _running("check") as var:
        from rich.console import Console

        from pipelines.check import check_source, describe_check
        from pipelines.order import build_order

        order = build_order(source, None, _date_of(run_date, config), var, config_files=config or [])
        found = check_source(source, order.settings, order.as_of)
        Console(soft_wrap=True).print(describe_check(found))
        raise SystemExit(found.exit_code)


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="File to write: .csv, .xlsx or .parquet.", show_default=False)],
    plan: Annotated[Path | None, typer.Option(help="Folder of a run.", show_default="the newest run")] = None,
    conditions: Annotated[
        str,
        typer.Option(
            "--filter",
            help="Conditions, all of which hold: slot, weekday, hour, region, gender, age, p, attempt, arm, reason, "
            "customer (an id, or its beginning and *), firm; = or, for slot, age, p and attempt, also >= and <=.",
            show_default="every row",
        ),
    ] = "",
    format: Annotated[str | None, typer.Option(help="csv, xlsx or parquet.", show_default="the file's ending")] = None,
    encoding: Annotated[str | None, typer.Option(help="utf-8-sig, utf-8 or cp932.", show_default="utf-8-sig")] = None,
    preset: Annotated[
        str | None, typer.Option(help="vicidial_list, generic_dialer, or a YAML file.", show_default=False)
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Where telephone numbers are, if a preset wants them.", show_default=False)
    ] = None,
    config: Config = None,
) -> None:
    """Write the rows of a run's list that a filter chooses, as CSV, Excel, Parquet or a dialler's file.

    Example: kakedoki export --out tuesday.xlsx --filter "weekday=Tue hour=18 region=Tokyo gender=female age>=40"
    """
    with _running("export") as var:
        from pipelines.export import ExportOrder, export_run, tell_export

        order = ExportOrder(out, plan, conditions, format, encoding, preset, source, config or ())
        tell_export(export_run(order, var), out)


@app.command()
def sample(
    out: Annotated[Path, typer.Option(help="Folder to write the tables into.", show_default=False)],
    customers: Annotated[int, typer.Option(min=1)] = 40_000,
    months: Annotated[int, typer.Option(min=1, max=60)] = 3,
    seed: Annotated[int, typer.Option(min=0)] = 7,
    kind: Annotated[
        Literal["carrier", "persons", "drift", "no_time"],
        typer.Option(help="carrier: a new-customer campaign. The others stress one thing each."),
    ] = "carrier",
) -> None:
    """Write a sample world: a simulated centre in which nobody exists.

    Example: kakedoki sample --customers 40000 --months 3 --seed 7 --out world
    """
    with _running("sample"):
        from pipelines.sample import write_sample

        end = write_sample(out, customers, months, seed, kind)
        typer.echo(f"{out}: a simulated centre; try: kakedoki nightly --source {out} --out OUT --run-date {end}")


@app.command()
def demo() -> None:
    """Make a sample world, run a night on it, and say where the list and the report are (var/demo)."""
    with _running("demo", needs_lock=True) as var:
        from pipelines.demo import run_demo
        from pipelines.summary import tell_night

        tell_night(run_demo(var), var / "demo" / "run")


@app.command()
def schedule(
    source: Source,
    out: Out,
    cron: Annotated[str, typer.Option(help="When, in the centre's time zone.")] = "0 2 * * *",
    horizon_days: Horizon = None,
    staffing: Staffing = "fixed",
    config: Config = None,
) -> None:
    """Run the night again and again, as a Prefect deployment, until Ctrl-C; starts a Prefect server if none is up.

    Example: kakedoki schedule --cron "0 2 * * *" --source data --out tonight
    """
    with _running("schedule") as var:
        from pipelines.schedule import serve_nights

        serve_nights(source, out, cron, _date_of(None, config), var, horizon_days, staffing, config or [])


@contextmanager
def _running(command: str, *, needs_lock: bool = False) -> Iterator[Path]:
    """Fail as DESIGN section 9 says, and set the environment before Prefect or MLflow is imported.

    Flows take the lock themselves; a command that needs it is refused here already, before Prefect has started.
    """
    var = find_var()
    with end_with_exit_code(command, var, datetime.now().astimezone()):
        if needs_lock:
            with hold_lock(var):
                pass
        set_environment(var)
        yield var


def _date_of(run_date: datetime | None, config: list[Path] | None) -> date:
    """The date that was given, else today where the centre is."""
    from configs.settings import read_settings

    if run_date is not None:
        return run_date.date()
    return datetime.now(ZoneInfo(read_settings(*config or ()).timezone)).date()


def _names(config: list[Path] | None) -> list[str]:
    return [str(file.expanduser().resolve()) for file in config or ()]


if __name__ == "__main__":
    main()
