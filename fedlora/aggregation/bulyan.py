"""Krum again and again, then the middle of every entry of DeltaW."""

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.aggregation.contract import State
from fedlora.aggregation.coordinates import by_coordinate
from fedlora.aggregation.krum_scores import krum_scores, squared_distances
from fedlora.aggregation.median import median
from fedlora.aggregation.suspects import SuspectsConfig, Suspicious, counted


class BulyanConfig(SuspectsConfig):
    """Of the clients of a round."""


class Bulyan(Suspicious):
    """Bulyan (El Mhamdi et al. 2018, arXiv 1802.07927) on DeltaW, by Krum.

    n >= 4 f + 3. Of theta = n - 2 f clients chosen one after another by Krum, each entry is the
    mean of the theta - 2 f values nearest to their median. Weights above zero do not matter.
    Ranks may differ.
    """

    Config = BulyanConfig
    mixed_ranks = True
    new_factors = True
    title = "bulyan"
    bears = (4, 3)

    @override
    def aggregate(
        self,
        before: State,
        sent: Sequence[LoraAdapter],
        weights: Sequence[float],
        controls: Sequence[LoraAdapter] = (),
    ) -> State:
        adapters, _ = counted(sent, weights)
        n = len(adapters)
        attackers = self.attackers(before, n)
        if attackers:
            chosen = select(squared_distances(adapters), attackers)
            adapters = [adapters[at] for at in chosen]
        keep = len(adapters) - 2 * attackers

        def rule(values: Tensor) -> Tensor:
            order = (values - median(values)).abs().argsort(dim=0, stable=True)
            return values.gather(0, order[:keep]).mean(0)

        return by_coordinate(before, adapters, rule)


def select(distances: Tensor, attackers: int) -> list[int]:
    """n - 2 f clients, in order: whoever Krum takes of those that are left, and so on.

    distances: (n, n), squared.
    """
    left, chosen = list(range(len(distances))), list[int]()
    while len(chosen) < len(distances) - 2 * attackers:
        among = torch.tensor(left)
        best = int(krum_scores(distances[among][:, among], attackers).argmin())
        chosen.append(left.pop(best))
    return sorted(chosen)
