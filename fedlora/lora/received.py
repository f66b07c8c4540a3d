"""Values from other people, before they enter a model."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fedlora.errors import FedloraError


def check_count(parameters: Sequence[Any], expected: int) -> None:
    """Refuse what is no list, or one of another length.

    Raises:
        FedloraError: which.
    """
    if not isinstance(parameters, list | tuple):
        raise FedloraError(f"parameters: give a list of arrays, not {type(parameters).__name__}")
    if len(parameters) != expected:
        raise FedloraError(
            f"{len(parameters)} parameters given, {expected} expected: rank, layers and"
            " save_only_trainable must be the same on both sides"
        )


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor holds a value for every place: it is neither sparse nor without data."""
    return tensor.layout is torch.strided and not tensor.is_meta


def fitting(name: str, value: Any, own: Tensor) -> Tensor:
    """The value as a tensor that can take the place of a model's own.

    Raises:
        FedloraError: it is not an array of real numbers, of another shape, or not finite in the
            type of the model's tensor.
    """
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise FedloraError(f"parameter '{name}' is not an array of numbers") from None
    if tuple(tensor.shape) != tuple(own.shape):
        raise FedloraError(f"parameter '{name}' is {tuple(tensor.shape)}, not {tuple(own.shape)}")
    if tensor.is_complex() or tensor.is_quantized or not is_plain(tensor):
        raise FedloraError(f"parameter '{name}' is not an array of real numbers")
    fitted = tensor.to(own.device, own.dtype)
    if torch.equal(fitted, own):
        return fitted  # a constant, whatever it holds
    if not bool(torch.isfinite(tensor).all() & torch.isfinite(fitted).all()):
        raise FedloraError(f"parameter '{name}' holds NaN or infinity, or is too large")
    return fitted
