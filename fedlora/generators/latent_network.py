"""What conditional variational auto-encoders of every shape have in common."""

from abc import abstractmethod

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedlora.generators.learner import Learner
from fedlora.generators.representation.product_error import ProductError
from fedlora.section import Section

# An axis of the latent space is in use when the mean of its posterior varies more than this over
# the bank (Burda et al. 2016, arXiv 1509.00519, section 5.2).
ACTIVE = 0.01


class LatentTerms(Section):
    """The latent space, and the terms of the loss."""

    latent: int = Field(8, ge=1)
    kl_weight: float = Field(0.1, ge=0)
    kl_warm_up: float = Field(0.3, ge=0, le=1, description="share of the training")
    free_bits: float = Field(0.0, ge=0, description="nats a latent axis carries unpunished")
    condition_noise: float = Field(0.2, ge=0, description="of the main condition's spread")
    product_weight: float = Field(
        0.0,
        ge=0,
        description="of the error of DeltaW beside that of its factors; 1 weighs both alike",
    )


class LatentNetwork(Learner):
    """Encoder q(z | x, c), prior p(z | c) and decoder p(x | z, c) (Sohn et al. 2015).

    Points x (n, k), projected conditions c (n, m), latents z (n, l). The prior is the standard
    normal where a subclass has no other.

    product_error: of points made and true, told before the training where its weight is not 0.
    """

    config: LatentTerms

    def __init__(self) -> None:
        super().__init__()
        self.product_error: ProductError | None = None

    @abstractmethod
    def encode(self, points: Tensor, conditions: Tensor) -> Tensor:
        """Mean and log-variance of q(z | x, c), side by side (n, 2 l)."""

    @abstractmethod
    def decode(self, z: Tensor, conditions: Tensor) -> Tensor:
        """Points (n, k)."""

    def prior_of(self, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (n, l) of p(z | c)."""
        standard = conditions.new_zeros(len(conditions), self.config.latent)
        return standard, standard

    @override
    def losses(self, *batch: Tensor, done: float, noise: torch.Generator) -> dict[str, Tensor]:
        """|decode(z, c) - x|^2 + weight KL(q(z | x, c) || p(z | c)), means over the batch.

        The weight grows linearly over the first part of the training; free bits as Kingma et al.
        2016 (arXiv 1606.04934, equation 15). Conditions are blurred, so that near tasks have near
        adapters. The error of DeltaW is added where it has a weight.
        """
        points, conditions = batch
        conditions = conditions + self.config.condition_noise * _normal(conditions, noise)
        mean, log_variance = self.posterior(points, conditions)
        z = mean + torch.exp(log_variance / 2) * _normal(mean, noise)
        made = self.decode(z, conditions)
        miss = torch.sum((made - points) ** 2, dim=1).mean()
        kl = _divergence(mean, log_variance, *self.prior_of(conditions)).mean(0)
        warm_up = self.config.kl_warm_up
        weight = self.config.kl_weight * (min(1.0, done / warm_up) if warm_up else 1.0)
        loss = miss + weight * kl.clamp(min=self.config.free_bits).sum()
        found = {"loss": loss, "reconstruction": miss, "kl": kl.sum()}
        if self.product_error is not None:
            product = self.product_error(made, points).mean()
            found |= {"loss": loss + self.config.product_weight * product, "product": product}
        return found

    def posterior(self, points: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (n, l) of q(z | x, c)."""
        return gaussian(self.encode(points, conditions))

    @torch.inference_mode()
    def active_units(self, points: Tensor, conditions: Tensor) -> int:
        """Latent axes that say more than the condition; 0 means that the posterior collapsed.

        With a learned prior the posterior's mean moves with the condition anyway, so what counts
        is how far it moves from the prior's.
        """
        mean, _ = self.posterior(points, conditions)
        prior, _ = self.prior_of(conditions)
        return int(((mean - prior).var(0, correction=0) > ACTIVE).sum())


def gaussian(both: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance (n, l) each, from both side by side; the latter within reason."""
    mean, log_variance = both.chunk(2, dim=1)
    return mean, log_variance.clamp(-8.0, 4.0)


def _normal(like: Tensor, noise: torch.Generator) -> Tensor:
    """Drawn on the CPU, so that every device sees the same."""
    return torch.randn(like.shape, generator=noise).to(like)


def _divergence(mean: Tensor, log_variance: Tensor, to: Tensor, to_log: Tensor) -> Tensor:
    """KL between two diagonal Gaussians, axis by axis (n, l)."""
    gap = (mean - to) ** 2 / to_log.exp()
    return (to_log - log_variance + (log_variance - to_log).exp() + gap - 1) / 2
