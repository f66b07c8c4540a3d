"""Plain text, learned and judged by the likelihood of its tokens."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from fedlora.backbone import AdapterSlot
from fedlora.errors import FedloraError
from fedlora.finetune.objectives.contract import Metric, Objective, Rows
from fedlora.finetune.objectives.tokens import negative_mean, target_log_likelihood, tokenize
from fedlora.tasks.contract import Examples, Kind


class LanguageModelling(Objective):
    """Negative log-likelihood in nats a token; perplexity is its exponential."""

    kind: ClassVar[Kind] = "language-modelling"
    metric: ClassVar[Metric] = "nll"

    def __init__(self, slot: AdapterSlot, label_names: tuple[str, ...], max_length: int) -> None:
        super().__init__(slot, label_names)
        require_causal(slot, self.kind)
        self.max_length = max_length

    @override
    def encode(self, examples: Examples) -> Rows:
        rows = tokenize(self.slot, list(examples.inputs), self.max_length)
        return rows | {"target": rows["attention_mask"].clone()}

    @override
    def respond(self, rows: Rows) -> Tensor:
        return torch.stack(target_log_likelihood(self.slot, rows), 1)

    @override
    def loss_of(self, responses: Tensor, rows: Rows, head: Mapping[str, Tensor]) -> Tensor:
        return negative_mean(responses)

    @override
    def judge(self, rows: Rows) -> dict[str, Tensor]:
        likelihood, tokens = target_log_likelihood(self.slot, rows)
        nll = -likelihood / tokens.clamp(min=1)
        return {"loss": nll, "nll": nll}

    @override
    def hidden(self, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
        return causal_hidden(self.slot, rows)


def require_causal(slot: AdapterSlot, kind: str) -> None:
    """Refuse a model that cannot tell how likely a text is."""
    if slot.base.modality != "causal-lm":
        raise FedloraError(
            f"backbone.name: {kind} needs a causal language model, and"
            f" '{slot.base.reference}' is a {slot.base.modality} model; try smollm2"
        )


def causal_hidden(slot: AdapterSlot, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
    """The last position's final state as the pooled features, and the first block's output."""
    mask = rows["attention_mask"].to(slot.device)
    states = slot.model(
        input_ids=rows["input_ids"].to(slot.device),
        attention_mask=mask,
        output_hidden_states=True,
    ).hidden_states
    last = mask.sum(1) - 1
    pooled = states[-1][torch.arange(len(last), device=slot.device), last]
    return pooled.float(), states[1].float(), mask.float()
