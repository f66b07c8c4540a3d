"""The questions of one round: what each client gets of what the server knows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.parts import Parts
from fedlora.adapter.span import AdapterSpan
from fedlora.aggregation.contract import CONTROL, FOLD, GONE, Aggregator, Duty, State
from fedlora.aggregation.fedex import at_most, without_head
from fedlora.server.context import ServerContext
from fedlora.server.groups import PHASE, drawn
from fedlora.wire import parcel
from fedlora.wire.codecs.contract import Codec
from fedlora.wire.codecs.none import Uncoded, UncodedConfig
from fedlora.wire.message import JSON, Message

BROADCAST = "broadcast"
"""The name in `State.extra` of what clients made of the last broadcast of differences."""


@dataclass(frozen=True)
class Asked:
    """One client's question, and the adapter that it starts from as far as the server knows."""

    message: Message
    start: LoraAdapter


@dataclass
class Round:
    """One round of one group.

    history: the group's state after each round so far; empty before the first.
    state: the last of them, or what all clients draw.
    made: the questions so far, by rank and by the round that a client last counted in.
    answered: who answered in earlier rounds, as far as anybody had to know.
    """

    context: ServerContext
    method: Aggregator
    number: int
    history: Sequence[State]
    state: State
    made: dict[tuple[int, int], Asked] = field(default_factory=dict)
    answered: dict[int, dict[int, str]] = field(default_factory=dict)

    @property
    def duty(self) -> Duty:
        """What its clients do."""
        return self.method.duty(self.number)

    @property
    def remembers(self) -> bool:
        """Whether its clients hold on to anything."""
        context = self.context
        return self.duty.remembers or context.codec.relative or context.codec_up.feedback

    def ask(self, client: int) -> Asked:
        """The question for a client; clients in the same position share one message."""
        since = self._since(client) if self.remembers else 0
        rank = self.context.rank_now(client)
        if (rank, since) not in self.made:
            self.made[rank, since] = self._make(rank, since)
        return self.made[rank, since]

    def broadcast(self) -> LoraAdapter | None:
        """What this round's clients know the common adapter to be, for later differences.

        The first broadcast, that of round 2, has nothing to differ from.
        """
        if not self.context.codec.relative or self.number == 1:
            return None
        last = self.state.extra.get(BROADCAST)
        data = parcel.pack(self.context.codec, self.state.common, self.duty.gets, last)
        return parcel.unpack(self.context.codec, data, self.duty.gets, self.state.common, last)

    def _since(self, client: int) -> int:
        """The last round that a client counted in; 0 for one that never did or lost its memory.

        One whose answer was refused, or never came, goes on from what it kept before.
        """
        for round in range(self.number - 1, 0, -1):
            if round not in self.answered:  # read once for all clients
                self.answered[round] = self.context.journal.answers(PHASE, round)
            why_lost = self.answered[round].get(client)
            if why_lost == "":
                return round
            if why_lost and why_lost.startswith(GONE):
                return 0
        return 0

    def _make(self, rank: int, since: int) -> Asked:
        spec = self.context.spec.with_rank(rank)
        tensors: dict[str, Tensor] = {}
        meta: dict[str, JSON] = {"round": self.number}
        if self.remembers:
            meta |= {"since": since, "run": self.context.run}
        if self.duty.prunes:
            meta["rank"] = rank
        start = self._drawn(spec)
        if self.number > 1:
            start = self._send_start(spec, since, start, tensors, meta)
            self._send_fold(since, tensors, meta)
            if CONTROL in self.state.extra:
                control = self.state.extra[CONTROL]
                tensors[f"adapter.{CONTROL}"] = self.context.codec.encode(control)
        return Asked(Message("train", tensors, {"action": "warm_up", **meta}), start)

    def _send_start(
        self,
        spec: AdapterSpec,
        since: int,
        start: LoraAdapter,
        tensors: dict[str, Tensor],
        meta: dict[str, JSON],
    ) -> LoraAdapter:
        duty = self.duty
        codec: Codec = self.context.codec
        late = duty.gets_late is not None and since < self.number - 1
        parts: Parts = duty.gets_late if late and duty.gets_late else duty.gets
        if parts != duty.gets:
            meta["gets"] = list(parts)
        near, given = self.state.extra.get(BROADCAST), self.method.give(self.state, spec)
        if near is not None and since < self.number - 1:
            # Who missed the last broadcast gets, bit for bit, what the others make of this one.
            known = self.broadcast()
            assert known is not None
            near, given, codec = None, known, Uncoded(UncodedConfig())
            meta["whole"] = True
        if not spec.head and parts == ("head",):
            return start
        data = parcel.pack(codec, given, parts, near)
        tensors["adapter.start"] = data
        # As the client sees it: an adapter that lost something on its way is what it starts from.
        onto = given if set(parts) != {"head"} else replace(start, head=given.head)
        return parcel.unpack(codec, data, parts, onto, near)

    def _send_fold(self, since: int, tensors: dict[str, Tensor], meta: dict[str, JSON]) -> None:
        """What was folded since the client's last round, in one piece."""
        after = self.history[max(since - 1, 0) :]
        missed = [state.extra[FOLD] for state in after if FOLD in state.extra]
        if not missed:
            return
        fold = missed[0]
        if len(missed) > 1:
            total = sum(max(layer.rank for layer in each.spec.layers) for each in missed)
            span = AdapterSpan(missed)
            fold = without_head(span.combine(torch.ones(len(missed)), at_most(fold.spec, total)))
        tensors["adapter.fold"] = parcel.pack(self.context.codec, fold, ("down", "up"), None)
        meta["fold_ranks"] = [layer.rank for layer in fold.spec.layers]

    def _drawn(self, spec: AdapterSpec) -> LoraAdapter:
        again = self.duty.redraws and self.number > 1
        return drawn(self.context, spec, self.number if again else None)


def ranks_of(answers: Mapping[int, Message]) -> dict[int, int]:
    """The ranks that clients say they go on with."""
    said = {client: message.meta.get("rank") for client, message in answers.items()}
    return {client: rank for client, rank in said.items() if isinstance(rank, int)}
