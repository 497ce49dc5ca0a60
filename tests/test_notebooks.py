"""The notebooks: committed without outputs, and running on a small simulated centre."""

import json
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from conftest import built_once
from mlflow import MlflowClient
from nbclient import NotebookClient

from pipelines.sample import write_sample
from pipelines.train import train

HOUSE = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((HOUSE / "notebooks").glob("*.ipynb"))
EXPLORE = HOUSE / "notebooks" / "01_explore_the_call_log.ipynb"
COMPARE = HOUSE / "notebooks" / "02_compare_models.ipynb"
LEARNED = HOUSE / "notebooks" / "03_what_the_model_learned.ipynb"
RUN_DATES = (date(2026, 10, 26), date(2026, 11, 2))
PERCENT = r"([\d.]+)"


@dataclass(frozen=True)
class Shown:
    """What an executed notebook shows: one text per output, and the number of its pictures."""

    texts: list[str]
    n_pictures: int

    def find(self, *words: str) -> str:
        """The one output that holds all these words."""
        (text,) = [text for text in self.texts if all(word in text for word in words)]
        return text


def show(file: Path, environment: dict[str, str], shared_folder: Path) -> Shown:
    """Execute a notebook, once for all workers of this test session."""
    kept = shared_folder / f"executed_{file.stem}"
    with built_once(kept) as is_missing:
        if is_missing:
            notebook = nbformat.read(file, as_version=4)
            with pytest.MonkeyPatch.context() as patch:
                patch.delenv("KAKEDOKI_NOTEBOOK_RUN_DATE", raising=False)
                for name, value in environment.items():
                    patch.setenv(name, value)
                where = {"metadata": {"path": str(file.parent)}}
                NotebookClient(notebook, kernel_name="python3", timeout=300, resources=where).execute()
            kept.mkdir()
            nbformat.write(notebook, kept / file.name)
    cells = nbformat.read(kept / file.name, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"] == []
    texts = [output.get("text") or "\n".join(map(str, output["data"].values())) for output in outputs]
    return Shown(texts, sum("image/png" in output.get("data", {}) for output in outputs))


@pytest.fixture(scope="module")
def shown(small_source: Path, shared_folder: Path) -> list[str]:
    """Everything that 01 shows on the small world, one text per output."""
    return show(EXPLORE, {"KAKEDOKI_NOTEBOOK_SOURCE": str(small_source)}, shared_folder).texts


@pytest.fixture(scope="module")
def nights(shared_folder: Path) -> dict[str, str]:
    """A simulated centre that two nights have learned from, as the environment that notebooks read."""
    home = shared_folder / "two_nights"
    address = f"sqlite:///{home}/var/mlflow/mlflow.db"  # whatever MLflow server may be up on this machine
    environment = {"KAKEDOKI_NOTEBOOK_SOURCE": str(home / "source"), "KAKEDOKI_HOME": str(home / "var")}
    with built_once(home) as is_missing:
        if is_missing:
            write_sample(home / "source", 4000, 3, seed=7, kind="persons")
            (home / "source" / "capacity.csv").unlink()  # it begins with the last of the nights
            (home / "mlflow.yaml").write_text(f"mlflow: {{tracking_uri: '{address}'}}\n", encoding="utf-8")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("KAKEDOKI_HOME", environment["KAKEDOKI_HOME"])
                for run_date in RUN_DATES:
                    train.fn(environment["KAKEDOKI_NOTEBOOK_SOURCE"], run_date, config=[str(home / "mlflow.yaml")])
    return environment | {"KAKEDOKI_NOTEBOOK_TRACKING": address}


@pytest.fixture(scope="module")
def compared(nights: dict[str, str], shared_folder: Path) -> Shown:
    return show(COMPARE, nights, shared_folder)


@pytest.fixture(scope="module")
def learned(nights: dict[str, str], shared_folder: Path) -> Shown:
    return show(LEARNED, nights, shared_folder)


@pytest.fixture(scope="module")
def versions(nights: dict[str, str]) -> list[Any]:
    """What MLflow itself says of the two nights, oldest first."""
    client = MlflowClient(nights["KAKEDOKI_NOTEBOOK_TRACKING"], nights["KAKEDOKI_NOTEBOOK_TRACKING"])
    (model,) = client.search_registered_models()
    found = client.search_model_versions(f"name = '{model.name}'")
    return sorted(
        ((version, client.get_run(version.run_id)) for version in found), key=lambda pair: int(pair[0].version)
    )


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


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_the_default_source_is_what_the_demo_writes(file: Path) -> None:
    demo = (HOUSE / "pipelines" / "demo.py").read_text(encoding="utf-8")
    assert 'var / "demo" / "source"' in demo
    assert 'HOUSE / \\"var\\" / \\"demo\\" / \\"source\\"' in file.read_text(encoding="utf-8")


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


# --- 02: models and nights, against what MLflow holds


def test_comparing_lists_every_night_with_its_verdict(compared: Shown, versions: list[Any]) -> None:
    assert "SIMULATED" in compared.texts[0]
    listed = compared.find("verdict", "run_date", "alias")
    assert len(versions) == len(RUN_DATES)
    for (version, _), run_date in zip(versions, RUN_DATES, strict=True):
        assert str(run_date) in listed
        assert version.tags["verdict"] in listed
    assert "challenger" in listed


def test_comparing_shows_the_measures_that_the_night_logged(compared: Shown, versions: list[Any]) -> None:
    _, newest = versions[-1]
    sentence = compared.find("the best of the others")
    assert f"log loss {newest.data.metrics['LightGBM.forward.log_loss']:.4f}" in sentence
    assert f"AUC {newest.data.metrics['LightGBM.forward.auc']:.3f}" in sentence
    table = compared.find("calibration_error", "segment table", "unseen customers", "log_loss")
    for rival in ("overall_rate", "segment_table", "logistic_regression", "person_filter", "LightGBM"):
        assert f"{newest.data.metrics[f'{rival}.unseen_customers.log_loss']:.4f}" in table


def test_comparing_names_the_champion_and_what_is_believed_of_it(
    compared: Shown, versions: list[Any], nights: dict[str, str]
) -> None:
    client = MlflowClient(nights["KAKEDOKI_NOTEBOOK_TRACKING"], nights["KAKEDOKI_NOTEBOOK_TRACKING"])
    champion = client.get_registered_model(versions[0][0].name).aliases.get("champion")
    words = "No model of this source has passed the gate" if champion is None else f"version {champion}, fitted on"
    assert compared.find(words)
    believed = compared.find("believed of timing")
    for _, run in versions:
        assert f"{run.data.metrics['trust.timing_slope']:.2f}".rstrip("0") in believed  # pandas may drop the zero


def test_comparing_draws_rivals_nights_and_reliability(compared: Shown) -> None:
    assert compared.n_pictures == 3
    assert not [text[:80] for text in compared.texts if "://" in text or "<script" in text]


# --- 03: what the model has learned


def test_the_belief_falls_with_each_failure_by_less_and_rises_with_a_contact(learned: Shown) -> None:
    table = learned.find("failure 1", "weekday evening", "<table")
    rows = re.findall(rf"^(before|failure \d|contact)\s+{PERCENT}\s+{PERCENT}\s+{PERCENT}$", table, re.MULTILINE)
    assert [row[0] for row in rows] == ["before", "failure 1", "failure 2", "failure 3", "contact"]
    evening, morning, _ = ([float(row[k]) for row in rows] for k in (1, 2, 3))
    for before, first, second, third, contact in (evening, morning):
        assert before > first > second > third < contact
        assert before - first > second - third
    assert evening[4] - evening[3] > evening[0] - evening[1]


def test_persons_reached_before_are_believed_easier_than_those_who_only_failed(learned: Shown) -> None:
    table = learned.find("only failures", "mean effect", "<table")
    mean = {
        name: float(number) for name, number in re.findall(r"^(.*?)\s+\d+\s+(-?[\d.]+)\s+[\d.]+$", table, re.MULTILINE)
    }
    assert mean["never dialled"] == 0
    assert mean["only failures"] < 0 < mean["reached before"]


def test_reasons_are_shown_in_both_languages(learned: Shown) -> None:
    table = learned.find("reason_ja", "p_keyman")
    assert " answer" in table
    assert "応答" in table


def test_what_was_learned_is_drawn_and_nothing_is_loaded_from_outside(learned: Shown) -> None:
    assert learned.n_pictures == 5
    assert "SIMULATED" in learned.texts[0]
    assert not [text[:80] for text in learned.texts if "://" in text or "<script" in text]
    shares = re.findall(
        r"^(attributes|the slot|the person's history)\s+([\d.]+)$", learned.find("gain_share", "<table"), re.MULTILINE
    )
    assert sum(float(share) for _, share in shares) == pytest.approx(1.0, abs=0.002)
