"""Halves of an adapter: its downs, its ups, its head, in the order of `LoraAdapter.flatten`."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from fedlora.adapter.lora import LoraAdapter, tensor_shapes
from fedlora.adapter.spec import AdapterSpec

Part: TypeAlias = Literal["down", "up", "head"]
Parts: TypeAlias = tuple[Part, ...]

WHOLE: Parts = ("down", "up", "head")


def part_shapes(spec: AdapterSpec, parts: Iterable[Part]) -> list[tuple[int, ...]]:
    """Shapes of the tensors that some parts consist of."""
    shapes = tensor_shapes(spec)
    return [shapes[name] for name in _names(spec, parts)]


def take_parts(adapter: LoraAdapter, parts: Iterable[Part]) -> Tensor:
    """Their values end to end, (n,)."""
    tensors = adapter.tensors()
    flat = [tensors[name].reshape(-1) for name in _names(adapter.spec, parts)]
    return torch.cat(flat) if flat else torch.zeros(0)


def put_parts(adapter: LoraAdapter, parts: Iterable[Part], values: Tensor) -> LoraAdapter:
    """The adapter with these parts in place of its own, values (n,) as `take_parts` gives them.

    Raises:
        FedloraError: a value is not finite.
    """
    names = list(_names(adapter.spec, parts))
    shapes = tensor_shapes(adapter.spec)
    pieces = values.split([torch.Size(shapes[name]).numel() for name in names])
    new = {name: piece.reshape(shapes[name]) for name, piece in zip(names, pieces, strict=True)}
    return LoraAdapter.from_tensors(adapter.spec, {**adapter.tensors(), **new})


def alone(adapter: LoraAdapter, factor: Part) -> LoraAdapter:
    """The adapter with an identity for its other factor: its DeltaW has that factor's geometry.

    So norms, cosines and ranks in product space are those of the one factor, times the scaling.
    """
    layers = adapter.spec.layers
    if factor == "down":
        eyes = {layer.name: torch.eye(layer.d_out, layer.rank) for layer in layers}
        return replace(adapter, up=eyes)
    eyes = {layer.name: torch.eye(layer.rank, layer.d_in) for layer in layers}
    return replace(adapter, down=eyes)


def _names(spec: AdapterSpec, parts: Iterable[Part]) -> Iterator[str]:
    wanted = set(parts)
    for layer in spec.layers:
        yield from (f"{layer.name}.{half}" for half in ("down", "up") if half in wanted)
    if "head" in wanted:
        yield from (f"head.{name}" for name, _ in spec.head)
