"""Linear combinations of adapters: sums of DeltaW, truncated to a rank without forming any."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedlora.adapter.largest import largest
from fedlora.adapter.lora import LoraAdapter
from fedlora.adapter.spec import AdapterSpec
from fedlora.errors import FedloraError


class AdapterSpan:
    """n adapters factored once, so that each combination is one small SVD a layer, in float64.

    Layer by layer, [scaling_i up_i] = Q_U R_U and [down_i^T] = Q_D R_D, so that
    sum_i w_i DeltaW_i = Q_U (R_U diag(w) R_D^T) Q_D^T with w_i repeated r_i times. A side with at
    least as many ranks as rows is its own R, since its Q would be square and save nothing.
    Heads are combined with the same weights.

    Raises:
        FedloraError: no adapters, or adapters of different base models, layers or heads.
    """

    def __init__(self, adapters: Sequence[LoraAdapter]) -> None:
        check_same_place(adapters)
        self.spec = adapters[0].spec
        self._heads = stack_heads(adapters)
        self._owners: list[Tensor] = []
        self._factors: list[tuple[_Side, _Side]] = []
        for index in range(len(self.spec.layers)):
            ups, downs, owner = stack_layer(adapters, index)
            self._owners.append(owner)
            self._factors.append((_side(ups), _side(downs.T)))

    def norm(self, weights: Tensor) -> float:
        """Frobenius norm of the combination, weights (n,), over all layers and the head."""
        head = torch.sum((weights.double() @ self._heads) ** 2)
        return math.sqrt(float(head + sum(torch.sum(core**2) for core in self._cores(weights))))

    def combine(self, weights: Tensor, spec: AdapterSpec) -> LoraAdapter:
        """The combination, weights (n,), at the ranks and the alpha of `spec`.

        The best approximation of those ranks (Eckart and Young 1936), in balanced form:
        up = U sqrt(S / scaling), down = sqrt(S / scaling) V^T, the largest entry of every column
        of `up` positive. Ranks beyond those of the combination are zero.
        """
        down: dict[str, Tensor] = {}
        up: dict[str, Tensor] = {}
        cores = self._cores(weights)
        for layer, (ups, downs), core in zip(spec.layers, self._factors, cores, strict=True):
            left, singular, right = largest(core, layer.rank)
            root = torch.sqrt(singular / spec.scaling(layer))
            tall, wide = ups.lift(left), downs.lift(right.T)
            root = root * _signs(tall)
            up[layer.name] = _pad(tall * root, layer.rank)
            down[layer.name] = _pad(wide * root, layer.rank).T.contiguous()
        return LoraAdapter(spec=spec, down=down, up=up, head=self._head(weights))

    def _cores(self, weights: Tensor) -> Iterator[Tensor]:
        for (ups, downs), owner in zip(self._factors, self._owners, strict=True):
            yield (ups.inside * weights.double()[owner]) @ downs.inside.T

    def _head(self, weights: Tensor) -> dict[str, Tensor]:
        values = (weights.double() @ self._heads).float()
        parts = torch.split(values, [math.prod(shape) for _, shape in self.spec.head])
        return {n: p.reshape(s) for (n, s), p in zip(self.spec.head, parts, strict=True)}


def check_same_place(adapters: Sequence[LoraAdapter]) -> None:
    """Refuse adapters that cannot be added: ranks and alpha may differ, nothing else.

    Raises:
        FedloraError: no adapters, or adapters of different base models, layers or heads.
    """
    if not adapters:
        raise FedloraError("no adapters: at least one is needed")
    first = adapters[0].spec
    place = [(layer.name, layer.d_in, layer.d_out) for layer in first.layers]
    for spec in (adapter.spec for adapter in adapters[1:] if adapter.spec is not first):
        if spec.base != first.base:
            raise FedloraError(
                f"adapters of two base models, {first.base[:12]} and {spec.base[:12]}:"
                " keep one bank a base model"
            )
        if [(layer.name, layer.d_in, layer.d_out) for layer in spec.layers] != place:
            raise FedloraError("adapters of different layers: train all with the same targets")
        if spec.head != first.head:
            raise FedloraError("adapters with different heads: train all with the same labels")


def stack_layer(adapters: Sequence[LoraAdapter], index: int) -> tuple[Tensor, Tensor, Tensor]:
    """One layer of all adapters, float64; R is the sum of their ranks there.

    Returns:
        The ups times their scalings (d_out, R), the downs (R, d_in), and for each of the R ranks
        the adapter it belongs to (R,).
    """
    layers = [adapter.spec.layers[index] for adapter in adapters]
    name = layers[0].name
    scalings = [a.spec.scaling(layer) for a, layer in zip(adapters, layers, strict=True)]
    ranks = torch.tensor([layer.rank for layer in layers])
    owner = torch.repeat_interleave(torch.arange(len(adapters)), ranks)
    ups = torch.cat([a.up[name] for a in adapters], dim=1).double()
    downs = torch.cat([a.down[name] for a in adapters]).double()
    return ups * torch.tensor(scalings, dtype=torch.float64)[owner], downs, owner


def stack_heads(adapters: Sequence[LoraAdapter]) -> Tensor:
    """Head values (n, head_size) float64, in the order of the spec."""
    empty = torch.zeros(0, dtype=torch.float64)
    names = [name for name, _ in adapters[0].spec.head]
    return torch.stack(
        [torch.cat([empty, *(a.head[name].double().flatten() for name in names)]) for a in adapters]
    )


@dataclass(frozen=True, eq=False)
class _Side:
    """One side's vectors (d, R) as an orthonormal basis (d, k) and what they are in it (k, R).

    basis: None stands for the identity.
    """

    basis: Tensor | None
    inside: Tensor

    def lift(self, columns: Tensor) -> Tensor:
        """Columns (k, n) of the basis as they are outside of it, (d, n)."""
        return columns if self.basis is None else self.basis @ columns


def _side(vectors: Tensor) -> _Side:
    rows, ranks = vectors.shape
    return _Side(None, vectors) if ranks >= rows else _Side(*torch.linalg.qr(vectors))


def _signs(columns: Tensor) -> Tensor:
    """+1 or -1 a column, such that the largest entry of every column becomes positive."""
    largest = columns.gather(0, columns.abs().argmax(0, keepdim=True)).squeeze(0)
    return 1.0 - 2.0 * (largest < 0).to(columns.dtype)


def _pad(columns: Tensor, rank: int) -> Tensor:
    """float32 (d, rank), the missing columns zero."""
    return torch.nn.functional.pad(columns, (0, rank - columns.shape[1])).float()
