"""What segment and slot say: additive tables of shrunk effects on the logit, from the overall rate to the segment.

logit = Σ tables[customer level, slot level]. Each table is a random effect: its cells are shrunk towards zero by as
much as the table's own variance, learned from the log, says they are noise. Along the hours of a day the effects of a
customer level are a curve made of a few shapes, so that an hour that was hardly dialled is filled in from its
neighbours. The shapes begin smooth (a Gaussian process) and are learned from all curves together, because people have
few daily rhythms: what tells one age from another tells one region from another too. A level nobody has seen adds
nothing: a prediction falls back from the segment's curve to that of the age, to everyone's, to the overall rate.

Tables of few levels explain much the same dials, so they are solved together: one by one, each would take the others'
share for known and learn too small a variance.

Source: Gelman & Hill, Data Analysis Using Regression and Multilevel Models (2007), ch. 14; Rasmussen & Williams,
Gaussian Processes for Machine Learning (2006), ch. 2; variances after MacKay, Bayesian interpolation (1992).
"""

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from models.contact.bordered import solve_bordered
from models.contact.cells import add_cells, add_step, add_table, slope_of_rows, sum_cells, sum_pairs
from models.contact.curves import believe_in, learn_shapes, second_moment, smooth_shapes, to_coefficients

SLOT_KEYS = {"": 1, "part": 8, "day_hour": 48, "hour_of_week": 168, "week_of_month": 6, "is_holiday": 2, "is_gotobi": 2}
"""Slot keys of tables and their numbers of levels; ``day_hour`` is the hour, on working days and on free days."""

_FIRST_VARIANCE = 0.02
_LEAST_VARIANCE = 1e-5
_INTERCEPT_VARIANCE = 1e4
_LONGEST_STEP = 2.0
_LITTLE = 0.0004  # variance of curves in doubt: at nothing at all they would stay, whatever later sweeps find
_MOST_LEVELS = 50  # of a table that is solved together with others, and of a key that gets curves


@dataclass(frozen=True)
class EffectTable:
    """One table of effects.

    Attributes
    ----------
    customer_key, slot_key
        Names of the keys, "" for "all".
    values : (n_customer_levels, n_slot_levels) float32
        Logits.
    variance
        Learned variance of the cells.
    since
        The effects hold for dials from this instant on, epoch seconds; 0: for all.
    """

    customer_key: str
    slot_key: str
    values: np.ndarray
    variance: float
    since: int = 0


