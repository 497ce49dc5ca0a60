"""Systems with blocks and a border: against the plain inverse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.contact.bordered import solve_bordered


def draw_system(seed: int, n_blocks: int, size: int, n_border: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positive definite, zero between blocks, its unknowns shuffled; right side; the unknowns of each block."""
    rng = np.random.default_rng(seed)
    n = n_blocks * size + n_border
    root = rng.normal(size=(3 * n, n))
    for row in range(3 * n):  # every row of the root touches one block and the border
        root[row, : n_blocks * size] *= np.arange(n_blocks * size) // size == row % n_blocks
    shuffled = rng.permutation(n)
    matrix = (root.T @ root + np.eye(n))[np.ix_(np.argsort(shuffled), np.argsort(shuffled))]
    return matrix, rng.normal(size=n), shuffled[: n_blocks * size].reshape(n_blocks, size)


@given(st.integers(0, 1000), st.integers(1, 5), st.integers(1, 4), st.integers(0, 6))
def test_solution_and_inverse_are_those_of_the_whole_matrix(seed: int, n_blocks: int, size: int, n_border: int) -> None:
    matrix, right, blocks = draw_system(seed, n_blocks, size, n_border)
    solution, inverse = solve_bordered(matrix, right, blocks)
    whole = np.linalg.inv(matrix)
    assert solution == pytest.approx(whole @ right, abs=1e-8)
    for block in [*blocks, np.setdiff1d(np.arange(len(matrix)), blocks)]:
        assert inverse[np.ix_(block, block)] == pytest.approx(whole[np.ix_(block, block)], abs=1e-8)


def test_a_matrix_that_is_not_positive_definite_is_refused() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        solve_bordered(-np.eye(3), np.ones(3), np.array([[0]]))
