"""Images with a class each, decided by the nearest class name in a CLIP's common space."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from fedlora.backbone import AdapterSlot
from fedlora.errors import FedloraError
from fedlora.finetune.objectives.contract import Rows, wide
from fedlora.finetune.objectives.image_classification import ImageClassification
from fedlora.finetune.objectives.linear_head import LinearHeadObjective
from fedlora.finetune.objectives.pictures import images


class PromptedImages(ImageClassification):
    """Logits are scaled cosines between an image and the class names in their prompts.

    The names go through the frozen text tower, so the adapter of the vision tower alone is the
    client's state; a trainable head starts from them.
    """

    def __init__(self, slot: AdapterSlot, label_names: tuple[str, ...], train_head: bool) -> None:
        clip = slot.base.clip
        if clip is None:
            raise FedloraError(f"backbone.name: '{slot.base.reference}' is no CLIP")
        if clip.num_classes not in (None, len(label_names)):
            raise FedloraError(
                f"backbone.num_classes={clip.num_classes}, but the task has {len(label_names)}"
                f" classes; set it to {len(label_names)}"
            )
        self.images = clip.images
        weight = wide(clip.name_rows(label_names)).to(slot.device)
        bias = weight.new_zeros(len(weight))
        LinearHeadObjective.__init__(self, slot, label_names, weight, bias, train_head)

    @override
    def features(self, rows: Rows) -> Tensor:
        return functional.normalize(wide(self._output(rows).image_embeds), dim=-1)

    @override
    def hidden(self, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
        output = self._output(rows, output_hidden_states=True)
        early = wide(output.hidden_states[1])
        pooled = functional.normalize(wide(output.image_embeds), dim=-1)
        return pooled, early, torch.ones(early.shape[:2])

    def _output(self, rows: Rows, **options: bool) -> Any:
        pixels = self.images.prepare(images(rows, self.slot.device))
        return self.slot.model(pixel_values=pixels.to(self.slot.dtype), **options)
