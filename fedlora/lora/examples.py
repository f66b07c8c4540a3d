"""Images and labels of somebody's training script, checked before they reach a model."""

from typing import Any

import torch
from torch import Tensor

from fedlora.backbone.clip import ImageInput
from fedlora.errors import FedloraError
from fedlora.lora.received import is_plain


def prepared_images(data: Any, images: ImageInput) -> Tensor:
    """The images (n, channels, size, size) as a tensor.

    Raises:
        FedloraError: they are no numbers, of another size, have other channels, or are not finite.
    """
    pixels = _tensor(data, "images")
    if not pixels.is_floating_point():
        raise FedloraError(f"images of {pixels.dtype}: give floats, as prepare() makes them")
    taken = (images.channels, images.size, images.size)
    if tuple(pixels.shape[1:]) != taken:
        raise FedloraError(
            f"images of shape {tuple(pixels.shape)}: this model takes (n,"
            f" {', '.join(map(str, taken))}), which its prepare() makes of others"
        )
    if not bool(torch.isfinite(pixels).all()):
        raise FedloraError("images hold NaN or infinity: mend them, or leave them out")
    return pixels


def class_numbers(labels: Any, images: int, num_classes: int) -> Tensor:
    """The labels (n,) as int64.

    Raises:
        FedloraError: they are no integers, not one for each image, or of a class there is not.
    """
    truth = _tensor(labels, "labels")
    if truth.is_floating_point() or truth.ndim != 1:
        raise FedloraError(
            f"labels of {truth.dtype} and shape {tuple(truth.shape)}: give (n,) integers"
        )
    if len(truth) != images or images == 0:
        raise FedloraError(f"{images} images and {len(truth)} labels: give one for each")
    truth = truth.to(torch.int64)
    low, high = int(truth.min()), int(truth.max())
    if low < 0 or high >= num_classes:
        raise FedloraError(
            f"label {low if low < 0 else high} in the data, but num_classes={num_classes}: labels"
            " count from 0; raise num_classes or mend the labels"
        )
    return truth


def _tensor(values: Any, what: str) -> Tensor:
    try:
        tensor = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError):
        tensor = None
    if tensor is None or tensor.is_complex() or not is_plain(tensor):
        raise FedloraError(f"{what}: give numbers, in a tensor or an array")
    return tensor