def slot_codes(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Level of every row of a frame with slot features, for each of ``SLOT_KEYS``, and its ``seconds``; (n,) int each.

    >>> from configs.settings import Settings
    >>> from features.slots import build_slots
    >>> starts = pd.date_range("2026-11-24 09:00", periods=1, freq="h", tz="Asia/Tokyo")
    >>> slot_codes(build_slots(starts, Settings()))["day_hour"].tolist()
    [9]
    """
    codes = {
        "": np.zeros(len(frame)),
        "day_hour": frame["is_off_day"].to_numpy() * 24 + frame["hour"].to_numpy(),
        **{key: frame[key].to_numpy() for key in SLOT_KEYS if key not in ("", "day_hour")},
    }
    return {key: level.astype("int32") for key, level in codes.items()} | {"seconds": frame["seconds"].to_numpy()}


def list_tables(
    attributes: tuple[str, ...], segment_by: tuple[str, ...], n_levels: dict[str, int]
) -> list[tuple[str, str]]:
    """(customer key, slot key) of every table: overall, each attribute, each pair and the whole segment.

    Keys of many levels get no curves: thousands of them, from a few dials each, would bring more noise than they tell.

    >>> list_tables(("age",), ("age",), {"age": 9})[-1]
    ('age', 'day_hour')
    """
    pairs = ["×".join(pair) for pair in combinations(segment_by, 2)]
    crossed = dict.fromkeys([*attributes, *segment_by, *pairs, "×".join(segment_by)])
    overall = [("", key) for key in SLOT_KEYS]
    levels = [(key, "") for key in crossed if key]
    curves = [(key, "day_hour") for key in crossed if key and n_levels[key] <= _MOST_LEVELS]
    return [*overall, *levels, *curves]


def start_tables(keys: list[tuple[str, str]], n_levels: dict[str, int], since: int = 0) -> list[EffectTable]:
    """Tables of zeros for the given keys and numbers of customer levels; ``since`` as in :class:`EffectTable`.

    >>> start_tables([("age", "day_hour")], {"age": 3})[0].values.shape
    (3, 48)
    """
    return [
        EffectTable(
            customer,
            slot,
            np.zeros((n_levels[customer], SLOT_KEYS[slot]), dtype="float32"),
            _INTERCEPT_VARIANCE if (customer, slot) == ("", "") and not since else _FIRST_VARIANCE,
            since,
        )
        for customer, slot in keys
    ]


def fit_effects(
    tables: list[EffectTable],
    customer_codes: dict[str, np.ndarray],
    slot_code: dict[str, np.ndarray],
    is_contact: np.ndarray,
    person_mean: np.ndarray,
    person_variance: np.ndarray,
    n_sweeps: int,
    weight: np.ndarray | None = None,
    doubt: float = 10.0,
    alike: list[EffectTable] | None = None,
) -> list[EffectTable]:
    """Sweep over the tables, each taking a shrunk Newton step given the others and the persons.

    Parameters
    ----------
    tables
        Where to start.
    customer_codes, slot_code
        Level of every row per key, (n,) int32 each.
    is_contact : (n,) bool
    person_mean, person_variance : (n,) float
        What was believed of the person before the dial, see ``models.contact.persons``; the mean with fatigue.
    n_sweeps
        Passes over all tables; the first fit wants about six, a refit two.
    weight : (n,) float, optional
        What each row counts for; 1 by default.
    doubt
        Effects' worth of belief that curves do not differ.
    alike
        Tables whose curves show what shapes to begin with; by default those given.

    Returns
    -------
    list of EffectTable
        New tables; the given ones are untouched.
    """
    rows = _Rows(
        logit=person_mean + sum_effects(tables, customer_codes, slot_code).astype("float64"),
        kappa=1.0 / np.sqrt(1.0 + np.pi / 8 * person_variance.astype("float64")),
        is_contact=is_contact,
        weight=np.ones(len(is_contact)) if weight is None else weight.astype("float64"),
        doubt=doubt,
    )
    fitted, shapes = list(tables), {key: np.eye(n_levels) for key, n_levels in SLOT_KEYS.items()}
    if any(table.slot_key == "day_hour" for table in tables):
        shapes["day_hour"] = start_shapes(tables if alike is None else alike, slot_code["day_hour"])
    together = [k for k, table in enumerate(tables) if _is_solved_together(table)]
    alone = [k for k in range(len(tables)) if k not in together]
    joint = _Joint([tables[k] for k in together], customer_codes, slot_code)
    cells = {
        k: customer_codes[(t := tables[k]).customer_key] * t.values.shape[1] + slot_code[t.slot_key] for k in alone
    }
    for _ in range(n_sweeps):
        stepped, shapes["day_hour"] = joint.step(rows, [fitted[k] for k in together], shapes)
        for k, table in zip(together, stepped, strict=True):
            fitted[k] = table
        for k in alone:
            fitted[k] = _step_alone(fitted[k], rows, cells[k], shapes[fitted[k].slot_key])
    return [replace(t, values=t.values.astype("float32")) for t in fitted]


@dataclass
class _Rows:
    """The dials: ``logit`` (n,) of the moment, which the steps change in place, and what stays."""

    logit: np.ndarray
    kappa: np.ndarray
    is_contact: np.ndarray
    weight: np.ndarray
    doubt: float

    def slopes(self, cell: np.ndarray, n_cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sums over the rows of each cell: slope and curvature of the log-likelihood, number of rows."""
        slope, curvature = slope_of_rows(self.logit, self.kappa, self.is_contact, self.weight)
        sums = sum_cells(slope, curvature, cell, n_cells)
        return sums[0], sums[1], sums[2]


def _is_solved_together(table: EffectTable) -> bool:
    return table.slot_key in ("", "day_hour") and len(table.values) <= _MOST_LEVELS


class _Joint:
    """Tables that are solved together, laid out over the combinations of levels that occur."""

    def __init__(
        self, tables: list[EffectTable], customer_codes: dict[str, np.ndarray], slot_code: dict[str, np.ndarray]
    ) -> None:
        sizes = {t.customer_key: len(t.values) for t in tables}
        combined = slot_code["day_hour"].astype("int64") if any(t.slot_key for t in tables) else np.zeros(1, "int64")
        for key, n_levels in sizes.items():
            combined = combined * n_levels + customer_codes[key]
        _, first, self._cell = np.unique(combined, return_index=True, return_inverse=True)
        self._cell = np.broadcast_to(self._cell, len(next(iter(customer_codes.values()))))
        self._levels = [customer_codes[t.customer_key][first].astype("int64") for t in tables]
        self._slots = [slot_code[t.slot_key][first].astype("int64") for t in tables]

    def step(
        self, rows: _Rows, tables: list[EffectTable], shapes: dict[str, np.ndarray]
    ) -> tuple[list[EffectTable], np.ndarray]:
        """One Newton step of all coefficients at once, variances and shapes by what the data determine."""
        if not tables:
            return [], shapes["day_hour"]
        slope, curvature, _ = rows.slopes(self._cell, len(self._levels[0]))
        now = np.concatenate([to_coefficients(t.values, shapes[t.slot_key]).ravel() for t in tables])
        ends = np.cumsum([len(t.values) * shapes[t.slot_key].shape[1] for t in tables])
        stretches = [slice(int(start), int(end)) for start, end in zip(np.append(0, ends[:-1]), ends, strict=True)]
        precision = np.repeat([1.0 / t.variance for t in tables], [s.stop - s.start for s in stretches])
        bent = self._bend(curvature, tables, shapes) + np.diag(precision)
        pull = self._gather(slope, tables, shapes) - precision * now
        step, spread = solve_bordered(bent, pull, _list_blocks(tables, stretches))
        moved = self._spread_out(step, stretches, tables, shapes)
        kept = min(1.0, _LONGEST_STEP / max(float(np.abs(moved).max()), 1e-12))
        add_step(rows.logit, kept * moved, self._cell)
        stepped, moments = [], [believe_in(shapes["day_hour"])]
        for table, stretch in zip(tables, stretches, strict=True):
            found, own = (now + kept * step)[stretch], spread[stretch, stretch]
            determined = len(found) - float(np.trace(own)) / table.variance
            variance = _learn_variance(table, float(found @ found), determined, rows.doubt)
            stepped.append(_with(table, found, variance, shapes[table.slot_key]))
            if table.slot_key and table.customer_key:
                moments.append(second_moment(found, own, len(table.values)) / variance)
        return stepped, learn_shapes(shapes["day_hour"], np.sum(moments, axis=0))

    def _cells(self, nth: int, n_slots: int) -> np.ndarray:
        """Cell (level, slot) of every combination in a table; the slot is left out of a table that has one."""
        return self._levels[nth] * n_slots + (self._slots[nth] if n_slots > 1 else 0)

    def _gather(self, slope: np.ndarray, tables: list[EffectTable], shapes: dict[str, np.ndarray]) -> np.ndarray:
        """Slope of the log-likelihood in every coefficient."""
        sums = [
            np.bincount(self._cells(k, t.values.shape[1]), slope, t.values.size).reshape(t.values.shape)
            for k, t in enumerate(tables)
        ]
        return np.concatenate([(by @ shapes[t.slot_key]).ravel() for by, t in zip(sums, tables, strict=True)])

    def _spread_out(
        self, step: np.ndarray, stretches: list[slice], tables: list[EffectTable], shapes: dict[str, np.ndarray]
    ) -> np.ndarray:
        """What a step of the coefficients adds to the logit of every combination."""
        added = np.zeros(len(self._levels[0]))
        for k, (table, stretch) in enumerate(zip(tables, stretches, strict=True)):
            values = step[stretch].reshape(len(table.values), -1) @ shapes[table.slot_key].T
            add_cells(added, values, self._levels[k], self._slots[k])
        return added

    def _bend(self, curvature: np.ndarray, tables: list[EffectTable], shapes: dict[str, np.ndarray]) -> np.ndarray:
        """Curvature of the log-likelihood between all coefficients, block by block of two tables."""
        n = len(tables)
        blocks: list[list[Any]] = [[None] * n for _ in tables]
        for i in range(n):
            for j in range(i, n):
                blocks[i][j] = self._bend_two(curvature, i, j, tables, shapes)
                blocks[j][i] = blocks[i][j].T
        return np.block(blocks)

    def _bend_two(
        self, curvature: np.ndarray, i: int, j: int, tables: list[EffectTable], shapes: dict[str, np.ndarray]
    ) -> np.ndarray:
        one, other = shapes[tables[i].slot_key], shapes[tables[j].slot_key]
        n_slots, n_one, n_other = max(len(one), len(other)), len(tables[i].values), len(tables[j].values)
        slots = self._slots[i] if len(one) > 1 else self._slots[j]
        sums = np.zeros((n_one * n_other, n_slots))
        sum_pairs(sums, self._levels[i], self._levels[j], slots, curvature, n_other)
        products = (one[:, :, None] * other[:, None, :]).reshape(n_slots, -1)
        block = (sums @ products).reshape(n_one, n_other, one.shape[1], other.shape[1])
        return np.asarray(block.transpose(0, 2, 1, 3).reshape(n_one * one.shape[1], -1))


def _list_blocks(tables: list[EffectTable], stretches: list[slice]) -> np.ndarray:
    """Coefficients of each level of the customer key that has most of them; (n_levels, n_per_level) int."""
    keys = [table.customer_key for table in tables]
    places = [np.arange(s.start, s.stop).reshape(len(t.values), -1) for t, s in zip(tables, stretches, strict=True)]
    largest = max(keys, key=lambda key: sum(p.size for p, its in zip(places, keys, strict=True) if its == key))
    return np.concatenate([p for p, key in zip(places, keys, strict=True) if key == largest], axis=1)


def _step_alone(table: EffectTable, rows: _Rows, cell: np.ndarray, shapes: np.ndarray) -> EffectTable:
    """Newton step of one table, level by level, given all others."""
    size = table.values.shape
    slope, curvature, n_rows = (sums.reshape(size) for sums in rows.slopes(cell, table.values.size))
    levels = np.flatnonzero(n_rows.any(axis=1))
    now = to_coefficients(table.values, shapes)
    bent = np.einsum("sr,ls,sq->lrq", shapes, curvature[levels], shapes, optimize=True)
    spread = np.linalg.inv(bent + np.eye(shapes.shape[1]) / table.variance)
    step = np.einsum("lrq,lq->lr", spread, slope[levels] @ shapes - now[levels] / table.variance)
    found = now.copy()
    found[levels] += np.clip(step, -_LONGEST_STEP, _LONGEST_STEP)
    determined = float(np.einsum("lrq,lqr->", spread, bent))
    stepped = _with(table, found, _learn_variance(table, float(np.sum(found**2)), determined, rows.doubt), shapes)
    add_step(rows.logit, (stepped.values - table.values).ravel(), cell)
    return stepped


def start_shapes(tables: list[EffectTable], day_hours: np.ndarray) -> np.ndarray:
    """Smooth shapes, bent to the curves that are there already; (48, n_shapes), see ``models.contact.curves``."""
    shapes = smooth_shapes(np.unique(day_hours))
    moment = believe_in(shapes)
    for table in tables:
        if table.customer_key and table.slot_key == "day_hour":
            found = to_coefficients(table.values, shapes)
            moment += found.T @ found / table.variance
    return learn_shapes(shapes, moment)


def _with(table: EffectTable, coefficients: np.ndarray, variance: float, shapes: np.ndarray) -> EffectTable:
    values = coefficients.reshape(len(table.values), -1) @ shapes.T
    return replace(table, values=values, variance=variance)


def sum_effects(
    tables: list[EffectTable], customer_codes: dict[str, np.ndarray], slot_code: dict[str, np.ndarray]
) -> np.ndarray:
    """Logit of each row from the tables alone, each table from its ``since`` on; (n,) float32."""
    logit = np.zeros(len(next(iter(slot_code.values()))), dtype="float32")
    for table in tables:
        levels = (customer_codes[table.customer_key], slot_code[table.slot_key])
        seconds = slot_code["seconds"] if table.since else np.zeros(0, dtype="int64")
        add_table(logit, table.values.astype("float32", copy=False), *levels, seconds, table.since)
    return logit


def _learn_variance(table: EffectTable, squares: float, n_determined: float, doubt: float) -> float:
    """MacKay's fixed point: squares of the effects over the number of effects that the data determine.

    Of curves a few more, as a prior for hardly any: they have many shapes, and little data would find one in noise.
    """
    if not (table.customer_key or table.slot_key):
        return table.variance
    n_none = doubt if table.customer_key and table.slot_key else 0.0
    return float(np.clip((squares + n_none * _LITTLE) / max(n_determined + n_none, 1e-9), _LEAST_VARIANCE, 4.0))
