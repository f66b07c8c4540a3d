"""Class alignment: heads of separate tasks trained together on features drawn from memory."""

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from fedlora.continual.heads import Head, joined, split
from fedlora.continual.statistics import Statistics, nothing
from fedlora.section import Section

_TINY = 1e-7


class Alignment(Section):
    """How heads are aligned after each task; the published settings.

    samples: features drawn a class.
    temperature: of the logit norm, by which logits are divided.
    """

    samples: int = Field(256, ge=1)
    epochs: int = Field(5, ge=1)
    batch_size: int = Field(128, ge=1)
    learning_rate: float = Field(0.01, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    temperature: float = Field(0.1, gt=0)


def class_statistics(features: Tensor, labels: Tensor, classes: int) -> list[Statistics]:
    """Second moments of [feature, 1] of each class: sums of f f^T, of f, and the count in one.

    features: (n, width); labels: (n,) int64 below `classes`.
    """
    lifted = torch.cat([features, features.new_ones(len(features), 1)], dim=1).double()
    empty = nothing(lifted.shape[1])
    return [empty.add(lifted[labels == label]) for label in range(classes)]


def align(
    heads: list[Head], known: list[Statistics], settings: Alignment, generator: torch.Generator
) -> list[Head]:
    """Heads retrained together on Gaussian features of every class seen.

    Each class is drawn from N(mean, covariance) as they were when its task was learned; the cross
    entropy is over all classes, of logits divided by the mean of their norms a task, times a
    temperature (Zhang et al. 2023, SLCA, arXiv 2303.05118, equation 5; used by InfLoRA+CA).

    Args:
        heads: one a task, in the order of `known`'s classes.
        known: of each class of those heads, from `class_statistics`; one that was never seen
            (count 0) is not drawn.
        settings: how long and how fast.
        generator: of the draws and of the order.
    """
    seen = [label for label, one in enumerate(known) if one.count]
    features = torch.cat([_draw(known[label], settings.samples, generator) for label in seen])
    labels = torch.repeat_interleave(torch.tensor(seen), settings.samples)
    sizes = [len(head) for head in heads]
    whole = joined(heads)
    weight = whole.weight.clone().requires_grad_()
    bias = whole.bias.clone().requires_grad_()
    optimizer = torch.optim.SGD([weight, bias], settings.learning_rate, settings.momentum)
    steps = settings.epochs * -(-len(labels) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(settings.epochs):
        order = torch.randperm(len(labels), generator=generator)
        for batch in order.split(settings.batch_size):
            logits = functional.linear(features[batch], weight, bias)
            logits = _normed(logits, sizes) / settings.temperature
            loss = functional.cross_entropy(logits, labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return split(Head(weight.detach(), bias.detach()), sizes)


def _normed(logits: Tensor, sizes: list[int]) -> Tensor:
    """Logits divided by the mean over tasks of the norm of a task's logits."""
    norms = [torch.linalg.vector_norm(p, dim=-1, keepdim=True) for p in logits.split(sizes, -1)]
    return torch.div(logits, torch.cat(norms, dim=-1).mean(-1, keepdim=True) + _TINY)


def _draw(known: Statistics, samples: int, generator: torch.Generator) -> Tensor:
    """(samples, width) float32 from the class's Gaussian."""
    mean = known.mean[-1, :-1]
    covariance = known.mean[:-1, :-1] - torch.outer(mean, mean)
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = vectors * values.clamp_min(0).sqrt()
    noise = torch.randn(samples, len(mean), generator=generator, dtype=torch.float64)
    return (mean + noise @ root.T).float()
