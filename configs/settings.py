"""All settings of a night: typed, frozen, read once, handed down as plain values."""

from datetime import date
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from configs.errors import UsageError

Weekday = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
WEEKDAYS: tuple[Weekday, ...] = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
HeadCount = Annotated[int, Field(ge=0)]
Role = Literal["viewer", "analyst", "admin"]
TIME_OF_DAY = r"^([01]\d|2[0-3]):[0-5]\d$"
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
    control_share: float = Field(
        0.0, ge=0, lt=1, description="share of customers called the past way on the run date, to measure gains by"
    )
    control_since: date | None = Field(
        None, description="first night with this control_share: what came since then is the experiment"
    )
    dials_per_agent_hour: float = Field(
        12.0, gt=0, description="used where capacity is in dials, or the log does not tell how long dials take"
    )
    max_gap: float = Field(0.002, gt=0, description="certified gap at which the price search stops")
    max_slot_dials: int | None = Field(
        None, ge=0, description="most dials a slot may hold; default: busiest given slot"
    )
    per_chunk: int = Field(100_000, ge=500, description="customers planned together where there are too many for one")


class ShiftTemplate(_Frozen):
    """A shift that agents can be put on: when it starts and how long it is paid, and its paid break.

    The break lies between ``earliest_break`` and ``latest_break`` (its start; default: not within the first and the
    last hour of the shift). A shift past midnight belongs to the day on which it starts.
    """

    name: str = Field(min_length=1)
    start: str = Field(pattern=TIME_OF_DAY, description="HH:MM")
    hours: float = Field(gt=0, le=24, description="paid length, break included")
    break_minutes: int = Field(0, ge=0, description="one paid break")
    earliest_break: str | None = Field(None, pattern=TIME_OF_DAY)
    latest_break: str | None = Field(None, pattern=TIME_OF_DAY)
    weekdays: tuple[Weekday, ...] = WEEKDAYS
    max_agents: int | None = Field(None, ge=0, description="most agents on this shift on one day")

    @field_validator("start", "earliest_break", "latest_break", mode="before")
    @classmethod
    def _read_time(cls, time: Any) -> Any:
        """YAML reads an unquoted 12:30 as the number 750, a count of minutes."""
        return f"{time // 60:02d}:{time % 60:02d}" if isinstance(time, int) else time

    @model_validator(mode="after")
    def _break_fits(self) -> "ShiftTemplate":
        if self.break_minutes >= 60 * self.hours:
            raise ValueError(f"shift {self.name}: a break of {self.break_minutes} minutes fills all {self.hours} hours")
        return self


class StaffingSettings(_Frozen):
    """Bounds of the seats, and what a roster is made of; without ``shifts`` only seats per slot move."""

    agents_per_day: HeadCount | dict[Weekday, HeadCount] | None = Field(
        None, description="agents who can come, one number or one per weekday (days left out: nobody)"
    )
    occupancy: float = Field(
        0.85, gt=0, le=1, description="share of an agent's time at the phone that dials may take; near 1 burns out"
    )
    shrinkage: float = Field(0.0, ge=0, lt=1, description="share of the capacity table's agents who are not at calls")
    min_agents: float = Field(0, ge=0, description="fewest agents on the phone in a slot that has places")
    max_agents: float | None = Field(None, ge=0, description="most; default: busiest given slot")
    shifts: tuple[ShiftTemplate, ...] = ()
    training_minutes: int = Field(0, ge=0, description="per agent and week, away from the phone")
    one_to_one_minutes: int = Field(0, ge=0, description="per agent and week, away from the phone")
    freeze_days: int | None = Field(
        None, ge=0, description="first days whose seats stay as given; default: 1 with shifts, else 0"
    )
    paid_hours_per_week: float | None = Field(
        None, ge=0, description="paid agent-hours of a roster; default: what the given places take at least"
    )
    max_seconds: float = Field(120, gt=0, description="most seconds in which shifts are placed")

    @property
    def n_frozen_days(self) -> int:
        """First days of the horizon whose seats stay as given."""
        return self.freeze_days if self.freeze_days is not None else int(bool(self.shifts))

    @model_validator(mode="after")
    def _consistent(self) -> "StaffingSettings":
        names = [shift.name for shift in self.shifts]
        if len(set(names)) < len(names):
            raise ValueError("two shifts have the same name: give each its own")
        if self.shifts and self.agents_per_day is None:
            raise ValueError("shifts are planned for agents: set staffing.agents_per_day")
        if self.max_agents is not None and self.max_agents < self.min_agents:
            raise ValueError(f"max_agents {self.max_agents:g} is below min_agents {self.min_agents:g}")
        return self

    def count_agents(self, weekday: int) -> float:
        """Agents who can come on a weekday, 0 being Monday; infinite when nothing is said.

        >>> StaffingSettings(agents_per_day={"Mon": 8}).count_agents(0)
        8
        """
        if isinstance(self.agents_per_day, dict):
            return self.agents_per_day.get(WEEKDAYS[weekday], 0)
        return float("inf") if self.agents_per_day is None else self.agents_per_day


