"""The default generator: a conditional VAE from task vectors to adapters."""

from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedlora import seeding
from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.resize import at_one_rank
from fedlora.errors import FedloraError
from fedlora.generators import store
from fedlora.generators.bank import check_bank
from fedlora.generators.condition import Projection
from fedlora.generators.contract import Generator, Progress, TrainingBank
from fedlora.generators.cvae_network import CvaeNetwork, NetworkConfig
from fedlora.generators.learner import Columns, Plan, identity
from fedlora.generators.rank_code import RankCode, largest_rank
from fedlora.generators.representation import REPRESENTATIONS, Representation
from fedlora.section import Section


class CvaeConfig(Section):
    """Defaults measured on banks of 48 image domains."""

    representation: Literal["delta_pca", "factors"] = "delta_pca"
    components: int = Field(32, ge=1, description="principal components of DeltaW")
    condition_components: int = Field(24, ge=1, description="principal components of conditions")
    network: NetworkConfig = NetworkConfig()
    training: Plan = Plan()
    spread: float = Field(0.0, ge=0, description="of the prior when sampling; 0 takes its mean")


class Cvae(Generator):
    """Adapter = decode(z, c), z from the prior p(z | c), all statistics from the bank alone.

    After ICM-LoRA (arXiv 2501.17635), but one network for all tasks, conditioned on task vectors
    of the base model, and over points of a representation in place of raw, flattened factors.
    A bank of several ranks makes the rank one more condition.
    """

    Config = CvaeConfig

    @override
    def fit(self, bank: TrainingBank, *, seed: int, workdir: Path, progress: Progress) -> None:
        from fedlora.generators.training import train  # Lightning takes seconds to import

        check_bank(bank, least_tasks=2)
        project = Projection.of(bank.conditions, self.config.condition_components)
        ranks = RankCode.of(bank.adapters)
        kind = REPRESENTATIONS[self.config.representation]
        adapters = at_one_rank(bank.adapters)
        representation, points = kind.of(adapters, self.config.components)
        own = torch.tensor([largest_rank(adapter.spec) for adapter in bank.adapters])
        conditions = ranks(project(bank.conditions), own)
        network = train(
            lambda: CvaeNetwork(points.shape[1], conditions.shape[1], self.config.network),
            Columns(points, conditions),
            self.config.training,
            seed=seed,
            identity=identity(self.config, seed, points, conditions),
            workdir=workdir,
            progress=progress,
        )
        self._hold(adapters[0].spec, project, ranks, representation, network)
        self.facts = {
            "active_units": network.active_units(points, conditions),
            "points": points.shape[1],
            "samples": len(points),
            "tasks": len(set(bank.tasks)),
        }
        progress(self.facts)

    @override
    def sample(
        self, conditions: Tensor, *, seed: int, rank: int | None = None
    ) -> list[LoraAdapter]:
        with torch.no_grad():
            asked = torch.tensor(largest_rank(self._spec) if rank is None else rank)
            c = self._ranks(self._project(conditions), asked.expand(len(conditions)))
            mean, log_variance = self._network.prior_of(c)
            noise = _noise(conditions, mean.shape[1], seed)
            z = mean + self.config.spread * torch.exp(log_variance / 2) * noise
            return self._representation.decode(self._network.decode(z, c), rank)

    @override
    def save(self, folder: Path) -> None:
        parts = {
            "network": self._network.state_dict(),
            "representation": self._representation.tensors(),
            "condition": self._project.tensors(),
            "rank": {"statistics": self._ranks.statistics},
        }
        config = self.config.model_dump(mode="json")
        store.write(folder, store.Stored("cvae", config, self._spec, self.facts, store.join(parts)))

    @classmethod
    @override
    def load(cls, folder: Path) -> Self:
        stored = store.read(folder, "cvae")
        self = cls(CvaeConfig.model_validate(stored.config))
        parts = store.parts(stored.tensors)
        try:
            project = Projection.load(parts["condition"])
            kind = REPRESENTATIONS[self.config.representation]
            representation = kind.load(stored.spec, parts["representation"])
            ranks = RankCode(parts["rank"]["statistics"])
            conditions = project.axes.shape[1] + ranks.features
            network = CvaeNetwork(representation.size, conditions, self.config.network)
            network.load_state_dict(parts["network"])
        except (KeyError, RuntimeError) as error:
            raise FedloraError(f"{folder / store.MODEL}: incomplete ({error}); fit again") from None
        self._hold(stored.spec, project, ranks, representation, network.eval())
        self.facts = dict(stored.facts)
        return self

    def _hold(
        self,
        spec: AdapterSpec,
        project: Projection,
        ranks: RankCode,
        representation: Representation,
        network: CvaeNetwork,
    ) -> None:
        self._spec, self._project, self._ranks = spec, project, ranks
        self._representation, self._network = representation, network


def _noise(conditions: Tensor, size: int, seed: int) -> Tensor:
    """(m, size) from a standard normal, drawn for each condition (m, c) by what it says.

    So a task is given the same whoever else is asked for; equal conditions are numbered.
    """
    seen: Counter[str] = Counter()
    rows = []
    for condition in conditions.float().cpu().contiguous():
        name = sha256(condition.numpy().tobytes()).hexdigest()
        draw = seeding.generator(seed, "latent", name, seen[name])
        rows.append(torch.randn(size, generator=draw))
        seen[name] += 1
    return torch.stack(rows)
