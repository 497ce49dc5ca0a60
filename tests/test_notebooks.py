"""The notebooks: committed without outputs, and running on a small simulated centre."""

import json
import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

HOUSE = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((HOUSE / "notebooks").glob("*.ipynb"))
EXPLORE = HOUSE / "notebooks" / "01_explore_the_call_log.ipynb"


@pytest.fixture(scope="module")
def shown(small_source: Path) -> list[str]:
    """Everything that the notebook shows on the small world, one text per output."""
    notebook = nbformat.read(EXPLORE, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAKEDOKI_NOTEBOOK_SOURCE", str(small_source))
        patch.delenv("KAKEDOKI_NOTEBOOK_RUN_DATE", raising=False)
        where = {"metadata": {"path": str(EXPLORE.parent)}}
        NotebookClient(notebook, kernel_name="python3", timeout=300, resources=where).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"] == []
    return [output.get("text") or "\n".join(map(str, output["data"].values())) for output in outputs]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebooks_are_committed_without_what_they_showed(file: Path) -> None:
    cells = [cell for cell in json.loads(file.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert [cell["id"] for cell in cells if cell["outputs"] or cell["execution_count"] is not None] == []


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebooks_say_that_the_sample_is_simulated(file: Path) -> None:
    first = json.loads(file.read_text(encoding="utf-8"))["cells"][0]
    assert first["cell_type"] == "markdown"
    assert "simulated" in "".join(first["source"])


def test_the_default_source_is_what_the_demo_writes() -> None:
    demo = (HOUSE / "pipelines" / "demo.py").read_text(encoding="utf-8")
    assert 'var / "demo" / "source"' in demo
    assert 'HOUSE / \\"var\\" / \\"demo\\" / \\"source\\"' in EXPLORE.read_text(encoding="utf-8")


def test_exploring_the_small_world_says_that_it_is_simulated_and_up_to_when_it_is_known(shown: list[str]) -> None:
    assert "known up to 2026-11-02" in shown[0]
    assert "SIMULATED" in shown[0]


def test_exploring_finds_the_rate_that_the_file_holds(shown: list[str], small_source: Path) -> None:
    """A second way to the answer: counted from the file itself."""
    log = pd.read_csv(small_source / "call_attempts.csv")
    rate = (log["outcome"] == "keyman_contact").mean()
    (overall,) = [text for text in shown if "conversion_rate" in text and "all dials" in text]
    line = re.search(r"^keyman_contact_rate\s+([\d.]+)$", overall, flags=re.MULTILINE)
    assert line is not None
    assert float(line[1]) == pytest.approx(rate, abs=1e-5)


def test_exploring_counts_every_dial_and_every_customer_once(shown: list[str], small_source: Path) -> None:
    log = pd.read_csv(small_source / "call_attempts.csv", dtype="str")
    customers = pd.read_csv(small_source / "customers.csv", dtype="str")
    n_dials = log["customer_id"].value_counts()
    (said,) = [text for text in shown if "never dialled;" in text]
    assert f"{len(customers) - len(n_dials):,} of {len(customers):,} customers" in said
    assert f"most dials to one: {n_dials.max()}." in said


def test_who_is_called_tells_more_than_the_hour(shown: list[str]) -> None:
    """True of the simulated centre by construction, and what published logs show."""
    (judged,) = [text for text in shown if "AUC, last 14 days" in text]
    auc = {name: float(number) for name, number in re.findall(r"^(hour|history)\s+(0\.\d+)$", judged, re.MULTILINE)}
    assert auc["history"] > auc["hour"]


def test_exploring_loads_nothing_from_outside(shown: list[str]) -> None:
    assert [text[:80] for text in shown if "://" in text or "<script" in text] == []
