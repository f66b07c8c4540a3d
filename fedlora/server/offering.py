"""What the server can offer a newcomer: every method's adapter, and the nearest of the bank."""

from collections.abc import Mapping
from functools import cached_property

from torch import Tensor

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.adoption.contract import Hand, Neighbour, Offer, Policy
from fedlora.errors import FedloraError
from fedlora.generators.contract import Generator, TrainingBank
from fedlora.generators.nearest import Nearest, NearestConfig
from fedlora.server.context import ServerContext
from fedlora.spans import span


class Offering:
    """Makes offers from what was learned.

    learned: fitted generators by method name.
    warm: the warm start; None without one.
    bank: what the generators learned from.
    """

    def __init__(
        self,
        context: ServerContext,
        learned: Mapping[str, Generator],
        warm: LoraAdapter | None,
        bank: TrainingBank,
    ) -> None:
        self._context = context
        self._learned, self._warm, self._bank = learned, warm, bank

    @span("generator")
    def make(self, policy: Policy, vector: Tensor) -> Offer:
        """What a policy sends to a newcomer with this task vector (c,)."""

        def method(name: str, sample: int) -> LoraAdapter:
            if name == "warm" and self._warm is not None:
                return self._warm
            if name not in self._learned:
                raise FedloraError(f"adoption: no method '{name}' was learned in this run")
            what = ("sample", sample) if sample else ("sample",)
            seed = seeding.derive(self._context.seed, *what)
            return self._learned[name].sample(vector[None], seed=seed)[0]

        def nearest(count: int) -> list[Neighbour]:
            return [Neighbour(*pair) for pair in self._nearest.neighbours(vector, count)]

        return policy.offer(Hand(method, nearest))

    @cached_property
    def _nearest(self) -> Nearest:
        found = Nearest(NearestConfig())
        folder = self._context.folder / "checkpoints" / "nearest"
        found.fit(self._bank, seed=0, workdir=folder, progress=lambda _: None)
        return found
