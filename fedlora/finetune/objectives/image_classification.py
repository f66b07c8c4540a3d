"""Images with a class each, decided by the base model's own classifier."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from fedlora.backbone import AdapterSlot
from fedlora.errors import FedloraError
from fedlora.finetune.objectives.contract import Rows, wide
from fedlora.finetune.objectives.linear_head import LinearHeadObjective
from fedlora.finetune.objectives.pictures import PIXELS, encode_images, images
from fedlora.registry import nearest
from fedlora.tasks.contract import Examples, Kind


class ImageClassification(LinearHeadObjective):
    """The classifier's rows for the task's labels; a trainable head starts from them."""

    kind: ClassVar[Kind] = "image-classification"

    def __init__(self, slot: AdapterSlot, label_names: tuple[str, ...], train_head: bool) -> None:
        classifier = slot.base.classifier
        if classifier is None:
            raise FedloraError(
                f"backbone.name: image tasks need an image classifier, and"
                f" '{slot.base.reference}' is a {slot.base.modality} model"
            )
        weight = wide(classifier.weight.detach())
        bias = weight.new_zeros(len(weight))
        if classifier.bias is not None:
            bias = wide(classifier.bias.detach())
        if train_head and not set(label_names) <= set(slot.base.labels):
            rows = weight.new_zeros(len(label_names), weight.shape[1])
            super().__init__(slot, label_names, rows, rows.new_zeros(len(rows)), True)
        else:
            index = [_label_row(name, slot.base.labels) for name in label_names]
            super().__init__(slot, label_names, weight[index], bias[index], train_head)

    @override
    def encode(self, examples: Examples) -> Rows:
        if examples.labels is None:
            raise FedloraError("image classification needs labels; the source gives none")
        return {
            PIXELS: encode_images(examples.inputs),
            "labels": torch.as_tensor(examples.labels, dtype=torch.int64),
        }

    @override
    def features(self, rows: Rows) -> Tensor:
        features: Tensor = self._output(rows).logits
        return wide(features)

    @override
    def hidden(self, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
        output = self._output(rows, output_hidden_states=True)
        early = wide(output.hidden_states[1])
        early = early.flatten(2).transpose(1, 2) if early.ndim == 4 else early  # CNN feature maps
        return wide(output.logits), early, torch.ones(early.shape[:2])

    def _output(self, rows: Rows, **options: bool) -> Any:
        pixels = self.slot.base.pixels.prepare(images(rows, self.slot.device))
        return self.slot.model(pixel_values=pixels.to(self.slot.dtype), **options)


FEW = 20


def _label_row(name: str, known: tuple[str, ...]) -> int:
    if name not in known:
        raise FedloraError(
            f"tasks: label '{name}' of the data is not among the base model's classes"
            f" ({_hint(name, known)}); rename it there, or run with lora.head=true"
        )
    return known.index(name)


def _hint(name: str, known: tuple[str, ...]) -> str:
    """All classes where they are few, else the nearest."""
    return ", ".join(known) if len(known) <= FEW else nearest(name, list(known))
