"""Trees over customers and slots, turned into trees over customers whose leaves are vectors over fixed slots.

For fixed slots every split on a slot feature is already decided. Where one stands above customer splits, both sides are
walked and each adds to its own slots.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import lightgbm as lgb
import numpy as np

MAX_LEAVES = 31
"""Leaves of a tree over customer features: a bit each in 32, and one that stays free for "adds nothing"."""
_MAX_TRIED = 96
"""Two trees with a greater product of leaves are not even tried as one."""

Leaf: TypeAlias = tuple[int, ...]
"""Which parts are added; () adds nothing."""
_Region: TypeAlias = dict[int, tuple[float, float, bool]]
"""Per customer feature, values above the first and up to the second, and whether missing is among them."""


@dataclass(frozen=True, slots=True)
class Split:
    """A customer whose ``feature`` is at most ``threshold`` goes left; ``nan_left`` says where missing values go."""

    feature: int
    threshold: float
    nan_left: bool
    left: "Split | Leaf"
    right: "Split | Leaf"
    n_leaves: int


Tree: TypeAlias = Split | Leaf


def flatten_forest(
    booster: lgb.Booster, slots: np.ndarray, n_customer_features: int
) -> tuple[list[Split], np.ndarray, np.ndarray]:
    """Trees over customers whose sum is the ensemble in the given slots.

    Parameters
    ----------
    booster, slots, n_customer_features
        As of :func:`models.contact.scoring.compile_forest`.

    Returns
    -------
    trees, parts, constant
        Trees of at most ``MAX_LEAVES`` leaves; the parts that their leaves add, (n_parts, n_slots) log-odds; and what
        every customer gets, (n_slots,) log-odds.

    Raises
    ------
    ValueError
        The ensemble holds a split other than ``<=``, or treats zero as missing.
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
    return _merge_alike([tree for tree in trees if isinstance(tree, Split)]), parts, constant


def count_leaves(tree: Tree) -> int:
    """Leaves that add something."""
    return tree.n_leaves if isinstance(tree, Split) else int(tree != ())


def list_leaves(tree: Tree) -> Iterator[Leaf]:
    """Leaves that add something, from left to right."""
    if isinstance(tree, Split):
        yield from list_leaves(tree.left)
        yield from list_leaves(tree.right)
    elif tree != ():
        yield tree


def _join(split: tuple[int, float, bool], left: Tree, right: Tree) -> Tree:
    n_leaves = count_leaves(left) + count_leaves(right)
    return Split(*split, left, right, n_leaves) if n_leaves else ()


def _halve(region: _Region, split: tuple[int, float, bool]) -> tuple[_Region | None, _Region | None]:
    """The parts of a region left and right of a split, None where nothing can be."""
    feature, threshold, nan_left = split
    above, up_to, has_nan = region.get(feature, (-np.inf, np.inf, True))
    left = (above, min(up_to, threshold), has_nan and nan_left)
    right = (max(above, threshold), up_to, has_nan and not nan_left)
    halves = [region | {feature: half} if half[0] < half[1] or half[2] else None for half in (left, right)]
    return halves[0], halves[1]


def _add_trees(first: Tree, second: Tree, region: _Region) -> Tree:
    """One tree that adds what both add to the customers of a region; what cannot be reached is dropped."""
    if not isinstance(first, Split):
        if not isinstance(second, Split):
            return first + second
        first, second = second, first
    split = (first.feature, first.threshold, first.nan_left)
    left, right = _halve(region, split)
    if left is None or right is None:
        inside = first.right if left is None else first.left
        return _add_trees(inside, second, region)
    return _join(split, _add_trees(first.left, second, left), _add_trees(first.right, second, right))


def _shorten(trees: list[Tree], region: _Region) -> list[Tree]:
    """The same sum by fewer trees: what is small is added up into one."""
    kept: list[Tree] = []
    for tree in sorted(trees, key=count_leaves):
        if kept and count_leaves(kept[-1]) * count_leaves(tree) <= _MAX_TRIED:
            both = _add_trees(kept[-1], tree, region)
            if count_leaves(both) <= MAX_LEAVES:
                kept[-1] = both
                continue
        kept.append(tree)
    return kept


def _merge_alike(trees: list[Split]) -> list[Split]:
    """Trees that ask the same customer features are added up, as far as one tree can hold."""
    alike: dict[frozenset[int], list[Tree]] = {}
    for tree in trees:
        alike.setdefault(frozenset(_list_features(tree)), []).append(tree)
    merged = (tree for group in alike.values() for tree in _shorten(group, {}))
    return [tree for tree in merged if isinstance(tree, Split)]


def _list_features(tree: Tree) -> Iterator[int]:
    if isinstance(tree, Split):
        yield tree.feature
        yield from _list_features(tree.left)
        yield from _list_features(tree.right)


class _SlotSplitter:
    """Turns a tree over customers and slots into trees over customers, whose sum it is."""

    def __init__(self, slots: np.ndarray, n_customer_features: int) -> None:
        self.slots = slots
        self.n_customer_features = n_customer_features
        self.parts: list[np.ndarray] = []

    def flatten(self, node: dict[str, Any], active: np.ndarray, region: _Region) -> list[Tree]:
        """Trees of at most ``MAX_LEAVES`` leaves for the active slots and the customers of a region."""
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

    def _split_slots(self, node: dict[str, Any], nan_left: bool, active: np.ndarray, region: _Region) -> list[Tree]:
        value = self.slots[:, node["split_feature"] - self.n_customer_features]
        goes_left = np.where(np.isnan(value), nan_left, value <= node["threshold"])
        left, right = active & goes_left, active & ~goes_left
        if not right.any():
            return self.flatten(node["left_child"], left, region)
        if not left.any():
            return self.flatten(node["right_child"], right, region)
        trees = self.flatten(node["left_child"], left, region) + self.flatten(node["right_child"], right, region)
        return _shorten(trees, region)


def _pair(split: tuple[int, float, bool], lefts: list[Tree], rights: list[Tree]) -> Iterator[Tree]:
    """Hang trees of both sides below a split: two at a time where one tree can hold both."""
    for k in range(max(len(lefts), len(rights))):
        left: Tree = lefts[k] if k < len(lefts) else ()
        right: Tree = rights[k] if k < len(rights) else ()
        if count_leaves(left) + count_leaves(right) <= MAX_LEAVES:
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
