"""Steps of training that no example decides (DP-SGD, Abadi et al. 2016, arXiv 1607.00133)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedlora import seeding
from fedlora.finetune.objectives import Rows
from fedlora.finetune.objectives.contract import take
from fedlora.privacy.chance import Chance, chance_of

AT_ONCE = 32
"""Examples whose gradients are held at a time."""

Gradients = Callable[[Rows], tuple[Tensor, list[Tensor]]]
"""Losses (n,) of n examples, and of each trained parameter the gradients (n, ...) of them."""


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

    def chance(self, seed: int) -> Chance:
        """Of the draws of examples and of the noise."""
        return chance_of(seeding.derive(seed, "privacy"), self.repeats)


def draws(count: int, batch: int, steps: int, chance: Chance) -> list[Tensor]:
    """For each step the examples that take part: each by chance, `batch` of them on average."""
    rate = min(1.0, batch / count)
    return [torch.nonzero(chance.uniform(count) < rate).flatten() for _ in range(steps)]


def noisy_gradient(
    gradients: Gradients,
    trained: Sequence[nn.Parameter],
    rows: Rows,
    index: Tensor,
    expected: float,
    protection: Protection,
    chance: Chance,
) -> Tensor:
    """Leave in the parameters the noisy mean of their examples' clipped gradients.

    Args:
        gradients: gives those of each of a few examples.
        trained: the parameters.
        rows: n examples.
        index: those that take part in the step, perhaps none.
        expected: how many take part on average, by which the sum is divided, however many do.
        protection: clipping and noise.
        chance: of the noise.

    Returns:
        The mean loss, a scalar; zero where nobody takes part.
    """
    sums, losses = [torch.zeros_like(parameter) for parameter in trained], []
    for few in index.split(AT_ONCE) if len(index) else ():
        loss, each = gradients(take(rows, few))
        losses.append(loss)
        norms = torch.stack([g.flatten(1).norm(dim=1) for g in each]).norm(dim=0)
        shares = (protection.clip / norms.clamp_min(1e-12)).clamp_max(1.0)
        clipped = (torch.tensordot(shares.to(g), g, 1) for g in each)
        sums = [total + own for total, own in zip(sums, clipped, strict=True)]
    for parameter, total in zip(trained, sums, strict=True):
        drawn = chance.normal(total.shape, torch.float32).to(total)
        parameter.grad = (total + protection.clip * protection.noise * drawn) / expected
    return torch.cat(losses).mean() if losses else torch.zeros(())


def one_by_one(descend: Callable[[Rows], Tensor], trained: Sequence[nn.Parameter]) -> Gradients:
    """Gradients from a pass for each example.

    descend: leaves the gradient of the loss of given rows in the parameters; gives the loss.
    """

    def gradients(rows: Rows) -> tuple[Tensor, list[Tensor]]:
        losses, found = [], []
        for example in torch.arange(len(next(iter(rows.values())))).unsqueeze(1):
            losses.append(descend(take(rows, example)))
            found.append([torch.zeros_like(p) if p.grad is None else p.grad for p in trained])
        return torch.stack(losses), [torch.stack(own) for own in zip(*found, strict=True)]

    return gradients
