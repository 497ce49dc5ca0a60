"""Trees grown by all workers of a cluster together: ``lightgbm.dask``, each worker on its share of the rows."""

import logging
from collections.abc import Iterable
from typing import Any

import lightgbm as lgb
import numpy as np

from models.contact.boosting import PATIENCE, Callback, Grow, LabelledRows
from models.contact.model import BASE
from pipelines.cluster import Cluster


def grow_on(cluster: Cluster) -> Grow:
    """Give what grows trees on the cluster, to be handed to ``models.contact.fitting.fit_night``.

    ``lightgbm.dask`` cannot stop early, so that all trees are grown, and where the customers kept apart gain no more
    is found afterwards. As many workers grow the same trees every time.
    """

    def grow(
        options: dict[str, Any], n_trees: int, learn: LabelledRows, calibrate: LabelledRows, _: Iterable[Callback]
    ) -> lgb.Booster:
        _hush()
        cluster.client.run(_hush)
        names = [name for name in learn[0].columns if name != BASE]
        features, is_contact, base = _spread(cluster, learn, names)
        known = {name: value for name, value in options.items() if name != "num_threads"}  # the worker's own number
        steady: Any = _SteadyClient(cluster.client)
        together = lgb.DaskLGBMClassifier(client=steady, n_estimators=n_trees, tree_learner="data", **known)
        together.fit(features, is_contact, init_score=base, feature_name=names)
        booster = _forget_addresses(together.booster_)
        booster.best_iteration = find_best_iteration(booster, calibrate)
        return booster

    return grow


def _forget_addresses(booster: lgb.Booster) -> lgb.Booster:
    """The same trees without the addresses and ports of the workers, which LightGBM writes into a model's text."""
    network = ("[machines:", "[local_listen_port:", "[num_machines:", "[time_out:")
    lines = booster.model_to_string().splitlines(keepends=True)
    return lgb.Booster(model_str="".join(line for line in lines if not line.startswith(network)))


def find_best_iteration(booster: lgb.Booster, calibrate: LabelledRows) -> int:
    """Number of trees with the least log loss before ``PATIENCE`` further ones brought nothing, as if stopped early."""
    rows, is_contact = calibrate
    features = rows[[name for name in rows.columns if name != BASE]].to_numpy()
    logit, losses = rows[BASE].to_numpy("float64").copy(), []
    for tree in range(booster.num_trees()):
        logit += np.asarray(booster.predict(features, raw_score=True, start_iteration=tree, num_iteration=1))
        losses.append(float((np.logaddexp(0.0, logit) - is_contact * logit).mean()))
        if tree - int(np.argmin(losses)) >= PATIENCE:
            break
    return int(np.argmin(losses)) + 1 if losses else 0


class _SteadyClient:
    """A client that lists data by the address of its worker, in which order LightGBM ranks the workers.

    Which worker finds the bins of which feature depends on the rank, and so would the trees.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def who_has(self, futures: Any) -> dict[str, Any]:
        """Say which workers hold what, by their addresses."""
        return dict(sorted(self._client.who_has(futures).items(), key=lambda held: tuple(held[1])))


def _spread(cluster: Cluster, learn: LabelledRows, names: list[str]) -> tuple[Any, Any, Any]:
    """Features, outcomes and base logits as Dask arrays, every k-th row on one of k workers.

    They are on the workers before arrays are made of them, else LightGBM cannot tell which belong together (its issue
    6920).
    """
    import dask.array
    from dask.delayed import delayed

    da: Any = dask.array  # without annotations

    rows, is_contact = learn
    k, columns = cluster.n_workers, (rows[names].to_numpy("float32"), is_contact.astype("float32"), rows[BASE])
    spread = []
    for column in (*columns[:2], columns[2].to_numpy("float32")):
        shares = [np.ascontiguousarray(column[part::k]) for part in range(k)]
        held = zip(cluster.scatter(shares), shares, strict=True)
        spread.append(
            da.concatenate([da.from_delayed(delayed(there), share.shape, "float32") for there, share in held])
        )
    return spread[0], spread[1], spread[2]


def _hush() -> None:
    """Let LightGBM tell of its connections in the log, not on the screen."""
    lgb.register_logger(logging.getLogger("kakedoki.lightgbm"))
