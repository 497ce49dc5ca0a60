"""What ``kakedoki export`` does: a run's filtered list into one file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from rich.console import Console

from configs.errors import UsageError
from configs.presets import ExportPreset, read_preset, read_preset_file
from configs.settings import Settings, read_settings
from pipelines.exports.delimited import Encoding
from pipelines.exports.dialer_rows import PhoneBook, read_phone_book
from pipelines.exports.filters import ListFilter
from pipelines.exports.folders import read_latest, read_replanned
from pipelines.exports.lists import FORMATS, Exported, Format, export_list
from pipelines.exports.remarks import Remark
from pipelines.exports.run_tables import open_run

_TODAY_ANEW = Remark(
    "today is as kakedoki replan has planned it; --plan FOLDER gives the night's list",
    "今日の分は kakedoki replan による再計画です。夜間処理のリストは --plan FOLDER で出力できます",
)
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)


@dataclass(frozen=True)
class ExportOrder:
    """One export, as ordered on the command line; None leaves a choice to us.

    Attributes
    ----------
    plan
        Folder of the run; None is the newest.
    conditions
        As ``ListFilter.parse`` reads them.
    format, encoding
        None: the file's ending, and the preset's or utf-8-sig.
    preset
        A name, or a file ending in .yaml.
    source, config
        Where telephone numbers are, for presets that want them; settings are the run's own unless given.
    """

    out: Path
    plan: Path | None = None
    conditions: str = ""
    format: str | None = None
    encoding: str | None = None
    preset: str | None = None
    source: str | None = None
    config: Sequence[Path] = ()


def export_run(order: ExportOrder, var: Path) -> Exported:
    """Write the file, which appears whole or not at all.

    Raises
    ------
    UsageError
        There is no run, or an option cannot be understood; the message names it and the remedy.
    SourceError, ContractError
        Telephone numbers are wanted, and the source cannot be read.
    """
    chosen, out = ListFilter.parse(order.conditions), order.out.expanduser().resolve()
    format, encoding, preset = choose_format(order), _choose_encoding(order), _choose_preset(order)
    folder = order.plan or read_latest(var / "runs")
    rest = None if order.plan or folder is None else _find_rest(var / "runs", folder)
    if folder is None:
        raise UsageError("no run yet: run kakedoki nightly first, or name one with --plan FOLDER")
    if out.is_dir() or not out.parent.is_dir():
        raise UsageError(f"--out {order.out}: name a file in a folder that exists")
    book = _read_book(order, preset, folder)
    beside = out.with_name(f".{out.name}.partial")
    try:
        with open_run(folder, rest) as connection, beside.open("wb") as stream:
            done = export_list(connection, chosen, stream, format, preset, encoding, book)
        beside.replace(out)
    finally:
        beside.unlink(missing_ok=True)
    return done if rest is None else replace(done, remarks=(*done.remarks, _TODAY_ANEW))


def _find_rest(runs: Path, folder: Path) -> Path | None:
    """As on the page: the newest plan of the rest of the day counts."""
    return read_replanned(runs, json.loads((folder / "run.json").read_text(encoding="utf-8"))["run_id"])


def choose_format(order: ExportOrder) -> Format:
    """Tell the format that was asked for, else that of the file's ending.

    >>> choose_format(ExportOrder(Path("tuesday.xlsx")))
    'xlsx'
    """
    asked = order.format or order.out.suffix.lstrip(".").lower()
    for known in FORMATS:
        if asked == known:
            return known
    raise UsageError(f"--out {order.out}: its format is not known: end it in .csv, .xlsx or .parquet, or give --format")


def tell_export(done: Exported, out: Path, console: Console | None = None) -> None:
    """Print how many rows went where, and what is worth knowing about them."""
    console = console or Console(soft_wrap=True)
    console.print(f"{done.n_rows:,} rows: {out}", highlight=False, markup=False)
    for remark in done.remarks:
        console.print(f"note: {remark}", highlight=False, markup=False)


def _choose_encoding(order: ExportOrder) -> Encoding | None:
    asked = {"shift_jis": "cp932", "sjis": "cp932", "utf8": "utf-8"}.get(str(order.encoding).lower(), order.encoding)
    for known in ENCODINGS:
        if asked == known:
            return known
    if order.encoding is None:
        return None
    raise UsageError(f"--encoding {order.encoding}: use one of {', '.join(ENCODINGS)}")


def _choose_preset(order: ExportOrder) -> ExportPreset | None:
    if order.preset is None:
        return None
    return read_preset_file(Path(order.preset)) if order.preset.endswith(".yaml") else read_preset(order.preset)


def _read_book(order: ExportOrder, preset: ExportPreset | None, folder: Path) -> PhoneBook | None:
    if order.source is None or preset is None:
        return None
    if order.config:
        return read_phone_book(order.source, read_settings(*order.config))
    try:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        return read_phone_book(order.source, Settings.model_validate(record["settings"]))
    except (OSError, KeyError, ValueError) as error:
        raise UsageError(f"--plan {folder}: cannot be read ({error}): run the night again") from error
