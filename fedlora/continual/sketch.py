"""Fewer bytes for the statistics: their strongest directions alone."""

import torch
from torch import Tensor

from fedlora.continual.statistics import Statistics
from fedlora.errors import FedloraError


def sketch(statistics: Statistics, rank: int) -> tuple[Tensor, float]:
    """The best approximation of a sum of x x^T by `rank` directions (Eckart and Young 1936).

    Returns:
        F (rank, d) float32 with F^T F about the sum, and the share of its trace that is lost,
        which is what the sum's largest possible error is measured against.
    """
    values, vectors = torch.linalg.eigh(statistics.total)
    values = values.clamp_min(0).flip(0)
    rank = min(rank, len(values))
    factor = (vectors.flip(1)[:, :rank] * values[:rank].sqrt()).T
    whole = float(values.sum())
    lost = float(values[rank:].sum()) / whole if whole > 0 else 0.0
    return factor.float().contiguous(), lost


def unsketch(factor: Tensor, width: int, count: int) -> Statistics:
    """The statistics that a factor stands for, when anybody may have sent it.

    Raises:
        FedloraError: not (at most d, d) float32 and finite, or a count that is negative.
    """
    if factor.ndim != 2 or factor.shape[1] != width or len(factor) > width:
        raise FedloraError(f"sketch of {tuple(factor.shape)} for width {width}")
    if factor.dtype != torch.float32 or not bool(torch.isfinite(factor).all()) or count < 0:
        raise FedloraError("sketch that is not float32 and finite, or with a negative count")
    wide = factor.double()
    return Statistics(wide.T @ wide, count)
