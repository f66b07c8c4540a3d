"""Heads: a linear classifier a task, joined where classes of several tasks are told apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.errors import FedloraError

WEIGHT, BIAS = "classifier.weight", "classifier.bias"
"""Names of a head's tensors in an adapter."""


@dataclass(frozen=True, eq=False)
class Head:
    """Logits = features @ weight.T + bias; weight (classes, width), bias (classes,)."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def zero(cls, classes: int, width: int) -> "Head":
        """Before training: every class is as likely."""
        return cls(torch.zeros(classes, width), torch.zeros(classes))

    def __len__(self) -> int:
        return len(self.bias)

    def logits(self, features: Tensor) -> Tensor:
        """(n, classes) of features (n, width)."""
        return torch.nn.functional.linear(features, self.weight, self.bias)

    def tensors(self) -> dict[str, Tensor]:
        """As the head of an adapter."""
        return {WEIGHT: self.weight, BIAS: self.bias}


def joined(heads: Sequence[Head]) -> Head:
    """One head over the classes of all, in their order."""
    return Head(torch.cat([h.weight for h in heads]), torch.cat([h.bias for h in heads]))


def split(head: Head, sizes: Sequence[int]) -> list[Head]:
    """The inverse of `joined`, given the number of classes of each."""
    parts = zip(head.weight.split(list(sizes)), head.bias.split(list(sizes)), strict=True)
    return [Head(weight.clone(), bias.clone()) for weight, bias in parts]


def mean(heads: Sequence[Head], weights: Sequence[float]) -> Head:
    """Weighted average, summed in float64 in the order given."""
    total = sum(weights)
    shares = torch.tensor([weight / total for weight in weights], dtype=torch.float64)
    weight = torch.stack([h.weight for h in heads]).double()
    bias = torch.stack([h.bias for h in heads]).double()
    return Head(
        torch.einsum("n,ncw->cw", shares, weight).float(),
        torch.einsum("n,nc->c", shares, bias).float(),
    )


def head_of(adapter: LoraAdapter) -> Head:
    """The head that an adapter was trained with.

    Raises:
        FedloraError: it has none.
    """
    if WEIGHT not in adapter.head or BIAS not in adapter.head:
        raise FedloraError("adapter without the head of its task")
    return Head(adapter.head[WEIGHT], adapter.head[BIAS])


def named(heads: Mapping[int, Head]) -> dict[str, Tensor]:
    """Heads by task as the tensors of a message."""
    return {f"head.{task}.{key}": t for task, h in heads.items() for key, t in h.tensors().items()}


def read(tensors: Mapping[str, Tensor], classes: Sequence[int], width: int) -> dict[int, Head]:
    """The inverse of `named`, for a message from anybody; `classes` of each task of the stream.

    Raises:
        FedloraError: a head is incomplete or of another shape than its task's.
    """
    heads = {}
    for task, count in enumerate(classes):
        found = [tensors.get(f"head.{task}.{key}") for key in (WEIGHT, BIAS)]
        weight, bias = found
        if weight is None and bias is None:
            continue
        if (
            weight is None
            or bias is None
            or weight.shape != (count, width)
            or bias.shape != (count,)
            or {weight.dtype, bias.dtype} != {torch.float32}
        ):
            raise FedloraError(f"head of task {task} is not {count} classes of {width} features")
        heads[task] = Head(weight, bias)
    return heads
