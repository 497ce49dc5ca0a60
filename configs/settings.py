"""All settings of a night: typed, frozen, read once, handed down as plain values."""

from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from configs.errors import UsageError

BASE_FILE = Path(__file__).with_name("base.yaml")
ANY_REGION = "*"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TableMap(_Frozen):
    """How one of our tables is made from a table of another system.

    ``query`` is a DuckDB SELECT over the source's tables by name (``calls`` is ``calls.csv``, or the database table);
    ``columns`` maps our column to a DuckDB expression over what the query returns; ``codes`` maps, for one of our
    columns, their codes to ours. A code that is not listed stays as it is and is judged by the contract.
    """

    query: str
    columns: dict[str, str]
    codes: dict[str, dict[str, str]] = {}


class SourceSettings(_Frozen):
    """Column and code maps of another system; see ``configs/sources/``."""

    name: str
    tables: dict[Literal["customers", "call_attempts", "agents", "capacity"], TableMap]


class ModelSettings(_Frozen):
    """The contact model: small, strongly regularised trees by default."""

    n_trees: int = Field(400, ge=1, description="most trees; early stopping may keep fewer")
    n_leaves: int = Field(15, ge=2)
    min_rows_in_leaf: int = Field(500, ge=1)
    learning_rate: float = Field(0.05, gt=0, le=1)
    feature_share: float = Field(0.5, gt=0, le=1)
    l2: float = Field(10.0, ge=0)
    train_days: int = Field(180, ge=7, description="days of dials used as training rows; all history feeds features")
    test_days: int = Field(7, ge=1, description="length of the forward fold that judges the rivals")
    gap_days: int = Field(1, ge=0, description="days left out between training and the forward fold")
    unseen_share: float = Field(0.1, gt=0, lt=1, description="share of customers held out as never seen")
    max_calibration_error: float = Field(
        0.05, gt=0, description="mean gap between predicted and true rate above which a model may not become champion"
    )
    min_rows: int = Field(500, ge=1, description="fewest dials a model may be fitted on")
    min_contacts: int = Field(30, ge=1, description="fewest contacts a model may be fitted on")


class PlanningSettings(_Frozen):
    """How places are counted and how long the price search may go on."""

    max_attempts: int = Field(10, ge=1, description="attempt cap per listing; the stricter of this and the packs wins")
    min_attempts: int = Field(0, ge=0, description="attempts that everybody gets before others are dialled again")
    explore_share: float = Field(0.0, ge=0, le=1, description="share of the run date's places that go to drawn pairs")
    dials_per_agent_hour: float = Field(12.0, gt=0, description="where the log does not say how long dials take")
    occupancy: float = Field(0.85, gt=0, le=1, description="share of logged-in time on dials; near 1 burns people out")
    shrinkage: float = Field(0.0, ge=0, lt=1, description="share of the capacity table's agents who are not at calls")
    max_gap: float = Field(0.002, gt=0, description="certified gap at which the price search stops")
    max_slot_dials: int | None = Field(
        None, ge=0, description="most dials a slot may hold; default: busiest given slot"
    )


class GainSettings(_Frozen):
    """How gains are measured."""

    n_resamples: int = Field(200, ge=20, description="bootstrap resamples of customers behind each interval")
    n_past_draws: int = Field(10, ge=1, description="simulations of the historical way of calling")


class MlflowSettings(_Frozen):
    """Where models are kept; without ``tracking_uri`` a local server on loopback if up, else SQLite under ``var/``."""

    tracking_uri: str | None = None
    experiment: str = "kakedoki"


class Settings(_Frozen):
    """The whole settings file. Every key has a default; ``configs/base.yaml`` spells the important ones out.

    >>> Settings(horizon_days=3).horizon_days
    3
    """

    timezone: str = "Asia/Tokyo"
    timezone_candidates: dict[str, tuple[str, ...]] = Field(
        {}, description='zones that a customer without one may live in, by region; "*" for every other region'
    )
    country: str = Field("JP", description="country of public holidays, ISO 3166")
    payday: int = Field(25, ge=1, le=31)
    slot_minutes: Literal[15, 20, 30, 60] = 60
    horizon_days: int = Field(7, ge=1, le=31)
    attributes: tuple[str, ...] = Field(("age", "gender", "region"), description="customer columns the model may use")
    segment_by: tuple[str, ...] = Field(("age", "gender", "region"), description="columns of a segment; ages in bands")
    max_bad_share: float = Field(0.05, ge=0, le=1)
    max_log_age_days: int = Field(14, ge=0)
    rule_packs: tuple[str, ...] = ("house", "jp-telecom", "jp-sales")
    seed: int = 7
    simulated: bool = Field(False, description="the source is a sample world; every output says so")
    source: SourceSettings | None = None
    model: ModelSettings = ModelSettings()
    planning: PlanningSettings = PlanningSettings()
    gains: GainSettings = GainSettings()
    mlflow: MlflowSettings = MlflowSettings()

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        _require_zone(name)
        return name

    @field_validator("timezone_candidates")
    @classmethod
    def _known_candidates(cls, candidates: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for region, names in candidates.items():
            if not names:
                raise ValueError(f"{region}: name at least one time zone")
            for name in names:
                _require_zone(name)
        return candidates


def read_settings(*files: Path) -> Settings:
    """Read ``base.yaml`` and lay the given files over it, key by key, later files last.

    Raises
    ------
    UsageError
        A file is missing, is not YAML, or has an unknown key or a bad value; the message names file and key.

    Examples
    --------
    >>> read_settings().timezone
    'Asia/Tokyo'
    """
    merged: dict[str, Any] = {}
    for file in (BASE_FILE, *files):
        try:
            layer = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        except (OSError, yaml.YAMLError) as error:
            raise UsageError(f"{file}: cannot be read as YAML settings: {error}") from error
        if not isinstance(layer, dict):
            raise UsageError(f"{file}: settings are 'key: value' lines, found {type(layer).__name__}")
        merged = _overlay(merged, layer)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{', '.join(map(str, files)) or BASE_FILE}: {key}: {first['msg']}") from error


def _require_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"unknown time zone {name!r}: write an IANA name such as Asia/Tokyo") from error


def _overlay(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _overlay(merged[key], value) if both else value
    return merged
