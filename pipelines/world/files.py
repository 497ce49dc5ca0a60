"""The sample world as a folder of files, like any centre's export; the truth stays behind."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from pipelines.world.world import World

FIRST_LINE = "THESE PEOPLE ARE SIMULATED. Nobody in this folder exists."
README = """\
{first_line}

A sample world of kakedoki, kind "{kind}", run date {end}: {n_customers} customers, {n_attempts} call attempts
from {first} to {last}, {n_agents} agents, capacity for two weeks from the run date.
Every customer, call, agent and telephone number was made up by a computer program; numbers that begin with
000 are never assigned in Japan. Rates and habits were set after published figures, but they are not measurements.
Do not call anybody, and do not quote results on these data as results on real calls.

架電サンプルデータです。人物・通話・電話番号はすべて架空のもので、実在しません。

    kakedoki nightly --source THIS_FOLDER --out OUT --run-date {end}

customers      one row per customer
call_attempts  one row per dial, before the run date
agents         one row per agent
capacity       dials that fit into each hour after the log
"""


def write_world(world: World, folder: Path, file_format: Literal["csv", "parquet"] = "csv") -> None:
    """Write customers, call_attempts, agents, capacity and README.txt into a folder, made if need be.

    Times are ISO 8601 with their offset in CSV and have their zone in Parquet. Same world, same bytes. The truth is
    not written.

    Examples
    --------
    >>> import tempfile
    >>> from pipelines.world.world import build_world
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_world(build_world(50, 1, np.random.default_rng(7)), Path(folder))
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['README.txt', 'agents.csv', 'call_attempts.csv', 'capacity.csv', 'customers.csv']
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.txt").write_text(describe_world(world), encoding="utf-8", newline="\n")
    tables = {
        "customers": world.customers,
        "call_attempts": world.call_attempts,
        "agents": world.agents,
        "capacity": world.capacity,
    }
    for name, table in tables.items():
        if file_format == "parquet":
            table.to_parquet(folder / f"{name}.parquet", index=False)
        else:
            _spell_out(table).to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")


def is_sample(source: str) -> bool:
    """Say whether the source is a folder that :func:`write_world` wrote, so that every output can say "simulated".

    >>> is_sample("postgresql://centre")
    False
    """
    note = Path(source) / "README.txt"
    try:
        return note.read_text(encoding="utf-8").startswith(FIRST_LINE)
    except (OSError, ValueError):
        return False


def describe_world(world: World) -> str:
    """Say in words what the folder holds, above all that nobody in it exists."""
    days = world.call_attempts["attempted_at"]
    return README.format(
        first_line=FIRST_LINE,
        kind=world.kind,
        end=world.truth.end,
        n_customers=f"{len(world.customers):,}",
        n_attempts=f"{len(days):,}",
        first=days.min().date() if len(days) else "-",
        last=days.max().date() if len(days) else "-",
        n_agents=len(world.agents),
    )


def _spell_out(table: pd.DataFrame) -> pd.DataFrame:
    """Times as ISO 8601 with offset, booleans as true and false, whole seconds without a point."""
    spelled = {}
    for name, column in table.items():
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            spelled[str(name)] = _spell_times(column)
        elif column.dtype == bool:
            spelled[str(name)] = column.map({True: "true", False: "false"})
        elif str(name).endswith("_seconds"):
            spelled[str(name)] = column.astype("int32")
    return table.assign(**spelled)


def _spell_times(times: pd.Series) -> pd.Series:
    """``2026-11-02T09:00:00+09:00``; the zone of the sample world has one offset all year."""
    local = times.dt.tz_localize(None).to_numpy().astype("datetime64[s]")
    text = np.char.add(np.datetime_as_string(local), "+09:00")
    return pd.Series(text, index=times.index, dtype="str").mask(times.isna())
