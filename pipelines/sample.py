"""The sample world on disk: what ``kakedoki sample`` writes."""

from datetime import date
from pathlib import Path

import numpy as np

from configs.errors import UsageError
from pipelines.world import build_world, write_world


def write_sample(folder: Path, n_customers: int, n_months: int, seed: int, kind: str = "carrier") -> date:
    """Simulate a centre and write its tables; the same arguments give the same bytes.

    Returns
    -------
    date
        The run date that the tables are made for.

    Raises
    ------
    UsageError
        A size below 1, an unknown kind, or a folder that holds something already.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / "README.txt").exists()):
        raise UsageError(f"{folder}: holds something already: name a new or an empty folder")
    world = build_world(n_customers, n_months, np.random.default_rng(seed), kind=kind)
    write_world(world, folder)
    return world.truth.end
