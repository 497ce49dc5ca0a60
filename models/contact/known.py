"""What was believed of persons at the end of one run, so that the next only filters those who were dialled since.

Beliefs hang on the model, on a customer's levels and on the customer's own dials, and on nothing else. All three are
hashed beside what is kept: where the hash is the same the belief is the same to the last bit, and where it is not,
because of a new dial, a correction, another region or another model, the filter runs again over that customer's dials.
"""

import hashlib
import json
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.outcomes import OUTCOMES
from features.table import DialLog
from models.contact.effects import SLOT_KEYS, slot_codes
from models.contact.hierarchy import Hierarchy

Believed = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Mean and variance of all spans (m, n_spans), chance of never (m,)."""


@dataclass(frozen=True)
class KnownPersons:
    """Beliefs of m customers about whom the filter has been asked before.

    Attributes
    ----------
    customer_ids : (m,) pyarrow large_string
    own : (m,) uint64
        Hash of the customer's levels and dials.
    believed
        Of each of them.
    """

    customer_ids: Any
    own: np.ndarray
    believed: Believed


def name_hierarchy(hierarchy: Hierarchy) -> str:
    """Name of all that turns dials into beliefs; another model has another name."""
    seen = hashlib.sha256(json.dumps(vars(hierarchy.encoding), default=float).encode())
    laws = (astuple(hierarchy.variances), astuple(hierarchy.never), hierarchy.fatigue)
    seen.update(json.dumps(laws, default=float).encode())
    for table in hierarchy.tables:
        seen.update(f"{table.customer_key}|{table.slot_key}|{table.since}|{table.values.shape}".encode())
        seen.update(np.ascontiguousarray(table.values, dtype="float32").tobytes())
    return seen.hexdigest()[:16]


def recall_persons(hierarchy: Hierarchy, log: DialLog, before_seconds: np.ndarray, known: KnownPersons) -> Believed:
    """What is believed of every customer before an instant, running the filter only over those whose hash is new.

    Parameters
    ----------
    before_seconds : (n_customers,) int
        An instant for each customer of the log.
    known
        Of the same hierarchy.

    Returns
    -------
    Mean and variance (n_customers, n_spans), chance of never (n_customers,), float32: what the filter says, exactly.
    """
    own = hash_persons(hierarchy, log, before_seconds)
    ids = pa.array(log.customers["customer_id"], pa.large_string(), from_pandas=True)
    kept = pc.index_in(ids, known.customer_ids).fill_null(-1).to_numpy(zero_copy_only=False).astype("int64")
    is_known = kept >= 0
    is_known[is_known] = known.own[kept[is_known]] == own[is_known]
    rest = np.flatnonzero(~is_known)
    fresh = _filter_again(hierarchy, log, rest, before_seconds[rest])
    believed = []
    for old, new in zip(known.believed, fresh, strict=True):
        column = np.empty((len(own), *new.shape[1:]), dtype="float32")
        column[is_known], column[rest] = old[kept[is_known]], new
        believed.append(column)
    return believed[0], believed[1], believed[2]


def hash_persons(hierarchy: Hierarchy, log: DialLog, before_seconds: np.ndarray) -> np.ndarray:
    """Hash of each customer's levels and of the dials before an instant, in their order; (n_customers,) uint64."""
    history, everyone = log.history, np.arange(len(log.customers))
    dials = np.zeros(len(log.dials), dtype="uint64")
    slots, slot = slot_codes(log.dials), np.zeros(len(log.dials), dtype="int64")
    for key, n_levels in SLOT_KEYS.items():
        slot = slot * n_levels + slots[key]
    outcome = pc.index_in(pa.array(log.dials["outcome"]), pa.array(OUTCOMES)).fill_null(-1)
    said = slots["seconds"] * (len(OUTCOMES) + 1) + np.asarray(outcome) + 1
    nth = np.arange(len(log.dials)) - history.first[history.customer_row]
    for facts in (said, slot, nth):
        dials = _mix(dials ^ facts.astype("uint64"))
    total = np.append(np.uint64(0), np.cumsum(dials, dtype="uint64"))
    own = total[history.position(everyone, before_seconds)] - total[history.first[:-1]]
    for levels in hierarchy.encoding.encode(log.customers).values():
        own = _mix(own ^ levels.astype("uint64"))
    return np.asarray(own)


def _filter_again(hierarchy: Hierarchy, log: DialLog, rows: np.ndarray, before_seconds: np.ndarray) -> Believed:
    theirs = log.of_customers(rows)
    if len(theirs.dials) == 0:  # nothing to run, which saves waking numba
        return hierarchy.believe_nothing(len(rows))
    states = hierarchy.person_states(theirs)
    return states.at(theirs.history.position(rows, before_seconds), theirs.history.first[rows])


def _mix(words: np.ndarray) -> np.ndarray:
    """Finish of SplitMix64 (Steele, Lea and Flood, 2014): every bit comes to hang on every other; (n,) uint64."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(words ^ (words >> np.uint64(31)))
