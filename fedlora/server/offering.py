"""What the server can offer a newcomer: every method's adapter, and the nearest of the bank."""

from collections.abc import Mapping
from functools import cached_property

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.adoption.chosen import CHOSEN
from fedlora.adoption.contract import Hand, Neighbour, Offer, Policy
from fedlora.errors import FedloraError
from fedlora.generators.contract import Generator, TrainingBank
from fedlora.generators.nearest import Nearest
from fedlora.server.context import ServerContext
from fedlora.server.describing import Described
from fedlora.spans import span

Candidates = dict[int, dict[str, LoraAdapter]]
"""What every method has made, by client and name."""


class Offering:
    """Makes offers from what was learned.

    learned: fitted generators by method name.
    candidates: what each method has made for each newcomer, and the table judges.
    bank: what the generators learned from.
    chosen: the method that won the bank's trial, if one was held.
    """

    def __init__(
        self,
        context: ServerContext,
        learned: Mapping[str, Generator],
        candidates: Candidates,
        bank: TrainingBank,
        chosen: str | None = None,
    ) -> None:
        self._context, self._chosen = context, chosen
        self._learned, self._candidates, self._bank = learned, candidates, bank

    @span("generator")
    def make(self, policy: Policy, newcomer: Described) -> Offer:
        """What a policy sends to a newcomer."""
        made = self._candidates[newcomer.seat.client]

        def method(name: str, sample: int) -> LoraAdapter:
            if name == CHOSEN and self._chosen is not None:
                name = self._chosen
            if name not in made:
                raise FedloraError(f"adoption: no method '{name}' was learned in this run")
            if not sample or name not in self._learned:
                return made[name]
            seed = seeding.derive(self._context.seed, "sample", sample)
            generator = self._learned[name]
            asked = self._context.seen_by(generator, newcomer.vector[None])
            rank = self._context.config.lora.rank
            return generator.sample(asked, seed=seed, rank=rank)[0]

        def nearest(count: int) -> list[Neighbour]:
            asked = self._context.seen_by(self.nearest, newcomer.vector[None])[0]
            pairs = self.nearest.neighbours(asked, count)
            return [Neighbour(*pair) for pair in pairs]

        return policy.offer(Hand(method, nearest, lambda: self.nearest.facts["reach"]))

    @cached_property
    def nearest(self) -> Nearest:
        """What knows how far a task lies from the bank, and which of its tasks are nearest."""
        folder = self._context.folder / "checkpoints" / "nearest"
        return Nearest.of(self._bank, self._context.config.task_vector.prompts, folder)
