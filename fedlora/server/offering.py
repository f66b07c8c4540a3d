"""What can be offered to newcomers, in a run and after it: methods' adapters, and the bank's."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.adapter.resize import resize
from fedlora.adoption.chosen import CHOSEN
from fedlora.adoption.contract import Hand, Neighbour, Offer, Policy
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.generators.blend import Blend
from fedlora.generators.contract import Generator, TrainingBank
from fedlora.generators.nearest import Nearest
from fedlora.spans import span

Candidates = dict[int, dict[str, LoraAdapter]]
"""What every method has made, by client and name."""


@dataclass(frozen=True, eq=False)
class Offering:
    """Makes offers from what was learned.

    learned: fitted generators by method name.
    seed: of the run.
    prompts: of a task vector.
    rank: of what is offered; each layer's largest in the bank when None.
    nearest: what knows which of the bank's tasks are near; None where no policy asks.
    warm: the common warm start, if there is one.
    chosen: what won the bank's trial, if one was held.
    candidates: what each method has made for a run's own newcomers, and the table judges.
    """

    learned: Mapping[str, Generator]
    seed: int = 0
    prompts: int = 1
    rank: int | None = None
    nearest: Nearest | None = None
    warm: LoraAdapter | None = None
    chosen: str | None = None
    candidates: Candidates = field(default_factory=dict)

    @span("generator")
    def make(
        self, policy: Policy, vector: Tensor, client: int | None = None, draw: int = 0
    ) -> Offer:
        """What a policy sends to a newcomer with the task vector (c,).

        client: its number, where it has a seat in the run.
        draw: what methods draw at random differs from draw to draw.

        Raises:
            FedloraError: the vector or the rank does not fit, or the policy asks for what was not
                learned.
        """
        made = self.candidates.get(client, {}) if client is not None else {}

        def method(name: str, sample: int) -> LoraAdapter:
            name = self._meant(name)
            number = sample + draw
            if name in made and not (number and name in self.learned):
                return made[name]
            if name == "warm" and self.warm is not None:
                return self._at_rank(self.warm)
            if name not in self.learned:
                raise FedloraError(f"adoption: no method '{name}' was learned in this run")
            generator = self.learned[name]
            seed = seeding.derive(self.seed, "sample", *([number] if number else []))
            asked = generator.sees(vector[None], self.prompts)
            return generator.sample(asked, seed=seed, rank=self.rank)[0]

        def nearest(count: int) -> list[Neighbour]:
            asked = self._known.sees(vector[None], self.prompts)[0]
            found = self._known.neighbours(asked, count)
            return [Neighbour(self._at_rank(adapter), apart) for adapter, apart in found]

        hand = Hand(method, nearest, lambda: self._known.facts["reach"], self.chosen)
        return self._with_reach(policy.offer(hand), vector)

    def _with_reach(self, offer: Offer, vector: Tensor) -> Offer:
        """The offer of one method's adapter, and how well the bank knows the task, if that says so.

        A policy that compares tasks itself has told their distances.
        """
        name = next(iter(offer.adapters))
        generator = self.learned.get(self._meant(name))
        if len(offer.adapters) > 1 or not isinstance(generator, Blend):
            return offer
        known = generator.reach(generator.sees(vector[None], self.prompts)[0])
        return replace(
            offer, distances={name: known.distance, **offer.distances}, error=known.error
        )

    def _meant(self, name: str) -> str:
        """The method that a name stands for."""
        return self.chosen if name == CHOSEN and self.chosen is not None else name

    @property
    def _known(self) -> Nearest:
        if self.nearest is None:
            raise FedloraError("adoption: nothing was kept that knows which tasks are near")
        return self.nearest

    def _at_rank(self, adapter: LoraAdapter) -> LoraAdapter:
        return adapter if self.rank is None else resize(adapter, adapter.spec.with_rank(self.rank))


def neighbours(config: RunConfig, bank: TrainingBank, folder: Path) -> Nearest | None:
    """What knows which of the bank's tasks are near, where a way to adopt asks for that.

    folder: of a seed or of the pipeline.
    """
    ways = (config.adoption, *config.evaluation.adoptions)
    if not any(way.policy.build().needs_neighbours for way in ways):
        return None
    return Nearest.of(bank, config.task_vector.prompts, folder / "checkpoints" / "nearest")
