"""What ``kakedoki tune`` runs: a search for better settings of the trees, kept for the next nights."""

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import numpy as np

from models.contact.tuning import Tuned, build_objective, tune
from pipelines.intake import judge, read
from pipelines.order import build_order
from pipelines.runs import find_var
from pipelines.train import find_tuned_params, name_of_source


def search(
    source: str,
    run_date: date,
    n_trials: int,
    timeout_seconds: float | None,
    config: Sequence[Path],
    progress: Callable[[int, float], None] = lambda *_: None,
) -> tuple[Tuned, Path]:
    """Try ``n_trials`` more settings and write the best of all so far to ``var/tuning/<model>.json``.

    A search on the same source and run date goes on where the last one ended. It holds no lock: nights may run
    meanwhile, and see the file when it is whole.

    Raises
    ------
    SourceError, ContractError, TooManyBadRowsError, NoModelError
        As in a night.
    """
    order = build_order(source, None, run_date, find_var(), config_files=config)
    tables, _ = judge(order, read(order))
    settings = order.settings
    measure = build_objective(tables, order.as_of, settings, np.random.default_rng(settings.seed))
    file = find_tuned_params(order)
    study = f"{name_of_source(order)} {order.run_date}"
    found = tune(measure, file.with_name("studies.db"), study, settings.seed, n_trials, timeout_seconds, progress)
    beside = file.with_suffix(".json.partial")
    beside.write_text(found.to_json(), encoding="utf-8")
    beside.replace(file)
    return found, file
