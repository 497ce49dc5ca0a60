"""Scoring customers × slots without ever building the cross join.

For fixed slots every split on a slot feature is already decided. Each tree of the ensemble therefore becomes a tree
over customer features only, whose leaves are vectors over the slots; where a slot split stands above customer
splits, both sides are walked and each adds to its own slots. A customer's row of log-odds is then a short sum of
vectors.

Agrees with ``lightgbm.Booster.predict`` on the cross join to 1e-6 (tests/test_scoring.py); a split of a kind that is
not understood is refused, never guessed.
"""

import json
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numba
import numpy as np

_LEAF, _BOTH = -1, -2


@dataclass(frozen=True)
class CompiledForest:
    """An ensemble over customer features whose leaves are vectors over fixed slots.

    Attributes
    ----------
    feature : (n_nodes,) int32
        Customer feature split on; -1 a leaf (``left`` is its vector), -2 both children count.
    threshold, nan_left, nan_as_zero, left, right : (n_nodes,)
    roots : (n_trees,) int32
    vectors : (n_vectors, n_slots) float32
        Log-odds.
    """

    feature: np.ndarray
    threshold: np.ndarray
    nan_left: np.ndarray
    nan_as_zero: np.ndarray
    left: np.ndarray
    right: np.ndarray
    roots: np.ndarray
    vectors: np.ndarray

    def add_to(self, logits: np.ndarray, columns: np.ndarray, customers: np.ndarray) -> None:
        """Add the ensemble's log-odds to ``logits[:, columns]`` in place.

        Parameters
        ----------
        logits : (m, n_all_slots) float32
        columns : (n_slots,) int
            Which columns the compiled slots are.
        customers : (m, n_customer_features) float32
        """
        if self.roots.size and len(customers):
            arrays = (self.feature, self.threshold, self.nan_left, self.nan_as_zero, self.left, self.right, self.roots)
            _walk(logits, columns.astype("int64"), np.ascontiguousarray(customers), *arrays, self.vectors)


def compile_forest(booster: lgb.Booster, slots: np.ndarray, n_customer_features: int) -> CompiledForest:
    """Decide every slot split of an ensemble for the given slots.

    Parameters
    ----------
    booster
        Trained on ``n_customer_features`` customer features followed by the slot features.
    slots : (n_slots, n_slot_features) float
        Slot features of the slots, in the booster's order.

    Raises
    ------
    ValueError
        The ensemble holds a split other than ``<=``, or treats zero as missing.

    Examples
    --------
    >>> X = np.column_stack([np.arange(100) % 2, np.arange(100) % 3]).astype(float)
    >>> options = {"verbose": -1, "min_data_in_leaf": 1, "objective": "binary"}
    >>> booster = lgb.train(options, lgb.Dataset(X, X[:, 0] * X[:, 1] > 0), 3)
    >>> forest = compile_forest(booster, np.array([[0.0], [1.0], [2.0]]), 1)
    >>> logits = np.zeros((1, 3), dtype="float32")
    >>> forest.add_to(logits, np.arange(3), np.array([[1.0]], dtype="float32"))
    >>> cross = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    >>> bool(np.allclose(logits[0], booster.predict(cross, raw_score=True)))
    True
    """
    builder = _Builder(np.asarray(slots, dtype="float64"), n_customer_features)
    every = np.ones(len(slots), dtype=bool)
    roots = [builder.add(tree["tree_structure"], every) for tree in booster.dump_model()["tree_info"]]
    nodes = list(zip(*builder.nodes, strict=True)) if builder.nodes else [()] * 6
    kinds = ("int32", "float64", "bool", "bool", "int32", "int32")
    columns = [np.array(values, dtype=kind) for values, kind in zip(nodes, kinds, strict=True)]
    vectors = np.array(builder.vectors, dtype="float32").reshape(-1, len(slots))
    feature, threshold, nan_left, nan_as_zero, left, right = columns
    return CompiledForest(
        feature, threshold, nan_left, nan_as_zero, left, right, np.array(roots, dtype="int32"), vectors
    )


