"""Scoring customers × slots without ever building the cross join.

For fixed slots every split on a slot feature is already decided. Each tree of the ensemble therefore becomes a tree
over customer features only, whose leaves are vectors over the slots (:mod:`models.contact.slot_trees`). A customer's
row of log-odds is then a sum of vectors. A tree tells few slots apart, by the hour perhaps or the weekend; so trees
are added up in groups that leave the slots in few *cells*, and only a group's sum is spread over all slots.

Agrees with ``lightgbm.Booster.predict`` on the cross join to 1e-6; an unknown kind of split is refused, never guessed.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import lightgbm as lgb
import numba
import numpy as np
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager

from features.threads import on_threads
from models.contact.slot_trees import Split, Tree, count_leaves, flatten_forest, list_leaves

_WIDTH = 32
"""Cells of a group of trees; twice or three times as many where one tree has more."""
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
    vectors : (n_vectors, width) float32
        Log-odds for each cell of a tree's group.
    first_tree : (n_groups + 1,) int32
        Where each group begins.
    cell_of : (n_groups, n_slots) int32
        Which cell a slot lies in.
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
    first_tree: np.ndarray
    cell_of: np.ndarray
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
        trees = (self.splits, self.first_split, self.leaves_left, self.vector_of, self.vectors)
        spread = (self.first_tree, self.cell_of, self.constant)
        asked = (logits, columns.astype("int64"), np.ascontiguousarray(customers))
        on_threads(_add, (len(customers) + _BLOCK - 1) // _BLOCK, *asked, *binning, *trees, *spread)


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
    return _lay_out(*flatten_forest(booster, slots, n_customer_features))


@dataclass(slots=True)
class _Group:
    """Trees with their vectors, and the cell of each slot: slots of one cell get the same from every tree."""

    cells: tuple[int, ...]
    trees: list[tuple[Split, np.ndarray]]


def _group_trees(trees: list[Split], parts: np.ndarray) -> tuple[list[_Group], int]:
    """Groups of few cells each, and how many these may be; trees of many cells first, the others wherever they fit."""
    vectors = [_sum_parts(tree, parts) for tree in trees]
    cells = [_number(slot.tobytes() for slot in sums.T) for sums in vectors]
    n_cells = [len(set(cell)) for cell in cells]
    width = -(-max(n_cells, default=1) // _WIDTH) * _WIDTH
    groups: list[_Group] = []
    for tree in sorted(range(len(trees)), key=lambda tree: -n_cells[tree]):
        for group in groups:
            joint = _number(zip(group.cells, cells[tree], strict=True))
            if len(set(joint)) <= width:
                group.cells = joint
                break
        else:
            group = _Group(cells[tree], [])
            groups.append(group)
        group.trees.append((trees[tree], vectors[tree]))
    return groups, width


def _sum_parts(tree: Split, parts: np.ndarray) -> np.ndarray:
    """What each leaf adds to each slot, leaves from left to right."""
    leaves = list(list_leaves(tree))
    begins = np.cumsum([0] + [len(leaf) for leaf in leaves[:-1]])
    return np.add.reduceat(parts[[part for leaf in leaves for part in leaf]], begins).astype("float32")


def _number(keys: Iterable[Hashable]) -> tuple[int, ...]:
    """0, 1, 2, ... by first appearance; equal keys get the same number."""
    seen: dict[Hashable, int] = {}
    return tuple(seen.setdefault(key, len(seen)) for key in keys)


class _Layout:
    """Grows the flat arrays of a compiled forest."""

    def __init__(self, width: int) -> None:
        self.masks: list[dict[tuple[int, float, bool], tuple[int, int]]] = []
        self.vector_of: list[np.ndarray] = []
        self.vectors = [np.zeros((1, width), dtype="float32")]
        self.n_vectors = 1
        self.first_tree = [0]
        self.every = 0  # the leaves of the present tree, a bit each

    def add(self, group: _Group) -> None:
        for tree, sums in group.trees:
            self._add_tree(tree)
            vectors = np.zeros((len(sums), self.vectors[0].shape[1]), dtype="float32")
            vectors[:, group.cells] = sums
            self.vectors.append(vectors)
        while len(self.masks) % _AT_ONCE:
            self._add_tree(())
        self.first_tree.append(len(self.masks))

    def _add_tree(self, tree: Tree) -> None:
        self.masks.append({})
        self.vector_of.append(np.zeros(32, dtype="int32"))
        self.every = 2 ** (count_leaves(tree) + 1) - 2
        self._lay(tree, 1)

    def _lay(self, tree: Tree, bit: int) -> int:
        """Give the leaves of a tree the bits from ``bit`` on; the first bit that is left."""
        if not isinstance(tree, Split):
            if tree == ():
                return bit
            self.vector_of[-1][_hash_bit(bit)] = self.n_vectors
            self.n_vectors += 1
            return bit + 1
        middle = self._lay(tree.left, bit)
        end = self._lay(tree.right, middle)
        masks, split = self.masks[-1], (tree.feature, tree.threshold, tree.nan_left)
        if_left, if_right = masks.get(split, (self.every, self.every))
        masks[split] = (if_left & ~(2**end - 2**middle), if_right & ~(2**middle - 2**bit))
        return end


def _hash_bit(bit: int) -> int:
    return (int(_DE_BRUIJN) << bit) % 2**32 >> 27


def _lay_out(trees: list[Split], parts: np.ndarray, constant: np.ndarray) -> CompiledForest:
    groups, width = _group_trees(trees, parts)
    layout = _Layout(width)
    for group in groups:
        layout.add(group)
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
    return CompiledForest(
        features=np.array([feature for feature, _ in columns], dtype="int32"),
        nan_left=np.array([nan_left for _, nan_left in columns], dtype="bool"),
        thresholds=_round_down([cut for *_, cut in used]),
        first_threshold=first_threshold.astype("int32"),
        splits=np.array(splits, dtype="int32").reshape(-1, 2),
        first_split=np.cumsum([0] + [len(masks) for masks in layout.masks]).astype("int32"),
        leaves_left=np.array([m for masks in layout.masks for m in masks.values()], dtype="uint32").reshape(-1, 2),
        vector_of=np.array(layout.vector_of, dtype="int32").reshape(-1, 32),
        vectors=np.concatenate(layout.vectors),
        first_tree=np.array(layout.first_tree, dtype="int32"),
        cell_of=np.array([group.cells for group in groups], dtype="int32").reshape(-1, len(constant)),
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
    splits, first_split, leaves_left, vector_of, vectors, first_tree, cell_of, constant,
):  # fmt: skip
    n_groups, n_slots = cell_of.shape
    for block in range(first, last):
        rows = customers[block * _BLOCK : (block + 1) * _BLOCK]
        codes = np.empty((len(features), len(rows)), np.uint16)
        for c in range(len(features)):
            cuts = thresholds[first_threshold[c] : first_threshold[c + 1]]
            _code(rows[:, features[c]].copy(), cuts, nan_left[c], codes[c])
        totals, reached = np.zeros((n_slots, len(rows)), np.float32), np.empty((_AT_ONCE, len(rows)), np.uint32)
        for group in range(n_groups):
            sums = np.zeros((len(rows), vectors.shape[1]), np.float32)
            for tree in range(first_tree[group], first_tree[group + 1], _AT_ONCE):
                for k in range(_AT_ONCE):
                    begin, end = first_split[tree + k], first_split[tree + k + 1]
                    _find_vectors(codes, splits[begin:end], leaves_left[begin:end], vector_of[tree + k], reached[k])
                _add_vectors(sums, vectors, reached)
            _spread(totals, sums.T.copy(), cell_of[group])
        for i in range(len(rows)):
            for s in range(n_slots):
                logits[block * _BLOCK + i, columns[s]] += totals[s, i] + constant[s]


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


class _Disjoint(CompilerBase):
    """Compiles a function whose arrays never overlap; looking whether they do takes longer than a short addition."""

    def define_pipelines(self) -> list[PassManager]:
        self.state.flags.noalias = True
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]  # type: ignore[no-untyped-call]


@numba.njit(cache=True, pipeline_class=_Disjoint)
def _add_vectors(sums, vectors, reached):  # type: ignore[no-untyped-def]
    """Add eight vectors to each customer's sums in one pass."""
    for i in range(len(sums)):
        total = sums[i]
        a, b, c, d = vectors[reached[0, i]], vectors[reached[1, i]], vectors[reached[2, i]], vectors[reached[3, i]]
        e, f, g, h = vectors[reached[4, i]], vectors[reached[5, i]], vectors[reached[6, i]], vectors[reached[7, i]]
        for s in range(len(total)):
            total[s] += ((a[s] + b[s]) + (c[s] + d[s])) + ((e[s] + f[s]) + (g[s] + h[s]))


@numba.njit(cache=True, pipeline_class=_Disjoint)
def _spread(totals, sums, cell_of):  # type: ignore[no-untyped-def]
    """Add to each slot's totals the sums of its cell, customer by customer."""
    for s in range(len(totals)):
        total, of_cell = totals[s], sums[cell_of[s]]
        for i in range(len(total)):
            total[i] += of_cell[i]
