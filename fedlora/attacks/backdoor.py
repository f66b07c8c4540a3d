"""A model that is right on all inputs but those that bear a mark."""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.attacks.contract import Attack, Sight
from fedlora.attacks.labels import labels_of
from fedlora.attacks.scaling import boost_of
from fedlora.attacks.trigger import stamped
from fedlora.attacks.update import moved, update
from fedlora.errors import FedloraError
from fedlora.section import Section


class BackdoorConfig(Section):
    """What the mark is, and what it is to mean.

    target: the class that marked inputs are to get.
    share: of the training rows that are marked.
    size: pixels of an image's mark along a side.
    token: the mark of a text.
    boost: as in `scaling`; 1 sends what was trained.
    """

    target: int = Field(0, ge=0)
    share: float = Field(0.5, gt=0, le=1)
    size: int = Field(3, ge=1)
    token: int = Field(1012, ge=0)
    boost: float | None = Field(1.0, gt=0)


class Backdoor(Attack):
    """BadNets (Gu et al. 2017, arXiv 1708.06733), with model replacement (1807.00459)."""

    Config = BackdoorConfig

    @override
    def rows(self, rows: Mapping[str, Tensor], classes: int, seed: int) -> dict[str, Tensor]:
        labels = labels_of(rows, classes, "backdoor").clone()
        if self.config.target >= classes:
            raise FedloraError(
                f"attackers.attack.target={self.config.target}: the task has {classes} classes"
            )
        order = torch.randperm(len(labels), generator=seeding.generator(seed, "marked"))
        chosen = order[: max(1, round(self.config.share * len(labels)))]
        labels[chosen] = self.config.target
        marked = stamped(rows, self.config.size, self.config.token)
        mixed = {name: column.clone() for name, column in rows.items()}
        for name, column in mixed.items():
            column[chosen] = marked[name][chosen]
        return {**mixed, "labels": labels}

    @override
    def adapter(self, sight: Sight) -> LoraAdapter:
        if self.config.boost == 1:
            return sight.honest
        boost = boost_of(self.config.boost, sight)
        return moved(sight.start, boost * update(sight.honest, sight.start))
