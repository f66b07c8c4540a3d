"""DualGPM: the space that the gradients of old tasks lie in, kept in its shorter form."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fedlora.errors import FedloraError

Energy = Literal["features", "covariance"]
"""What a threshold is a share of: the squared singular values of the features H, as the paper
says, or those of C = H H^T / n, their fourth powers, as the released code computes."""

NOISE = float(torch.finfo(torch.float32).eps)
"""Singular values below this share of the largest are rounding: inputs and messages are float32."""


@dataclass(frozen=True, eq=False)
class Memory:
    """The span of a matrix M (d, k) with orthonormal columns: what old tasks' inputs span.

    A linear layer's gradient lies in the span of its inputs, so an update of the weights whose
    rows are orthogonal to M changes nothing for old inputs (Saha et al. 2021, arXiv 2103.09762).
    Where k > d / 2, the complement's basis is kept instead, which is then the shorter one
    (Liang and Li 2023, arXiv 2207.14543; Liang and Li 2024, arXiv 2404.00228, section 3.4).

    basis: (d, k) of M, or (d, d - k) of its complement; float64, orthonormal columns.
    complement: which of the two. Only `_kept` chooses, so the label and the basis cannot differ.
    """

    basis: Tensor
    complement: bool = False

    @classmethod
    def empty(cls, width: int) -> "Memory":
        """Before the first task."""
        return cls(torch.zeros(width, 0, dtype=torch.float64))

    @property
    def width(self) -> int:
        """d."""
        return len(self.basis)

    @property
    def size(self) -> int:
        """k, the dimension of M."""
        columns = self.basis.shape[1]
        return self.width - columns if self.complement else columns

    def beyond(self, matrix: Tensor) -> Tensor:
        """(I - M M^T) X = P P^T X: the part of each column of X (d, n) that M does not hold."""
        inside = self.basis @ (self.basis.T @ matrix)
        return inside if self.complement else matrix - inside

    def grow(self, moment: Tensor, threshold: float, energy: Energy = "features") -> "Memory":
        """With the fewest directions of a new task that bring the captured energy to a threshold.

        The captured energy is that of the part in M; directions are taken from the rest, the
        strongest first (Liang and Li 2024, equations 10 to 13).

        Args:
            moment: C = E[x x^T], (d, d) float64, collected with the trained model.
            threshold: in (0, 1]; 1 takes every direction that is more than rounding, no others.
            energy: what the threshold is a share of.

        Raises:
            FedloraError: the threshold is outside (0, 1], or C holds NaN or no energy.
        """
        check_moment(moment)
        if not 0 < threshold <= 1:
            raise FedloraError(f"threshold {threshold}: choose one above 0 and at most 1")
        residual, directions = self._residual(moment, energy)
        powers = _powers(residual, energy)
        whole = _powers(torch.linalg.eigvalsh(moment).clamp_min(0).flip(0), energy).sum()
        captured = whole - powers.sum() + torch.cumsum(powers, 0)
        reached = bool((whole - powers.sum()) >= threshold * whole)
        wanted = 0 if reached else 1 + int((captured < threshold * whole).sum())
        largest = float(torch.linalg.matrix_norm(moment, 2))
        real = int((residual > NOISE * largest).sum())
        return self._with(directions[:, : min(wanted, real)])

    def _residual(self, moment: Tensor, energy: Energy) -> tuple[Tensor, Tensor]:
        """Singular values, descending, and left vectors (d, d) of what M does not hold of C."""
        rest = self.beyond(moment)
        if energy == "covariance":
            left, singular, _ = torch.linalg.svd(rest)
            return singular, left
        rest = self.beyond(rest.T)  # of H: (I - M M^T) C (I - M M^T)
        values, vectors = torch.linalg.eigh((rest + rest.T) / 2)
        return values.flip(0).clamp_min(0), vectors.flip(1)

    def _with(self, directions: Tensor) -> "Memory":
        """M and further orthonormal directions (d, n), which must lie outside it."""
        if directions.shape[1] == 0:
            return self
        fresh = torch.linalg.qr(self.beyond(directions)).Q
        if self.complement:
            # The directions in coordinates of the complement, and what is left of it.
            inside = torch.linalg.qr(self.basis.T @ fresh, mode="complete").Q
            return Memory(self.basis @ inside[:, fresh.shape[1] :], complement=True)
        return _kept(torch.cat([self.basis, fresh], dim=1))


def _kept(basis: Tensor) -> Memory:
    """M in its shorter form. The full QR: a thin one has no columns for the complement."""
    width, size = basis.shape
    if 2 * size <= width:
        return Memory(basis)
    return Memory(torch.linalg.qr(basis, mode="complete").Q[:, size:], complement=True)


def check_moment(moment: Tensor) -> None:
    """Refuse a C that says nothing of where inputs lie.

    Raises:
        FedloraError: it holds NaN or infinity, or is zero.
    """
    if not bool(torch.isfinite(moment).all()):
        raise FedloraError(
            "its inputs hold NaN or infinity; check the data, or lower the learning rate"
        )
    if float(moment.diagonal().sum()) <= 0:
        raise FedloraError("features are zero: no example was counted")


def _powers(singular: Tensor, energy: Energy) -> Tensor:
    """The energy of each direction, given the singular values of C or of what is left of it."""
    return singular if energy == "features" else singular**2
