"""The adapter itself: the currency that clients, bank and generators exchange."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from fedlora.adapter.spec import AdapterSpec
from fedlora.errors import FedloraError


@dataclass(frozen=True, eq=False)
class LoraAdapter:
    """The trained values of one adapter, float32 on the CPU.

    down: layer name -> (rank, d_in), PEFT's lora_A.
    up: layer name -> (d_out, rank), PEFT's lora_B.
    head: name -> tensor of a trainable head; empty without one.

    DeltaW of a layer is scaling * up @ down (Hu et al. 2021, arXiv 2106.09685, equation 3).
    """

    spec: AdapterSpec
    down: Mapping[str, Tensor]
    up: Mapping[str, Tensor]
    head: Mapping[str, Tensor]

    def delta(self, name: str) -> Tensor:
        """DeltaW (d_out, d_in) of one layer, dense: for small layers and for tests."""
        layer = next(layer for layer in self.spec.layers if layer.name == name)
        return self.spec.scaling(layer) * self.up[name] @ self.down[name]

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by a flat name, in the order of `flatten`."""
        out: dict[str, Tensor] = {}
        for layer in self.spec.layers:
            out[f"{layer.name}.down"] = self.down[layer.name]
            out[f"{layer.name}.up"] = self.up[layer.name]
        for name, _ in self.spec.head:
            out[f"head.{name}"] = self.head[name]
        return out

    @classmethod
    def from_tensors(cls, spec: AdapterSpec, tensors: Mapping[str, Tensor]) -> "LoraAdapter":
        """The inverse of `tensors`; refuses anything that is not exactly what the spec says.

        Raises:
            FedloraError: a tensor is missing, unknown, of another shape or dtype, or not finite.
        """
        expected = tensor_shapes(spec)
        if unknown := sorted(set(tensors) - set(expected)):
            raise FedloraError(f"adapter has a tensor '{unknown[0]}' that its spec does not name")
        for name, shape in expected.items():
            if name not in tensors:
                raise FedloraError(f"adapter lacks the tensor '{name}'")
            _check(name, tensors[name], shape)
        return cls._of(spec, tensors)

    @classmethod
    def _of(cls, spec: AdapterSpec, tensors: Mapping[str, Tensor]) -> "LoraAdapter":
        """What `from_tensors` makes, of tensors that are known to fit."""
        return cls(
            spec=spec,
            down={layer.name: tensors[f"{layer.name}.down"] for layer in spec.layers},
            up={layer.name: tensors[f"{layer.name}.up"] for layer in spec.layers},
            head={name: tensors[f"head.{name}"] for name, _ in spec.head},
        )

    def flatten(self) -> Tensor:
        """All values as one vector (spec.size,): layer by layer, down then up, then the head."""
        return torch.cat([tensor.reshape(-1) for tensor in self.tensors().values()])

    @classmethod
    def from_flat(cls, spec: AdapterSpec, values: Tensor) -> "LoraAdapter":
        """The inverse of `flatten`.

        Raises:
            FedloraError: `values` is not (spec.size,), float32 and finite.
        """
        if values.shape != (spec.size,):
            raise FedloraError(f"adapter of {tuple(values.shape)} values, not ({spec.size},)")
        shapes = tensor_shapes(spec)
        parts = values.split([math.prod(shape) for shape in shapes.values()])
        pairs = zip(shapes.items(), parts, strict=True)
        named = {name: part.reshape(shape) for (name, shape), part in pairs}
        if values.dtype == torch.float32 and bool(torch.isfinite(values).all()):
            return cls._of(spec, named)  # one look at all values, where there are many tensors
        return cls.from_tensors(spec, named)

    def digest(self) -> str:
        """SHA-256 of the spec and the values: equal adapters, equal digests, on any machine."""
        digest = hashlib.sha256(self.spec.to_json().encode())
        digest.update(self.flatten().numpy().astype("<f4").tobytes())
        return digest.hexdigest()


@lru_cache
def tensor_shapes(spec: AdapterSpec) -> Mapping[str, tuple[int, ...]]:
    """Name and shape of each tensor of an adapter, in the order of `LoraAdapter.flatten`."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in spec.layers:
        shapes[f"{layer.name}.down"] = (layer.rank, layer.d_in)
        shapes[f"{layer.name}.up"] = (layer.d_out, layer.rank)
    return shapes | {f"head.{name}": shape for name, shape in spec.head}


def _check(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        raise FedloraError(f"adapter tensor '{name}' is {tuple(tensor.shape)}, not {shape}")
    if tensor.dtype != torch.float32:
        raise FedloraError(f"adapter tensor '{name}' is {tensor.dtype}, not torch.float32")
    if not bool(torch.isfinite(tensor).all()):
        raise FedloraError(f"adapter tensor '{name}' holds NaN or infinity")
