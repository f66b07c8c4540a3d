"""What a causal language model is asked: how likely a text is."""

from collections.abc import Mapping

import torch
from torch import Tensor
from typing_extensions import override

from fedlora.backbone import AdapterSlot
from fedlora.errors import FedloraError
from fedlora.finetune.objectives.contract import Objective, Rows
from fedlora.finetune.objectives.tokens import negative_mean


class CausalObjective(Objective):
    """Trained on nats a token; `respond` gives (n, 2) rows of likelihood and number of tokens.

    Args:
        max_length: tokens a text is cut to.

    Raises:
        FedloraError: the base model cannot tell how likely a text is.
    """

    def __init__(self, slot: AdapterSlot, label_names: tuple[str, ...], max_length: int) -> None:
        super().__init__(slot, label_names)
        if slot.base.modality != "causal-lm":
            raise FedloraError(
                f"backbone.name: {self.kind} needs a causal language model, and"
                f" '{slot.base.reference}' is a {slot.base.modality} model; try smollm2"
            )
        self.max_length = max_length

    @override
    def loss_of(self, responses: Tensor, rows: Rows, head: Mapping[str, Tensor]) -> Tensor:
        return negative_mean(responses)

    @override
    def hidden(self, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
        """The last position's final state as the pooled features, and the first block's output."""
        mask = rows["attention_mask"].to(self.slot.device)
        states = self.slot.model(
            input_ids=rows["input_ids"].to(self.slot.device),
            attention_mask=mask,
            output_hidden_states=True,
        ).hidden_states
        last = mask.sum(1) - 1
        pooled = states[-1][torch.arange(len(last), device=self.slot.device), last]
        return pooled.float(), states[1].float(), mask.float()
