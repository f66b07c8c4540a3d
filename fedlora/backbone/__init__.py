"""Frozen base models: loaded once a process, wrapped once, reset in place."""

from functools import lru_cache

import torch

from fedlora.backbone.load import BaseModel, Modality, load_base
from fedlora.backbone.slot import AdapterSlot
from fedlora.config import BackboneConfig, LoraSection
from fedlora.errors import FedloraError
from fedlora.spans import span

__all__ = ["AdapterSlot", "BaseModel", "Modality", "choose_device", "load_base", "open_slot"]


def choose_device(name: str) -> torch.device:
    """`auto` takes the GPU when there is one.

    Raises:
        FedloraError: the device does not exist here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise FedloraError(f"runtime.device: no device '{name}' here; use auto or cpu") from None
    return device


@lru_cache(maxsize=1)
@span("model")
def open_slot(backbone: BackboneConfig, lora: LoraSection, device: str) -> AdapterSlot:
    """The process's one wrapped model; asking again with the same settings is free.

    Raises:
        FedloraError: the model cannot be loaded, no layer matches, or the rank does not fit.
    """
    return AdapterSlot(load_base(backbone), lora, choose_device(device))
