"""One federation up to the point where newcomers come, and what they reach then."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.adoption.chosen import MIX
from fedlora.client.client import Client
from fedlora.client.trial import score
from fedlora.config import GeneratorPart, RunConfig
from fedlora.errors import FedloraError
from fedlora.finetune.job import Job
from fedlora.finetune.local import fresh, put
from fedlora.generators.contract import Generator, TrainingBank
from fedlora.generators.nearest import Nearest
from fedlora.runtime.inprocess import InPacks
from fedlora.server.collecting import ROUNDS, collect
from fedlora.server.describing import describe
from fedlora.server.federation import open_context
from fedlora.server.growing import grow, starts
from fedlora.server.journal import Journal
from fedlora.server.learning import fit
from fedlora.server.observer import Silent
from fedlora.server.trial import FILE as TRIAL
from fedlora.server.trial import hold_trial, part_of
from fedlora.server.warm_start import warm_start

FEW_EPOCHS = 3
SHORT = f"local, {FEW_EPOCHS} epochs"


class Side:
    """The server and all clients of one bank, in this process.

    warm: the federated average. grown: the generator of the rounds of growth, or None; sums: what
        it learned from.
    begun: what each client of the bank was sent before it fine-tunes; all the same without growth.
    bank: the fine-tuned adapters.
    vectors: the newcomers' task vectors (n, c).
    """

    def __init__(self, config: RunConfig, folder: Path) -> None:
        self.seed = config.seeds[0]
        self.client = Client(config, self.seed)
        answers = InPacks(self.client.handle_many, config.runtime.together)
        self.journal = Journal(folder / "journal.sqlite")
        self.context = open_context(config, self.seed, answers, folder, Silent(), self.journal)
        seats = self.context.seats
        members = describe(self.context, "describe", [s for s in seats if s.role == "bank"])
        warm = warm_start(self.context, members)
        if warm is None or warm.common is None:
            raise FedloraError("bench generator: a side without a common warm start")
        self.warm = warm.common
        grown = grow(self.context, warm.common, members)
        self.grown: Generator | None = grown.generator if grown else None
        self.sums: TrainingBank | None = grown.bank if grown else None
        self.begun = starts(self.context, self.grown, members) if self.grown else warm.starts
        self.bank: TrainingBank = collect(self.context, self.begun, members).training_bank(ROUNDS)
        self.newcomers = describe(self.context, "arrive", [s for s in seats if s.role != "bank"])
        self.vectors: Tensor = torch.stack([newcomer.vector for newcomer in self.newcomers])

    @property
    def tasks(self) -> list[str]:
        """The newcomers'."""
        return [newcomer.seat.task for newcomer in self.newcomers]

    def learn(
        self, parts: Mapping[str, Mapping[str, object]], bank: TrainingBank | None = None
    ) -> dict[str, Generator]:
        """Generators fitted to the bank, or to another, by the names of `parts`."""
        known = bank or self.bank
        return {
            name: fit(self.context, GeneratorPart.model_validate(part), known, place=name)
            for name, part in parts.items()
        }

    def sample(self, generator: Generator, vectors: Tensor | None = None) -> list[LoraAdapter]:
        """An adapter for each task vector (n, c), the newcomers' when None."""
        asked = self.vectors if vectors is None else vectors
        return generator.sample(asked, seed=0, rank=self.client.config.lora.rank)

    def others(self) -> Tensor:
        """For each newcomer the task vector of another."""
        return self.vectors.roll(1, 0)

    def drawn(self) -> Tensor:
        """For each newcomer a normal vector of the mean and covariance of the bank's."""
        known = self.bank.conditions
        drawn = seeding.generator(self.seed, "drawn")
        noise = torch.randn(len(self.vectors), len(known), generator=drawn)
        return known.mean(0) + noise @ (known - known.mean(0)) / math.sqrt(len(known) - 1)

    def tried(self) -> tuple[str, str]:
        """What wins the bank's own trial, and the best of the methods, which need no labels."""
        won = hold_trial(self.context, self.bank, self.sums)
        assert won is not None
        apart = json.loads((self.context.folder / TRIAL).read_text())["apart"]
        methods = {way: error for way, error in apart.items() if way != MIX}
        return won, min(methods, key=lambda way: methods[way]) if methods else won

    def fitted(self, method: str) -> Generator:
        """What makes the adapters of a method that the run learns."""
        if method == "grown" and self.grown is not None:
            return self.grown
        part = part_of(self.context.config, method)
        return fit(self.context, part, self.bank, place=method)

    def reached(self, adapters: Sequence[LoraAdapter]) -> list[float]:
        """Of one adapter for each newcomer: test accuracy, or minus the nats a token."""
        return [
            self.value(newcomer.seat.client, adapter)
            for newcomer, adapter in zip(self.newcomers, adapters, strict=True)
        ]

    def value(self, client: int, adapter: LoraAdapter) -> float:
        """Of a client's test examples; more is better."""
        place = self.client.place(client)
        objective = place.desk.objective
        found = score(objective, adapter, place.test())
        return -found["nll"] if objective.metric == "nll" else found[objective.metric]

    def foreign(self) -> list[bool]:
        """Of each newcomer, whether its task lies beyond the bank's reach, as `guarded` says."""
        prompts = self.client.config.task_vector.prompts
        known = Nearest.of(self.bank, prompts, self.context.folder / "checkpoints" / "nearest")
        seen = known.sees(self.vectors, prompts)
        return [known.neighbours(one, 1)[0][1] > known.facts["reach"] for one in seen]

    def mistakes(self, client: int, adapter: LoraAdapter) -> Tensor:
        """Which of a client's test examples an adapter gets wrong, (n,) bool; of classes alone."""
        place = self.client.place(client)
        put(place.desk.objective, adapter)
        return place.desk.objective.judged(place.test())["accuracy"] == 0

    def alone(self) -> dict[str, list[LoraAdapter]]:
        """What newcomers have without a generator: nothing, the warm start, their own training."""
        zero = fresh(self.client.desk(self.newcomers[0].seat.client).objective, self.seed)
        count = len(self.newcomers)
        return {
            "base": [zero] * count,
            "warm": [self.warm] * count,
            "local": self.trained(self.client.config.finetune.epochs),
            SHORT: self.trained(FEW_EPOCHS),
        }

    def trained(self, epochs: int) -> list[LoraAdapter]:
        """What newcomers make of the warm start on the whole of their own data."""
        jobs = [self._job(newcomer.seat.client, epochs) for newcomer in self.newcomers]
        return [done.result().adapters[-1] for done in self.client.trainer.train(jobs)]

    def _job(self, client: int, epochs: int) -> Job:
        place = self.client.place(client)
        settings = place.config.finetune.model_copy(update={"epochs": epochs})
        seed = seeding.derive(self.seed, "local", client)
        return Job(place.desk.objective, self.warm, place.shard(), None, settings, seed)
