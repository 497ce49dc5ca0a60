"""Lists as Excel workbooks: typed cells, a header that stays, and no text that is ever a formula."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import IO, Any

import pandas as pd
import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from pipelines.exports.delimited import SHARES

SHEET_ROWS = 1_048_575  # Excel's 1,048,576, less the header
LONGEST = 32_767  # characters that Excel lets a cell hold
_EPOCH, _DAY = pd.Timestamp("1899-12-30"), pd.Timedelta(days=1)
_NO_XML = str.maketrans({"\ufffe": "\ufffd", "\uffff": "\ufffd"})  # not even an escape makes these XML
_FORMATS = {"time": "yyyy-mm-dd hh:mm", "date": "yyyy-mm-dd", "share": "0.0000"}
_WIDTHS = {"time": 17, "date": 11, "share": 10, "number": 10, "flag": 8, "text": 18}
_WIDE = {"reason": 48, "reason_ja": 48, "allowed_because": 32}


class _Book:
    """A workbook that is written row by row in little memory; full sheets are followed by another."""

    def __init__(self, stream: IO[bytes], created: date, sheet_rows: int) -> None:
        options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
        self._book = xlsxwriter.Workbook(stream, options | {"strings_to_numbers": False})
        self._book.set_properties({"created": datetime(created.year, created.month, created.day)})  # noqa: DTZ001
        self._formats = {kind: self._book.add_format({"num_format": form}) for kind, form in _FORMATS.items()}
        self._header = self._book.add_format({"bold": True, "bottom": 1})
        self._sheet_rows = sheet_rows
        self._sheet: Worksheet | None = None
        self._row = 0
        self.n_sheets, self.n_cut = 0, 0

    def add(self, rows: pd.DataFrame) -> None:
        kinds = {str(name): _kind_of(rows[name]) for name in rows.columns}
        columns = [_as_cells(rows[name], kind) for name, kind in zip(rows.columns, kinds.values(), strict=True)]
        formats = [self._formats.get(kind) for kind in kinds.values()]
        sheet = self._sheet or self._open_sheet(kinds)
        for cells in zip(*columns, strict=True):
            if self._row > self._sheet_rows:
                sheet = self._open_sheet(kinds)
            self._write(sheet, cells, formats)

    def close(self) -> None:
        self._book.close()

    def _open_sheet(self, kinds: dict[str, str]) -> Worksheet:
        self.n_sheets += 1
        sheet = self._book.add_worksheet("list" if self.n_sheets == 1 else f"list {self.n_sheets}")
        sheet.freeze_panes(1, 0)
        for place, (name, kind) in enumerate(kinds.items()):
            sheet.set_column(place, place, _WIDE.get(name, max(_WIDTHS[kind], len(name) + 2)))
            sheet.write_string(0, place, name, self._header)
        self._sheet, self._row = sheet, 1
        return sheet

    def _write(self, sheet: Worksheet, cells: tuple[Any, ...], formats: list[Format | None]) -> None:
        for place, (cell, form) in enumerate(zip(cells, formats, strict=True)):
            if isinstance(cell, str):
                self.n_cut += len(cell) > LONGEST
                sheet.write_string(self._row, place, cell[:LONGEST])
            elif isinstance(cell, bool):
                sheet.write_boolean(self._row, place, cell)
            elif cell is not None:
                sheet.write_number(self._row, place, cell, form)
        self._row += 1


def write_workbook(
    batches: Iterator[pd.DataFrame], stream: IO[bytes], created: date, sheet_rows: int = SHEET_ROWS
) -> list[str]:
    """Write batches of rows into a workbook and say what Excel's limits did to them.

    Numbers, flags, dates and times are typed; times are the centre's, for Excel knows no zones. Texts stay as they are:
    a text cell never runs. The first batch names the columns and may be empty. The same rows give the same bytes.

    Parameters
    ----------
    created
        Written into the file's properties in place of the clock.
    sheet_rows
        Rows after which another sheet begins.
    """
    book = _Book(stream, created, sheet_rows)
    for rows in batches:
        book.add(rows)
    book.close()
    told = [f"more than {sheet_rows:,} rows: {book.n_sheets} sheets"] if book.n_sheets > 1 else []
    if book.n_cut:
        told.append(f"{book.n_cut:,} cells were cut to Excel's {LONGEST:,} characters")
    return told


def _kind_of(column: pd.Series) -> str:
    if pd.api.types.is_datetime64_any_dtype(column):
        return "time"
    if column.name == "run_date":
        return "date"
    if pd.api.types.is_bool_dtype(column):
        return "flag"
    if pd.api.types.is_numeric_dtype(column):
        return "share" if column.name in SHARES else "number"
    return "text"


def _as_cells(column: pd.Series, kind: str) -> list[Any]:
    """Plain Python values: text, flag, number or None; times as Excel's days since 1899-12-30."""
    if kind in ("time", "date"):
        times = pd.to_datetime(column)
        column = ((times if times.dt.tz is None else times.dt.tz_localize(None)) - _EPOCH) / _DAY
    elif kind == "text":
        column = column.astype("str").str.translate(_NO_XML)
    return column.astype("object").where(column.notna(), None).tolist()
