"""Values from other people, before they enter a model."""

from typing import Any

import torch
from torch import Tensor

from fedlora.errors import FedloraError


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
    if tensor.is_complex():
        raise FedloraError(f"parameter '{name}' is not an array of real numbers")
    fitted = tensor.to(own.dtype)
    if not bool(torch.isfinite(tensor).all() & torch.isfinite(fitted).all()):
        raise FedloraError(f"parameter '{name}' holds NaN or infinity, or is too large")
    return fitted
