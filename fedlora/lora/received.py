"""Values from other people, before they enter a model."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fedlora.errors import FedloraError


def fitting(name: str, value: Any, shape: Sequence[int]) -> Tensor:
    """The value as a tensor of a parameter's shape.

    Raises:
        FedloraError: it is not an array of finite numbers, or of another shape.
    """
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise FedloraError(f"parameter '{name}' is not an array of numbers") from None
    if tuple(tensor.shape) != tuple(shape):
        raise FedloraError(f"parameter '{name}' is {tuple(tensor.shape)}, not {tuple(shape)}")
    if not bool(torch.isfinite(tensor).all()):
        raise FedloraError(f"parameter '{name}' holds NaN or infinity")
    return tensor
