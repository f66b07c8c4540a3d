"""One federation up to the point where newcomers come, and what they reach then."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.client.client import Client
from fedlora.client.trial import score
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.finetune.job import Job
from fedlora.finetune.local import fresh
from fedlora.generators.blend import Blend
from fedlora.generators.contract import TrainingBank
from fedlora.runtime.inprocess import InPacks
from fedlora.server.collecting import collect
from fedlora.server.describing import describe
from fedlora.server.federation import open_context
from fedlora.server.growing import grow
from fedlora.server.journal import Journal
from fedlora.server.observer import Observer
from fedlora.server.warm_start import warm_start


class Side:
    """The server and all clients of one bank, in this process.

    warm: the federated average. grown: the generator of the rounds of growth, or None.
    bank: the fine-tuned adapters; None for a side that only grew.
    vectors: the newcomers' task vectors (n, c).
    """

    def __init__(self, config: RunConfig, folder: Path, observer: Observer) -> None:
        self.seed = config.seeds[0]
        self.client = Client(config, self.seed)
        answers = InPacks(self.client.handle_many, config.runtime.together)
        journal = Journal(folder / "journal.sqlite")
        context = open_context(config, self.seed, answers, folder, observer, journal)
        members = describe(context, "describe", [s for s in context.seats if s.role == "bank"])
        warm = warm_start(context, members)
        if warm is None or warm.common is None:
            raise FedloraError("bench generator: a side without a common warm start")
        self.warm = warm.common
        self.grown: Blend | None = grow(context, warm.common, members)
        self.bank: TrainingBank | None = None
        if self.grown is None:
            self.bank = collect(context, warm.starts, members).training_bank(rounds={0})
        arriving = [seat for seat in context.seats if seat.role == "newcomer"]
        newcomers = describe(context, "arrive", arriving)
        self.newcomers = [newcomer.seat for newcomer in newcomers]
        self.vectors: Tensor = torch.stack([newcomer.vector for newcomer in newcomers])
        journal.close()

    def reached(self, adapters: Sequence[LoraAdapter]) -> list[float]:
        """Test accuracy of one adapter for each newcomer."""
        desks = [self.client.desk(seat.client) for seat in self.newcomers]
        return [
            score(desk.objective, adapter, desk.test)["accuracy"]
            for desk, adapter in zip(desks, adapters, strict=True)
        ]

    def alone(self) -> Mapping[str, list[LoraAdapter]]:
        """What newcomers have without a generator: nothing, the warm start, their own training."""
        desks = [self.client.desk(seat.client) for seat in self.newcomers]
        settings = self.client.config.finetune
        jobs = [
            Job(
                desk.objective,
                self.warm,
                desk.train,
                None,
                settings,
                seeding.derive(self.seed, "local", desk.seat.client),
            )
            for desk in desks
        ]
        trained = [done.result().adapters[-1] for done in self.client.trainer.train(jobs)]
        count = len(desks)
        zero = fresh(desks[0].objective, self.seed)
        return {"base": [zero] * count, "warm": [self.warm] * count, "local": trained}
