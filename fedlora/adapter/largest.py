"""The largest singular values of a matrix and their vectors, at the price of these alone."""

import torch
from torch import Tensor

LEAST = 256
"""Below this width the whole SVD takes milliseconds."""

SHARE = 4
"""More than a quarter of all singular values are found faster by the whole SVD."""

CONDITION = 1e-5
"""Of the largest singular value; a smaller one loses digits where it is squared."""


def largest(core: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """The first k = min(rank, m, n) triplets of the SVD of core (m, n) float64.

    Left vectors span the top eigenvectors of core core^T, the only ones that are computed (LAPACK's
    syevr); their values and the right vectors come from the SVD of the (k, n) projection, so that
    nothing is divided by a small number. Squaring halves the digits: a singular value of 1e-5 of
    the largest is exact to 1e-6 of itself still, below the precision of an adapter, and where one
    that is asked for is smaller than that, the whole SVD is taken.

    Returns:
        U (m, k), S (k,) falling, V^T (k, n).
    """
    m, n = core.shape
    if m > n:
        left, singular, right = largest(core.T, rank)
        return right.T, singular, left.T
    if m >= LEAST and SHARE * rank <= m:
        values, vectors = _top(core @ core.T, rank)
        if values[0] > CONDITION**2 * values[-1]:
            small, singular, right = torch.linalg.svd(vectors.T @ core, full_matrices=False)
            return vectors @ small, singular, right
    left, singular, right = torch.linalg.svd(core, full_matrices=False)
    return left[:, :rank], singular[:rank], right[:rank]


def _top(gram: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest eigenvalues (count,) rising, and their vectors (m, count)."""
    from scipy.linalg import eigh  # an import that most runs have no use for

    m = len(gram)
    values, vectors = eigh(gram.numpy(), subset_by_index=[m - count, m - 1])
    return torch.from_numpy(values), torch.from_numpy(vectors)
