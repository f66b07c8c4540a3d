"""One round of a federated method, as a client lives it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.adapter.parts import Part, Parts, put_parts, take_parts
from fedlora.adapter.span import AdapterSpan
from fedlora.aggregation.contract import CONTROL, FOLD, Aggregator, Duty
from fedlora.aggregation.fedex import at_most, without_head
from fedlora.aggregation.hetlora import at_ranks
from fedlora.backbone.fold import folded
from fedlora.client.memory import Memory
from fedlora.client.trial import score
from fedlora.client.workplace import Workplace
from fedlora.errors import FedloraError
from fedlora.finetune.guide import Guide, kept_ranks
from fedlora.finetune.job import Job
from fedlora.finetune.local import fresh, mean_gradient
from fedlora.spans import span
from fedlora.wire import parcel
from fedlora.wire.codecs.none import Uncoded, UncodedConfig
from fedlora.wire.message import JSON, Message

TRAINED, START, RESIDUAL = "trained", "start", "residual"


@dataclass(frozen=True, eq=False)
class Tuition:
    """A round under way.

    known: what the client kept of the last round it took part in.
    fold: all that its base holds besides the pretrained weights.
    controls: the server's control variate and the gradient that is to be the client's own.
    """

    place: Workplace
    round: int
    duty: Duty
    memory: Memory | None
    since: int
    known: dict[str, LoraAdapter]
    start: LoraAdapter
    fold: LoraAdapter | None
    controls: tuple[LoraAdapter | None, LoraAdapter | None]

    @property
    def near(self) -> LoraAdapter:
        """The start as the server knows it: without its head, before it has sent anything."""
        return without_head(self.start) if self.round == 1 else self.start

    def job(self) -> Job:
        """What is to be trained."""
        plain = self.place.job(
            self.start,
            self.place.config.warm_start.train,
            self.place.purpose("warm_start", self.round),
        )
        common, _ = self.controls
        own = self.known.get(CONTROL)
        guide = Guide(
            trains=self.duty.trains,
            fold=self.fold,
            pull=self.duty.pull,
            correction=_difference(common, own) if common else None,
            fades=self.duty.prunes,
        )
        return plain if guide_is_plain(guide) else plain._replace(guide=guide)

    def value(self) -> dict[str, JSON]:
        """How well the client is served before it trains, if the run wants to know."""
        if not self.place.config.warm_start.score:
            return {}
        if self.fold is None:
            return {"value": dict(self.place.worth(self.start))}
        objective = self.place.desk.objective
        with folded(objective.slot, self.fold):
            return {"value": score(objective, self.start, self.place.test())}

    def answer(self, trained: LoraAdapter) -> tuple[dict[str, Tensor], dict[str, JSON]]:
        """The tensors and numbers that go back; what must be kept is written down first."""
        place, meta = self.place, dict[str, JSON]()
        if self.duty.prunes:
            trained = pruned(self.start, trained, self.duty.prunes[0])
            meta["rank"] = trained.spec.layers[0].rank
        near = self.near if trained.spec == self.start.spec else None
        sent, residual, control = self._sent(trained, near), None, None
        tensors = {f"adapter.{TRAINED}": sent}
        if place.codec_up.feedback:
            arrived = parcel.unpack(place.codec_up, sent, self.duty.sends, trained, near)
            residual = _difference(self._owed(trained), arrived)
        if self.duty.controls:
            tensors[f"adapter.{CONTROL}"], control = self._control()
        if self.memory:
            kept = {
                TRAINED: trained if self.duty.keeps else None,
                START: self.start if place.codec.relative else None,
                FOLD: self.fold,
                CONTROL: control,
                RESIDUAL: residual,
            }
            there = {name: adapter for name, adapter in kept.items() if adapter is not None}
            # The file says that the client was there, even when it has nothing else to say.
            self.memory.keep(self.round, there, self.since)
        return tensors, meta

    def _sent(self, trained: LoraAdapter, near: LoraAdapter | None) -> Tensor:
        owed = self._owed(trained)
        return parcel.pack(self.place.codec_up, owed, self.duty.sends, near)

    def _owed(self, trained: LoraAdapter) -> LoraAdapter:
        """The trained adapter and what the codec left out of it before."""
        residual = self.known.get(RESIDUAL)
        if residual is None or residual.spec != trained.spec:
            return trained
        return _sum(trained, residual)

    def _control(self) -> tuple[Tensor, LoraAdapter]:
        """The change of the client's control variate, encoded, and what the variate is then.

        It is what the server has decoded of it, so that the server's stays the mean of all; what
        the codec left out is part of the next change.
        """
        _, gradient = self.controls
        assert gradient is not None
        own, codec = self.known.get(CONTROL), self.place.codec_up
        sent = codec.encode(_difference(gradient, own))
        return sent, _sum(codec.decode(sent, gradient.spec), own)


def begin(place: Workplace, message: Message) -> Tuition:
    """Put together what the round starts from: what came, what was kept, what both sides draw.

    Raises:
        FedloraError: the message lacks something, or what was kept is gone.
    """
    method: Aggregator = place.config.warm_start.aggregation.build()
    round = planned_round(message, place.config.warm_start.rounds)
    duty = method.duty(round)
    memory, since = None, 0
    if duty.remembers or place.codec.relative or place.codec_up.feedback:
        memory = Memory(str(message.meta.get("run")), place.desk.seat.client)
        since = integer(message, "since")
    known = memory.recall(since) if memory and since else {}
    start = _start(place, message, duty, round, known)
    fold = _fold(place, message, known.get(FOLD), start)
    common = own = None
    if duty.controls:
        common = _control(place, message, start)
        batch = place.config.warm_start.train.batch_size
        with span("training"):
            own = mean_gradient(place.desk.objective, start, place.shard(), batch, fold)
    return Tuition(place, round, duty, memory, since, known, start, fold, (common, own))


def guide_is_plain(guide: Guide) -> bool:
    """Whether training needs no guide at all."""
    plain = Guide()
    return all(getattr(guide, name) == getattr(plain, name) for name in vars(plain))


def pruned(start: LoraAdapter, trained: LoraAdapter, keep: float) -> LoraAdapter:
    """The first ranks alone where the last ones have faded in training.

    Faded: the sum over layers of |up_last| |down_last| is less than it was.
    """
    rank = kept_ranks(trained.spec.layers[0].rank, keep)
    if rank == trained.spec.layers[0].rank or _last(trained, rank) >= _last(start, rank):
        return trained
    return at_ranks(trained, trained.spec.with_rank(rank))


def _last(adapter: LoraAdapter, rank: int) -> float:
    return sum(
        float(adapter.up[x.name][:, rank:].norm() * adapter.down[x.name][rank:].norm())
        for x in adapter.spec.layers
    )


def _start(
    place: Workplace,
    message: Message,
    duty: Duty,
    round: int,
    known: dict[str, LoraAdapter],
) -> LoraAdapter:
    rank = message.meta.get("rank", place.desk.seat.rank)
    if not isinstance(rank, int) or not 1 <= rank <= place.desk.seat.rank:
        raise FedloraError(f"message asks for rank {rank!a:.40}, not 1 to {place.desk.seat.rank}")
    drawn = ("start", round) if duty.redraws and round > 1 else ("start",)
    start = fresh(place.desk.objective, seeding.derive(place.seed, *drawn), rank)
    if duty.keeps and TRAINED in known:
        start = put_parts(start, duty.keeps, take_parts(known[TRAINED], duty.keeps))
    tensor = message.tensors.get("adapter.start")
    if tensor is None:
        return start
    parts = _parts(message, duty.gets)
    if message.meta.get("whole"):
        return parcel.unpack(Uncoded(UncodedConfig()), tensor, parts, start, None)
    # The first broadcast, that of round 2, has nothing to differ from.
    near = known.get(START) if place.codec.relative and round > 2 else None
    return parcel.unpack(place.codec, tensor, parts, start, near)


def _fold(
    place: Workplace, message: Message, known: LoraAdapter | None, start: LoraAdapter
) -> LoraAdapter | None:
    """What the base held and what came to be added."""
    tensor, ranks = message.tensors.get("adapter.fold"), message.meta.get("fold_ranks")
    if tensor is None:
        return known
    layers = start.spec.layers
    if not isinstance(ranks, list) or len(ranks) != len(layers):
        raise FedloraError("message lacks the ranks of its fold")
    sized = tuple(replace(x, rank=_within(x, r)) for x, r in zip(layers, ranks, strict=True))
    spec = replace(start.spec, layers=sized)
    zero = LoraAdapter.from_flat(spec, torch.zeros(spec.size))
    new = parcel.unpack(place.codec, tensor, ("down", "up"), zero, None)
    if known is None:
        return new
    total = max(x.rank for x in spec.layers) + max(x.rank for x in known.spec.layers)
    both = AdapterSpan([known, new]).combine(torch.ones(2), at_most(spec, total))
    return without_head(both)


def _within(layer: Any, rank: JSON) -> int:
    if not isinstance(rank, int) or not 1 <= rank <= min(layer.d_in, layer.d_out):
        raise FedloraError(f"message with a fold of rank {rank!a:.40} for layer '{layer.name}'")
    return rank


def _control(place: Workplace, message: Message, start: LoraAdapter) -> LoraAdapter | None:
    tensor = message.tensors.get(f"adapter.{CONTROL}")
    if tensor is None:
        return LoraAdapter.from_flat(start.spec, torch.zeros(start.spec.size))
    return place.codec.decode(tensor, start.spec)


def _difference(a: LoraAdapter, b: LoraAdapter | None) -> LoraAdapter:
    return a if b is None else LoraAdapter.from_flat(a.spec, a.flatten() - b.flatten())


def _sum(a: LoraAdapter, b: LoraAdapter | None) -> LoraAdapter:
    return a if b is None else LoraAdapter.from_flat(a.spec, a.flatten() + b.flatten())


def _parts(message: Message, gets: Parts) -> Parts:
    named = message.meta.get("gets")
    if named is None:
        return gets
    if not isinstance(named, Sequence) or not set(named) <= {"down", "up", "head"}:
        raise FedloraError(f"message with the parts {named!a:.80}")
    order: tuple[Part, ...] = ("down", "up", "head")
    return tuple(part for part in order if part in named)


def integer(message: Message, key: str) -> int:
    """A whole number of a message's meta.

    Raises:
        FedloraError: it is missing or of another type.
    """
    value = message.meta.get(key)
    if not isinstance(value, int):
        raise FedloraError(f"message lacks the number '{key}'")
    return value


def planned_round(message: Message, rounds: int) -> int:
    """The round of a message, one of those that the run has; privacy is planned for no more.

    Raises:
        FedloraError: it is none of them.
    """
    round = integer(message, "round")
    if not 1 <= round <= rounds:
        raise FedloraError(f"message asks for round {round}, but the run has {rounds} of them")
    return round
