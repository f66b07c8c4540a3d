"""Prompts in groups, each paired with adapters of its own task."""

import torch
from torch import Tensor
from typing_extensions import override

from fedlora.generators.learner import Data


class Pairs(Data):
    """Every adapter with every group of its task's prompts.

    In each epoch the prompts of an adapter are dealt anew into groups without overlap; what is
    left over waits for another epoch.

    adapters: (n, S, D) tokens.
    prompts: (n, P, k) encodings, those of the adapter's own task.
    group: prompts in a group, at most P.
    """

    def __init__(self, adapters: Tensor, prompts: Tensor, group: int) -> None:
        self._adapters, self._prompts, self._group = adapters, prompts, group
        self._groups = prompts.shape[1] // group
        self._dealt: tuple[int, Tensor] | None = None  # of one epoch, by the seed of its draw

    @override
    def __len__(self) -> int:
        return len(self._adapters) * self._groups

    @override
    def take(self, rows: Tensor, draw: torch.Generator) -> tuple[Tensor, ...]:
        adapter, group = rows // self._groups, rows % self._groups
        epoch = draw.initial_seed()
        if self._dealt is None or self._dealt[0] != epoch:
            self._dealt = epoch, self.deal(draw)
        members = self._dealt[1][adapter, group]
        return self._adapters[adapter], self._prompts[adapter.unsqueeze(1), members]

    def deal(self, draw: torch.Generator) -> Tensor:
        """(n, groups, group): which prompts are together in this epoch."""
        n, prompts, _ = self._prompts.shape
        order = torch.rand(n, prompts, generator=draw).argsort(1)
        return order[:, : self._groups * self._group].view(n, self._groups, self._group)
