"""Linear systems most of whose unknowns fall into blocks that touch only each other and a common border.

The levels of one attribute share no dial, so among their coefficients the curvature is zero but within a level. With
those blocks taken out first, the matrix to be factorised has half the size, at a fifth of the work.
"""

import numpy as np
from scipy.linalg import lapack


def solve_bordered(matrix: np.ndarray, right: np.ndarray, blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solve ``matrix @ x = right``, and give the inverse where variances are read from it.

    Parameters
    ----------
    matrix : (n, n)
        Symmetric, positive definite; zero between unknowns of different blocks.
    right : (n,)
    blocks : (n_blocks, size) int
        Unknowns of each block; the others are the border.

    Returns
    -------
    solution : (n,)
    inverse : (n, n)
        Exact within every block and within the border, zero elsewhere.

    Raises
    ------
    numpy.linalg.LinAlgError
        The matrix is not positive definite.

    Examples
    --------
    >>> matrix = np.array([[2.0, 0.0, 1.0], [0.0, 4.0, 1.0], [1.0, 1.0, 3.0]])
    >>> solution, inverse = solve_bordered(matrix, np.ones(3), np.array([[0], [1]]))
    >>> bool(np.allclose(matrix @ solution, 1)), bool(np.allclose(np.diag(inverse), np.diag(np.linalg.inv(matrix))))
    (True, True)
    """
    border = np.setdiff1d(np.arange(len(matrix)), blocks)
    within = np.linalg.inv(matrix[blocks[:, :, None], blocks[:, None, :]])
    across = matrix[np.ix_(blocks.ravel(), border)]
    carried = (within @ across.reshape(*blocks.shape, len(border))).reshape(across.shape)
    of_border = _invert(matrix[np.ix_(border, border)] - across.T @ carried)
    solution = np.empty(len(matrix))
    solution[border] = of_border @ (right[border] - carried.T @ right[blocks.ravel()])
    alone = np.einsum("bij,bj->bi", within, right[blocks])
    solution[blocks] = alone - (carried @ solution[border]).reshape(blocks.shape)
    inverse = np.zeros_like(matrix)
    inverse[np.ix_(border, border)] = of_border
    back = (carried @ of_border).reshape(*blocks.shape, len(border))
    added = back @ carried.reshape(back.shape).transpose(0, 2, 1)
    inverse[blocks[:, :, None], blocks[:, None, :]] = within + added
    return solution, inverse


def _invert(matrix: np.ndarray) -> np.ndarray:
    """Inverse of a symmetric positive definite matrix, in half the time of a general one."""
    if len(matrix) == 0:
        return matrix
    factor, failed = lapack.dpotrf(matrix, lower=True, overwrite_a=True)
    if failed:
        raise np.linalg.LinAlgError(f"dpotrf: {failed}")
    half, _ = lapack.dpotri(factor, lower=True, overwrite_c=True)
    lower = np.tril(half)
    return np.asarray(lower + np.tril(lower, -1).T)
