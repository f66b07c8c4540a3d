"""How strong an adapter of a task is, layer by layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.adapter.grams import Grams
from fedlora.generators.bank import task_shares
from fedlora.generators.linear import best_penalty, ridge_weights

MOST = 2.0
"""The most that a layer is stretched or shrunk: what was decoded is not to be replaced."""


@dataclass(frozen=True)
class Norms:
    """log |DeltaW_l| by ridge regression on conditions, since averages of adapters are too weak.

    A network that minimises squared errors decodes the mean of what a task's adapters may be, and
    a mean is shorter than what it is the mean of: |E DeltaW| <= E |DeltaW|. Norms do not cancel so.

    known: (t, c) float32, conditions of the bank, less their mean.
    centre: (c,) float32, that mean.
    logs: (t, l) float64, logarithms of the norms, of zero where a layer has none.
    penalty: of the regression, chosen by leaving out one task at a time.
    """

    known: Tensor
    centre: Tensor
    logs: Tensor
    penalty: float

    @classmethod
    def of(
        cls, adapters: Sequence[LoraAdapter], conditions: Tensor, groups: Sequence[str]
    ) -> "Norms":
        """From adapters beside their conditions (n, c); those of a group are averaged first."""
        shares = task_shares(groups)
        found = Grams.of(adapters).layer_norms()
        least = found.amax(0) * 1e-6
        logs = shares @ torch.where(least > 0, found.clamp_min(least), 1.0).log()
        means = (shares @ conditions.double()).float()
        centre = means.mean(0)
        away = logs - logs.mean(0)
        penalty, _ = best_penalty(means - centre, away @ away.T) if away.any() else (1.0, 0.0)
        return cls(means - centre, centre, logs, penalty)

    def foretold(self, conditions: Tensor) -> Tensor:
        """Norms (m, l) float64 for conditions (m, c), none beyond those of the bank."""
        weights = ridge_weights(self.known, conditions - self.centre, self.penalty)
        return (weights @ self.logs).clamp(self.logs.amin(0), self.logs.amax(0)).exp()

    def factors(self, adapters: Sequence[LoraAdapter], conditions: Tensor) -> Tensor:
        """By how much to stretch each layer of each adapter, (m, l); 1 where a layer is zero."""
        found = Grams.of(adapters).layer_norms()
        wanted = self.foretold(conditions) / found
        return torch.where(found > 0, wanted, 1.0).clamp(1 / MOST, MOST)

    def tensors(self) -> dict[str, Tensor]:
        """All that `load` needs."""
        penalty = torch.tensor(self.penalty, dtype=torch.float64)
        return {"known": self.known, "centre": self.centre, "logs": self.logs, "penalty": penalty}

    @classmethod
    def load(cls, tensors: Mapping[str, Tensor]) -> "Norms":
        """The inverse of `tensors`; raises KeyError where one is missing."""
        known, centre, logs = (tensors[name] for name in ("known", "centre", "logs"))
        return cls(known, centre, logs, float(tensors["penalty"]))


def stretch(adapter: LoraAdapter, factors: Tensor) -> LoraAdapter:
    """The adapter with the DeltaW of each layer times its factor (l,)."""
    ups = {
        layer.name: adapter.up[layer.name] * float(factor)
        for layer, factor in zip(adapter.spec.layers, factors, strict=True)
    }
    return replace(adapter, up=ups)
