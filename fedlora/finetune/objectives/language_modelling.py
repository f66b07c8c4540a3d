"""Plain text, learned and judged by the likelihood of its tokens."""

from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from fedlora.finetune.objectives.causal import CausalObjective
from fedlora.finetune.objectives.contract import Metric, Rows
from fedlora.finetune.objectives.tokens import (
    target_log_likelihood,
    target_log_likelihood_in_slices,
    tokenize,
)
from fedlora.tasks.contract import Examples, Kind


class LanguageModelling(CausalObjective):
    """Negative log-likelihood in nats a token; perplexity is its exponential."""

    kind: ClassVar[Kind] = "language-modelling"
    metric: ClassVar[Metric] = "nll"

    @override
    def encode(self, examples: Examples) -> Rows:
        rows = tokenize(self.slot, examples.texts, self.max_length)
        return rows | {"target": rows["attention_mask"].clone()}

    @override
    def respond(self, rows: Rows) -> Tensor:
        return torch.stack(target_log_likelihood(self.slot, rows), 1)

    @override
    def judge(self, rows: Rows) -> dict[str, Tensor]:
        likelihood, tokens = target_log_likelihood_in_slices(self.slot, rows)
        nll = -likelihood / tokens.clamp(min=1)
        return {"loss": nll, "nll": nll}

    @override
    def spread(self, rows: Rows) -> Rows:
        return rows
