"""What ``kakedoki compare`` and ``kakedoki rollback`` do: ask the registry about nights, and take a champion back."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

from configs.errors import NoModelError
from models.registry import LoggedNight, Rollback, read_nights, roll_back
from pipelines.exports.sentences import build_winner, count, decimal
from pipelines.order import build_order
from pipelines.runs import find_var, hold_lock
from pipelines.train import name_of_source, open_store

_PLAIN_WIDTH = 400
_RIVAL_COLUMNS = {
    "log loss ↓": ("log_loss", 4),
    "AUC ↑": ("auc", 3),
    "Brier ↓": ("brier", 4),
    "calibration error ↓": ("calibration_error", 4),
    "lift of top tenth ↑": ("lift_top_tenth", 2),
}


def compare_nights(source: str, run_date: date, n_nights: int, config: Sequence[Path]) -> list[LoggedNight]:
    """Read the newest nights of a source from the registry, newest first; the source itself is not read.

    Raises
    ------
    NoModelError
        No night of this source has been registered.
    OSError
        The registry cannot be reached.
    """
    order = build_order(source, None, run_date, find_var(), config_files=config)
    nights = read_nights(open_store(order), name_of_source(order), n_nights)
    if not nights:
        raise NoModelError(f"{order.source}: no night has been registered yet: run kakedoki train or nightly first")
    return nights


def take_back(source: str, run_date: date, to: str | None, config: Sequence[Path]) -> Rollback:
    """Make the champion's predecessor, or the version named, champion again; no night may run meanwhile.

    Raises
    ------
    NoModelError, UsageError, LockedError
        There is no champion; there is nothing to go back to, or no such version; a run holds the lock.
    OSError
        The registry cannot be reached.
    """
    order = build_order(source, None, run_date, find_var(), config_files=config)
    with hold_lock(order.var):
        return roll_back(open_store(order), name_of_source(order), to)


def tell_comparison(nights: Sequence[LoggedNight], console: Console | None = None) -> None:
    """Print the rivals of the newest night side by side, nights against each other, and who won; plain when piped."""
    console = console or Console(soft_wrap=True)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    newest = nights[0]
    forward = newest.rivals[newest.rivals["fold"] == "forward"].sort_values("log_loss", kind="stable")
    dials = count(forward["n_rows"].max()) if len(forward) else "no"
    console.print(
        f"Night of {newest.run_date or 'unknown date'}, version {newest.version}: forward fold, {dials} dials"
    )
    rivals = _open_table("rival", *_RIVAL_COLUMNS)
    for row in forward.to_dict("records"):
        rivals.add_row(str(row["rival"]), *(decimal(row[name], digits) for name, digits in _RIVAL_COLUMNS.values()))
    console.print(rivals)
    console.print(f"\n{len(nights)} newest nights, the contact model on the forward fold of each")
    table = _open_table("run date", "version", "champion", "log loss ↓", "AUC ↑", "calibration error ↓", "verdict")
    for night in nights:
        table.add_row(*_tell_night(night))
    console.print(table)
    console.print(f"\n{build_winner(newest.rivals, 'forward', newest.leads)}", highlight=False)


def tell_rollback(done: Rollback, console: Console | None = None) -> None:
    """Print which version is champion now, and what the gate said of it."""
    console = console or Console(soft_wrap=True)
    if done.left == done.champion:
        said = f"model {done.name}: version {done.champion} is the champion already"
    else:
        before = f"version {done.left}" if done.left else "none"
        said = f"model {done.name}: version {done.champion} is champion again (before: {before})"
    console.print(f"{said}; the gate said of it: {done.verdict or 'nothing'}", highlight=False, markup=False)
    console.print("the next plan uses it, and the next challenger has to beat it", highlight=False)


def _tell_night(night: LoggedNight) -> list[str]:
    own = night.rivals[(night.rivals["rival"] == "LightGBM") & (night.rivals["fold"] == "forward")]
    names = {"log_loss": 4, "auc": 3, "calibration_error": 4}
    measures = [decimal(own[name].iloc[0], digits) if len(own) else "–" for name, digits in names.items()]
    return [night.run_date or "–", night.version, "yes" if night.is_champion else "", *measures, night.verdict]


def _open_table(first: str, *columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(first)
    for name in columns:
        table.add_column(name, justify="right" if "↓" in name or "↑" in name else "left")
    return table
