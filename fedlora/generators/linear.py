"""Ridge regression on task vectors, as weights of the bank's tasks."""

import torch
from torch import Tensor

PENALTIES = tuple(10.0**power for power in range(-5, 4))


def ridge_weights(known: Tensor, conditions: Tensor, penalty: float) -> Tensor:
    """What each task counts in the prediction for conditions (m, c): (m, t) float64, rows sum to 1.

    The dual form of ridge regression with a free intercept: with Z = known (t, c), of mean zero,
    and K = Z Z^T, w(z) = 1/t + (z Z^T) (K + penalty k I)^-1 (I - 11^T / t), where k = tr(K) / t.
    """
    slopes = conditions.double() @ ridge_map(known, penalty)
    return 1 / len(known) + slopes - slopes.mean(1, keepdim=True)


def ridge_map(known: Tensor, penalty: float) -> Tensor:
    """Z^T (K + penalty k I)^-1 (c, t) float64: what foretells t values of mean zero."""
    known = known.double()
    kernel = known @ known.T
    lift = penalty * kernel.trace() / len(known) * torch.eye(len(known), dtype=torch.float64)
    solved: Tensor = torch.linalg.solve(kernel + lift, known)
    return solved.T


def left_out_error(known: Tensor, products: Tensor, penalty: float) -> float:
    """Mean squared error over tasks, each foretold from the others, as a share of the mean square.

    By its closed form (y_t - yhat_t) / (1 - H_tt) (Hastie et al., Elements of Statistical Learning,
    eq. 7.64); products (t, t) are the inner products of what is foretold.
    """
    hat = ridge_weights(known, known, penalty)
    misses = torch.eye(len(hat), dtype=torch.float64) - hat
    misses = misses / misses.diagonal().unsqueeze(1)
    return float(torch.sum((misses @ products) * misses) / torch.trace(products))


def best_penalty(known: Tensor, products: Tensor) -> tuple[float, float]:
    """The penalty with the smallest `left_out_error`, and that error; the first of equals."""
    errors = [(left_out_error(known, products, penalty), penalty) for penalty in PENALTIES]
    error, penalty = min(errors, key=lambda pair: pair[0])
    return penalty, error
