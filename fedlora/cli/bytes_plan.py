"""Payload that a federation will send, by purpose, before anything is sent."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.parts import WHOLE, Parts
from fedlora.adoption.contract import Policy
from fedlora.aggregation.contract import FOLD, Aggregator, State
from fedlora.config import RunConfig
from fedlora.wire import parcel
from fedlora.wire.codecs.contract import Codec


@dataclass(frozen=True, eq=False)
class BytesPlan:
    """Bytes of a run in which every client answers every question.

    Adapters are weighed with random values, since zeros would compress to nothing. A client that
    misses a round gets more in its next one, and HetLoRA's clients send less once they prune.

    ranks: of the bank's clients. newcomers: how many. spec: of an adapter at the run's own rank.
    """

    config: RunConfig
    ranks: Sequence[int]
    newcomers: int
    spec: AdapterSpec

    def down(self, rank: int | None = None, parts: Parts = WHOLE) -> int:
        """Bytes of an adapter, or of parts of one, on its way to a client."""
        return self._weigh(self.config.codec.build(), rank, parts)

    def up(self, rank: int | None = None, parts: Parts = WHOLE) -> int:
        """The same in an answer."""
        return self._weigh((self.config.codec_up or self.config.codec).build(), rank, parts)

    def training(self) -> int:
        """Bytes of the warm start, of growth, of fine-tuning and of what is tried, both ways."""
        config = self.config
        grown = len(self.ranks) * config.growth.rounds * (self.down() + self.up())
        samples = min(config.finetune.checkpoints, config.finetune.epochs) * config.finetune.repeats
        tuned = sum(
            samples * self.up(rank) + (self.down(rank) if config.warm_start.rounds else 0)
            for rank in self.ranks
        )
        warm = sum(self._round(number) for number in range(1, config.warm_start.rounds + 1))
        return warm + grown + tuned + self._tried()

    def _tried(self) -> int:
        """Bytes of the adapters that peers try before they enter the bank, and of the trial's.

        Those drawn for the trial are taken to have the mean size.
        """
        screening, config = self.config.screening, self.config
        compared = screening.enabled and screening.least <= len(self.ranks) <= screening.most
        each = screening.peers if compared else 0
        whole = sum(map(self.down, self.ranks))
        if not config.rivals:
            return each * whole
        policy = config.trial
        trying: int = min(policy.config.clients, len(self.ranks))
        tried = len(config.rivals) + (policy.mix.config.candidates if policy.mix else 0)
        return each * whole + tried * round(trying / len(self.ranks) * whole)

    def serving(self) -> int:
        """Bytes of what newcomers get, and of what they give back."""
        adoption = self.config.adoption
        policy: Policy = adoption.policy.build()
        given = self.up() if adoption.contribute else 0
        return self.newcomers * (policy.adapters * self.down() + given)

    def evaluation(self) -> int:
        """Bytes of the candidates that newcomers score, and of further ways to adopt."""
        config = self.config
        learned = [config.warm_start.rounds > 0, config.growth.rounds > 0, self.newcomers > 1]
        candidates = 1 + len(config.evaluation.baselines) + sum(learned)  # the last is `shuffled`
        policies: list[Policy] = [way.policy.build() for way in config.evaluation.adoptions]
        tried = sum(policy.adapters for policy in policies)
        return self.newcomers * (candidates + tried) * self.down()

    def _round(self, number: int) -> int:
        """Bytes of one round of the warm start; the first sends nothing down."""
        method: Aggregator = self.config.warm_start.aggregation.build()
        duty = method.duty(number)
        chosen = self.config.warm_start.clients_per_round or len(self.ranks)
        asked = self.ranks[:chosen]
        total = sum(self.up(rank, duty.sends) for rank in asked)
        if duty.controls:
            total += sum(self.up(rank) for rank in asked)
        if number == 1:
            return total
        total += sum(self.down(rank, duty.gets) for rank in asked)
        if duty.controls:
            total += sum(self.down(rank) for rank in asked)
        if duty.folds:
            total += len(asked) * self._fold(method, asked)
        return total

    def _fold(self, method: Aggregator, asked: Sequence[int]) -> int:
        """Bytes of what a round adds to the frozen base: the method makes it of random answers."""
        sent = [_random(self.spec.with_rank(rank), seed) for seed, rank in enumerate(asked)]
        state = State(0, _random(self.spec, len(sent)), len(self.ranks))
        fold = method.aggregate(state, sent, [1.0] * len(sent)).extra[FOLD]
        return parcel.pack(self.config.codec.build(), fold, ("down", "up"), None).numel()

    def _weigh(self, codec: Codec, rank: int | None, parts: Parts) -> int:
        if parts == ("head",) and not self.spec.head:
            return 0
        spec = self.spec if rank is None else self.spec.with_rank(rank)
        return parcel.pack(codec, _random(spec, 0), parts, None).numel()


def _random(spec: AdapterSpec, seed: int) -> LoraAdapter:
    draw = torch.Generator().manual_seed(seed)
    return LoraAdapter.from_flat(spec, 0.02 * torch.randn(spec.size, generator=draw))
