"""Values from other people, before they enter a model."""

from typing import Any

import torch
from torch import Tensor

from fedlora.errors import FedloraError


def finite(name: str, value: Any) -> Tensor:
    """The value as a tensor.

    Raises:
        FedloraError: it is not an array of finite numbers.
    """
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise FedloraError(f"parameter '{name}' is not an array of numbers") from None
    if not bool(torch.isfinite(tensor).all()):
        raise FedloraError(f"parameter '{name}' holds NaN or infinity")
    return tensor
