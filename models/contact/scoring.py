"""Scoring customers × slots without ever building the cross join.

For fixed slots every split on a slot feature is already decided. Each tree of the ensemble therefore becomes a tree
over customer features only, whose leaves are vectors over the slots; where a slot split stands above customer
splits, both sides are walked and each adds to its own slots. A customer's row of log-odds is then a short sum of
vectors.

Agrees with ``lightgbm.Booster.predict`` on the cross join to 1e-6; an unknown kind of split is refused, never guessed.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import lightgbm as lgb
import numba
import numpy as np

from features.threads import on_threads

_MAX_LEAVES = 31
"""Leaves of a tree over customer features: a bit each in 32, and one that stays free for "adds nothing"."""
_MAX_TRIED = 96
"""Two trees with a greater product of leaves are not even tried as one."""
_BLOCK = 512
"""Customers whose codes and sums stay in the second cache together."""
_AT_ONCE = 8
"""Trees whose vectors are added in one pass over a customer's sums."""
_DE_BRUIJN = np.uint32(0x077CB531)
"""Multiplied by 2**k, its upper five bits are different for each k: which bit is set, without a search."""
_NAN_RIGHT = 65535


@dataclass(frozen=True)
class CompiledForest:
    """An ensemble over customer features whose leaves are vectors over fixed slots.

    A *code column* holds, per customer, how many of a feature's thresholds lie below its value; there is one for splits
    that send missing values left and one for the others, so that a split is a comparison of small integers.

    Attributes
    ----------
    features, nan_left : (n_code_columns,)
        Customer feature, and where missing values go.
    thresholds : (n_thresholds,) float32
        Rounded down, which no customer's float32 can tell; ascending within each code column. ``first_threshold``
        (n_code_columns + 1,) says where each begins.
    splits : (n_splits, 2) int32
        Code column, and the greatest code that goes left; ``first_split`` (n_trees + 1,) says where each tree begins.
    leaves_left : (n_splits, 2) uint32
        The leaves, a bit each, that a customer can still reach when it goes left, and when it goes right.
    vector_of : (n_trees, 32) int32
        Which vector a leaf adds, by the hash of its bit; 0 adds nothing.
    vectors : (n_vectors, n_slots) float32
        Log-odds.
    constant : (n_slots,) float64
        Log-odds that every customer gets.
    """

    features: np.ndarray
    nan_left: np.ndarray
    thresholds: np.ndarray
    first_threshold: np.ndarray
    splits: np.ndarray
    first_split: np.ndarray
    leaves_left: np.ndarray
    vector_of: np.ndarray
    vectors: np.ndarray
    constant: np.ndarray

    def add_to(self, logits: np.ndarray, columns: np.ndarray, customers: np.ndarray) -> None:
        """Add the ensemble's log-odds to ``logits[:, columns]`` in place.

        Parameters
        ----------
        logits : (m, n_all_slots) float32
        columns : (n_slots,) int
            Which columns the compiled slots are.
        customers : (m, n_customer_features) float32
        """
        binning = (self.features, self.nan_left, self.thresholds, self.first_threshold)
        trees = (self.splits, self.first_split, self.leaves_left, self.vector_of, self.vectors, self.constant)
        asked = (logits, columns.astype("int64"), np.ascontiguousarray(customers))
        on_threads(_add, (len(customers) + _BLOCK - 1) // _BLOCK, *asked, *binning, *trees)


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
    splitter = _SlotSplitter(np.asarray(slots, dtype="float64"), n_customer_features)
    every = np.ones(len(slots), dtype=bool)
    trees = [
        tree
        for info in booster.dump_model()["tree_info"]
        for tree in splitter.flatten(info["tree_structure"], every, {})
    ]
    parts = np.array(splitter.parts, dtype="float64").reshape(-1, len(slots))
    constant = parts[[part for tree in trees if isinstance(tree, tuple) for part in tree]].sum(axis=0)
    return _lay_out(_merge_alike([tree for tree in trees if isinstance(tree, _Split)]), parts, constant)


_Leaf: TypeAlias = tuple[int, ...]
"""Which parts are added; () adds nothing."""
_Region: TypeAlias = dict[int, tuple[float, float, bool]]
"""Per customer feature, values above the first and up to the second, and whether missing is among them."""


@dataclass(frozen=True, slots=True)
class _Split:
    feature: int
    threshold: float
    nan_left: bool
    left: "_Split | _Leaf"
    right: "_Split | _Leaf"
    n_leaves: int


_Tree: TypeAlias = _Split | _Leaf


def _count_leaves(tree: _Tree) -> int:
    return tree.n_leaves if isinstance(tree, _Split) else int(tree != ())


def _join(split: tuple[int, float, bool], left: _Tree, right: _Tree) -> _Tree:
    n_leaves = _count_leaves(left) + _count_leaves(right)
    return _Split(*split, left, right, n_leaves) if n_leaves else ()


def _halve(region: _Region, split: tuple[int, float, bool]) -> tuple[_Region | None, _Region | None]:
    """The parts of a region left and right of a split, None where nothing can be."""
    feature, threshold, nan_left = split
    above, up_to, has_nan = region.get(feature, (-np.inf, np.inf, True))
    left = (above, min(up_to, threshold), has_nan and nan_left)
    right = (max(above, threshold), up_to, has_nan and not nan_left)
    halves = [region | {feature: half} if half[0] < half[1] or half[2] else None for half in (left, right)]
    return halves[0], halves[1]


def _add_trees(first: _Tree, second: _Tree, region: _Region) -> _Tree:
    """One tree that adds what both add to the customers of a region; what cannot be reached is dropped."""
    if not isinstance(first, _Split):
        if not isinstance(second, _Split):
            return first + second
        first, second = second, first
    split = (first.feature, first.threshold, first.nan_left)
    left, right = _halve(region, split)
    if left is None or right is None:
        inside = first.right if left is None else first.left
        return _add_trees(inside, second, region)
    return _join(split, _add_trees(first.left, second, left), _add_trees(first.right, second, right))


def _shorten(trees: list[_Tree], region: _Region) -> list[_Tree]:
    """The same sum by fewer trees: what is small is added up into one."""
    kept: list[_Tree] = []
    for tree in sorted(trees, key=_count_leaves):
        if kept and _count_leaves(kept[-1]) * _count_leaves(tree) <= _MAX_TRIED:
            both = _add_trees(kept[-1], tree, region)
            if _count_leaves(both) <= _MAX_LEAVES:
                kept[-1] = both
                continue
        kept.append(tree)
    return kept


def _merge_alike(trees: list[_Split]) -> list[_Split]:
    """Trees that ask the same customer features are added up, as far as one tree can hold."""
    alike: dict[frozenset[int], list[_Tree]] = {}
    for tree in trees:
        alike.setdefault(frozenset(_list_features(tree)), []).append(tree)
    merged = (tree for group in alike.values() for tree in _shorten(group, {}))
    return [tree for tree in merged if isinstance(tree, _Split)]


def _list_features(tree: _Tree) -> Iterator[int]:
    if isinstance(tree, _Split):
        yield tree.feature
        yield from _list_features(tree.left)
        yield from _list_features(tree.right)


class _SlotSplitter:
    """Turns a tree over customers and slots into trees over customers, whose sum it is."""

    def __init__(self, slots: np.ndarray, n_customer_features: int) -> None:
        self.slots = slots
        self.n_customer_features = n_customer_features
        self.parts: list[np.ndarray] = []

    def flatten(self, node: dict[str, Any], active: np.ndarray, region: _Region) -> list[_Tree]:
        """Trees of at most ``_MAX_LEAVES`` leaves for the active slots and the customers of a region."""
        if "split_feature" not in node:
            self.parts.append(active * node["leaf_value"])
            return [(len(self.parts) - 1,)]
        nan_left = _read_missing(node)
        if node["split_feature"] >= self.n_customer_features:
            return self._split_slots(node, nan_left, active, region)
        split = (node["split_feature"], node["threshold"], nan_left)
        left, right = _halve(region, split)
        if left is None or right is None:
            return self.flatten(node["right_child" if left is None else "left_child"], active, region)
        lefts = self.flatten(node["left_child"], active, left)
        rights = self.flatten(node["right_child"], active, right)
        return list(_pair(split, lefts, rights))

    def _split_slots(self, node: dict[str, Any], nan_left: bool, active: np.ndarray, region: _Region) -> list[_Tree]:
        value = self.slots[:, node["split_feature"] - self.n_customer_features]
        goes_left = np.where(np.isnan(value), nan_left, value <= node["threshold"])
        left, right = active & goes_left, active & ~goes_left
        if not right.any():
            return self.flatten(node["left_child"], left, region)
        if not left.any():
            return self.flatten(node["right_child"], right, region)
        trees = self.flatten(node["left_child"], left, region) + self.flatten(node["right_child"], right, region)
        return _shorten(trees, region)


def _pair(split: tuple[int, float, bool], lefts: list[_Tree], rights: list[_Tree]) -> Iterator[_Tree]:
    """Hang trees of both sides below a split: two at a time where one tree can hold both."""
    for k in range(max(len(lefts), len(rights))):
        left: _Tree = lefts[k] if k < len(lefts) else ()
        right: _Tree = rights[k] if k < len(rights) else ()
        if _count_leaves(left) + _count_leaves(right) <= _MAX_LEAVES:
            yield _join(split, left, right)
        else:
            yield _join(split, left, ())
            yield _join(split, (), right)


def _read_missing(node: dict[str, Any]) -> bool:
    """Whether a missing value goes left."""
    if node["decision_type"] != "<=" or node["missing_type"] not in ("None", "NaN"):
        kind = json.dumps({key: node[key] for key in ("decision_type", "missing_type")})
        raise ValueError(f"a tree splits in a way that scoring does not know: {kind}")
    if node["missing_type"] == "None":  # none was missing in training: LightGBM reads it as zero
        return bool(node["threshold"] >= 0.0)
    return bool(node["default_left"])


class _Layout:
    """Grows the flat arrays of a compiled forest."""

    def __init__(self) -> None:
        self.masks: list[dict[tuple[int, float, bool], tuple[int, int]]] = []
        self.leaves: list[_Leaf] = [()]
        self.vector_of: list[np.ndarray] = []
        self.every = 0  # the leaves of the present tree, a bit each

    def add(self, tree: _Tree) -> None:
        self.masks.append({})
        self.vector_of.append(np.zeros(32, dtype="int32"))
        self.every = 2 ** (_count_leaves(tree) + 1) - 2
        self._lay(tree, 1)

    def _lay(self, tree: _Tree, bit: int) -> int:
        """Give the leaves of a tree the bits from ``bit`` on; the first bit that is left."""
        if not isinstance(tree, _Split):
            if tree == ():
                return bit
            self.vector_of[-1][_hash_bit(bit)] = len(self.leaves)
            self.leaves.append(tree)
            return bit + 1
        middle = self._lay(tree.left, bit)
        end = self._lay(tree.right, middle)
        masks, split = self.masks[-1], (tree.feature, tree.threshold, tree.nan_left)
        if_left, if_right = masks.get(split, (self.every, self.every))
        masks[split] = (if_left & ~(2**end - 2**middle), if_right & ~(2**middle - 2**bit))
        return end


def _hash_bit(bit: int) -> int:
    return (int(_DE_BRUIJN) << bit) % 2**32 >> 27


def _lay_out(trees: list[_Split], parts: np.ndarray, constant: np.ndarray) -> CompiledForest:
    layout = _Layout()
    for tree in trees:
        layout.add(tree)
    while len(layout.masks) % _AT_ONCE:
        layout.add(())
    used = sorted({(feature, nan_left, cut) for masks in layout.masks for feature, cut, nan_left in masks})
    columns = sorted({key[:2] for key in used})
    first_threshold = np.searchsorted([columns.index(key[:2]) for key in used], range(len(columns) + 1))
    if np.diff(first_threshold).max(initial=0) >= _NAN_RIGHT:
        raise ValueError(f"a feature is split at {np.diff(first_threshold).max():,} thresholds; scoring knows 65,534")
    place = {key: k for k, key in enumerate(used)}
    column = {key: c for c, key in enumerate(columns)}
    splits = [
        (column[feature, nan_left], place[feature, nan_left, cut] - first_threshold[column[feature, nan_left]])
        for masks in layout.masks
        for feature, cut, nan_left in masks
    ]
    begins = np.cumsum([0] + [len(leaf) for leaf in layout.leaves[1:-1]])
    flat = [part for leaf in layout.leaves for part in leaf]
    sums = np.add.reduceat(parts[flat], begins) if flat else parts[:0]
    return CompiledForest(
        features=np.array([feature for feature, _ in columns], dtype="int32"),
        nan_left=np.array([nan_left for _, nan_left in columns], dtype="bool"),
        thresholds=_round_down([cut for *_, cut in used]),
        first_threshold=first_threshold.astype("int32"),
        splits=np.array(splits, dtype="int32").reshape(-1, 2),
        first_split=np.cumsum([0] + [len(masks) for masks in layout.masks]).astype("int32"),
        leaves_left=np.array([m for masks in layout.masks for m in masks.values()], dtype="uint32").reshape(-1, 2),
        vector_of=np.array(layout.vector_of, dtype="int32").reshape(-1, 32),
        vectors=np.concatenate([np.zeros((1, parts.shape[1])), sums]).astype("float32"),
        constant=constant,
    )


def _round_down(cuts: list[float]) -> np.ndarray:
    """The greatest float32 that is not above each; a float32 is above both or neither."""
    with np.errstate(over="ignore"):  # LightGBM's greatest cut stands for infinity
        nearest = np.array(cuts, dtype="float32")
    return np.where(nearest > np.array(cuts, dtype="float64"), np.nextafter(nearest, np.float32(-np.inf)), nearest)


@numba.njit(cache=True, nogil=True)
def _add(  # type: ignore[no-untyped-def]
    first, last, logits, columns, customers, features, nan_left, thresholds, first_threshold,
    splits, first_split, leaves_left, vector_of, vectors, constant,
):  # fmt: skip
    n_slots, n_trees = vectors.shape[1], len(vector_of)
    for block in range(first, last):
        rows = customers[block * _BLOCK : (block + 1) * _BLOCK]
        codes = np.empty((len(features), len(rows)), np.uint16)
        for c in range(len(features)):
            cuts = thresholds[first_threshold[c] : first_threshold[c + 1]]
            _code(rows[:, features[c]].copy(), cuts, nan_left[c], codes[c])
        totals, reached = np.zeros((len(rows), n_slots), np.float32), np.empty((_AT_ONCE, len(rows)), np.uint32)
        for tree in range(0, n_trees, _AT_ONCE):
            for k in range(_AT_ONCE):
                begin, end = first_split[tree + k], first_split[tree + k + 1]
                _find_vectors(codes, splits[begin:end], leaves_left[begin:end], vector_of[tree + k], reached[k])
            _add_vectors(totals, vectors, reached)
        for i in range(len(rows)):
            for s in range(n_slots):
                logits[block * _BLOCK + i, columns[s]] += totals[i, s] + constant[s]


@numba.njit(cache=True)
def _code(values, cuts, nan_left, codes):  # type: ignore[no-untyped-def]
    """How many cuts lie below each value; counted one by one, eight values at once, which beats any search."""
    codes[:] = 0
    for cut in cuts:
        for i in range(len(values)):
            codes[i] += np.uint16(values[i] > cut)
    if not nan_left:
        for i in range(len(values)):
            if np.isnan(values[i]):
                codes[i] = _NAN_RIGHT


@numba.njit(cache=True)
def _find_vectors(codes, splits, leaves_left, vector_of, reached):  # type: ignore[no-untyped-def]
    """The vector that a tree adds, for each customer: what no split rules out."""
    reached[:] = np.uint32(0xFFFFFFFF)
    for k in range(len(splits)):
        column, most = codes[splits[k, 0]], np.uint16(splits[k, 1])
        if_left, if_right = leaves_left[k, 0], leaves_left[k, 1]
        for i in range(len(reached)):
            reached[i] &= if_right if column[i] > most else if_left
    for i in range(len(reached)):
        reached[i] = vector_of[np.uint32(reached[i] * _DE_BRUIJN) >> np.uint32(27)]


@numba.njit(cache=True)
def _add_vectors(totals, vectors, reached):  # type: ignore[no-untyped-def]
    """Add eight vectors to each customer's sums in one pass."""
    for i in range(len(totals)):
        total = totals[i]
        a, b, c, d = vectors[reached[0, i]], vectors[reached[1, i]], vectors[reached[2, i]], vectors[reached[3, i]]
        e, f, g, h = vectors[reached[4, i]], vectors[reached[5, i]], vectors[reached[6, i]], vectors[reached[7, i]]
        for s in range(len(total)):
            total[s] += ((a[s] + b[s]) + (c[s] + d[s])) + ((e[s] + f[s]) + (g[s] + h[s]))
