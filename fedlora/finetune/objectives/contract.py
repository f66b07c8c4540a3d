"""What a kind of task must answer for: its inputs, its loss, its score, its features."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from fedlora.backbone import AdapterSlot
from fedlora.finetune.lower_blocks import BELOW
from fedlora.tasks.contract import Examples, Kind

Rows = dict[str, Tensor]
Metric = Literal["accuracy", "nll", "map"]

SCORING_BATCH = 256


class Objective(ABC):
    """One task on one wrapped base model.

    metric: what the task is judged by; accuracy and map (mean average precision) are better
        high, nll (nats a token) better low.
    """

    kind: ClassVar[Kind]
    metric: ClassVar[Metric] = "accuracy"

    def __init__(self, slot: AdapterSlot, label_names: tuple[str, ...]) -> None:
        self.slot = slot
        self.label_names = label_names

    @abstractmethod
    def encode(self, examples: Examples) -> Rows:
        """Tensors of n rows each, on the CPU; done once a split.

        Raises:
            FedloraError: the examples are not of this kind.
        """

    @abstractmethod
    def respond(self, rows: Rows) -> Tensor:
        """What the adapted base model says of each training row, (n, ...) with a graph.

        It depends on the slot and the rows alone, never on the task's labels or head, so that
        rows of many tasks can be answered in one pass.
        """

    @abstractmethod
    def loss_of(self, responses: Tensor, rows: Rows, head: Mapping[str, Tensor]) -> Tensor:
        """Mean training loss of a batch, a scalar, from what `respond` said of its rows.

        head: the tensors that are trained beside the adapter, under the names of `head()`.
        """

    def loss(self, rows: Rows) -> Tensor:
        """Mean training loss of a batch, a scalar with a graph."""
        return self.loss_of(self.respond(rows), rows, self.head())

    @abstractmethod
    def judge(self, rows: Rows) -> dict[str, Tensor]:
        """Per-row "loss" (n,) and value of `metric` (n,), without a graph.

        Rows may bring `BELOW` of what `spread` makes of them, (n, ...) or (n, k, ...).
        """

    @abstractmethod
    def spread(self, rows: Rows) -> Rows | None:
        """The passes that `judge` makes of rows, as rows for `respond`: k in turn for each row.

        Returns:
            (n * k, ...), the rows themselves where k is 1; None where passes over rows are not
            all that judging takes.
        """

    @abstractmethod
    def hidden(self, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
        """What task vectors are made of.

        Returns:
            pooled (n, width): the features that the task is decided on;
            early (n, positions, width): the output of the first block;
            mask (n, positions): 1 where a position holds an input.
        """

    def head(self) -> Mapping[str, nn.Parameter]:
        """Trainable tensors beside the adapter; none unless the task has a trainable head."""
        return {}

    def first_head(self) -> Mapping[str, Tensor]:
        """The head before any training: where every client's head starts."""
        return {}

    def score(self, rows: Rows) -> dict[str, float]:
        """Mean loss and metric over all rows, as the model now is."""
        return {name: float(values.double().mean()) for name, values in self.judged(rows).items()}

    def judged(self, rows: Rows) -> dict[str, Tensor]:
        """What `judge` says of all rows, a few at a time: loss and metric (n,)."""
        with torch.inference_mode():
            parts = [self.judge(batch) for batch in batches(rows, SCORING_BATCH)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def wide(values: Tensor) -> Tensor:
    """At least single precision, which losses and scores are computed in."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def take(rows: Rows, index: Tensor) -> Rows:
    """The rows named by an integer index; padding that none of them needs is cut off."""
    chosen = {name: column[index] for name, column in rows.items()}
    if "attention_mask" in chosen:
        longest = max(1, int(chosen["attention_mask"].sum(-1).max()))
        for name, column in chosen.items():
            if name == BELOW:
                chosen[name] = column[..., :longest, :]
            elif column.shape[1:] == rows["attention_mask"].shape[1:]:
                chosen[name] = column[..., :longest]
    return chosen


def batches(rows: Rows, size: int) -> Iterator[Rows]:
    """Consecutive batches of at most `size` rows, each a copy that is made when it is asked for."""
    n = len(next(iter(rows.values())))
    for index in torch.arange(n).split(size):
        yield take(rows, index)
