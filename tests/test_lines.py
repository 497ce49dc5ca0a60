"""Tables as CSV: what Arrow spells at once is what Python's csv writes cell by cell."""

import csv
from pathlib import Path

import pandas as pd
import pyarrow as pa
from finished_run import NASTY, build_people, build_rows
from hypothesis import given
from hypothesis import strategies as st

from pipelines.exports import tables
from pipelines.exports.lines import FORMULA_STARTS, write_lines
from pipelines.exports.tables import call_list_schema, write_csv


def spell_plainly(name: object, cell: object) -> str:
    if pd.isna(cell):
        return ""
    if isinstance(cell, pd.Timestamp):
        return cell.isoformat(timespec="seconds")
    if isinstance(cell, float):
        return repr(cell) if name == "value" else f"{cell:.6f}"
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else str(cell)


def write_plainly(frame: pd.DataFrame, file: Path) -> bytes:
    with file.open("w", encoding="utf-8-sig", newline="") as out:
        rows = [map(spell_plainly, frame, row) for row in frame.itertuples(index=False)]
        csv.writer(out, lineterminator="\r\n").writerows([list(frame), *rows])
    return file.read_bytes()


def test_a_call_list_in_batches_is_written_like_a_whole_one(tmp_path: Path, monkeypatch) -> None:
    schema = call_list_schema("Asia/Tokyo")
    rows = build_rows(build_people())
    table = pa.Table.from_pandas(rows, schema=schema, preserve_index=False)
    plain = write_plainly(table.to_pandas(), tmp_path / "plain.csv")
    monkeypatch.setattr(tables, "_BATCH", 77)
    write_csv(table.to_pandas(), tmp_path / "whole.csv")
    assert (tmp_path / "whole.csv").read_bytes() == plain
    batches = [table.slice(0, 7), table.slice(7, 0), table.slice(7)]
    assert write_lines(batches, tuple(schema.names), tmp_path / "lines.csv") == len(rows)
    assert (tmp_path / "lines.csv").read_bytes() == plain
    assert set(NASTY) & set(rows["customer_id"])


@given(
    texts=st.lists(st.one_of(st.none(), st.text(max_size=8), st.sampled_from(NASTY)), min_size=1, max_size=8),
    share=st.floats(0, 1, width=32),
    fall=st.floats(-1, -0.25, width=32),
    value=st.floats(0, 1e9),
    price=st.floats(-1e9, 1e9),
)
def test_any_text_and_number_is_spelled_alike(
    texts: list[str | None], share: float, fall: float, value: float, price: float, tmp_path_factory
) -> None:
    folder = tmp_path_factory.mktemp("lines", numbered=True)
    texts = [text and text.encode("utf-8", "ignore").decode() for text in texts]
    numbers = {"p_keyman": share, "fall": fall, "value": value, "seat_price": price, "rank": 1, "is_firm": True}
    frame = pd.DataFrame({"customer_id": pd.Series(texts, dtype="str"), **numbers})
    frame = frame.astype({"p_keyman": "float32", "fall": "float32"})
    write_csv(frame, folder / "whole.csv")
    assert (folder / "whole.csv").read_bytes() == write_plainly(frame, folder / "plain.csv")


def test_nothing_at_all_is_a_header(tmp_path: Path) -> None:
    assert write_lines([], ("customer_id", "reason"), tmp_path / "none.csv") == 0
    assert (tmp_path / "none.csv").read_text(encoding="utf-8-sig") == "customer_id,reason\n"
