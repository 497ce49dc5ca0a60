"""What a dialler wants to load: columns, order and formats, one file per dialler in ``configs/exports/``."""

import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from configs.errors import UsageError

PRESETS = Path(__file__).with_name("exports")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ExportColumn(_Frozen):
    """One column: a column of the list, of its customers or ``phone``, or the same text in every row.

    ``codes`` maps values to the dialler's; a value that is not listed, or missing, becomes ``otherwise`` where that is
    given. ``time_format`` is strftime's, in the centre's time. ``digits_only`` drops all but 0 to 9.
    """

    name: str = Field(min_length=1)
    column: str | None = Field(None, alias="from")
    constant: str | None = None
    codes: dict[str, str] = {}
    otherwise: str | None = None
    time_format: str | None = None
    digits_only: bool = False
    max_length: int | None = Field(None, ge=1, description="longer texts are cut")
    required: bool = Field(False, description="rows without it are left out and counted")

    @model_validator(mode="after")
    def _says_one_thing(self) -> "ExportColumn":
        if (self.column is None) == (self.constant is None):
            raise ValueError(f"{self.name}: write either from (a column) or constant (a text)")
        return self


class ExportPreset(_Frozen):
    """How a dialler's file looks; ``source`` says where that is documented."""

    name: str
    source: str
    delimiter: Literal[",", "|", "\t"] = ","
    header: bool = True
    encoding: Literal["utf-8", "utf-8-sig", "cp932"] = "utf-8"
    columns: tuple[ExportColumn, ...] = Field(min_length=1)

    @property
    def needs_phone(self) -> bool:
        """Whether telephone numbers are wanted, which no run holds."""
        return any(column.column == "phone" for column in self.columns)


def list_presets() -> tuple[str, ...]:
    """Names of the presets that come with kakedoki.

    >>> list_presets()
    ('generic_dialer', 'vicidial_list')
    """
    return tuple(sorted(file.stem for file in PRESETS.glob("*.yaml")))


def read_preset(name: str) -> ExportPreset:
    """Read a preset by its name, never by a path: see ``read_preset_file`` for a file of one's own.

    Raises
    ------
    UsageError
        There is none of that name; the message lists those there are.

    Examples
    --------
    >>> read_preset("vicidial_list").columns[0].name
    'vendor_lead_code'
    """
    if name not in list_presets():
        raise UsageError(f"preset {name!r}: there is none; use one of {', '.join(list_presets())}")
    return read_preset_file(PRESETS / f"{name}.yaml")


def read_preset_file(file: Path) -> ExportPreset:
    """Read a preset from a file, such as an adapted copy of ours.

    Raises
    ------
    UsageError
        The file is missing, is not YAML, or has an unknown key or a bad value; the message names file and key.
    """
    try:
        content: Any = yaml.safe_load(file.expanduser().read_text(encoding="utf-8"))
        return ExportPreset.model_validate(content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"preset {file}: cannot be read as YAML: {_in_one_line(error)}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"preset {file}: {key}: {first['msg']}") from error


def _in_one_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error))
