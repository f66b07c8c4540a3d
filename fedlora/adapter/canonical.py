"""One form among the many of the same adapter.

(up R, R^-1 down) is the same update for every invertible R. `balance` picks a form whose two
factors carry the singular values evenly; what is left, a rotation of the ranks, `align` fixes by
a reference. Each keeps DeltaW to float32 rounding: within 1e-5 of its norm.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from fedlora.adapter.lora import LoraAdapter
from fedlora.adapter.span import AdapterSpan, check_same_place
from fedlora.errors import FedloraError

ITERATIONS = 50
CONVERGED = 1e-6


def balance(adapter: LoraAdapter) -> LoraAdapter:
    """up = U sqrt(S / scaling), down = sqrt(S / scaling) V^T, where DeltaW = U S V^T.

    The largest entry of every column of `up` is positive, so that one DeltaW of distinct singular
    values has one form.
    """
    return AdapterSpan([adapter]).combine(torch.ones(1), adapter.spec)


def align(adapter: LoraAdapter, reference: LoraAdapter) -> LoraAdapter:
    """The adapter turned as near to the reference as a rotation of its ranks can bring it.

    A layer at a time, by the orthogonal R (r, r) that minimises
    |up R - up_ref|^2 + |R^T down - down_ref|^2 (orthogonal Procrustes, Schoenemann 1966).

    Raises:
        FedloraError: the two are not of one spec.
    """
    _check_one_spec([adapter, reference])
    down, up = {}, {}
    for name in (layer.name for layer in adapter.spec.layers):
        tall, wide = adapter.up[name].double(), adapter.down[name].double()
        turn = _rotation(tall, wide, reference.up[name].double(), reference.down[name].double())
        up[name], down[name] = (tall @ turn).float(), (turn.T @ wide).float()
    return LoraAdapter(spec=adapter.spec, down=down, up=up, head=adapter.head)


def canonicalise(adapters: Sequence[LoraAdapter]) -> tuple[list[LoraAdapter], LoraAdapter]:
    """All adapters in one gauge, and the mean of their factors.

    Each is balanced, then turned to a reference that is first the truncated mean of DeltaW and
    then the mean of the turned factors, until that moves by less than 1e-6 of its norm
    (generalised Procrustes, Gower 1975). A further adapter joins by `align(balance(it), mean)`.

    Raises:
        FedloraError: no adapters, or adapters of several specs.
    """
    _check_one_spec(adapters)
    spec, n = adapters[0].spec, len(adapters)
    start = AdapterSpan(adapters).combine(torch.full((n,), 1 / n, dtype=torch.float64), spec)
    balanced = [balance(adapter) for adapter in adapters]
    ups: dict[str, Tensor] = {}
    downs: dict[str, Tensor] = {}
    for name in (layer.name for layer in spec.layers):
        ups[name], downs[name] = _gather(
            torch.stack([a.up[name] for a in balanced]).double(),
            torch.stack([a.down[name] for a in balanced]).double(),
            start.up[name].double(),
            start.down[name].double(),
        )
    aligned = [
        LoraAdapter(
            spec=spec,
            down={name: stack[i].float() for name, stack in downs.items()},
            up={name: stack[i].float() for name, stack in ups.items()},
            head=adapters[i].head,
        )
        for i in range(n)
    ]
    mean = LoraAdapter(
        spec=spec,
        down={name: stack.mean(0).float() for name, stack in downs.items()},
        up={name: stack.mean(0).float() for name, stack in ups.items()},
        head=start.head,
    )
    return aligned, mean


def _gather(
    tall: Tensor, wide: Tensor, mean_tall: Tensor, mean_wide: Tensor
) -> tuple[Tensor, Tensor]:
    """Ups (n, d_out, r) and downs (n, r, d_in) of one layer, turned to their own mean."""
    for _ in range(ITERATIONS):
        turn = _rotation(tall, wide, mean_tall, mean_wide)
        tall, wide = tall @ turn, turn.mT @ wide
        moved = (tall.mean(0) - mean_tall).norm() + (wide.mean(0) - mean_wide).norm()
        mean_tall, mean_wide = tall.mean(0), wide.mean(0)
        if moved <= CONVERGED * (mean_tall.norm() + mean_wide.norm()):
            break
    return tall, wide


def _rotation(tall: Tensor, wide: Tensor, to_tall: Tensor, to_wide: Tensor) -> Tensor:
    """The orthogonal (..., r, r) matrix of `align`."""
    svd = torch.linalg.svd(tall.mT @ to_tall + wide @ to_wide.mT)
    turn: Tensor = svd.U @ svd.Vh
    return turn


def _check_one_spec(adapters: Sequence[LoraAdapter]) -> None:
    check_same_place(adapters)
    if any(adapter.spec != adapters[0].spec for adapter in adapters[1:]):
        raise FedloraError("adapters of different ranks or alpha have no factors to align")
