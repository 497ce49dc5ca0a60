"""One run's folder, small and nasty, written by hand: what filters, exports and open_run are tested on."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from configs.settings import Settings
from pipelines.exports.tables import call_list_schema, write_csv

ZONE = "Asia/Tokyo"
STARTS = pd.date_range("2026-11-02 09:00", "2026-11-08 20:00", freq="h", tz=ZONE).as_unit("us")
OPEN = STARTS[(STARTS.hour >= 9) & (STARTS.hour <= 20)]
NASTY = (
    "=1+1", "+8190", "-1", "@home", "\ttab", "＝全角", "a,b", 'say "hi"', "two\nlines", "髙﨑①㈱", "😀 smile", "〜−",
    "plain", "' OR 1=1 --", "x'); DROP TABLE call_list; --", " blanks ", "Washington, D.C.", "back\\slash",
)  # fmt: skip


def build_people(n: int = 60) -> pd.DataFrame:
    """Customers with every kind of text in their ids and regions, and some without age, gender or region."""
    rng = np.random.default_rng(3)
    ids = sorted([*NASTY, *(f"C{i:03d}" for i in range(n - len(NASTY)))])
    people = pd.DataFrame(
        {
            "customer_id": ids,
            "age": np.where(rng.random(n) < 0.2, np.nan, rng.integers(18, 80, n)).astype("float32"),
            "gender": rng.choice(np.array(["male", "female", None], dtype=object), n),
            "region": rng.choice(np.array(["東京都", "Washington, D.C.", "=cmd", None], dtype=object), n),
            "tenure": rng.integers(0, 10, n).astype("float32"),
        }
    )
    return people.assign(listed=True, n_attempts=1, n_contacts=0, last_attempted_at=pd.Timestamp("2026-11-01", tz=ZONE))


def build_rows(people: pd.DataFrame, n: int = 300) -> pd.DataFrame:
    """A call list of ``n`` dials in its order."""
    rng = np.random.default_rng(4)
    slot = np.sort(rng.integers(0, len(OPEN), n))
    reason = rng.choice(np.array([*NASTY, None], dtype=object), n)
    return pd.DataFrame(
        {
            "run_date": pd.Timestamp("2026-11-02").date(),
            "slot_start": OPEN[slot],
            "rank": pd.Series(slot).groupby(slot).cumcount() + 1,
            "customer_id": rng.choice(people["customer_id"], n),
            "p_keyman": (rng.integers(1, 60, n) / 100).astype("float32"),
            "attempt_number": rng.integers(1, 11, n),
            "value": rng.choice([1.0, 12000.5], n),
            "is_firm": OPEN[slot] < pd.Timestamp("2026-11-03", tz=ZONE),
            "arm": rng.choice(["plan", "explore"], n),
            "propensity": 1.0,
            "reason": reason,
            "allowed_because": "house 1",
            "reason_ja": reason[::-1],
        }
    )


def write_finished_run(folder: Path) -> Path:
    """Write the run into ``folder``, which is made."""
    (folder / "page").mkdir(parents=True)
    people = build_people()
    schema = call_list_schema(ZONE)
    rows = pa.Table.from_pandas(build_rows(people), schema=schema, preserve_index=False)
    pq.write_table(rows, folder / "call_list.parquet")
    pq.write_table(pa.Table.from_pandas(people, preserve_index=False), folder / "page" / "customers.parquet")
    attempts = pa.table({"customer_id": people["customer_id"].to_list(), "outcome": ["busy"] * len(people)})
    pq.write_table(attempts, folder / "page" / "attempts.parquet")
    packed = pa.FixedSizeListArray.from_arrays(pa.array(np.full(len(OPEN), 500, "uint16")), len(OPEN))
    pq.write_table(pa.table({"customer_id": ["C000"], "p": packed}), folder / "page" / "chances.parquet")
    slots = pd.DataFrame({"slot_row": np.arange(len(OPEN)), "slot_start": OPEN, "price": 0.0, "places": 4})
    pq.write_table(pa.Table.from_pandas(slots, preserve_index=False), folder / "page" / "slots.parquet")
    write_csv(pd.DataFrame({"customer_id": ["=q", "z"], "reason": ["refused", "contacted"]}), folder / "excluded.csv")
    staffing = {"slot_start": OPEN, "dials_given": 4, "dials_recommended": 4, "agents_recommended": 0.5}
    numbers = {"seat_price": [0.5, np.nan] * (len(OPEN) // 2), "expected_contacts": 1.0, "hint": "hold"}
    write_csv(pd.DataFrame(staffing | numbers), folder / "staffing.csv")
    record = {"run_id": "r1", "run_date": "2026-11-02", "is_simulated": True}
    record["settings"] = Settings().model_dump(mode="json")  # type: ignore[assignment]
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return folder
