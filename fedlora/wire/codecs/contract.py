"""What a codec is: an adapter in, bytes out, and back within a stated error."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self, TypeAlias

import torch
from torch import Tensor

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.lora import tensor_shapes
from fedlora.errors import FedloraError
from fedlora.section import Section

Shapes: TypeAlias = Sequence[tuple[int, ...]]
"""Of the tensors whose values lie end to end; both sides know them, they never travel."""


class Codec(ABC):
    """Turns the values of an adapter into bytes; one file a codec in `wire/codecs/`.

    A codec writes `pack`, `unpack`, `most` and `bound` for values that lie end to end, so that
    half an adapter travels as well as a whole one. What it needs beside the values (scales,
    indices) it puts into the bytes, where it is counted.

    measure: what `error_bound` bounds: the change of any one value, or the distance of the two
        adapters in product space, for a codec that keeps DeltaW but not its factors.
    feedback: whether what was lost is to be added to what is sent next (`client/tuition.py`).
    relative: whether it sends differences to what the other side knows (`against`).
    """

    Config: ClassVar[type[Section]]
    measure: Literal["value", "product"] = "value"
    feedback: bool = False
    relative: bool = False

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def pack(self, values: Tensor, shapes: Shapes) -> Tensor:
        """Finite values (n,) float32 as (m,) uint8; equal values, equal bytes.

        Raises:
            FedloraError: a value cannot be carried (it would overflow).
        """

    @abstractmethod
    def unpack(self, data: Tensor, shapes: Shapes) -> Tensor:
        """The inverse of `pack`, (n,) float32, for (m,) uint8 from anybody.

        Whether the values are finite is for the caller to see.

        Raises:
            FedloraError: the data is not of the length that the shapes imply, checked before
                anything is allocated, or cannot have come from `pack`.
        """

    @abstractmethod
    def most(self, shapes: Shapes) -> int:
        """The most bytes that `pack` makes of values of these shapes."""

    @abstractmethod
    def bound(self, values: Tensor, shapes: Shapes) -> float:
        """The most by which any one of the values can differ after `pack` and `unpack`."""

    def against(self, reference: Tensor) -> Self:  # noqa: ARG002 - most know no reference
        """The codec for values (n,) near a reference (n,) that both sides hold."""
        return self

    def as_received(self, adapter: LoraAdapter) -> LoraAdapter:
        """An adapter as the other side reads it, so that both hold the same values."""
        return self.decode(self.encode(adapter), adapter.spec)

    def encode(self, adapter: LoraAdapter) -> Tensor:
        """The adapter as (m,) uint8.

        Raises:
            FedloraError: a value is not finite, or cannot be carried.
        """
        return self.pack(check_finite(adapter.flatten()), shapes_of(adapter.spec))

    def decode(self, data: Tensor, spec: AdapterSpec) -> LoraAdapter:
        """The inverse of `encode` up to `error_bound`, for data from anybody.

        Raises:
            FedloraError: the data is not (m,) uint8 as the spec implies, or gives NaN or infinity.
        """
        return LoraAdapter.from_flat(spec, self.unpack(flat_bytes(data), shapes_of(spec)))

    def error_bound(self, adapter: LoraAdapter) -> float:
        """The most that encoding and decoding can change an adapter, in terms of `measure`."""
        return self.bound(adapter.flatten(), shapes_of(adapter.spec))


def shapes_of(spec: AdapterSpec) -> list[tuple[int, ...]]:
    """Of a whole adapter's tensors, in the order of `LoraAdapter.flatten`."""
    return list(tensor_shapes(spec).values())


def size_of(shapes: Shapes) -> int:
    """How many values there are."""
    return sum(map(math.prod, shapes))


def flat_bytes(data: Tensor) -> Tensor:
    """The data itself.

    Raises:
        FedloraError: it is not (m,) uint8.
    """
    if data.dtype != torch.uint8 or data.ndim != 1:
        raise FedloraError(f"encoded adapter of {tuple(data.shape)} {data.dtype}, not flat uint8")
    return data


def check_length(data: Tensor, expected: int) -> None:
    """Refuse data of any other length.

    Raises:
        FedloraError: the two lengths differ.
    """
    if len(data) != expected:
        raise FedloraError(f"encoded adapter of {len(data)} bytes, not the {expected} it takes")


def check_finite(values: Tensor) -> Tensor:
    """The values themselves.

    Raises:
        FedloraError: one of them is NaN or infinity.
    """
    if not bool(torch.isfinite(values).all()):
        raise FedloraError("adapter holds NaN or infinity, which is never sent")
    return values