class _Builder:
    """Grows the flat nodes; a subtree without customer splits collapses into one vector."""

    def __init__(self, slots: np.ndarray, n_customer_features: int) -> None:
        self.slots = slots
        self.n_customer_features = n_customer_features
        self.nodes: list[tuple[int, float, bool, bool, int, int]] = []
        self.vectors: list[np.ndarray] = []

    def add(self, node: dict[str, Any], active: np.ndarray) -> int:
        if "split_feature" not in node:
            return self._add_vector(np.where(active, node["leaf_value"], 0.0))
        nan_left, nan_as_zero = _read_missing(node)
        if node["split_feature"] < self.n_customer_features:
            here = self._reserve()
            children = self.add(node["left_child"], active), self.add(node["right_child"], active)
            self.nodes[here] = (node["split_feature"], node["threshold"], nan_left, nan_as_zero, *children)
            return here
        value = self.slots[:, node["split_feature"] - self.n_customer_features]
        value = np.where(np.isnan(value) & nan_as_zero, 0.0, value)
        goes_left = np.where(np.isnan(value), nan_left, value <= node["threshold"])
        return self._add_slot_split(node, active & goes_left, active & ~goes_left)

    def _add_slot_split(self, node: dict[str, Any], left: np.ndarray, right: np.ndarray) -> int:
        if not right.any():
            return self.add(node["left_child"], left)
        if not left.any():
            return self.add(node["right_child"], right)
        here = self._reserve()
        children = self.add(node["left_child"], left), self.add(node["right_child"], right)
        if all(self.nodes[child][0] == _LEAF for child in children):
            vectors = [self.vectors[self.nodes[child][4]] for child in children]
            del self.nodes[here:]
            return self._add_vector(vectors[0] + vectors[1])
        self.nodes[here] = (_BOTH, 0.0, False, False, *children)
        return here

    def _add_vector(self, vector: np.ndarray) -> int:
        self.vectors.append(vector)
        self.nodes.append((_LEAF, 0.0, False, False, len(self.vectors) - 1, 0))
        return len(self.nodes) - 1

    def _reserve(self) -> int:
        self.nodes.append((_LEAF, 0.0, False, False, 0, 0))
        return len(self.nodes) - 1


def _read_missing(node: dict[str, Any]) -> tuple[bool, bool]:
    """(NaN goes left, NaN is read as zero) of a split."""
    if node["decision_type"] != "<=" or node["missing_type"] not in ("None", "NaN"):
        kind = json.dumps({key: node[key] for key in ("decision_type", "missing_type")})
        raise ValueError(f"a tree splits in a way that scoring does not know: {kind}")
    return bool(node["default_left"]), node["missing_type"] == "None"


@numba.njit(parallel=True, cache=True)
def _walk(  # type: ignore[no-untyped-def]
    logits, columns, customers, feature, threshold, nan_left, nan_as_zero, left, right, roots, vectors
):
    n_slots = vectors.shape[1]
    for i in numba.prange(customers.shape[0]):
        total, stack = np.zeros(n_slots), np.empty(256, np.int32)
        for root in roots:
            stack[0], depth = root, 1
            while depth > 0:
                depth -= 1
                node = stack[depth]
                while feature[node] >= 0:
                    value = np.float64(customers[i, feature[node]])
                    if np.isnan(value) and nan_as_zero[node]:
                        value = np.float64(0.0)
                    goes_left = nan_left[node] if np.isnan(value) else value <= threshold[node]
                    node = left[node] if goes_left else right[node]
                if feature[node] == _LEAF:
                    for s in range(n_slots):
                        total[s] += vectors[left[node], s]
                else:
                    stack[depth], stack[depth + 1] = left[node], right[node]
                    depth += 2
        for s in range(n_slots):
            logits[i, columns[s]] += total[s]
