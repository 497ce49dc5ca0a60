"""The page's tables: people, dials and chances of a real night, in order, and never a telephone number."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from conftest import FinishedNight
from small_centre import build_centre

from models.contact.trust import Trust
from pipelines.exports.page_tables import NOT_LAWFUL, build_attempts, build_chances, build_customers
from pipelines.exports.run_tables import open_run
from pipelines.night import Chances
from pipelines.planned import pack_chances


def read(night: FinishedNight, name: str) -> pa.Table:
    return pq.read_table(night.out / "page" / f"{name}.parquet")


def test_a_night_leaves_the_pages_tables_sorted_by_customer(small_night: FinishedNight) -> None:
    source = pd.read_csv(small_night.source / "call_attempts.csv")
    people, attempts, chances, slots = (read(small_night, n) for n in ("customers", "attempts", "chances", "slots"))
    assert people.schema.names[:5] == ["customer_id", "age", "gender", "region", "listed"]
    ids = people["customer_id"].to_pylist()
    assert ids == sorted(ids)
    keys = list(zip(attempts["customer_id"].to_pylist(), attempts["attempted_at"].to_pylist(), strict=True))
    assert keys == sorted(keys)
    assert attempts.num_rows == len(source) == pa.compute.sum(people["n_attempts"]).as_py()
    assert chances["customer_id"].to_pylist() == sorted(chances["customer_id"].to_pylist())
    assert chances.schema.field("p").type.list_size == slots.num_rows == 84
    assert (pq.ParquetFile(small_night.out / "page" / "attempts.parquet").schema_arrow).names == [
        *("attempt_id", "customer_id", "attempted_at", "outcome", "ring_seconds", "talk_seconds", "wrap_seconds"),
        *("agent_id", "team", "converted", "refused"),
    ]


def test_the_chances_agree_with_the_list_and_a_dial_is_never_where_none_is_lawful(small_night: FinishedNight) -> None:
    with open_run(small_night.out) as run:
        firsts = run.execute(
            "SELECT call_list.p_keyman, chances.p[slots.slot_row + 1] FROM call_list JOIN slots USING (slot_start) "
            "JOIN chances USING (customer_id) "
            "QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY slot_start) = 1"
        ).fetchall()
        places = run.execute("SELECT sum(places) FROM slots").fetchall()[0][0]
        assert places == run.execute("SELECT sum(dials_given) FROM staffing").fetchall()[0][0]
    assert len(firsts) > 100
    assert NOT_LAWFUL not in {packed for _, packed in firsts}
    listed, packed = (np.array(column, dtype=float) for column in zip(*firsts, strict=True))
    np.testing.assert_allclose(packed / 10_000, listed, atol=0.002)


def test_no_table_of_the_page_holds_a_telephone_number(small_night: FinishedNight) -> None:
    phones = pd.read_csv(small_night.source / "customers.csv", dtype={"phone": "str"})["phone"].dropna()
    for file in (small_night.out / "page").iterdir():
        table = pq.read_table(file)
        assert "phone" not in table.schema.names
        texts = {text for column in table.columns if pa.types.is_string(column.type) for text in column.to_pylist()}
        assert texts & set(phones) == set(), file.name
    tables = build_centre().tables
    assert "phone" not in build_customers(tables, ("age", "phone", "gender")).schema.names


def test_teams_and_counts_are_the_logs_own() -> None:
    tables = build_centre().tables
    attempts = tables.call_attempts
    agents = pd.DataFrame({"agent_id": attempts["agent_id"].dropna().unique()[:2], "team": ["east", None]})
    told = build_attempts(replace(tables, agents=agents)).to_pandas()
    assert set(told.loc[told["agent_id"] == agents["agent_id"][0], "team"]) == {"east"}
    assert told["team"].notna().sum() == (attempts["agent_id"] == agents["agent_id"][0]).sum()
    people = build_customers(tables, ("age",)).to_pandas().set_index("customer_id")
    contacts = attempts[attempts["outcome"] == "keyman_contact"].groupby("customer_id").size()
    assert people["n_contacts"].sum() == contacts.sum()
    assert (people["n_contacts"].loc[contacts.index] == contacts).all()
    last = attempts.groupby("customer_id")["attempted_at"].max()
    assert (people["last_attempted_at"].loc[last.index] == last).all()


def test_chances_are_ten_thousandths_by_customer() -> None:
    p_first = np.array([[0.5, -1.0, 0.00004], [1.0, 0.1234, 0.0]], dtype="float32")
    packed = pack_chances(p_first, Trust(1.0, 1.0))
    assert packed.tolist() == [[5000, NOT_LAWFUL, 0], [10_000, 1234, 0]]
    tables = build_centre().tables
    table = build_chances(tables, Chances(np.array([3, 7]), packed, np.zeros(3), np.ones(3, dtype="int64")))
    assert table["customer_id"].to_pylist() == tables.customers["customer_id"].iloc[[3, 7]].tolist()
    assert table["p"].to_pylist() == packed.tolist()


def test_a_night_without_attempts_of_anybody_gives_empty_tables(tmp_path: Path) -> None:
    tables = build_centre().tables
    silent = replace(tables, call_attempts=tables.call_attempts.head(0))
    people = build_customers(silent, ("age",))
    assert people.num_rows == len(tables.customers)
    assert people["last_attempted_at"].null_count == people.num_rows
    pq.write_table(build_attempts(silent), tmp_path / "a.parquet")
    assert pq.read_table(tmp_path / "a.parquet").num_rows == 0
