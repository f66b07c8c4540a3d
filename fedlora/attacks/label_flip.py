"""Honest training on labels that are wrong."""

from collections.abc import Mapping

from torch import Tensor
from typing_extensions import override

from fedlora.attacks.contract import Attack
from fedlora.attacks.labels import labels_of
from fedlora.section import Section


class LabelFlipConfig(Section):
    """No options."""


class LabelFlip(Attack):
    """Class c of C becomes C - 1 - c (Fang et al. 2020, arXiv 1911.11815, section 5.1)."""

    Config = LabelFlipConfig

    @override
    def rows(self, rows: Mapping[str, Tensor], classes: int, seed: int) -> dict[str, Tensor]:
        return {**rows, "labels": classes - 1 - labels_of(rows, classes, "label_flip")}
