"""A network from task vectors to the factors of adapters, taught by what training changes in them.

Its output begins at an adapter that is given, so that what it makes and what comes back of it share
a gauge, and a difference of factors is a change.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from fedlora import seeding
from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.resize import at_one_rank
from fedlora.errors import FedloraError
from fedlora.generators import store
from fedlora.generators.bank import check_bank
from fedlora.generators.condition import Projection
from fedlora.generators.contract import Progress, Taught, TrainingBank
from fedlora.generators.cvae_network import perceptron
from fedlora.generators.learner import Columns, Learner, Plan, identity
from fedlora.generators.representation import Factors
from fedlora.section import Section


class TeachingConfig(Section):
    """How a round of changes moves the network, by Adam."""

    learning_rate: float = Field(2e-3, gt=0)
    steps: int = Field(5, ge=1, description="of Adam, a round")
    clip: float = Field(2.0, gt=0, description="largest norm of a change, in the round's median")


class HypernetworkConfig(Section):
    """The network, how rounds teach it, and how it is fitted to a bank that is given."""

    condition_components: int = Field(24, ge=1, description="principal components of conditions")
    hidden: int = Field(128, ge=1)
    teaching: TeachingConfig = TeachingConfig()
    training: Plan = Plan(epochs=300)


class FactorNetwork(Learner):
    """Points (m, k) of conditions (m, p): two hidden layers; the last one begins as zero."""

    def __init__(self, conditions: int, hidden: int, points: int) -> None:
        super().__init__()
        self.layers = perceptron(conditions, hidden, hidden, points)
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    @override
    def forward(self, conditions: Tensor) -> Tensor:
        points: Tensor = self.layers(conditions)
        return points

    @override
    def losses(self, *batch: Tensor, done: float, noise: torch.Generator) -> dict[str, Tensor]:
        """Half of |h(c) - x|^2, the mean over the batch of conditions c and points x."""
        conditions, wanted = batch
        miss = torch.sum((self(conditions) - wanted) ** 2, dim=1).mean() / 2
        return {"loss": miss}


class Hypernetwork(Taught):
    """Factors(c) = start + h(c), after pFedHN (Shamsian et al. 2021, algorithm 1).

    In a round the network moves by the vector-Jacobian product of h with what training changed,

        theta <- theta - Adam((1 / m) sum_t J_t^T (made_t - trained_t)),  J_t = dh(c_t) / dtheta,

    which is the gradient of half the mean of |h(c_t) - trained_t|^2; of several steps in a round
    each takes that of the same adapters at the theta it finds. A change whose norm is above
    `clip` medians of the round is scaled down to that, so that no client decides alone. Unlike
    the paper, all clients of a round move the network together, and a task is known by the
    principal components of its vector, not by an embedding that is learned, so that a newcomer has
    one. `fit` regresses the factors of a bank, in one gauge, by the same loss.
    """

    Config = HypernetworkConfig
    least_tasks = 2
    _adam: torch.optim.Adam | None = None  # until rounds begin

    @override
    def fit(self, bank: TrainingBank, *, seed: int, workdir: Path, progress: Progress) -> None:
        from fedlora.generators.training import train  # Lightning takes seconds to import

        check_bank(bank, self.least_tasks)
        project = Projection.of(bank.conditions, self.config.condition_components)
        adapters = at_one_rank(bank.adapters)
        factors, points = Factors.of(adapters, 0)
        columns = project(bank.conditions), points
        network = train(
            lambda: self._network(project, factors),
            Columns(*columns),
            self.config.training,
            seed=seed,
            identity=identity(self.config, seed, *columns),
            workdir=workdir,
            progress=progress,
        )
        self._hold(adapters[0].spec, project, factors, network)

    @override
    def begin(self, start: LoraAdapter, conditions: Tensor, *, seed: int) -> None:
        project = Projection.of(conditions, self.config.condition_components)
        flat = start.flatten()
        factors = Factors(start.spec, flat, torch.ones_like(flat))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeding.derive(seed, "weights"))
            network = self._network(project, factors)
        self._hold(start.spec, project, factors, network)
        rate = self.config.teaching.learning_rate
        self._adam = torch.optim.Adam(network.parameters(), lr=rate)

    @override
    def step(
        self, conditions: Tensor, made: Sequence[LoraAdapter], trained: Sequence[LoraAdapter]
    ) -> None:
        if self._adam is None:
            raise FedloraError("a hypernetwork is taught from where it began: call begin first")
        pairs = zip(trained, made, strict=True)
        changes = torch.stack([after.flatten() - before.flatten() for after, before in pairs])
        sizes = changes.norm(dim=1)
        most = self.config.teaching.clip * sizes.median()
        changes = changes * (most / sizes.clamp_min(1e-12)).clamp(max=1).unsqueeze(1)
        asked, nothing = self._project(conditions), torch.Generator()
        with torch.no_grad():
            wanted = self._net(asked) + changes
        for _ in range(self.config.teaching.steps):
            self._adam.zero_grad()
            loss = self._net.losses(asked, wanted, done=0.0, noise=nothing)["loss"]
            loss.backward()
            self._adam.step()

    @override
    def sample(
        self, conditions: Tensor, *, seed: int, rank: int | None = None
    ) -> list[LoraAdapter]:
        with torch.no_grad():
            return self._factors.decode(self._net(self._project(conditions)), rank)

    @override
    def save(self, folder: Path) -> None:
        parts = {
            "network": self._net.state_dict(),
            "factors": self._factors.tensors(),
            "condition": self._project.tensors(),
        }
        config = self.config.model_dump(mode="json")
        store.write(folder, store.Stored(self.name(), config, self._spec, {}, store.join(parts)))

    @classmethod
    @override
    def load(cls, folder: Path) -> Self:
        stored = store.read(folder, cls.name())
        self = cls(cls.Config.model_validate(stored.config))
        parts = store.parts(stored.tensors)
        try:
            project = Projection.load(parts["condition"])
            factors = Factors.load(stored.spec, parts["factors"])
            network = self._network(project, factors)
            network.load_state_dict(parts["network"])
        except (KeyError, RuntimeError) as error:
            raise store.incomplete(folder, error) from None
        self._hold(stored.spec, project, factors, network)
        return self

    def _network(self, project: Projection, factors: Factors) -> FactorNetwork:
        return FactorNetwork(project.axes.shape[1], self.config.hidden, factors.size)

    def _hold(
        self, spec: AdapterSpec, project: Projection, factors: Factors, network: FactorNetwork
    ) -> None:
        self._spec, self._project, self._factors, self._net = spec, project, factors, network
