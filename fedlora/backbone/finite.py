"""Weights that a model can compute with."""

import torch
from torch import nn


def check_finite(model: nn.Module) -> None:
    """Refuse a model none of whose outputs would mean anything.

    Raises:
        ValueError: a parameter holds NaN or infinity.
    """
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise ValueError(f"its '{name}' holds NaN or infinity")
