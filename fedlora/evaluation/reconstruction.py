"""What somebody who holds a task vector or an adapter can make of it: images that lead to it."""

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.finetune.local import put
from fedlora.finetune.objectives import Objective, Rows


def reconstruct(
    objective: Objective, vector: Tensor, like: Rows, steps: int = 200, rate: float = 0.05
) -> Tensor:
    """Images (1, c, h, w) whose pooled features come as near to a vector as descent brings them.

    Gradient descent on the pixels through the frozen base model, which every client has, from
    grey, with a small penalty on differences of neighbours (after Mahendran and Vedaldi 2015,
    arXiv 1412.0035).

    Args:
        objective: a task of images.
        vector: (width,) pooled features, as `task_vector` gives them.
        like: encoded rows, for the images' shape.
        steps: of Adam.
        rate: its learning rate.
    """
    image = torch.full(like["pixel_values"][:1].shape, 0.5, requires_grad=True)
    optimizer = torch.optim.Adam([image], rate)
    labels = like["labels"][:1]
    for _ in range(steps):
        with objective.slot.disabled():
            pooled, _, _ = objective.hidden({"pixel_values": image, "labels": labels})
        loss = (pooled.mean(0).cpu() - vector).square().mean() + 1e-3 * _rough(image)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            image.clamp_(0, 1)
    return image.detach()


def match(
    objective: Objective,
    start: LoraAdapter,
    trained: LoraAdapter,
    like: Rows,
    labels: Tensor,
    seed: int,
    steps: int = 100,
    rate: float = 0.1,
) -> Tensor:
    """Images (n, c, h, w) whose gradient points where an adapter's training went.

    Gradient matching (Zhu et al. 2019, arXiv 1906.08935) by the cosine, with a penalty on
    differences of neighbours (Geiping et al. 2020, arXiv 2003.14053): of the loss's gradient at the
    start with start - trained, over the factors and the head that training has moved. Of each
    gradient the root is compared, its sign kept, since AdamW's steps lie between gradients and
    their signs.

    Args:
        objective: a task of images.
        start: the adapter that it was trained from, which the server sends to everybody.
        trained: the adapter that came back.
        like: encoded rows, for the images' shape.
        labels: (n,) of the images that are looked for, known or guessed.
        seed: of the faint noise on the grey that they start from.
        steps: of Adam.
        rate: its learning rate, which falls linearly to zero.

    Raises:
        ValueError: the two adapters are the same.
    """
    parameters = [*objective.slot.parameters(), *objective.head().values()]
    put(objective, trained)
    ends = [parameter.detach().clone() for parameter in parameters]
    put(objective, start)
    moves = [parameter.detach() - end for parameter, end in zip(parameters, ends, strict=True)]
    moved = [(p, move) for p, move in zip(parameters, moves, strict=True) if move.any()]
    if not moved:
        raise ValueError("an adapter that training has not moved from its start")
    trains = [parameter for parameter, _ in moved]
    wanted = torch.cat([move.flatten() for _, move in moved])

    shape = (len(labels), *like["pixel_values"].shape[1:])
    noise = torch.randn(shape, generator=seeding.generator(seed, "images"))
    made = (0.5 + 0.01 * noise).requires_grad_()
    optimizer = torch.optim.Adam([made], rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    for _ in range(steps):
        with sdpa_kernel(SDPBackend.MATH):  # the other kernels have no second derivative
            loss = objective.loss({"pixel_values": made, "labels": labels})
            slopes = torch.autograd.grad(loss, trains, create_graph=True)
            found = torch.cat([slope.flatten() for slope in slopes])
            floor = 1e-3 * found.detach().abs().mean()
            roots = found.sign() * (found.abs() + floor).sqrt()
            away = 1 - functional.cosine_similarity(roots, wanted, dim=0).cpu()
            (made.grad,) = torch.autograd.grad(away + 3 * _rough(made), [made])
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            made.clamp_(0, 1)
    return made.detach()


def likeness(made: Tensor, images: Tensor) -> float:
    """The correlation of an image's pixels with those of the nearest of n images.

    made: (k, c, h, w); the mean over them where there are several.
    """
    flat = torch.cat([made, images]).flatten(1)
    return float(torch.corrcoef(flat)[: len(made), len(made) :].amax(1).mean())


def _rough(images: Tensor) -> Tensor:
    """Mean squared difference of neighbouring pixels, a scalar."""
    return images.diff(dim=-1).square().mean() + images.diff(dim=-2).square().mean()
