"""Rows and cells of the tables of effects: the compiled core of their fit."""

from typing import Any

import numba
import numpy as np

from features.threads import on_threads

_BLOCK = 32_768  # rows; fewer are not worth a second thread


def slope_of_rows(logit: Any, kappa: Any, is_contact: Any, weight: Any) -> Any:
    """Slope and curvature of each row's log-likelihood in its logit; (n_rows,) each."""
    slope, curvature = np.empty(len(logit)), np.empty(len(logit))
    on_threads(_slope_of_rows, (len(logit) + _BLOCK - 1) // _BLOCK, logit, kappa, is_contact, weight, slope, curvature)
    return slope, curvature


@numba.njit(cache=True, nogil=True)
def _slope_of_rows(first, last, logit, kappa, is_contact, weight, slope, curvature):  # type: ignore[no-untyped-def]
    for row in range(np.uint64(first * _BLOCK), np.uint64(min(last * _BLOCK, len(logit)))):  # no row < 0 to look for
        p = 1.0 / (1.0 + np.exp(-kappa[row] * logit[row]))
        slope[row] = weight[row] * kappa[row] * ((1.0 if is_contact[row] else 0.0) - p)
        curvature[row] = weight[row] * kappa[row] * kappa[row] * p * (1.0 - p)


@numba.njit(cache=True)
def sum_cells(slope, curvature, cell, n_cells):  # type: ignore[no-untyped-def]
    """Sums over the rows of each cell of slopes and curvatures, and the number of rows; (n_cells,) each."""
    slopes, curvatures, n_rows = np.zeros(n_cells), np.zeros(n_cells), np.zeros(n_cells, np.int64)
    for row in range(len(slope)):
        slopes[cell[row]] += slope[row]
        curvatures[cell[row]] += curvature[row]
        n_rows[cell[row]] += 1
    return slopes, curvatures, n_rows


@numba.njit(cache=True)
def add_step(logit, step, cell):  # type: ignore[no-untyped-def]
    """Add the step of its cell to each row's logit."""
    for row in range(np.uint64(len(logit))):
        logit[row] += step[cell[row]]


@numba.njit(cache=True, parallel=True)  # a parallel loop is told that its arrays do not overlap: twice as quick
def add_table(logit, values, level, slot, seconds, since):  # type: ignore[no-untyped-def]
    """Add a table's value for its level and slot to each row from an instant on, 0: to all."""
    for row in numba.prange(len(logit)):
        if since == 0 or seconds[row] >= since:
            logit[row] += values[level[row], slot[row]]


@numba.njit(cache=True)
def sum_pairs(sums, one, other, slot, curvature, n_other):  # type: ignore[no-untyped-def]
    """Add the curvature of each cell to that of its pair of levels, in its slot."""
    for cell in range(len(curvature)):
        sums[one[cell] * n_other + other[cell], slot[cell]] += curvature[cell]


@numba.njit(cache=True)
def add_cells(added, values, level, slot):  # type: ignore[no-untyped-def]
    """Add a table's value for its level and slot to each cell."""
    for cell in range(len(added)):
        added[cell] += values[level[cell], slot[cell]]
