"""Long tables as CSV: the bytes that a spreadsheet gets are those of a short one."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
from finished_run import NASTY, build_people, build_rows
from hypothesis import given
from hypothesis import strategies as st

from pipelines.exports.lines import write_lines
from pipelines.exports.tables import call_list_schema, write_csv


def test_a_call_list_in_batches_is_written_like_a_whole_one(tmp_path: Path) -> None:
    schema = call_list_schema("Asia/Tokyo")
    rows = build_rows(build_people())
    table = pa.Table.from_pandas(rows, schema=schema, preserve_index=False)
    write_csv(table.to_pandas(), tmp_path / "whole.csv")
    batches = [table.slice(0, 7), table.slice(7, 0), table.slice(7)]
    assert write_lines(batches, tuple(schema.names), tmp_path / "lines.csv") == len(rows)
    assert (tmp_path / "lines.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert set(NASTY) & set(rows["customer_id"])


@given(
    texts=st.lists(st.one_of(st.none(), st.text(max_size=8), st.sampled_from(NASTY)), min_size=1, max_size=8),
    share=st.floats(0, 1, width=32),
    value=st.floats(0, 1e9),
)
def test_any_text_and_number_is_spelled_alike(
    texts: list[str | None], share: float, value: float, tmp_path_factory
) -> None:
    folder = tmp_path_factory.mktemp("lines", numbered=True)
    texts = [text and text.encode("utf-8", "ignore").decode() for text in texts]
    frame = pd.DataFrame({"customer_id": pd.Series(texts, dtype="str"), "p_keyman": share, "value": value, "rank": 1})
    write_csv(frame, folder / "whole.csv")
    write_lines([pa.Table.from_pandas(frame, preserve_index=False)], tuple(frame.columns), folder / "lines.csv")
    assert (folder / "lines.csv").read_bytes() == (folder / "whole.csv").read_bytes()


def test_nothing_at_all_is_a_header(tmp_path: Path) -> None:
    assert write_lines([], ("customer_id", "reason"), tmp_path / "none.csv") == 0
    assert (tmp_path / "none.csv").read_text(encoding="utf-8-sig") == "customer_id,reason\n"
