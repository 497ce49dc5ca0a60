"""Sheets of a workbook as XML: XlsxWriter draws everything but the rows, which are spelled column by column.

XlsxWriter writes one cell after another, 16 microseconds each: four minutes for a million rows. Rows are plain, so
Arrow spells a column at once, without holding the interpreter from other readers.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import xlsxwriter
from xlsxwriter.utility import xl_col_to_name

from pipelines.exports.delimited import SHARES
from pipelines.exports.lines import read_letters

LONGEST = 32_767  # characters that Excel lets a cell hold
_EPOCH, _DAY = pd.Timestamp("1899-12-30"), pd.Timedelta(days=1)
_FORMATS = {"time": "yyyy-mm-dd hh:mm", "date": "yyyy-mm-dd", "share": "0.0000"}
_WIDTHS = {"time": 17, "date": 11, "share": 10, "number": 10, "flag": 8, "text": 18}
_WIDE = {"reason": 48, "reason_ja": 48, "allowed_because": 32}
_MARKUP = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"))
_NO_XML = str.maketrans({"\ufffe": "\ufffd", "\uffff": "\ufffd"})  # not even an escape makes these XML
_STRANGE = "[\\x00-\\x08\\x0b-\\x1f\ufffe\uffff]|_x[0-9a-fA-F]{4}_"


@dataclass(frozen=True)
class Frame:
    """A workbook without rows.

    Attributes
    ----------
    parts
        What lies in its archive, by name.
    styles
        The attribute of a cell of each kind, such as `` s="1"``.
    heads, tail
        What stands before the first row of each sheet, its header included, and after the last row of any.
    """

    parts: dict[str, bytes]
    styles: dict[str, str]
    heads: tuple[bytes, ...]
    tail: bytes


def describe_columns(rows: pd.DataFrame) -> dict[str, str]:
    """Name every column's kind: time, date, flag, share, number or text.

    >>> describe_columns(pd.DataFrame({"rank": [1], "p_keyman": [0.5], "reason": ["x"]}))
    {'rank': 'number', 'p_keyman': 'share', 'reason': 'text'}
    """
    return {str(name): _kind_of(rows[name]) for name in rows.columns}


def draw_frame(sheets: Iterable[str], kinds: dict[str, str], created: datetime) -> Frame:
    """Draw a workbook of empty sheets, each with a bold header that stays.

    Parameters
    ----------
    sheets
        Their names.
    kinds
        Of the columns, as ``describe_columns`` gives them.
    created
        Written into the file's properties in place of the clock.
    """
    stream, names = BytesIO(), list(sheets)
    with xlsxwriter.Workbook(stream, {"constant_memory": True}) as book:
        book.set_properties({"created": created})
        formats = {kind: book.add_format({"num_format": form}) for kind, form in _FORMATS.items()}
        header = book.add_format({"bold": True, "bottom": 1})
        for sheet in map(book.add_worksheet, names):
            sheet.freeze_panes(1, 0)
            for place, (name, kind) in enumerate(kinds.items()):
                sheet.set_column(place, place, _WIDE.get(name, max(_WIDTHS[kind], len(name) + 2)))
                sheet.write_string(0, place, name, header)
            for place, form in enumerate(formats.values()):  # one number of each kind, whose style is read off
                sheet.write_number(1, place, 0, form)
    with ZipFile(stream) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    drawn = [parts[f"xl/worksheets/sheet{number}.xml"] for number in range(1, len(names) + 1)]
    samples = re.findall(rb'<c r="[A-Z]+2"([^>]*)><v>0</v>', drawn[0])
    styles = {kind: style.decode() for kind, style in zip(formats, samples, strict=True)}
    heads = tuple(re.sub(rb"<dimension[^>]*/>", b"", sheet.partition(b'<row r="2"')[0]) for sheet in drawn)
    return Frame(parts, styles, heads, drawn[0][drawn[0].index(b"</sheetData>") :])


def spell_rows(rows: pd.DataFrame, first: int, styles: dict[str, str]) -> tuple[bytes, int]:
    """Spell rows as XML, and count the cells that were cut to Excel's ``LONGEST`` characters.

    Parameters
    ----------
    first
        Number of the first row; Excel's header is row 1.

    Examples
    --------
    >>> spell_rows(pd.DataFrame({"rank": [7], "is_firm": [True]}), 2, {})
    (b'<row r="2"><c r="A2"><v>7</v></c><c r="B2" t="b"><v>1</v></c></row>', 0)
    """
    numbers = pc.cast(pa.array(range(first, first + len(rows))), pa.large_string())
    parts: list[Any] = ['<row r="', numbers, '">']
    n_cut = 0
    for place, name in enumerate(rows.columns):
        kind = _kind_of(rows[name])
        if kind == "text":
            cells, n = _spell_texts(rows[name])
            n_cut += n
        else:
            cells = _spell_numbers(rows[name], kind, styles.get(kind, ""))
        begin = f'<c r="{xl_col_to_name(place)}'
        if cells.null_count:
            parts.append(pc.fill_null(_join(begin, numbers, cells), ""))
        else:
            parts += [begin, numbers, cells]
    return _read_bytes(_join(*parts, "</row>")), n_cut


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


def _spell_numbers(column: pd.Series, kind: str, style: str) -> Any:
    """Cells from behind their row's number on; times as Excel's days since 1899-12-30, missing ones null."""
    if kind in ("time", "date"):
        times = pd.to_datetime(column)
        column = ((times if times.dt.tz is None else times.dt.tz_localize(None)) - _EPOCH) / _DAY
    kept = pa.array(column, from_pandas=True)
    if kind == "flag":
        return pc.if_else(kept, '" t="b"><v>1</v></c>', '" t="b"><v>0</v></c>').cast(pa.large_string())
    exact = pc.cast(kept, pa.float64()) if pa.types.is_floating(kept.type) else kept
    return _join(f'"{style}><v>', pc.cast(exact, pa.large_string()), "</v></c>")


def _spell_texts(column: pd.Series) -> tuple[Any, int]:
    """Cells from behind their row's number on, missing ones null, and how many were cut; each text is spelled once."""
    texts = pa.array(column.astype("str").where(column.notna(), None), pa.large_string(), from_pandas=True)
    coded = texts.dictionary_encode()
    spelled: Any = coded.dictionary
    places = coded.indices
    is_long = pc.greater(pc.utf8_length(spelled), pa.scalar(LONGEST))
    n_cut = pc.sum(pc.cast(pc.take(is_long, places), pa.int64())).as_py() or 0
    if n_cut:
        spelled = pc.utf8_slice_codeunits(spelled, 0, LONGEST)
    if pc.any(pc.match_substring_regex(spelled, _STRANGE)).as_py():
        spelled = pa.array([_escape(text) for text in spelled.to_pylist()], pa.large_string())
    for plain, escaped in _MARKUP:
        spelled = pc.replace_substring(spelled, plain, escaped)
    cells = _join('" t="inlineStr"><is><t xml:space="preserve">', spelled, "</t></is></c>")
    return pc.take(cells, places), int(n_cut)


def _escape(text: str) -> str:
    """Control characters as Excel spells them, ``_xHHHH_``, and what looks like that with its first mark escaped."""
    plain = re.sub(r"_(?=x[0-9a-fA-F]{4}_)", "_x005F_", text.translate(_NO_XML))
    return re.sub(r"[\x00-\x08\x0b-\x1f]", lambda found: f"_x{ord(found[0]):04X}_", plain)


def _join(*parts: Any) -> Any:
    """Join texts row by row; null where a part is."""
    large = [pa.scalar(part, pa.large_string()) if isinstance(part, str) else part for part in parts]
    return pc.binary_join_element_wise(*large, pa.scalar("", pa.large_string()))


def _read_bytes(texts: Any) -> bytes:
    """All texts, one behind the other, as they lie in memory."""
    whole: Any = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    return bytes(read_letters(whole)) if len(whole) else b""
