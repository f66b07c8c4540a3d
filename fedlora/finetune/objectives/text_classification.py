"""Texts with a label each, decided by the nearest label name in the encoder's own space."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from fedlora.backbone import AdapterSlot
from fedlora.errors import FedloraError
from fedlora.finetune.objectives.contract import Rows, wide
from fedlora.finetune.objectives.linear_head import LinearHeadObjective
from fedlora.finetune.objectives.tokens import tokenize
from fedlora.tasks.contract import Examples, Kind

# Cosines lie in [-1, 1]; sentence encoders are trained with them scaled by 20 (Reimers and
# Gurevych 2019, the default of MultipleNegativesRankingLoss).
COSINE_SCALE = 20.0


class TextClassification(LinearHeadObjective):
    """Logits are scaled cosines between a text and the label names.

    The label names are embedded by the frozen base model, so the adapter alone is the client's
    state; a trainable head starts from them.
    """

    kind: ClassVar[Kind] = "text-classification"

    def __init__(
        self, slot: AdapterSlot, label_names: tuple[str, ...], train_head: bool, max_length: int
    ) -> None:
        if slot.base.modality != "text":
            raise FedloraError(
                f"backbone.name: text classification needs a text encoder, and"
                f" '{slot.base.reference}' is a {slot.base.modality} model"
            )
        self.max_length = max_length
        self.slot = slot
        with torch.inference_mode(), slot.disabled():
            names = self.features(tokenize(slot, list(label_names), max_length))
        weight = COSINE_SCALE * names.clone()
        super().__init__(slot, label_names, weight, weight.new_zeros(len(weight)), train_head)

    @override
    def encode(self, examples: Examples) -> Rows:
        if examples.labels is None:
            raise FedloraError("text classification needs labels; the source gives none")
        rows = tokenize(self.slot, examples.texts, self.max_length)
        return rows | {"labels": torch.as_tensor(examples.labels, dtype=torch.int64)}

    @override
    def features(self, rows: Rows) -> Tensor:
        pooled, _, _ = self._forward(rows, hidden_states=False)
        return functional.normalize(pooled, dim=-1)

    @override
    def hidden(self, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
        return self._forward(rows, hidden_states=True)

    def _forward(self, rows: Rows, hidden_states: bool) -> tuple[Tensor, Tensor, Tensor]:
        mask = rows["attention_mask"].to(self.slot.device)
        output = self.slot.model(
            input_ids=rows["input_ids"].to(self.slot.device),
            attention_mask=mask,
            output_hidden_states=hidden_states,
        )
        weight = mask.float().unsqueeze(-1)
        last = wide(output.last_hidden_state)
        pooled = (last * weight).sum(1) / weight.sum(1)  # mean pooling, as the encoder was trained
        early = wide(output.hidden_states[1]) if hidden_states else last
        return pooled, early, mask.float()
