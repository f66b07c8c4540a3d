"""What learns from rounds of growth: sums of changes under a kernel, or a network by its deltas."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from typing_extensions import override

from fedlora import seeding
from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.resize import resize
from fedlora.adapter.span import AdapterSpan
from fedlora.errors import FedloraError
from fedlora.generators.blend import Blend
from fedlora.generators.contract import Generator, Taught, TrainingBank
from fedlora.server.context import ServerContext
from fedlora.server.describing import Described

FOLDER = "growth"

Adapters = Mapping[int, LoraAdapter]
"""By client."""


class Grower(ABC):
    """A generator and what it has learned from, client by client."""

    generator: Generator
    bank: TrainingBank

    @abstractmethod
    def learn(self, begun: Adapters, trained: Adapters) -> None:
        """Take in what clients made of what they began at; who is not in `trained` is lost."""


def grower(context: ServerContext, warm: LoraAdapter, clients: Sequence[Described]) -> Grower:
    """Whatever `growth.generator` can do, at the warm start.

    Raises:
        FedloraError: it can neither combine adapters nor be taught by their changes, or is taught
            by factors, and a codec keeps none.
    """
    part = context.config.growth.generator
    name, generator = part.name, part.build()
    if isinstance(generator, Blend):
        return Sums(context, generator, warm, clients)
    if not isinstance(generator, Taught):
        raise FedloraError(
            f"growth.generator: '{name}' neither combines the bank's adapters nor learns from their"
            " changes; choose kriging, ridge, topk or hypernetwork"
        )
    if "product" in (context.codec.measure, context.codec_up.measure):
        raise FedloraError(
            f"growth.generator: '{name}' compares factors, which codec lowrank does not keep; leave"
            " lowrank out"
        )
    return Deltas(context, generator, warm, clients)


class Sums(Grower):
    """W(c) = sum_t w_t(c) S_t, where S_t, kept at `growth.rank`, adds up client t's changes.

    A step of functional gradient descent in the space of the generator's kernel, as FedAvg is one
    in the space of constants, to which it comes down where all weights are equal; a learned metric
    makes a new kernel of the sums in each round. What tasks share is averaged over all of them;
    what differs, over those that are alike.
    """

    def __init__(
        self,
        context: ServerContext,
        generator: Blend,
        warm: LoraAdapter,
        clients: Sequence[Described],
    ) -> None:
        self.generator, self._context = generator, context
        wide = resize(warm, _wide(context.spec, context.config.growth.rank))
        self.bank = bank_of(clients, [wide] * len(clients))
        self._fit()

    @override
    def learn(self, begun: Adapters, trained: Adapters) -> None:
        held = zip(self.bank.clients or (), self.bank.adapters, strict=True)
        sums = [
            _added(total, trained[client], begun[client]) if client in trained else total
            for client, total in held
        ]
        self.bank = replace(self.bank, adapters=sums)
        self._fit()

    def _fit(self) -> None:
        """Combine what the sums are now; what the generator leaves open it chooses by them."""
        seen = self._context.seen_by(self.generator, self.bank.conditions)
        self.generator.fit(
            replace(self.bank, conditions=seen),
            seed=seeding.derive(self._context.seed, "growth"),
            workdir=self._context.folder / "checkpoints" / FOLDER,
            progress=lambda _: None,
        )


class Deltas(Grower):
    """W(c) is what a network makes of c, which moves by what clients change of that."""

    def __init__(
        self,
        context: ServerContext,
        generator: Taught,
        warm: LoraAdapter,
        clients: Sequence[Described],
    ) -> None:
        self.generator: Taught = generator
        self.bank = bank_of(clients, [warm] * len(clients))
        self._seen = context.seen_by(generator, self.bank.conditions)
        generator.begin(warm, self._seen, seed=seeding.derive(context.seed, "growth"))

    @override
    def learn(self, begun: Adapters, trained: Adapters) -> None:
        clients = self.bank.clients or ()
        rows = [row for row, client in enumerate(clients) if client in trained]
        if rows:
            heard = [clients[row] for row in rows]
            made, came = [begun[client] for client in heard], [trained[client] for client in heard]
            self.generator.step(self._seen[rows], made, came)
        last = zip(clients, self.bank.adapters, strict=True)
        self.bank = replace(self.bank, adapters=[trained.get(c, before) for c, before in last])


def bank_of(clients: Sequence[Described], adapters: Sequence[LoraAdapter]) -> TrainingBank:
    """An adapter of each client, beside its task vector."""
    return TrainingBank(
        adapters,
        vectors_of(clients),
        [client.seat.task for client in clients],
        [client.seat.client for client in clients],
    )


def vectors_of(clients: Sequence[Described]) -> Tensor:
    """(n, c), as they were sent."""
    return torch.stack([client.vector for client in clients])


def _added(total: LoraAdapter, trained: LoraAdapter, begun: LoraAdapter) -> LoraAdapter:
    """The sum of changes with one more."""
    change = torch.tensor([1.0, 1.0, -1.0])
    return AdapterSpan([total, trained, begun]).combine(change, total.spec)


def _wide(spec: AdapterSpec, rank: int) -> AdapterSpec:
    """The spec with each layer at `rank`, as far as it fits, and never below its own."""
    layers = tuple(
        replace(one, rank=max(one.rank, min(rank, one.d_in, one.d_out))) for one in spec.layers
    )
    return replace(spec, layers=layers)
