"""Who will not be called, told beforehand: the counts are those of the night itself."""

import io
from pathlib import Path

import pandas as pd
from conftest import SMALL_RUN_DATE, FinishedNight
from rich.console import Console

from pipelines.preview import Preview, preview, tell_preview


def told(found: Preview) -> str:
    console = Console(file=io.StringIO(), width=200)
    tell_preview(found, console)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_the_preview_counts_what_the_night_excludes(small_night: FinishedNight) -> None:
    found = preview(str(small_night.source), SMALL_RUN_DATE)
    excluded = pd.read_csv(small_night.out / "excluded.csv", encoding="utf-8-sig")["reason"].value_counts()
    foreseen = found.reasons.set_index("reason")["n"]
    for reason in set(excluded.index) - {"no_capacity"}:
        assert foreseen[reason] == excluded[reason]
    assert foreseen.get("no_capacity", 0) <= excluded.get("no_capacity", 0)
    assert found.n_listed == foreseen.drop("no_capacity", errors="ignore").sum() + found.n_callable
    assert f"{found.n_listed:,} listed customers will not be called from 2026-11-02 to 2026-11-08" in told(found)


def test_the_pack_that_took_the_last_slot_is_named(small_source: Path, tmp_path: Path) -> None:
    for file in small_source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    customers = pd.read_csv(tmp_path / "customers.csv", dtype="str")
    customers["timezone"] = customers["timezone"].mask(customers.index < 100, "America/New_York")
    customers.to_csv(tmp_path / "customers.csv", index=False)
    (tmp_path / "mine.yaml").write_text("rule_packs: [house, us-fl, jp-sales]\n")
    found = preview(str(tmp_path), SMALL_RUN_DATE, config=[tmp_path / "mine.yaml"])
    # 8:00 to 20:00 in New York is 22:00 to 10:00 in Tokyo, where nobody works then: only 9:00 is left, 19:00 there
    assert "us-fl" not in found.last_words
    found = preview(str(tmp_path), SMALL_RUN_DATE, config=[_late(tmp_path)])
    assert found.last_words == {"us-fl": found.reasons.set_index("reason")["n"]["no_lawful_slot"]}
    assert "rule pack us-fl took the last slot" in told(found)


def _late(folder: Path) -> Path:
    """Close the hour that New York could still be called in."""
    capacity = pd.read_csv(folder / "capacity.csv")
    capacity[~capacity["slot_start"].str.contains("T09:")].to_csv(folder / "capacity.csv", index=False)
    return folder / "mine.yaml"
