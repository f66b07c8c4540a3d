"""The one that is closest to its neighbours."""

from collections.abc import Sequence
from dataclasses import replace

from typing_extensions import override

from fedlora.adapter import LoraAdapter
from fedlora.adapter.resize import resize
from fedlora.aggregation.contract import State
from fedlora.aggregation.krum_scores import krum_scores, squared_distances
from fedlora.aggregation.suspects import SuspectsConfig, Suspicious, counted


class KrumConfig(SuspectsConfig):
    """Of the clients of a round."""


class Krum(Suspicious):
    """Krum (Blanchard et al. 2017, arXiv 1703.02757) on DeltaW: one client's adapter is all's.

    n >= 2 f + 3. Weights above zero do not matter. Ranks may differ.
    """

    Config = KrumConfig
    mixed_ranks = True
    new_factors = True
    title = "krum"
    bears = (2, 3)

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
        best = 0
        if n > 1:
            best = int(krum_scores(squared_distances(adapters), attackers).argmin())
        return replace(before, common=resize(adapters[best], before.common.spec))
