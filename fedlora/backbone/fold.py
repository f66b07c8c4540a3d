"""An adapter as part of the frozen weights, for as long as a block runs."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from fedlora.adapter import LayerSpec, LoraAdapter
from fedlora.backbone.slot import AdapterSlot
from fedlora.errors import FedloraError


@contextmanager
def folded(slot: AdapterSlot, adapter: LoraAdapter | None) -> Iterator[None]:
    """W + DeltaW in place of W in every layer that the adapter has; None changes nothing.

    The slot itself stays free for another adapter. At the end the weights are the same bits as
    before, since a copy is put back rather than DeltaW taken off.

    Raises:
        FedloraError: the adapter is of another base model or has a layer that the slot has not.
    """
    if adapter is None:
        yield
        return
    weights = {layer.name: _weight(slot, layer.name) for layer in _checked(slot, adapter)}
    saved = {name: weight.detach().clone() for name, weight in weights.items()}
    try:
        with torch.no_grad():
            for name, weight in weights.items():
                delta = adapter.delta(name).to(weight)
                weight.add_(delta.T if _is_transposed(slot, name) else delta)
        yield
    finally:
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(saved[name])


def _checked(slot: AdapterSlot, adapter: LoraAdapter) -> tuple[LayerSpec, ...]:
    ours = {layer.name: (layer.d_in, layer.d_out) for layer in slot.spec.layers}
    for layer in adapter.spec.layers:
        if ours.get(layer.name) != (layer.d_in, layer.d_out):
            raise FedloraError(f"adapter has a layer '{layer.name}' that lora.targets does not")
    if adapter.spec.base != slot.spec.base:
        raise FedloraError("adapter of another base model: use the one it was trained on")
    return adapter.spec.layers


def _linear(slot: AdapterSlot, name: str) -> nn.Module:
    """The layer itself, below PEFT's wrapper."""
    return slot.base.model.get_submodule(f"{name}.base_layer")


def _weight(slot: AdapterSlot, name: str) -> Tensor:
    return _linear(slot, name).get_parameter("weight")


def _is_transposed(slot: AdapterSlot, name: str) -> bool:
    return isinstance(_linear(slot, name), Conv1D)
