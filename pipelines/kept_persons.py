"""Beliefs about persons as kept from run to run, beside the kept log: one Parquet file for each source."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.slots import N_SPANS
from models.contact.hierarchy import Hierarchy
from models.contact.known import KnownPersons, hash_persons, name_hierarchy
from models.contact.model import Evidence
from pipelines.kept_folder import KEPT, keep_table
from pipelines.kept_log import forget_in_log
from pipelines.kept_shards import forget_in_shards

_FILE = "persons.parquet"
_SPANS = ("mean", "variance")


def read_persons(folder: Path, hierarchy: Hierarchy) -> KnownPersons:
    """Read what was believed of the customers of a source under this very hierarchy; nobody where nothing is kept.

    Parameters
    ----------
    folder
        Of ``pipelines.kept_folder.find_kept``.
    """
    try:
        table = pq.ParquetFile(folder / _FILE).read()
        if (table.schema.metadata or {}).get(b"hierarchy", b"").decode() != name_hierarchy(hierarchy):
            return _nobody()
        mean, variance = (
            pc.list_flatten(table[name]).to_numpy().reshape(-1, N_SPANS).astype("float32") for name in _SPANS
        )
        ids = table["customer_id"].combine_chunks().cast(pa.large_string())
        return KnownPersons(ids, table["own"].to_numpy(), (mean, variance, table["never"].to_numpy()))
    except FileNotFoundError:
        return _nobody()
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        logging.getLogger("kakedoki").warning("%s: cannot be read: %s", folder / _FILE, error)
        return _nobody()


def write_persons(folder: Path, evidence: Evidence) -> None:
    """Keep what is believed of every customer of the evidence; what was kept before is replaced."""
    beliefs, hierarchy = evidence.beliefs, evidence.hierarchy
    table = pa.table(
        {
            "customer_id": pa.array(evidence.log.customers["customer_id"], pa.large_string(), from_pandas=True),
            "own": pa.array(hash_persons(hierarchy, evidence.log, evidence.cutoff_seconds)),
            "never": pa.array(beliefs.never),
            **{name: _by_span(getattr(beliefs, name)) for name in _SPANS},
        }
    )
    keep_table(folder / _FILE, table.replace_schema_metadata({"hierarchy": name_hierarchy(hierarchy)}))


def forget_kept(var: Path, customer_id: str) -> int:
    """Remove a customer from everything that is kept of any source: blocks of the log, and beliefs.

    A block is removed whole; the next run reads it again from a source in which the customer should be no more.

    Parameters
    ----------
    var
        Folder of run artefacts.

    Returns
    -------
    How many files were removed or rewritten.
    """
    n_changed = forget_in_log(var, customer_id) + forget_in_shards(var, customer_id)
    for file in sorted((var / KEPT).glob(f"*/{_FILE}")):
        table = pq.ParquetFile(file).read()
        is_theirs = pc.equal(table["customer_id"], pa.scalar(customer_id, pa.large_string()))
        if pc.any(is_theirs).as_py():
            file.unlink()  # so that a full disk leaves nobody behind
            keep_table(file, table.filter(pc.invert(is_theirs)))
            n_changed += 1
    return n_changed


def _by_span(values: np.ndarray) -> Any:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values, dtype="float32").ravel()), N_SPANS)


def _nobody() -> KnownPersons:
    none = np.zeros((0, N_SPANS), dtype="float32")
    return KnownPersons(
        pa.array([], pa.large_string()), np.zeros(0, "uint64"), (none, none, np.zeros(0, dtype="float32"))
    )
