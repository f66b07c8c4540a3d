"""The model that every system here trains: Transformers and PEFT, used as their manuals do."""

from functools import cached_property
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForImageClassification

from simulations.peers.federation import Federation, Rows

LOADERS = {
    "vision": AutoModelForImageClassification,
    "text": AutoModel,
    "causal-lm": AutoModelForCausalLM,
}


class Learner(nn.Module):
    """A PeftModel and its loss; `forward` answers as transformers' models do, with a "loss"."""

    def __init__(self, federation: Federation) -> None:
        super().__init__()
        settings = federation.settings
        self.modality = settings["modality"]
        base = LOADERS[self.modality].from_pretrained(settings["reference"], dtype=torch.float32)
        config = LoraConfig(
            r=settings["rank"],
            lora_alpha=settings["alpha"],
            lora_dropout=0.0,
            target_modules=settings["layers"],
            bias="none",
        )
        self.model = get_peft_model(base, config)
        if self.modality == "text":
            weight, bias = federation.head()
            self.register_buffer("head_weight", weight, persistent=False)
            self.register_buffer("head_bias", bias, persistent=False)
        self.to(federation.device)
        self.train()

    def train(self, mode: bool = True) -> "Learner":
        """The frozen base stays in evaluation mode; the adapters have no dropout of their own."""
        return super().train(False)

    def forward(self, **rows: Tensor) -> dict[str, Tensor]:
        """Mean loss of a batch."""
        if self.modality == "vision":
            return {"loss": self.model(**rows).loss}
        mask = rows["attention_mask"]
        longest = int(mask.sum(1).max())  # padding that no row needs costs time
        mask, tokens = mask[:, :longest], rows["input_ids"][:, :longest]
        if self.modality == "causal-lm":
            labels = tokens.masked_fill(mask == 0, -100)
            return {"loss": self.model(tokens, attention_mask=mask, labels=labels).loss}
        states = self.model(input_ids=tokens, attention_mask=mask).last_hidden_state
        weight = mask.unsqueeze(-1).float()
        pooled = functional.normalize((states * weight).sum(1) / weight.sum(1), dim=-1)
        logits = functional.linear(pooled, self.head_weight, self.head_bias)
        return {"loss": functional.cross_entropy(logits, rows["labels"])}

    def adapter_parameters(self) -> list[nn.Parameter]:
        """What trains."""
        return [p for p in self.model.parameters() if p.requires_grad]

    def read(self) -> Rows:
        """A copy of the adapter, by PEFT."""
        return {n: t.detach().clone() for n, t in get_peft_model_state_dict(self.model).items()}

    def write(self, adapter: Any) -> None:
        """Take over an adapter, by PEFT."""
        set_peft_model_state_dict(self.model, adapter)

    @cached_property
    def _by_name(self) -> dict[str, nn.Parameter]:
        return {
            name.replace(".default", ""): parameter
            for name, parameter in self.model.named_parameters()
            if parameter.requires_grad
        }

    def copy(self) -> Rows:
        """What `read` gives, without PEFT, which takes longer than a small client's training."""
        return {name: parameter.detach().clone() for name, parameter in self._by_name.items()}

    def reset(self, adapter: Rows) -> None:
        """What `write` does, in place and without PEFT."""
        for name, parameter in self._by_name.items():
            parameter.data.copy_(adapter[name])


def train(learner: Learner, federation: Federation, rows: Rows) -> None:
    """One epoch of a plain loop: AdamW, a rate that falls linearly to zero, clipped gradients."""
    settings = federation.settings
    parameters = learner.adapter_parameters()
    batches = list(torch.arange(len(next(iter(rows.values())))).split(settings["batch_size"]))
    optimizer = torch.optim.AdamW(
        parameters, lr=settings["learning_rate"], weight_decay=settings["weight_decay"]
    )
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, len(batches))
    for batch in batches:
        loss = learner(**{name: column[batch] for name, column in rows.items()})["loss"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, settings["clip_norm"])
        optimizer.step()
        schedule.step()


def average(replies: list[Rows], weights: list[int]) -> Rows:
    """FedAvg of the factors."""
    total = sum(weights)
    return {
        name: sum(
            reply[name] * (weight / total) for reply, weight in zip(replies, weights, strict=True)
        )
        for name in replies[0]
    }
