"""Steps of training that no example decides (DP-SGD, Abadi et al. 2016, arXiv 1607.00133)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedlora import seeding
from fedlora.finetune.objectives import Rows
from fedlora.finetune.objectives.contract import take
from fedlora.privacy.chance import noise_generator


@dataclass(frozen=True)
class Protection:
    """How one client's training is made noisy.

    clip: the most that one example's gradient measures (L2 over all that trains).
    noise: standard deviation of the noise, in units of `clip`.
    repeats: whether draws and noise follow from the seed.
    """

    clip: float
    noise: float
    repeats: bool

    def generator(self, seed: int) -> torch.Generator:
        """Of the draws of examples and of the noise."""
        return noise_generator(seeding.derive(seed, "privacy"), self.repeats)


def draws(count: int, batch: int, steps: int, generator: torch.Generator) -> list[Tensor]:
    """For each step the examples that take part: each by chance, `batch` of them on average."""
    rate = min(1.0, batch / count)
    return [
        torch.nonzero(torch.rand(count, generator=generator) < rate).flatten() for _ in range(steps)
    ]


def noisy_gradient(
    descend: Callable[[Rows], Tensor],
    trained: Sequence[nn.Parameter],
    rows: Rows,
    index: Tensor,
    expected: float,
    protection: Protection,
    generator: torch.Generator,
) -> Tensor:
    """Leave in the parameters the noisy mean of their examples' clipped gradients.

    Args:
        descend: leaves the gradient of the loss of given rows in the parameters; gives the loss.
        trained: the parameters.
        rows: n examples.
        index: those that take part in the step, perhaps none.
        expected: how many take part on average, by which the sum is divided, however many do.
        protection: clipping and noise.
        generator: of the noise.

    Returns:
        The mean loss, a scalar; zero where nobody takes part.
    """
    sums, losses = [torch.zeros_like(parameter) for parameter in trained], []
    for example in index.unsqueeze(1):
        losses.append(descend(take(rows, example)))
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
        norm = torch.linalg.vector_norm(torch.stack([grad.norm() for grad in grads]))
        share = (protection.clip / norm.clamp_min(1e-12)).clamp_max(1.0)
        sums = [total + share * grad for total, grad in zip(sums, grads, strict=True)]
    for parameter, total in zip(trained, sums, strict=True):
        drawn = torch.randn(total.shape, generator=generator).to(total)
        parameter.grad = (total + protection.clip * protection.noise * drawn) / expected
    return torch.stack(losses).mean() if losses else torch.zeros(())
