"""What a command says on the screen when it is done."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:  # a command imports only what it needs
    from pipelines.night import Night
    from pipelines.replan import Replanned
    from pipelines.streamed import StreamedPlan
    from pipelines.train import NightModel


def tell_night(night: "Night | StreamedPlan", out: Path, console: Console | None = None) -> None:
    """Print the run in a few lines: what was planned, what it gains, where list and report are."""
    from pipelines.streamed import StreamedPlan

    console = console or Console(soft_wrap=True)
    if isinstance(night, StreamedPlan):
        _tell_chunks(night, out, console)
        return
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    firm = int(night.call_list["is_firm"].sum())
    table.add_row("run", f"{night.run_id}{'  (a simulated centre)' if night.settings.simulated else ''}")
    table.add_row("model", f"{night.model_name} version {night.model_version}")
    table.add_row("planned", f"{len(night.call_list):,} dials, {firm:,} of them on {night.as_of.date()}")
    table.add_row("not called", f"{len(night.excluded):,} listed customers, each with the reason")
    table.add_row("expected", f"{night.plan['expected_contacts']:,.0f} keyman contacts")
    for name, gain in night.gains.items():
        if gain["ratio"] is None:
            continue
        ratio, low, high = (float(gain[key]) for key in ("ratio", "low", "high"))
        table.add_row(f"gain: {name}", f"{ratio:.2f} times ({low:.2f} to {high:.2f}), basis: {gain['basis']}")
    table.add_row("call list", str(out / "call_list.csv"))
    table.add_row("report", str(out / "report.html"))
    console.print(table, highlight=False)
    warning = night.drift.warning if night.drift else ""
    for note in (*night.report.notes, *night.notes):
        console.print(f"{'warning' if note == warning else 'note'}: {note}", highlight=False, markup=False)


def _tell_chunks(plan: "StreamedPlan", out: Path, console: Console) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("planned", f"{plan.n_dials:,} dials, {plan.n_firm:,} of them on the first day")
    table.add_row("not called", f"{sum(plan.excluded.values()):,} listed customers, each with the reason")
    table.add_row("expected", f"{plan.expected_contacts:,.0f} keyman contacts, at most {plan.gap:.2%} from the best")
    table.add_row("took", f"{plan.elapsed:,.0f} s and {plan.peak_mb:,.0f} MB in {plan.n_processes} processes")
    table.add_row("call list", str(out / "call_list.csv"))
    console.print(table, highlight=False)
    for note in plan.notes:
        console.print(f"note: {note}", highlight=False, markup=False)


def tell_replan(done: "Replanned", out: Path, console: Console | None = None) -> None:
    """Print what the rest of the day holds, who is left out and why, and where the list is."""
    console = console or Console(soft_wrap=True)
    counts, record = done.record["counts"], done.record
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("run", f"{record['run_id']}{'  (a simulated centre)' if done.settings.simulated else ''}")
    table.add_row("dialled before", f"{counts['dialled_before']:,} customers, none of them again today")
    table.add_row("planned", f"{counts['dials']:,} dials in {counts['places']:,} places")
    table.add_row("expected", f"{record['expected_contacts']:,.0f} keyman contacts")
    table.add_row("call list", str(out / "call_list.csv"))
    console.print(table, highlight=False)
    for note in record["notes"]:
        console.print(f"note: {note}", highlight=False, markup=False)


def tell_model(chosen: "NightModel", console: Console | None = None) -> None:
    """Print which model plans from now on, and how it and its rivals did on the forward fold."""
    console = console or Console(soft_wrap=True)
    if chosen.fitted is not None:
        table = Table("rival", "log loss", "AUC", "calibration error", box=None, padding=(0, 2, 0, 0))
        forward = chosen.fitted.rivals.query("fold == 'forward'")
        for row in forward.to_dict("records"):
            table.add_row(
                str(row["rival"]), f"{row['log_loss']:.4f}", f"{row['auc']:.3f}", f"{row['calibration_error']:.3f}"
            )
        console.print(table, highlight=False)
    console.print(f"model {chosen.name} version {chosen.version}{chosen.note and ': '}{chosen.note}", highlight=False)
    if chosen.drift and chosen.drift.warning:
        console.print(f"warning: {chosen.drift.warning}", highlight=False, markup=False)
