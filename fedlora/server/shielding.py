"""Rounds that tell little of whether any one client took part."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.aggregation.contract import Aggregator, State
from fedlora.aggregation.private_mean import private_mean
from fedlora.config import RunConfig
from fedlora.config.privacy import ClientPrivacy
from fedlora.privacy.accounting import Steps, epsilon, noise_multiplier
from fedlora.privacy.chance import chance_of, repeats


class Shield:
    """Clipping and noise on a warm start, by its budget for one client over all its rounds.

    A client counts as taking part in every round: who is chosen follows from the run's seed, which
    is no secret, so chance earns it nothing.
    """

    def __init__(self, config: RunConfig, budget: ClientPrivacy, seed: int) -> None:
        self._config, self._budget, self._seed = config, budget, seed

    @classmethod
    def of(cls, config: RunConfig, seed: int) -> "Shield | None":
        """None where the run asks for none."""
        budget = config.privacy.clients if config.privacy else None
        return cls(config, budget, seed) if budget else None

    @cached_property
    def noise(self) -> float:
        """Standard deviation, in units of the clip."""
        rounds = self._config.warm_start.rounds * len(self._config.seeds)
        return noise_multiplier(self._budget, [Steps(1.0, rounds)])

    def aggregate(
        self,
        before: State,
        method: Aggregator,
        group: str,
        sent: Iterable[LoraAdapter],
        asked: int,
    ) -> State:
        """What a group of clients has come to after one more round, answers or none."""
        number = before.round + 1
        seed = seeding.derive(self._seed, "client privacy", group, number)
        common, clipped = private_mean(
            before.common,
            sent,
            method.duty(number).sends,
            asked=asked,
            clip=self._budget.clip,
            noise=self.noise,
            chance=chance_of(seed, repeats(self._config)),
        )
        earlier = self._config.seeds.index(self._seed) * self._config.warm_start.rounds
        spent = epsilon(self.noise, [Steps(1.0, earlier + number)], self._budget.delta)
        return replace(before, common=common, report={"clipped": clipped, "epsilon": spent})