class GainSettings(_Frozen):
    """How gains are measured."""

    n_resamples: int = Field(200, ge=20, description="bootstrap resamples of customers behind each interval")
    n_past_draws: int = Field(10, ge=1, description="simulations of the historical way of calling")


class TargetSettings(_Frozen):
    """What the page sets measures against; a measure without a target is shown without a gap.

    Handling times, occupancy and abandonment are to stay at or below their target, the others at or above.
    """

    connect_rate: float | None = Field(None, ge=0, le=1)
    keyman_contact_rate: float | None = Field(None, ge=0, le=1)
    conversion_rate: float | None = Field(None, ge=0, le=1, description="conversions per keyman contact")
    aht_contacted_seconds: float | None = Field(None, ge=0)
    aht_other_seconds: float | None = Field(None, ge=0)
    att_seconds: float | None = Field(None, ge=0)
    acw_seconds: float | None = Field(None, ge=0)
    cph: float | None = Field(None, ge=0, description="attempts per agent-hour")
    occupancy: float | None = Field(None, ge=0, le=1)
    abandonment_rate: float | None = Field(None, ge=0, le=1)


class MlflowSettings(_Frozen):
    """Where models are kept; without ``tracking_uri`` a local server on loopback if up, else SQLite under ``var/``."""

    tracking_uri: str | None = None
    experiment: str = "kakedoki"


class ProxySettings(_Frozen):
    """A proxy in front of the page, believed only from its addresses and with the secret of ``var/proxy-secret``."""

    addresses: tuple[str, ...] = Field(min_length=1, description="of the proxy, e.g. 10.0.0.5 or 10.0.0.0/28")
    identity_header: str | None = Field(None, description="names who is there; without it people sign in as users")
    role_header: str | None = Field(None, description="viewer, analyst or admin; anything else gets ``role``")
    role: Role = "viewer"

    @field_validator("addresses")
    @classmethod
    def _known_networks(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        for address in addresses:
            if ip_network(address).prefixlen == 0:
                raise ValueError(f"{address}: is everybody: name the proxy's own address")
        return addresses


class PageSettings(_Frozen):
    """The analysts' page: by which names it is reached and who is let in."""

    hosts: tuple[str, ...] = Field((), description="names people type into the address bar, besides localhost")
    session_hours: float = Field(12, gt=0, le=168, description="after which everybody signs in again")
    trusted_proxy: ProxySettings | None = None


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
    staffing: StaffingSettings = StaffingSettings()
    gains: GainSettings = GainSettings()
    mlflow: MlflowSettings = MlflowSettings()
    app: PageSettings = PageSettings()
    targets: TargetSettings = TargetSettings()

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
