"""Lists as Excel workbooks: typed cells, a header that stays, and no text that is ever a formula."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import IO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pandas as pd

from pipelines.exports.remarks import Remark
from pipelines.exports.sheets import LONGEST, Frame, describe_columns, draw_frame, spell_rows

SHEET_ROWS = 1_048_575  # Excel's 1,048,576, less the header
_NAMES = ("list", "list {number}")
_NEVER = (1980, 1, 1, 0, 0, 0)  # the time of every part: the same rows give the same bytes
_FAST = 1  # deflate: half the seconds of the usual level for a tenth more bytes


class _Book:
    """A workbook that is written part by part; full sheets are followed by another, and its frame comes last."""

    def __init__(self, stream: IO[bytes], created: date, sheet_rows: int) -> None:
        self._zip = ZipFile(stream, "w", ZIP_DEFLATED, compresslevel=_FAST)
        self._created = datetime(created.year, created.month, created.day)  # noqa: DTZ001 - Excel knows no zones
        self._sheet_rows = sheet_rows
        self._sheet: IO[bytes] | None = None
        self._kinds: dict[str, str] = {}
        self._frame: Frame | None = None
        self._n_rows = 0
        self.n_sheets, self.n_cut = 0, 0

    def add(self, rows: pd.DataFrame) -> None:
        """Write rows; those of the first batch name the columns."""
        if self._sheet is None:
            self._kinds = describe_columns(rows)
            self._open_sheet()
        while len(rows):
            if self._n_rows == self._sheet_rows:
                self._open_sheet()
            fitting = rows.iloc[: self._sheet_rows - self._n_rows]
            spelled, n_cut = spell_rows(fitting, self._n_rows + 2, self._drawn().styles)
            self._write(spelled)
            self.n_cut += n_cut
            self._n_rows += len(fitting)
            rows = rows.iloc[len(fitting) :]

    def close(self) -> None:
        """End the last sheet and write all parts but the sheets."""
        self._end_sheet()
        drawn = self._draw()
        for name, part in drawn.parts.items():
            if not name.startswith("xl/worksheets/"):
                self._zip.writestr(_name_part(name), part)
        self._zip.close()

    def _open_sheet(self) -> None:
        self._end_sheet()
        self.n_sheets += 1
        self._frame = self._draw()
        self._sheet = self._zip.open(_name_part(f"xl/worksheets/sheet{self.n_sheets}.xml"), "w", force_zip64=True)
        self._n_rows = 0
        self._write(self._drawn().heads[-1])

    def _end_sheet(self) -> None:
        if self._sheet is not None:
            self._write(self._drawn().tail)
            self._sheet.close()

    def _draw(self) -> Frame:
        names = [_NAMES[number > 1].format(number=number) for number in range(1, max(self.n_sheets, 1) + 1)]
        return draw_frame(names, self._kinds, self._created)

    def _drawn(self) -> Frame:
        assert self._frame is not None
        return self._frame

    def _write(self, part: bytes) -> None:
        assert self._sheet is not None
        self._sheet.write(part)


def write_workbook(
    batches: Iterator[pd.DataFrame], stream: IO[bytes], created: date, sheet_rows: int = SHEET_ROWS
) -> list[Remark]:
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
    told = []
    if book.n_sheets > 1:
        n_sheets = book.n_sheets
        told.append(
            Remark(
                f"more than {sheet_rows:,} rows: {n_sheets} sheets",
                f"{sheet_rows:,} 行を超えるため、{n_sheets} 枚のシートに分けました",
            )
        )
    if book.n_cut:
        told.append(
            Remark(
                f"{book.n_cut:,} cells were cut to Excel's {LONGEST:,} characters",
                f"{book.n_cut:,} 個のセルを Excel の上限 {LONGEST:,} 文字で切りました",
            )
        )
    return told


def _name_part(name: str) -> ZipInfo:
    part = ZipInfo(name, _NEVER)
    part.compress_type = ZIP_DEFLATED
    return part
