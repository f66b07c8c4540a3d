"""The adapters of many clients as the rows of one tensor."""

import math
from collections.abc import Sequence
from functools import partial
from itertools import accumulate

import torch
from torch import Tensor

from fedlora.adapter import AdapterSpec, LoraAdapter

Factors = tuple[Tensor, Tensor]
"""`down` (K, r, d_in) and `up` (K, d_out, r) of one layer."""


class AdapterStack:
    """K adapters of the same layers, side by side; their ranks and heads may differ.

    A row holds down and up of each layer, then the head, as `LoraAdapter.flatten` does. A smaller
    rank is padded with zero rows of `down` and zero columns of `up`: each is the only factor in
    the other's gradient, so both gradients are exactly zero and the padding stays zero. A smaller
    head is padded as well, and its padding is used nowhere.

    Attributes:
        values: (K, size), a leaf that requires gradients.
    """

    def __init__(
        self, adapters: Sequence[LoraAdapter], dtype: torch.dtype, device: torch.device
    ) -> None:
        self.specs = [adapter.spec for adapter in adapters]
        layers = zip(*(spec.layers for spec in self.specs), strict=True)
        self._layers = [max(same, key=lambda layer: layer.rank) for same in layers]
        self._head = max(spec.head_size for spec in self.specs)
        rows = torch.stack([self._row(adapter) for adapter in adapters])
        self.values = rows.to(device, dtype).requires_grad_()
        self._scalings: dict[str, Tensor] = {}
        self._reached: set[str] = set()

    def scalings(self) -> dict[str, Tensor]:
        """Of each layer, (K, 1, 1); the same until `keep`."""
        if not self._scalings:
            self._scalings = {
                layer.name: self.values.new_tensor(
                    [spec.scaling(spec.layers[number]) for spec in self.specs]
                ).reshape(-1, 1, 1)
                for number, layer in enumerate(self._layers)
            }
        return self._scalings

    def factors(self) -> dict[str, Factors]:
        """Of each layer, views with a graph that leads to `values`."""
        sizes = [s for x in self._layers for s in (x.rank * x.d_in, x.d_out * x.rank)]
        parts = iter(self.values.split([*sizes, self._head], 1))
        factors = {
            layer.name: (
                next(parts).unflatten(1, (layer.rank, layer.d_in)),
                next(parts).unflatten(1, (layer.d_out, layer.rank)),
            )
            for layer in self._layers
        }
        if torch.is_grad_enabled():
            self._reached.clear()
            for name, (_, up) in factors.items():
                up.register_hook(partial(self._note, name))
        return factors

    def reached(self) -> list[slice]:
        """The columns that the gradient of a loss has reached since `factors`, heads included.

        It passes by a layer whose output the task does not use; a parameter's gradient is then
        None where a client trains alone, and zero here.
        """
        found: list[slice] = []
        layers = [(layer.name in self._reached, layer.size) for layer in self._layers]
        start = 0
        for there, size in [*layers, (True, self._head)]:
            end = start + size
            if there and found and found[-1].stop == start:
                found[-1] = slice(found[-1].start, end)
            elif there:
                found.append(slice(start, end))
            start = end
        return found

    def heads(self) -> list[dict[str, Tensor]]:
        """The head of each client, views with a graph; empty without trained heads."""
        if not self._head:
            return [{} for _ in self.specs]
        rows = self.values[:, self.values.shape[1] - self._head :].unbind()
        return [_head(spec, row) for spec, row in zip(self.specs, rows, strict=True)]

    def read(self, client: int) -> LoraAdapter:
        """A copy of one client's adapter, at its own rank."""
        spec = self.specs[client]
        with torch.no_grad():
            row = self.values[client].to("cpu", torch.float32, copy=True)
        if len(row) == spec.size:  # nothing is padded: a row is what `flatten` gives
            return LoraAdapter.from_flat(spec, row)
        factors = row.split([layer.size for layer in self._layers] + [self._head])
        tensors: dict[str, Tensor] = {}
        for layer, own, values in zip(self._layers, spec.layers, factors, strict=False):
            down = values[: layer.rank * layer.d_in].reshape(layer.rank, layer.d_in)
            up = values[layer.rank * layer.d_in :].reshape(layer.d_out, layer.rank)
            tensors[f"{layer.name}.down"] = down[: own.rank]
            tensors[f"{layer.name}.up"] = up[:, : own.rank].contiguous()
        tensors |= {f"head.{name}": tensor for name, tensor in _head(spec, factors[-1]).items()}
        return LoraAdapter.from_tensors(spec, tensors)

    def keep(self, clients: Tensor) -> None:
        """Go on with these clients only, (k,) indices."""
        self.specs = [self.specs[client] for client in clients.tolist()]
        self._scalings = {}
        self.values = self.values.detach()[clients.to(self.values.device)].requires_grad_()

    def _note(self, name: str, _: Tensor) -> None:
        self._reached.add(name)

    def _row(self, adapter: LoraAdapter) -> Tensor:
        parts = [
            padded
            for layer in self._layers
            for padded in (
                _padded(adapter.down[layer.name], (layer.rank, layer.d_in)),
                _padded(adapter.up[layer.name], (layer.d_out, layer.rank)),
            )
        ]
        head = [adapter.head[name].flatten() for name, _ in adapter.spec.head]
        filled = torch.cat([part.flatten() for part in parts] + head)
        size = sum(layer.size for layer in self._layers) + self._head
        return torch.cat([filled, filled.new_zeros(size - len(filled))])


def _padded(values: Tensor, shape: tuple[int, int]) -> Tensor:
    out = values.new_zeros(shape)
    out[: values.shape[0], : values.shape[1]] = values
    return out


def _head(spec: AdapterSpec, values: Tensor) -> dict[str, Tensor]:
    """A head's tensors, as views of its (size,) values."""
    ends = list(accumulate((math.prod(shape) for _, shape in spec.head), initial=0))
    return {
        name: values[start:end].reshape(shape)
        for (name, shape), start, end in zip(spec.head, ends, ends[1:], strict=False)
    }
