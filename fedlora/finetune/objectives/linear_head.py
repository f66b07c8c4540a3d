"""A linear head over pooled features, frozen or trained: what the classification kinds share."""

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from fedlora.backbone import AdapterSlot
from fedlora.finetune.lower_blocks import replay
from fedlora.finetune.objectives.contract import Objective, Rows


class LinearHeadObjective(Objective):
    """Logits = features @ weight.T + bias.

    Args:
        weight: (classes, width); bias: (classes,). The base model's own knowledge of the labels,
            kept frozen, or the start of a head that is trained and sent with the adapter.
        trainable: which of the two.
    """

    def __init__(
        self,
        slot: AdapterSlot,
        label_names: tuple[str, ...],
        weight: Tensor,
        bias: Tensor,
        trainable: bool,
    ) -> None:
        super().__init__(slot, label_names)
        self.weight = nn.Parameter(weight.clone(), requires_grad=trainable)
        self.bias = nn.Parameter(bias.clone(), requires_grad=trainable)
        self._first = {"classifier.weight": weight.clone(), "classifier.bias": bias.clone()}

    @override
    def head(self) -> Mapping[str, nn.Parameter]:
        if not self.weight.requires_grad:
            return {}
        return {"classifier.weight": self.weight, "classifier.bias": self.bias}

    @override
    def first_head(self) -> Mapping[str, Tensor]:
        return {name: self._first[name] for name in self.head()}

    @abstractmethod
    def features(self, rows: Rows) -> Tensor:
        """(n, width), what the head sees."""

    def logits(self, rows: Rows) -> Tensor:
        """(n, classes)."""
        with replay(self.slot, rows):
            features = self.features(rows)
        return functional.linear(features, self.weight, self.bias)

    @override
    def respond(self, rows: Rows) -> Tensor:
        return self.features(rows)

    @override
    def loss_of(self, responses: Tensor, rows: Rows, head: Mapping[str, Tensor]) -> Tensor:
        weight = head.get("classifier.weight", self.weight)
        bias = head.get("classifier.bias", self.bias)
        logits = functional.linear(responses, weight, bias)
        return functional.cross_entropy(logits, rows["labels"].to(self.slot.device))

    @override
    def judge(self, rows: Rows) -> dict[str, Tensor]:
        logits, labels = self.logits(rows), rows["labels"].to(self.slot.device)
        return {
            "loss": functional.cross_entropy(logits, labels, reduction="none"),
            "accuracy": (logits.argmax(-1) == labels).to(torch.float32),
        }

    @override
    def spread(self, rows: Rows) -> Rows:
        return rows
