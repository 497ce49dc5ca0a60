"""What a run was asked for: source, folder, date and settings, checked once before anything starts."""

import hashlib
import os
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
from pydantic import ValidationError

from configs.errors import UsageError
from configs.settings import Settings, read_settings
from models.planning.rules import read_rule_packs
from pipelines.exports.folders import check_replaceable
from pipelines.runs import find_var
from pipelines.sources.addresses import mask_password
from pipelines.world import is_sample

STAFFING_MODES = ("fixed", "reshape")


@dataclass(frozen=True)
class Order:
    """One night, as ordered.

    Attributes
    ----------
    source
        Folder or database URL, passwords masked; see :func:`reveal_password`.
    out
        Folder that the run will fill; None for commands that write no list.
    staffing_mode
        "fixed" (the list obeys the places given) or "reshape" (it obeys the places recommended).
    var
        Folder of run artefacts.
    decisions
        File in which people have pinned and blocked; None without one.
    rebuild
        Forget what was kept of the source, and read all of it again.
    """

    source: str
    out: Path | None
    run_date: date
    settings: Settings
    staffing_mode: str
    var: Path
    decisions: Path | None = None
    rebuild: bool = False

    @property
    def as_of(self) -> pd.Timestamp:
        """00:00 of the run date in the centre's zone: the exclusive instant up to which data are known."""
        return pd.Timestamp(self.run_date, tz=self.settings.timezone).as_unit("us")

    @property
    def run_id(self) -> str:
        """Name of the run: its date and eight hex digits of what was ordered, the same when it is run again.

        >>> order = build_order("a", None, date(2026, 11, 1), Path("/v"))
        >>> order.run_id[:9], order.run_id == build_order("a", None, date(2026, 11, 1), Path("/v")).run_id
        ('20261101-', True)
        """
        asked = f"{self.source}|{self.staffing_mode}|{self.settings.model_dump_json()}"
        return f"{self.run_date:%Y%m%d}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}"


def build_order(
    source: str,
    out: Path | None,
    run_date: date | None,
    var: Path,
    *,
    horizon_days: int | None = None,
    staffing_mode: str = "fixed",
    config_files: Sequence[Path] = (),
    decisions: Path | None = None,
) -> Order:
    """Read the settings, lay the options over them, and check that the order makes sense.

    Parameters
    ----------
    run_date
        None in a scheduled run: the day for which Prefect scheduled it, in the centre's zone, however late it starts.
    horizon_days
        1 to 31; None leaves it to the settings.
    config_files
        Settings files, later ones last.

    Raises
    ------
    UsageError
        A settings file or a rule pack is wrong, an option is out of range, or OUT is the source itself or holds
        something else.

    Examples
    --------
    >>> str(build_order("folder", None, date(2026, 11, 1), Path("/v"), horizon_days=3).as_of)
    '2026-11-01 00:00:00+09:00'
    """
    if staffing_mode not in STAFFING_MODES:
        raise UsageError(f"--staffing {staffing_mode}: write one of {', '.join(STAFFING_MODES)}")
    settings = read_settings(*config_files)
    read_rule_packs(settings.rule_packs)  # a wrong name is told now, not after the fit
    if horizon_days is not None:
        settings = _overlay(settings, {"horizon_days": horizon_days})
    if is_sample(source):
        settings = _overlay(settings, {"simulated": True})
    source = hide_password(source)
    if out is not None:
        out = out.expanduser().resolve()
        _check_out(out, source)
    day = run_date or _scheduled_date(settings.timezone)
    return Order(source, out, day, settings, staffing_mode, var, decisions and decisions.expanduser().resolve())


def read_order(
    source: str,
    out: str | None,
    run_date: date | None,
    horizon_days: int | None = None,
    staffing: str = "fixed",
    config: Sequence[str] | None = None,
    decisions: str | None = None,
    rebuild: bool = False,
) -> Order:
    """Build the order from the plain values that a flow's parameters can hold; ``var/`` is this process's own.

    Raises
    ------
    UsageError
        As :func:`build_order`.
    """
    order = build_order(
        source,
        None if out is None else Path(out),
        run_date,
        find_var(),
        horizon_days=horizon_days,
        staffing_mode=staffing,
        config_files=[Path(file).expanduser() for file in config or ()],
        decisions=None if decisions is None else Path(decisions),
    )
    return replace(order, rebuild=rebuild)


def _scheduled_date(timezone: str) -> date:
    from prefect.runtime import flow_run

    if flow_run.id is None:
        raise UsageError("--run-date is missing: write YYYY-MM-DD")
    scheduled: datetime = flow_run.scheduled_start_time
    return scheduled.astimezone(ZoneInfo(timezone)).date()


def _overlay(settings: Settings, options: dict[str, Any]) -> Settings:
    try:
        return Settings.model_validate({**settings.model_dump(), **options})
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        raise UsageError(f"{option} {first['input']}: {first['msg']}") from error


def _check_out(out: Path, source: str) -> None:
    """A run replaces OUT whole: never let that be the source, nor a folder that no run has written."""
    if "://" not in source and Path(source).expanduser().resolve().is_relative_to(out):
        raise UsageError(f"--out {out}: holds the source: name a folder of its own")
    check_replaceable(out)


def hide_password(address: str, environment: MutableMapping[str, str] | None = None) -> str:
    """Mask the passwords of an address and keep the full address in ``KAKEDOKI_SOURCE`` of this process's environment.

    Orders are written into Prefect's database and shown on its page; the environment is not, and runs inherit it.

    >>> kept = {}
    >>> masked = hide_password("postgresql://kaori:secret@db/calls", kept)
    >>> masked, reveal_password(masked, kept)
    ('postgresql://kaori:•••@db/calls', 'postgresql://kaori:secret@db/calls')
    """
    masked = mask_password(address)
    if masked != address:
        (os.environ if environment is None else environment)["KAKEDOKI_SOURCE"] = address
    return masked


def reveal_password(masked: str, environment: Mapping[str, str] | None = None) -> str:
    """Return the full address that was masked; an address without a password is returned as it is.

    >>> reveal_password("folder", {"KAKEDOKI_SOURCE": "postgresql://kaori:secret@db/calls"})
    'folder'
    """
    full = (os.environ if environment is None else environment).get("KAKEDOKI_SOURCE", masked)
    return full if mask_password(full) == masked else masked
