"""Texts as padded rows of token ids."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from fedlora.backbone import AdapterSlot
from fedlora.errors import FedloraError
from fedlora.finetune.lower_blocks import BELOW, replay
from fedlora.finetune.objectives.contract import Rows, batches, wide

TOKENS = ("input_ids", "attention_mask", "target")
"""What the likelihood of rows is computed from."""

SLICE = 4096
"""Tokens that are scored at once: of each there is a vocabulary of logits, gigabytes together."""


def tokenize(slot: AdapterSlot, texts: Sequence[str], max_length: int) -> Rows:
    """input_ids and attention_mask, (n, longest), padded on the right.

    Raises:
        FedloraError: the base model has no tokenizer.
    """
    encoded = _tokenizer(slot)(
        list(texts), truncation=True, max_length=max_length, padding=True, return_tensors="pt"
    )
    return {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}


def continuations(
    slot: AdapterSlot, prompts: Sequence[str], answers: Sequence[str], max_length: int
) -> Rows:
    """Prompt and answer in one row; `target` (n, longest) is 1 on the answer's tokens.

    A row that is too long loses the beginning of its prompt, never its answer.
    """
    tokenizer = _tokenizer(slot)
    first = [ids[-max_length:] for ids in tokenizer(list(prompts))["input_ids"]]
    second = tokenizer(list(answers), add_special_tokens=False)["input_ids"]
    whole, targets = [], []
    for question, reply in zip(first, second, strict=True):
        answer = reply[: max_length - 1]
        prompt = question[-(max_length - len(answer)) :]
        whole.append(prompt + answer)
        targets.append([0] * len(prompt) + [1] * len(answer))
    longest = max(len(ids) for ids in whole)
    pad = tokenizer.pad_token_id
    return {
        "input_ids": torch.tensor([ids + [pad] * (longest - len(ids)) for ids in whole]),
        "attention_mask": torch.tensor([[1] * len(i) + [0] * (longest - len(i)) for i in whole]),
        "target": torch.tensor([t + [0] * (longest - len(t)) for t in targets]),
    }


def target_log_likelihood(slot: AdapterSlot, rows: Rows) -> tuple[Tensor, Tensor]:
    """Summed log-probability of each row's target tokens, and their number, both (n,)."""
    input_ids = rows["input_ids"].to(slot.device)
    logits = slot.model(
        input_ids=input_ids, attention_mask=rows["attention_mask"].to(slot.device)
    ).logits[:, :-1]
    target = rows["target"].to(slot.device)[:, 1:].float()
    # A row a token: over a transposed vocabulary the same sum is slower and less exact.
    nll = functional.cross_entropy(
        wide(logits).flatten(0, 1), input_ids[:, 1:].flatten(), reduction="none"
    ).view_as(target)
    return -(nll * target).sum(1), target.sum(1)


def target_log_likelihood_in_slices(slot: AdapterSlot, rows: Rows) -> tuple[Tensor, Tensor]:
    """`target_log_likelihood` of any number of rows, whose logits would not fit at once."""
    read = {name: rows[name] for name in (*TOKENS, BELOW) if name in rows}
    likelihoods, tokens = [], []
    for part in batches(read, max(1, SLICE // read["input_ids"].shape[1])):
        with replay(slot, part):
            likelihood, count = target_log_likelihood(slot, part)
        likelihoods.append(likelihood)
        tokens.append(count)
    return torch.cat(likelihoods), torch.cat(tokens)


def texts(slot: AdapterSlot, rows: Rows) -> list[str]:
    """What encoded rows said, as far as they were not cut; of several answers the question alone.

    Raises:
        FedloraError: the rows are no texts.
    """
    tokenizer = _tokenizer(slot)
    ids, mask = rows["input_ids"], rows["attention_mask"]
    if ids.ndim == 3:
        ids, mask = ids[:, 0], mask[:, 0] - rows["target"][:, 0]
    return [
        str(tokenizer.decode(row[said.bool()], skip_special_tokens=True))
        for row, said in zip(ids, mask, strict=True)
    ]


def negative_mean(likelihoods: Tensor) -> Tensor:
    """Nats a token over a batch, from (n, 2) rows of likelihood and number of tokens."""
    likelihood, tokens = likelihoods.unbind(1)
    return -likelihood.sum() / tokens.sum()


def _tokenizer(slot: AdapterSlot) -> Any:
    if slot.base.tokenizer is None:
        raise FedloraError(
            f"backbone.name: '{slot.base.reference}' reads images, not text;"
            " choose a text encoder or a causal language model"
        )
    return slot.base.tokenizer
