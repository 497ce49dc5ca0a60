"""Lists as CSV: spelled once, safe in a spreadsheet, and nothing lost on the way to an older encoding."""

import csv
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from typing import IO, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from pipelines.exports.lines import SIX_DECIMALS, defuse, spell_cells
from pipelines.exports.remarks import Remark

Encoding = Literal["utf-8-sig", "utf-8", "cp932"]
SHARES = ("p_keyman", "propensity")
_SHORT = "{:.15g}"  # a number in full, but 1 and not 1.0
N_NAMED = 5  # cells that a message names; all are counted
_SAME_IN_CP932 = str.maketrans(
    "\u301c\u2212\u2014\u2016\u00a2\u00a3\u00ac", "～－―∥￠￡￢"
)  # JIS as Microsoft reads it


class Misfits:
    """Characters that cp932 does not have: counted, named, and written as ``&#N;``, which can be turned back."""

    def __init__(self) -> None:
        self._characters: Counter[str] = Counter()
        self._places: list[tuple[str, int, str]] = []
        self._n_cells = 0

    def fit(self, cells: list[str], column: str, first_line: int) -> list[str]:
        """Give cells that cp932 can write; ``first_line`` is the line of the first of them.

        >>> misfits = Misfits()
        >>> misfits.fit(["髙﨑①㈱", "😀"], "region", 2)
        ['髙﨑①㈱', '&#128512;']
        >>> misfits.remarks()
        ['cp932 lacks 1 character in 1 cell: 😀 (line 3, region); written as &#N;, or use utf-8-sig']
        """
        if _fits("".join(cells)):
            return cells
        return [self._fit(cell, column, line) for line, cell in enumerate(cells, first_line)]

    def _fit(self, cell: str, column: str, line: int) -> str:
        if _fits(cell):
            return cell
        strange = [character for character in cell if not _fits(character)]
        self._characters.update(strange)
        self._n_cells += 1
        if len(self._places) < N_NAMED:
            self._places.append(("".join(dict.fromkeys(strange)), line, column))
        return "".join(character if _fits(character) else f"&#{ord(character)};" for character in cell)

    def remarks(self) -> list[Remark]:
        """Say what was found, in one sentence; nothing where all could be written."""
        if not self._n_cells:
            return []
        kinds, cells = len(self._characters), self._n_cells
        named = ", ".join(f"{what} (line {line:,}, {column})" for what, line, column in self._places) + (
            " …" if cells > len(self._places) else ""
        )
        counted = f"{kinds:,} character{'s' * (kinds > 1)} in {cells:,} cell{'s' * (cells > 1)}"
        japanese = "、".join(f"{what}（{line:,} 行目、{column}）" for what, line, column in self._places)
        more = " ほか" if cells > len(self._places) else ""
        return [
            Remark(
                f"cp932 lacks {counted}: {named}; written as &#N;, or use utf-8-sig",
                f"cp932 にない文字が {cells:,} 個のセルに {kinds:,} 種類あります：{japanese}{more}。"
                "&#N; の形で書き出します。そのまま残すには UTF-8 を選んでください。",
            )
        ]


def write_delimited(
    batches: Iterator[pd.DataFrame], stream: IO[bytes], encoding: Encoding, delimiter: str = ",", header: bool = True
) -> list[Remark]:
    r"""Write batches of rows as CSV with CR LF, and say what the encoding lacks.

    Text that a spreadsheet would run gets a ``'`` in front, as in ``tables.write_csv``. The first batch names the
    columns and may be empty.

    >>> from io import BytesIO
    >>> stream = BytesIO()
    >>> write_delimited(iter([pd.DataFrame({"customer_id": ["=1+1"], "p_keyman": [0.25]})]), stream, "utf-8")
    []
    >>> stream.getvalue()
    b"customer_id,p_keyman\r\n'=1+1,0.250000\r\n"
    """
    misfits = Misfits()
    line = 1
    for number, rows in enumerate(batches):
        cells = [_spell_cells(rows[name], encoding) for name in rows.columns]
        if number == 0:
            stream.write(b"\xef\xbb\xbf" if encoding == "utf-8-sig" else b"")
            if header:
                names = _spell_cells(pd.Series(rows.columns, dtype="str"), encoding)
                cells = [[name, *column] for name, column in zip(names, cells, strict=True)]
        if encoding == "cp932":
            cells = [misfits.fit(texts, str(name), line) for name, texts in zip(rows.columns, cells, strict=True)]
        line += len(cells[0])
        stream.write(_join(cells, delimiter).encode("cp932" if encoding == "cp932" else "utf-8"))
    return misfits.remarks()


def spell_column(column: pd.Series) -> "pd.Series[str]":
    """Spell values as texts, missing ones as nothing: ISO 8601 times, shares with six decimals, numbers in full.

    >>> spell_column(pd.Series([1.0, 12000.5, None], name="value")).tolist()
    ['1', '12000.5', '']
    >>> spell_column(pd.Series([1 / 3], name="p_keyman")).tolist()
    ['0.333333']
    """
    texts = spell_cells(pa.array(column, from_pandas=True), SIX_DECIMALS if column.name in SHARES else _SHORT)
    return pd.Series(texts.to_numpy(zero_copy_only=False), column.index, "str", column.name)


def _spell_cells(column: pd.Series, encoding: Encoding) -> list[str]:
    """Spell and defuse each different value once: most columns of a list repeat themselves."""
    codes, different = pd.factorize(column)
    texts = spell_column(pd.Series(different, name=column.name))
    if encoding == "cp932":
        texts = texts.str.translate(_SAME_IN_CP932)
    safe = defuse(pa.array(texts, pa.string())).to_numpy(zero_copy_only=False)
    cells: list[str] = np.append(safe, "")[codes].tolist()  # code -1: missing
    return cells


def _join(cells: list[list[str]], delimiter: str) -> str:
    text = StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerows(zip(*cells, strict=True))
    return text.getvalue()


def _fits(text: str) -> bool:
    try:
        text.encode("cp932")
    except UnicodeEncodeError:
        return False
    return True
