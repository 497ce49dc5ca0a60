"""CSV files as tables of text: encodings, line numbers, rows cut short."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as arrow_csv

from configs.errors import ContractError, SourceError
from features.quarantine import ROW_FAULT

PIECE = 1 << 24
"""Bytes of a file that are read at a time where it need not fit into memory, about."""
_LONGEST_RECORD = 1 << 26
_QUOTE, _NEWLINE, _RETURN = b'"'[0], b"\n"[0], b"\r"[0]
_UTF8_MARK = b"\xef\xbb\xbf"
_NO_LETTERS = re.compile("[\x80\uf8f0-\uf8f3]")  # what Python makes of bytes that cp932 leaves undefined
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_csv(path: Path, content: bytes) -> pd.DataFrame:
    r"""Read a CSV as text, every cell as it stands, so that the contract can name what is wrong with it.

    UTF-8 (with or without its mark) and cp932 are read, whichever decodes without error, UTF-8 first.

    Parameters
    ----------
    path
        Names the file in messages.
    content
        The file's bytes.

    Returns
    -------
    DataFrame of str columns; the index ``row`` holds the line where each row begins (the header is line 1). Rows with
    too few or too many fields are kept, with what they hold, and a reason in the column ``row_fault``.

    Raises
    ------
    SourceError
        Neither encoding fits (file and byte are named), or a quote is never closed.
    ContractError
        A column name appears twice.

    Examples
    --------
    >>> read_csv(Path("agents.csv"), b"agent_id,team\n007,red\n008\n").reset_index().values.tolist()
    [[2, '007', 'red', nan], [3, '008', nan, '1 of 2 fields: is the file cut short?']]
    """
    return open_csv(path, content).read()


@dataclass(frozen=True)
class CsvText:
    """A CSV file in memory, cut into its records but not yet read.

    Attributes
    ----------
    text
        UTF-8, without mark.
    starts, lines : (n + 1,) int
        Byte and line at which the header and each of the n records begin; blank lines are none. Nothing without any.
    is_cut
        Whether the file ends inside a letter.
    """

    path: Path
    text: bytes
    header: list[str]
    starts: np.ndarray
    lines: np.ndarray
    is_cut: bool

    def __len__(self) -> int:
        """Records of the file, the header left out."""
        return max(len(self.starts) - 1, 0)

    def content(self, begin: int, end: int) -> bytes:
        """The header and the bytes of a stretch of records, which make a CSV of their own."""
        stops = np.append(self.starts[1:], len(self.text))
        head = self.text[self.starts[0] : stops[0]]
        return head if begin >= end else head + self.text[self.starts[begin + 1] : stops[end]]

    def follow(self, text: bytes, is_cut: bool, n_lines: int) -> "CsvText":
        """Give the records of the same file that follow after ``n_lines`` lines."""
        starts, lines = _find_records(self.path, text, n_lines)
        head = self.content(0, 0)
        starts, lines = np.append(0, starts + len(head)), np.append(self.lines[:1], lines)
        return CsvText(self.path, head + text, self.header, starts, lines, is_cut)

    def read(self, begin: int = 0, end: int | None = None) -> pd.DataFrame:
        """Read a stretch of records, by default all; see :func:`read_csv`."""
        if len(self.starts) == 0:
            return pd.DataFrame()
        end = len(self) if end is None else end
        if begin >= end:
            return pd.DataFrame(columns=[name.strip() for name in self.header], dtype="str")
        text, lines = self.content(begin, end), self.lines[[0, *range(begin + 1, end + 1)]]
        faulty: list[arrow_csv.InvalidRow] = []
        frame = _parse(self.path, text, self.header, faulty)
        is_cut = self.is_cut and end == len(self)
        is_whole = not is_cut and text.endswith((b"\n", b"\r"))
        table = _with_faults(frame, faulty, self.header, lines, is_whole)
        return _fault_last_row(table) if is_cut else table


def open_csv(path: Path, content: bytes) -> CsvText:
    """Find the records of a CSV; arguments and failures are those of :func:`read_csv`."""
    return _open(path, *_decode(content, _find_encoding(path, lambda: [content])), 0)


def stream_csv(path: Path) -> Iterator[pd.DataFrame]:
    """Read a CSV piece by piece; one below the other they are what :func:`read_csv` gives, one of them at least.

    Failures are those of :func:`read_csv`, and OSError.
    """
    encoding = _find_encoding(path, lambda: _read_pieces(path))
    opened, n_lines = None, 0
    for piece in _read_pieces(path):
        text, is_cut = _decode(piece, encoding)
        if opened is None or not opened.header:  # what came before was blank
            opened = _open(path, text, is_cut, n_lines)
        else:
            opened = opened.follow(text, is_cut, n_lines)
        n_lines += text.count(b"\n")
        yield opened.read()
    if opened is None:
        yield pd.DataFrame()


def _read_pieces(path: Path) -> Iterator[bytes]:
    """The bytes of a file, 16 MB or so at a time, cut where a line ends and no quote is open."""
    with path.open("rb") as file:
        while piece := file.read(PIECE) + file.readline():
            lines, n_bytes, is_open = [piece], len(piece), piece.count(b'"') % 2
            while is_open and n_bytes < _LONGEST_RECORD and (line := file.readline()):
                lines.append(line)
                n_bytes, is_open = n_bytes + len(line), (is_open + line.count(b'"')) % 2
            yield b"".join(lines)


def _open(path: Path, text: bytes, is_cut: bool, n_before: int) -> CsvText:
    text = text if n_before else text.removeprefix(_UTF8_MARK)
    if not text.strip():
        return CsvText(path, b"", [], np.zeros(0, "int64"), np.zeros(0, "int64"), False)
    starts, lines = _find_records(path, text, n_before)
    header = _split(text[starts[0] : starts[1] if len(starts) > 1 else len(text)].decode("utf-8"))
    _refuse_repeated_columns(path, header)
    return CsvText(path, text, header, starts, lines, is_cut)


def _find_encoding(path: Path, read: Callable[[], Iterable[bytes]]) -> str:
    """The first encoding in which all pieces of a file, none of which ends inside a line, can be read."""
    if next(iter(read()), b"").startswith(_UTF16_MARKS):
        raise SourceError(f"{path.name}: byte 0: this is UTF-16: save it as CSV in UTF-8")
    failures = []
    for encoding in ("utf-8", "cp932"):
        failed_at = _find_unreadable(read(), encoding)
        if failed_at is None:
            return encoding
        failures.append(failed_at)
    raise SourceError(
        f"{path.name}: byte {max(failures):,}: neither UTF-8 nor cp932 (Japanese Windows): save it as CSV in UTF-8"
    )


def _find_unreadable(pieces: Iterable[bytes], encoding: str) -> int | None:
    """First byte that is of no letter; a letter that is cut at the end of the file is one."""
    n_before = 0
    for piece in pieces:
        try:
            text = piece.decode(encoding)
        except UnicodeDecodeError as error:
            return None if _is_cut(error) else n_before + error.start
        stray = _NO_LETTERS.search(text) if encoding == "cp932" else None
        if stray:
            return n_before + len(text[: stray.start()].encode(encoding))
        n_before += len(piece)
    return None


def _is_cut(error: UnicodeDecodeError) -> bool:
    endings = ("unexpected end of data", "incomplete multibyte sequence")
    return error.end >= len(error.object) and error.reason in endings


def _decode(piece: bytes, encoding: str) -> tuple[bytes, bool]:
    """UTF-8 bytes of a piece of the file, and whether its last letter was cut."""
    try:
        text = piece.decode(encoding)
        return piece if encoding == "utf-8" else text.encode(), False
    except UnicodeDecodeError as error:
        return piece[: error.start].decode(encoding).encode(), True


def _find_records(path: Path, text: bytes, n_before: int) -> tuple[np.ndarray, np.ndarray]:
    """Byte where each record starts and its line, blank lines left out; newlines inside quotes end no record."""
    letters = np.frombuffer(text, dtype=np.uint8)
    newlines = np.flatnonzero(letters == _NEWLINE)
    quotes = np.flatnonzero(letters == _QUOTE)
    ends = newlines[np.searchsorted(quotes, newlines) % 2 == 0] if len(quotes) else newlines
    starts = np.concatenate([[0], ends + 1])
    if len(quotes) % 2 and (newlines[:-1] > quotes[-1]).any():
        line = int(np.searchsorted(newlines, quotes[-1])) + 1 + n_before
        raise SourceError(f"{path.name}: line {line:,}: a quote is opened and never closed: mend the export")
    starts = starts[starts < len(text)]
    first = letters[starts]
    is_blank = (first == _NEWLINE) | (first == _RETURN)
    lines = np.searchsorted(newlines, starts) + 1 + n_before
    return starts[~is_blank], lines[~is_blank]


def _split(record: str) -> list[str]:
    return next(csv.reader(io.StringIO(record, newline="")), [])


def _refuse_repeated_columns(path: Path, header: list[str]) -> None:
    names = [name.strip() for name in header]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ContractError(f"{path.stem}.{repeated[0]}: the header of {path.name} names this column twice: keep one")


def _parse(path: Path, text: bytes, header: list[str], faulty: list[arrow_csv.InvalidRow]) -> pd.DataFrame:
    def set_aside(row: arrow_csv.InvalidRow) -> Literal["skip", "error"]:
        faulty.append(row)
        return "skip"

    try:
        table = arrow_csv.read_csv(
            io.BytesIO(text),
            read_options=arrow_csv.ReadOptions(use_threads=False, block_size=1 << 24),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=_QUOTE in text, invalid_row_handler=set_aside),
            convert_options=arrow_csv.ConvertOptions(
                column_types={name: pa.string() for name in header}, strings_can_be_null=True, null_values=[""]
            ),
        )
    except pa.ArrowInvalid as error:
        raise SourceError(f"{path.name}: cannot be read as CSV: {error}: mend the export") from error
    frame = table.to_pandas().astype("str")
    return frame.set_axis([name.strip() for name in header], axis=1)


def _with_faults(
    frame: pd.DataFrame, faulty: list[arrow_csv.InvalidRow], header: list[str], lines: np.ndarray, is_whole: bool
) -> pd.DataFrame:
    n_records = len(frame) + len(faulty)
    rows = lines[1:] if len(lines) == n_records + 1 else np.arange(n_records) + lines[min(1, len(lines) - 1)]
    is_faulty = np.zeros(n_records, dtype=bool)
    is_faulty[[(row.number or 2) - 2 for row in faulty]] = True
    frame = frame.set_axis(pd.Index(rows[~is_faulty], name="row"), axis=0)
    if not faulty:
        return frame
    cells = []
    for row in faulty:
        found = _split(row.text)
        is_last = row.number == n_records + 1
        if is_last and not is_whole and len(found) < len(header):
            found = found[:-1]
        cells.append([*found, *[None] * len(header)][: len(header)])
    reasons = [_fault(row) for row in faulty]
    extra = pd.DataFrame(cells, columns=frame.columns, index=pd.Index(rows[is_faulty], name="row"), dtype="str")
    joined = pd.concat([frame.assign(**{ROW_FAULT: None}), extra.assign(**{ROW_FAULT: reasons})])
    return joined.replace("", None).astype("str").sort_index()


def _fault_last_row(table: pd.DataFrame) -> pd.DataFrame:
    faults = table[ROW_FAULT] if ROW_FAULT in table else pd.Series(None, index=table.index, dtype="str")
    is_last = np.arange(len(table)) == len(table) - 1
    ending = "the file ends inside a letter: is it cut short?"
    return table.assign(**{ROW_FAULT: faults.mask(is_last & faults.isna().to_numpy(), ending)})


def _fault(row: arrow_csv.InvalidRow) -> str:
    cause = "is the file cut short?" if row.actual_columns < row.expected_columns else "quote cells that hold commas"
    return f"{row.actual_columns} of {row.expected_columns} fields: {cause}"
