"""What ``kakedoki tune`` runs: a search for better settings of the trees, kept for the next nights."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from models.contact.boosting import lightgbm_params
from models.contact.tuned import TUNED_PARAMS, Tuned, judge_search
from models.contact.tuning import tune
from models.contact.tuning_folds import build_tuning_folds
from models.registry import log_search
from pipelines.exports.sentences import count, decimal
from pipelines.intake import judge, read
from pipelines.order import Order, build_order
from pipelines.runs import find_var
from pipelines.train import find_tuned_params, name_of_source, open_store

N_SHOWN = 5
_NOT_LEARNED_FROM = {"app", "mlflow", "planning", "gains", "rule_packs", "horizon_days"}
_PLAIN_WIDTH = 400


@dataclass(frozen=True)
class Search:
    """What was found, the file that the next nights read, and where MLflow shows it or why it does not."""

    found: Tuned
    file: Path
    logged: str


def search(
    source: str,
    run_date: date,
    n_trials: int,
    timeout_seconds: float | None,
    config: Sequence[Path],
    progress: Callable[[int, float], None] = lambda *_: None,
) -> Search:
    """Try ``n_trials`` more settings and write the best of all so far to ``var/tuning/<model>.json``.

    A search on the same log, settings and run date goes on where the last one ended. It holds no lock: nights may run
    meanwhile, and see the file when it is whole. A registry that cannot be reached costs the search nothing else.

    Raises
    ------
    SourceError, ContractError, TooManyBadRowsError, NoModelError
        As in a night.
    """
    order = build_order(source, None, run_date, find_var(), config_files=config)
    settings, raw = order.settings, read(order)
    tables, _ = judge(order, raw)
    folds = build_tuning_folds(tables, order.as_of, settings, np.random.default_rng(settings.seed))
    file, study = find_tuned_params(order), name_study(order, raw.fingerprint)
    storage = file.with_name("studies.db")
    trials = tune(folds.measure, storage, study, settings.seed, n_trials, timeout_seconds, progress)
    found = judge_search(study, trials, lightgbm_params(settings.model, settings.seed), folds.compare)
    beside = file.with_suffix(".json.partial")
    beside.write_text(found.to_json(), encoding="utf-8")
    beside.replace(file)
    return Search(found, file, _log(order, found))


def name_study(order: Order, fingerprint: Mapping[str, str]) -> str:
    """Name a search by its model, its run date and eight hex digits of all that its losses hang on.

    >>> order = build_order("a", None, date(2026, 11, 2), Path("/v"))
    >>> name_study(order, {"customers": "1f"}) == name_study(order, {"customers": "2f"})
    False
    """
    settings = order.settings.model_dump_json(exclude=_NOT_LEARNED_FROM)
    asked = hashlib.sha256(f"{settings}|{json.dumps(dict(fingerprint), sort_keys=True)}".encode()).hexdigest()
    return f"{name_of_source(order)} {order.run_date} {asked[:8]}"


def tell_search(done: Search, console: Console | None = None) -> None:
    """Print the best five trials and the default, how far the best is ahead, and where everything is."""
    console = console or Console(soft_wrap=True)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    found = done.found
    console.print(
        f"{found.study}: {found.n_trials - 1} trials and the default, {found.n_pruned} stopped early as hopeless",
        highlight=False,
    )
    shown = found.table.assign(ahead=found.default_log_loss - found.table["log_loss"])
    shown = shown[(shown.index < N_SHOWN) | shown["is_default"]].dropna(subset="log_loss")
    table = Table("trial", box=None, padding=(0, 2, 0, 0))
    for name in ("log loss ↓", "gain ↑", "leaves", "rows in leaf", "learning rate", "feature share", "l2", "seconds"):
        table.add_column(name, justify="right")
    for row in shown.to_dict("records"):
        losses = (decimal(row["log_loss"], 5), "–" if row["is_default"] else f"{round(row['ahead'], 5) + 0.0:+.5f}")
        params = zip(TUNED_PARAMS, (0, 0, 3, 2, 2), strict=True)
        cells = [count(row[name]) if not digits else decimal(row[name], digits) for name, digits in params]
        called = "default" if row["is_default"] else str(row["trial"])
        table.add_row(called, *losses, *cells, decimal(row["seconds"], 1))
    console.print(table, highlight=False)
    for line in (found.verdict, f"settings of the next nights: {done.file}", done.logged):
        console.print(line, highlight=False, markup=False)


def _log(order: Order, found: Tuned) -> str:
    store = open_store(order)
    try:
        experiment = log_search(store, name_of_source(order), found)
    except OSError as error:
        logging.getLogger("kakedoki").warning("the search was not logged in MLflow: %s", error)
        return f"not logged in MLflow, all else is kept: {error}"
    return f"MLflow: experiment {experiment}, run {found.study}"
