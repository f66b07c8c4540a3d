"""What somebody who holds a task vector can make of it: an image that has its features."""

import torch
from torch import Tensor

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
        rough = image.diff(dim=-1).square().mean() + image.diff(dim=-2).square().mean()
        loss = (pooled.mean(0).cpu() - vector).square().mean() + 1e-3 * rough
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            image.clamp_(0, 1)
    return image.detach()


def likeness(image: Tensor, images: Tensor) -> float:
    """The correlation of an image's pixels with those of the nearest of n images."""
    flat = torch.cat([image, images]).flatten(1)
    return float(torch.corrcoef(flat)[0, 1:].max())
