"""One pass of the base model in which every row has the adapter of its own client."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fedlora import seeding
from fedlora.backbone import AdapterSlot
from fedlora.backbone.forwards import forwards
from fedlora.errors import FedloraError
from fedlora.finetune.lanes import Lanes
from fedlora.finetune.stack import Factors


class Routing:
    """What the LoRA layers do now: set before each pass.

    factors: of each layer, `down` (K, r, d_in) and `up` (K, d_out, r).
    scalings: of each layer, (K, 1, 1).
    lanes: whose rows; None when all are those of the only client.
    noise: a generator a client, for dropout; empty while there is none.
    """

    def __init__(self) -> None:
        self.factors: Mapping[str, Factors] = {}
        self.scalings: Mapping[str, Tensor] = {}
        self.lanes: Lanes | None = None
        self.noise: Sequence[torch.Generator] = ()

    def add(self, name: str, dropout: float, x: Tensor, result: Tensor) -> Tensor:
        """result (rows, ..., d_out) + scaling * up @ down @ x of each row's client."""
        down, up = self.factors[name]
        lanes = self.lanes or Lanes([x.shape[0]])
        if sum(lanes.counts) != x.shape[0]:
            raise FedloraError(
                f"layer '{name}' sees {x.shape[0]} rows of a batch of {sum(lanes.counts)}, so its"
                " clients cannot be told apart; set runtime.training=sequential"
            )
        inner = x.to(down.dtype)
        if self.noise and dropout:
            inner = inner * self._dropout(lanes, dropout, inner)
        low = torch.bmm(lanes.spread(inner), down.transpose(1, 2)) * self.scalings[name]
        if lanes.even and result.dtype == low.dtype:  # one pass over the result instead of two
            own = result.reshape(len(lanes.counts), -1, result.shape[-1])
            return torch.baddbmm(own, low, up.transpose(1, 2)).view(result.shape)
        change = torch.bmm(low, up.transpose(1, 2))
        return (result + lanes.gather(change, result.shape)).to(result.dtype)

    def _dropout(self, lanes: Lanes, rate: float, x: Tensor) -> Tensor:
        """The factors that each client would draw alone, of the shape that it has alone."""
        own = list(lanes.lengths or [0] * len(lanes.counts))
        joint = max(own)
        out = torch.ones_like(x)
        parts = out.split(list(lanes.counts))
        for part, length, noise in zip(parts, own, self.noise, strict=True):
            alone = part[:, :length] if x.ndim == 3 and x.shape[1] == joint else part
            drawn = torch.empty(alone.shape, dtype=x.dtype).bernoulli_(1 - rate, generator=noise)
            alone.copy_(drawn.div_(1 - rate))
        return out


@contextmanager
def many_adapters(slot: AdapterSlot) -> Iterator[Routing]:
    """The slot's LoRA layers do what the routing says instead of using the slot's own adapter."""
    routing = Routing()
    layers = {slot.base.model.get_submodule(x.name): x.name for x in slot.spec.layers}
    with forwards({layer: _forward(routing, name, layer) for layer, name in layers.items()}):
        yield routing


def dropout_noise(seed: int) -> torch.Generator:
    """The generator that a client's dropout draws from when it trains alone."""
    return torch.Generator().manual_seed(seeding.derive(seed, "dropout"))


def _forward(routing: Routing, name: str, layer: nn.Module) -> Callable[..., Tensor]:
    base: Any = layer.base_layer
    dropout = layer.get_submodule("lora_dropout.default")
    rate = float(dropout.p) if isinstance(dropout, nn.Dropout) else 0.0

    def forward(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return routing.add(name, rate, x, base(x, *args, **kwargs))

    return forward
