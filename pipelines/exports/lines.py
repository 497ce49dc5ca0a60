"""CSV of any length, batch by batch: the very bytes of ``pipelines.exports.tables.write_csv``, made by Arrow."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.exports.tables import FORMULA_STARTS

_RISKY = r"\A[" + re.escape("".join(FORMULA_STARTS)) + "]"
_QUOTED = '[",\r\n]'
_MILLION = 1_000_000


def write_lines(batches: Iterable[pa.Table], names: tuple[str, ...], file: Path) -> int:
    r"""Write the columns ``names`` of all batches, in order, as ``write_csv`` writes one frame.

    Parameters
    ----------
    batches
        Of texts, dates, times with a zone, booleans, integers and numbers: ``value`` in full, other numbers, which are
        at least 0, with six decimals.

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
                _write_texts(pc.binary_join_element_wise(pc.binary_join_element_wise(*cells, ","), "", "\r\n"), out)
            n_rows += len(batch)
    return n_rows


def _spell(name: str, cells: Any) -> Any:
    kind = cells.type
    if pa.types.is_timestamp(kind):
        return _by_kind(cells, lambda times: [time.isoformat(timespec="seconds") for time in times.to_pandas()])
    if pa.types.is_boolean(kind):
        return pc.if_else(cells, "True", "False")
    if pa.types.is_floating(kind):
        return (
            _by_kind(cells, lambda numbers: list(map(repr, numbers.to_pylist()))) if name == "value" else _round(cells)
        )
    texts = cells.cast(pa.string()).fill_null("")
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return texts
    safe = pc.if_else(pc.match_substring_regex(texts, _RISKY), pc.binary_join_element_wise("'", texts, ""), texts)
    quoted = pc.binary_join_element_wise('"', pc.replace_substring(safe, '"', '""'), '"', "")
    return pc.if_else(pc.match_substring_regex(safe, _QUOTED), quoted, safe)


def _by_kind(cells: Any, spell: Callable[[Any], list[str]]) -> Any:
    """Spell each different cell once."""
    coded = cells.dictionary_encode()
    return pa.array(spell(coded.dictionary), pa.string()).take(coded.indices).fill_null("")


def _round(cells: Any) -> Any:
    """Six decimals, a half to the even digit."""
    numbers = cells.fill_null(0).to_numpy(zero_copy_only=False).astype(np.float64)
    millionths = np.divmod(np.rint(numbers * _MILLION).astype(np.int64), _MILLION)
    whole, rest = (pa.array(part).cast(pa.string()) for part in millionths)
    digits: list[Any] = [whole, pc.utf8_lpad(rest, 6, "0"), "."]
    return pc.if_else(cells.is_null(), "", pc.binary_join_element_wise(*digits))


def _write_texts(texts: Any, out: IO[bytes]) -> None:
    """Write texts one after another: their bytes lie in memory as they belong into the file."""
    _, offsets, letters = texts.buffers()
    begin, end = np.frombuffer(offsets, dtype=np.int32)[[texts.offset, texts.offset + len(texts)]]
    out.write(memoryview(letters)[begin:end])
