"""Generators that draw a latent for a condition and decode it to an adapter."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedlora import seeding
from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.resize import at_one_rank
from fedlora.generators import store
from fedlora.generators.bank import check_bank
from fedlora.generators.condition import Projection
from fedlora.generators.contract import Generator, Progress, TrainingBank
from fedlora.generators.latent_network import LatentNetwork
from fedlora.generators.learner import Columns, Plan, identity
from fedlora.generators.norms import Norms, stretch
from fedlora.generators.rank_code import RankCode, largest_rank
from fedlora.generators.representation import Representation
from fedlora.section import Section


class LatentConfig(Section):
    """What every such generator can be told."""

    condition_components: int = Field(24, ge=1, description="principal components of conditions")
    training: Plan = Plan()
    spread: float = Field(
        0.0, ge=0, description="of the prior; 0 takes its mean for one sample, 1 for several"
    )
    norms: Literal["decoded", "foretold"] = Field(
        "decoded", description="of each layer: what was decoded, or as the task vector foretells"
    )


class Latent(Generator):
    """Adapter = decode(z, c), z from the prior p(z | c), all statistics from the bank alone.

    A bank of several ranks makes the rank one more condition. A subclass says as what points
    adapters are learned, and by which network.
    """

    least_tasks = 2

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.facts: dict[str, float] = {}

    @abstractmethod
    def represent(self, adapters: Sequence[LoraAdapter]) -> tuple[Representation, Tensor]:
        """The representation of the bank's adapters, all of one spec, and their points (n, k)."""

    @abstractmethod
    def restore(self, spec: AdapterSpec, tensors: Mapping[str, Tensor]) -> Representation:
        """The representation that was saved; raises KeyError where a tensor is missing."""

    @abstractmethod
    def network(self, points: int, conditions: int) -> LatentNetwork:
        """An untrained network for points and conditions of these sizes."""

    @override
    def fit(self, bank: TrainingBank, *, seed: int, workdir: Path, progress: Progress) -> None:
        from fedlora.generators.training import train  # Lightning takes seconds to import

        check_bank(bank, self.least_tasks)
        project = Projection.of(bank.conditions, self.config.condition_components)
        ranks = RankCode.of(bank.adapters)
        adapters = at_one_rank(bank.adapters)
        representation, points = self.represent(adapters)
        own = torch.tensor([largest_rank(adapter.spec) for adapter in bank.adapters])
        conditions = ranks(project(bank.conditions), own)

        def untrained() -> LatentNetwork:
            made = self.network(points.shape[1], conditions.shape[1])
            if made.config.product_weight:
                made.product_error = representation.product_error(adapters)
            return made

        network = train(
            untrained,
            Columns(points, conditions),
            self.config.training,
            seed=seed,
            identity=identity(self.config, seed, points, conditions),
            workdir=workdir,
            progress=progress,
        )
        norms = None
        if self.config.norms == "foretold":
            groups = [f"{task} {rank}" for task, rank in zip(bank.tasks, own.tolist(), strict=True)]
            norms = Norms.of(bank.adapters, conditions, groups)
        self._hold(adapters[0].spec, project, ranks, representation, network, norms)
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
            return self._decode(self._network.decode(z, c), c, rank)

    @override
    def drawing(self) -> Self:
        """With the prior's own spread where the configuration takes its mean."""
        if self.config.spread:
            return self
        drawing = copy(self)
        drawing.config = self.config.model_copy(update={"spread": 1.0})
        return drawing

    @override
    def alarm(self) -> str | None:
        if self.facts["active_units"]:
            return None
        return (
            "the generator's posterior has collapsed: no latent axis says more than the task"
            " vector, so draws differ by noise alone; lower generator.network.kl_weight, or raise"
            " generator.network.free_bits"
        )

    @override
    def save(self, folder: Path) -> None:
        parts = {
            "network": self._network.state_dict(),
            "representation": self._representation.tensors(),
            "condition": self._project.tensors(),
            "rank": {"statistics": self._ranks.statistics},
            "norms": self._norms.tensors() if self._norms else {},
        }
        config, tensors = self.config.model_dump(mode="json"), store.join(parts)
        store.write(folder, store.Stored(self.name(), config, self._spec, self.facts, tensors))

    @classmethod
    @override
    def load(cls, folder: Path) -> Self:
        stored = store.read(folder, cls.name())
        self = cls(cls.Config.model_validate(stored.config))
        parts = store.parts(stored.tensors)
        try:
            project = Projection.load(parts["condition"])
            representation = self.restore(stored.spec, parts["representation"])
            ranks = RankCode(parts["rank"]["statistics"])
            network = self.network(representation.size, project.axes.shape[1] + ranks.features)
            network.load_state_dict(parts["network"])
            norms = Norms.load(parts["norms"]) if self.config.norms == "foretold" else None
        except (KeyError, RuntimeError) as error:
            raise store.incomplete(folder, error) from None
        self._hold(stored.spec, project, ranks, representation, network.eval(), norms)
        self.facts = dict(stored.facts)
        return self

    def _decode(self, points: Tensor, conditions: Tensor, rank: int | None) -> list[LoraAdapter]:
        """Adapters of points (m, k); stretched as the bank's own rank needs it, at any rank."""
        made = self._representation.decode(points, rank)
        if self._norms is None:
            return made
        whole = made if rank is None else self._representation.decode(points)
        factors = self._norms.factors(whole, conditions)
        return [stretch(adapter, row) for adapter, row in zip(made, factors, strict=True)]

    def _hold(
        self,
        spec: AdapterSpec,
        project: Projection,
        ranks: RankCode,
        representation: Representation,
        network: LatentNetwork,
        norms: Norms | None,
    ) -> None:
        self._spec, self._project, self._ranks = spec, project, ranks
        self._representation, self._network, self._norms = representation, network, norms


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
