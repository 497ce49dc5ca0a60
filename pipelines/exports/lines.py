"""Tables of any length as CSV, spelled by Arrow batch by batch: cells, what keeps them from running, and quotes."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# A cell that starts with one of these is a formula to a spreadsheet; Japanese Excel takes full-width ones too.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
SIX_DECIMALS, IN_FULL = "{:.6f}", "{!r}"
_RISKY = r"\A[" + re.escape("".join(FORMULA_STARTS)) + "]"
_QUOTED = '[",\r\n]'
_MILLION = 1_000_000


def write_lines(batches: Iterable[pa.Table], names: tuple[str, ...], file: Path) -> int:
    r"""Write the columns ``names`` of all batches, in order.

    UTF-8 with a byte order mark, so that Japanese Excel reads it, and with no cell that can run: :func:`defuse`.
    ``value`` is written in full, other fractions with six decimals. Lines end in CR LF (RFC 4180).

    Returns
    -------
    int
        Rows written.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "x.csv"
    >>> write_lines([pa.table({"id": ["=1+1", 'a"b'], "p_keyman": [0.25, 1 / 3]})], ("id", "p_keyman"), file)
    2
    >>> file.read_text(encoding="utf-8-sig").split()
    ['id,p_keyman', "'=1+1,0.250000", '"a""b",0.333333']
    """
    n_rows = 0
    with file.open("wb") as out:
        out.write(("\ufeff" + ",".join(names) + "\r\n").encode())
        for batch in batches:
            if len(batch):
                cells = [_spell(name, batch[name].combine_chunks()) for name in names]
                rows = pc.binary_join_element_wise(*cells, ",")
                out.write(read_letters(pc.binary_join_element_wise(rows, "", "\r\n")))
            n_rows += len(batch)
    return n_rows


def spell_cells(cells: Any, form: str = SIX_DECIMALS) -> Any:
    """Spell a column as texts, missing cells as nothing: times in ISO 8601, fractions in the ``form`` of a format.

    >>> spell_cells(pa.array([12000.5, None]), IN_FULL).to_pylist(), spell_cells(pa.array([1 / 3])).to_pylist()
    (['12000.5', ''], ['0.333333'])
    """
    kind = cells.type
    if pa.types.is_timestamp(kind):
        return _by_kind(cells, lambda times: [time.isoformat(timespec="seconds") for time in times.to_pandas()])
    if kind == pa.float32() and form == SIX_DECIMALS and (pc.min(cells).as_py() or 0) >= 0:
        return _round(cells)
    if pa.types.is_floating(kind):
        return _by_kind(cells, lambda numbers: [form.format(number) for number in numbers.to_pylist()])
    texts = pc.if_else(cells, "True", "False") if pa.types.is_boolean(kind) else cells.cast(pa.string())
    return texts.fill_null("")


def defuse(texts: Any) -> Any:
    """Put a ``'`` before every text that a spreadsheet would run as a formula.

    >>> defuse(pa.array(["=1+1", "C7"])).to_pylist()
    ["'=1+1", 'C7']
    """
    return pc.if_else(pc.match_substring_regex(texts, _RISKY), pc.binary_join_element_wise("'", texts, ""), texts)


def read_letters(texts: Any) -> memoryview:
    """All texts of an array, of which there is one at least, one behind the other as they lie in memory.

    >>> bytes(read_letters(pa.array(["a", "bc", "d"])[1:]))
    b'bcd'
    """
    offsets, letters = texts.buffers()[1:]
    ends = np.frombuffer(offsets, dtype=np.int64 if pa.types.is_large_string(texts.type) else np.int32)
    return memoryview(letters)[ends[texts.offset] : ends[texts.offset + len(texts)]]


def _spell(name: str, cells: Any) -> Any:
    texts = spell_cells(cells, IN_FULL if name == "value" else SIX_DECIMALS)
    if not (pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)):
        return texts
    safe = defuse(texts)
    quoted = pc.binary_join_element_wise('"', pc.replace_substring(safe, '"', '""'), '"', "")
    return pc.if_else(pc.match_substring_regex(safe, _QUOTED), quoted, safe)


def _by_kind(cells: Any, spell: Callable[[Any], list[str]]) -> Any:
    """Spell each different cell once."""
    coded = cells.dictionary_encode()
    return pa.array(spell(coded.dictionary), pa.string()).take(coded.indices).fill_null("")


def _round(cells: Any) -> Any:
    """Six decimals, a half to the even digit: a millionfold of a single-precision number is exact."""
    numbers = cells.fill_null(0).to_numpy(zero_copy_only=False).astype(np.float64)
    millionths = np.divmod(np.rint(numbers * _MILLION).astype(np.int64), _MILLION)
    whole, rest = (pa.array(part).cast(pa.string()) for part in millionths)
    digits: list[Any] = [whole, pc.utf8_lpad(rest, 6, "0"), "."]
    return pc.if_else(cells.is_null(), "", pc.binary_join_element_wise(*digits))
