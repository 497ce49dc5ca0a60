"""What ``kakedoki preview`` does: who will not be called and why, before a night is run. No model is needed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from models.planning.eligibility import find_eligible
from models.planning.preview import NO_PACK, count_reasons, find_last_words
from models.planning.rules import read_rule_packs
from pipelines.exports.sentences import EXCLUDED_MEANINGS
from pipelines.intake import check, read
from pipelines.order import build_order
from pipelines.runs import find_var
from pipelines.stages import record_stages


@dataclass(frozen=True)
class Preview:
    """Who will not be called.

    Attributes
    ----------
    n_listed, n_callable, n_places
        Listed customers, those who may be called in some slot, and the most dials that the horizon has room for.
    reasons
        reason · n.
    last_words
        Customers without a lawful slot, by the pack that took the last one.
    """

    first_day: date
    last_day: date
    n_listed: int
    n_callable: int
    n_places: int
    reasons: pd.DataFrame
    last_words: dict[str, int]


def preview(source: str, run_date: date, horizon_days: int | None = None, config: Sequence[Path] = ()) -> Preview:
    """Read and check the source as a night would, and count who could not be called.

    Raises
    ------
    KakedokiError
        What would stop a night before its fit stops the preview.
    """
    order = build_order(source, None, run_date, find_var(), horizon_days=horizon_days, config_files=config)
    settings = order.settings
    with record_stages(2):
        intake = check(order, read(order))
    packs = read_rule_packs(settings.rule_packs)
    found = find_eligible(intake.tables, intake.slots, order.as_of, packs, settings)
    n_quarantined = len(intake.report.quarantined_customers)
    n_places = int((intake.capacity["places"] // intake.effort.count_places([0.0, 1.0]).min()).sum())
    has_slot = found.lawful.any(axis=1)
    without = found.eligible_rows[~has_slot]
    words = find_last_words(intake.tables, intake.slots, order.as_of, packs, settings, without)
    return Preview(
        first_day=order.run_date,
        last_day=(order.as_of + pd.DateOffset(days=settings.horizon_days - 1)).date(),
        n_listed=int(intake.tables.customers["listed"].sum()) + n_quarantined,
        n_callable=int(has_slot.sum()),
        n_places=n_places,
        reasons=count_reasons(found, n_quarantined, n_places),
        last_words={str(pack): int(n) for pack, n in words.value_counts().items()},
    )


def tell_preview(found: Preview, console: Console | None = None) -> None:
    """Print "X of Y will not be called, because …", a line a reason."""
    console = console or Console(soft_wrap=True)
    n_left_out = int(found.reasons["n"].sum())
    days = f"from {found.first_day} to {found.last_day}"
    said = f"{n_left_out:,} of {found.n_listed:,} listed customers will not be called {days}"
    console.print(said + (", because" if n_left_out else "."), highlight=False)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for row in found.reasons.to_dict("records"):
        table.add_row(f"{row['n']:,}", str(row["reason"]), EXCLUDED_MEANINGS.get(str(row["reason"]), ""))
        if row["reason"] == "no_lawful_slot":
            for pack, n in sorted(found.last_words.items()):
                why = "time zone, or dialled already" if pack == NO_PACK else f"rule pack {pack} took the last slot"
                table.add_row("", "", f"of these {n:,}: {why}")
    if n_left_out:
        console.print(table, highlight=False)
    console.print(
        f"{found.n_callable:,} may be called, in {found.n_places:,} places"
        + (": no_capacity is the least that it can be" if found.n_callable > found.n_places else ""),
        highlight=False,
    )
