"""Rule packs: what a plan must never do, as data with a version and a source. Engineering, not legal advice."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

import configs
from configs.errors import UsageError

RULES_FOLDER = Path(configs.__file__).with_name("rules")
WHOLE_DAY = (0, 24 * 60)
Missed = Literal["third_party", "no_answer", "busy", "voicemail", "abandoned", "failed"]


class RollingCap(BaseModel):
    """At most ``max_attempts`` dials to one phone in any ``hours`` on end, wherever they begin (no midnight reset)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    hours: int = Field(ge=1)
    max_attempts: int = Field(ge=1)


class Gap(BaseModel):
    """At least ``hours`` between a dial with some outcome and the next to the same phone.

    With ``or_other_part`` the next may come sooner in another part of the day (``features.slots.part_of_day``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    hours: int = Field(ge=1)
    or_other_part: bool = False


class RulePack(BaseModel):
    """One rule pack as read from ``configs/rules/NAME.yaml``; a key left out asks for nothing.

    Attributes
    ----------
    max_attempts_per_listing, max_attempts_per_day
        Dials to one phone; a day is a calendar day where the called party lives.
    calling_window
        (opens, closes) in the called party's local time, "HH:MM"; the whole slot must lie inside.
    rolling
        Caps over rolling windows; past attempts and planned dials count.
    gaps
        Least time to the next dial, by the outcome of a dial; an outcome that nobody can read counts as each of them.
    quiet_days_after_contact
        Days of 24 hours after a conversation in which the phone is left alone.
    stops_after_refusal
        States that the law behind the pack demands what kakedoki always does: never dial after a refusal.
    max_abandoned_share
        Told to the dialler, which alone can keep it; a list cannot.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    version: str
    source: str
    max_attempts_per_listing: int | None = Field(None, ge=1)
    max_attempts_per_day: int | None = Field(None, ge=1)
    calling_window: tuple[str, str] | None = None
    rolling: tuple[RollingCap, ...] = ()
    gaps: dict[Missed, Gap] = {}
    quiet_days_after_contact: int = Field(0, ge=0)
    stops_after_refusal: bool = False
    max_abandoned_share: float | None = Field(None, ge=0, le=1)

    @field_validator("calling_window")
    @classmethod
    def _opens_before_it_closes(cls, window: tuple[str, str] | None) -> tuple[str, str] | None:
        if window is not None and not 0 <= _minutes(window[0]) < _minutes(window[1]) <= WHOLE_DAY[1]:
            raise ValueError(f"calling_window {list(window)}: write [opens, closes] as HH:MM within one day")
        return window


@dataclass(frozen=True)
class Rules:
    """Several packs as one: in each field the stricter wins.

    Attributes
    ----------
    max_attempts : int
        Dials per listing of a phone.
    max_attempts_per_day : int or None
        Dials per phone and local day.
    window : tuple of int
        (opens, closes) in minutes after local midnight; the intersection of all windows, empty if opens >= closes.
    rolling : tuple of RollingCap
        Every one must hold.
    gaps : tuple of (outcome, Gap)
        Every one must hold.
    quiet_days : int
        Days of silence after a conversation.
    """

    max_attempts: int
    max_attempts_per_day: int | None
    window: tuple[int, int]
    rolling: tuple[RollingCap, ...]
    gaps: tuple[tuple[str, Gap], ...]
    quiet_days: int


def read_rule_packs(names: Iterable[str], folder: Path = RULES_FOLDER) -> tuple[RulePack, ...]:
    """Read rule packs by name, in the order given, each once.

    Raises
    ------
    UsageError
        No such pack (the message lists the known ones), or its file cannot be understood.

    Examples
    --------
    >>> [pack.max_attempts_per_day for pack in read_rule_packs(["house", "jp-sales"])]
    [1, None]
    """
    files = {file.stem: file for file in sorted(folder.glob("*.yaml"))}
    return tuple(_read_pack(name, files) for name in dict.fromkeys(names))


def _read_pack(name: str, files: dict[str, Path]) -> RulePack:
    if name not in files:
        raise UsageError(f"rule_packs: no pack named {name!r}: choose from {', '.join(files)}")
    try:
        pack = RulePack.model_validate(yaml.safe_load(files[name].read_text(encoding="utf-8")))
    except (ValidationError, yaml.YAMLError) as error:
        raise UsageError(f"rule pack {files[name].name}: {error}") from error
    if pack.name != name:
        raise UsageError(f"rule pack {files[name].name}: says name {pack.name!r}: name and file must agree")
    return pack


def combine_packs(packs: Sequence[RulePack], max_attempts: int) -> Rules:
    """Lay packs over one another, the stricter winning, under the attempt cap of the settings.

    Examples
    --------
    >>> combine_packs(read_rule_packs(["us-tsr", "us-fl"]), max_attempts=12).window
    (480, 1200)
    """
    windows = [(_minutes(p.calling_window[0]), _minutes(p.calling_window[1])) for p in packs if p.calling_window]
    listing_caps = [p.max_attempts_per_listing for p in packs if p.max_attempts_per_listing is not None]
    day_caps = [p.max_attempts_per_day for p in packs if p.max_attempts_per_day is not None]
    return Rules(
        max_attempts=min([max_attempts, *listing_caps]),
        max_attempts_per_day=min(day_caps, default=None),
        window=(max((w[0] for w in windows), default=0), min((w[1] for w in windows), default=WHOLE_DAY[1])),
        rolling=tuple(dict.fromkeys(cap for pack in packs for cap in pack.rolling)),
        gaps=tuple(dict.fromkeys(item for pack in packs for item in pack.gaps.items())),
        quiet_days=max((p.quiet_days_after_contact for p in packs), default=0),
    )


def name_packs(packs: Sequence[RulePack]) -> str:
    """Say which packs allowed a dial, for the column ``allowed_because``.

    Examples
    --------
    >>> name_packs(read_rule_packs(["house"]))
    'house 2026-11-22'
    """
    return "; ".join(f"{pack.name} {pack.version}" for pack in packs)


def _minutes(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    if not (hours.isdecimal() and minutes.isdecimal() and int(minutes) < 60):
        raise ValueError(f"{clock!r} is no time of day: write HH:MM")
    return int(hours) * 60 + int(minutes)
