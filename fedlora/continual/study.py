"""What is done with a task's examples: look at them, train on them, judge on them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedlora.adapter import LoraAdapter
from fedlora.backbone import AdapterSlot
from fedlora.backbone.fold import folded
from fedlora.config import TrainSection
from fedlora.continual.alignment import class_statistics
from fedlora.continual.contract import Method
from fedlora.continual.heads import Head, joined
from fedlora.continual.inputs import widths
from fedlora.continual.noise import clipped
from fedlora.continual.statistics import Statistics, nothing, summed
from fedlora.continual.stream import StreamTask
from fedlora.errors import FedloraError
from fedlora.finetune.job import Trained
from fedlora.finetune.local import train
from fedlora.finetune.objectives import Rows
from fedlora.finetune.objectives.contract import SCORING_BATCH, batches
from fedlora.finetune.objectives.linear_head import LinearHeadObjective

Split = Mapping[int, tuple[LinearHeadObjective, Rows]]
"""Task -> its objective, and the rows to judge on."""


@dataclass(frozen=True, eq=False)
class Survey:
    """What a task's examples look like to the model.

    moments: of each layer's input, by the layer that stands for it.
    classes: of each class's features, as `class_statistics` gives them.
    """

    moments: dict[str, Statistics]
    classes: list[Statistics]


@dataclass(frozen=True)
class Score:
    """Rows judged, and how many of them rightly: within the task's classes, and among all met."""

    rows: int
    within: int
    among: int


def survey(
    task: StreamTask, rows: Rows, frozen: LoraAdapter | None, clip: float | None = None
) -> Survey:
    """Statistics of the inputs of every adapted layer, and of the features, in one pass.

    Nothing grows with the number of rows, and inputs of one layer at a time are held. Padding is
    not counted.

    Args:
        task: on its slot.
        rows: examples of it.
        frozen: the branches so far, as one adapter.
        clip: the most that one example counts in the inputs of a layer; as it is for None.

    Raises:
        FedloraError: what enters a layer holds NaN or infinity; names the task and the layer.
    """
    objective, slot = task.objective, task.objective.slot
    moments = {name: nothing(width) for name, width in widths(slot.spec).items()}
    classes: list[Statistics] = []
    with torch.inference_mode(), folded(slot, frozen), slot.disabled():
        for batch in batches(rows, SCORING_BATCH):

            def note(name: str, inputs: Tensor, batch: Rows = batch) -> None:
                try:
                    moments[name] = moments[name].add(_tokens(inputs, batch, clip))
                except FedloraError as error:
                    raise FedloraError(f"task '{task.name}', layer {name}: {error}") from None

            with _watched(slot, list(moments), note):
                features = objective.features(batch)
            found = class_statistics(features.cpu(), batch["labels"], len(task.classes))
            pairs = zip(classes or found, found, strict=True)
            classes = [summed(pair) for pair in pairs] if classes else found
    return Survey(moments, classes)


def study(
    method: Method,
    objective: LinearHeadObjective,
    start: LoraAdapter,
    frozen: LoraAdapter | None,
    rows: Rows,
    settings: TrainSection,
    seed: int,
) -> Trained:
    """Train a branch and its head, the branches before it folded into the weights.

    The cross entropy is over the objective's classes alone (local cross entropy), which are the
    task's, or those of all tasks where a method recalls examples.

    Raises:
        FedloraError: the loss is not finite.
    """
    slot = objective.slot

    def penalty() -> Tensor | None:
        return None if frozen is None else method.penalty(slot.downs(), frozen)

    with folded(slot, frozen), slot.only(method.trains):
        return train(objective, start, rows, None, settings, seed, penalty=penalty)


def judge(split: Split, heads: Mapping[int, Head], frozen: LoraAdapter | None) -> dict[int, Score]:
    """Accuracy of every task that has a head, by its own head and among the classes of all."""
    known = sorted(heads)
    whole = joined([heads[task] for task in known])
    first: dict[int, int] = {}
    for task in known:
        first[task] = sum(len(heads[earlier]) for earlier in known if earlier < task)
    scores = {}
    for task, (objective, rows) in split.items():
        if task not in heads or len(rows["labels"]) == 0:
            continue
        features, labels = features_of(objective, rows, frozen), rows["labels"]
        within = heads[task].logits(features).argmax(-1) == labels
        among = whole.logits(features).argmax(-1) == labels + first[task]
        scores[task] = Score(len(labels), int(within.sum()), int(among.sum()))
    return scores


def nearest_mean(
    objective: LinearHeadObjective, train_rows: Rows, test_rows: Rows, frozen: LoraAdapter | None
) -> int:
    """Test rows whose nearest class mean is their own: what features are worth without a head."""
    features = features_of(objective, train_rows, frozen)
    labels = train_rows["labels"]
    known = labels.unique()
    means = torch.stack([features[labels == label].mean(0) for label in known])
    distances = torch.cdist(features_of(objective, test_rows, frozen), means)
    return int((known[distances.argmin(-1)] == test_rows["labels"]).sum())


def features_of(objective: LinearHeadObjective, rows: Rows, frozen: LoraAdapter | None) -> Tensor:
    """(n, width) float32 on the CPU, by the branches so far and without the slot's adapter."""
    slot = objective.slot
    with torch.inference_mode(), folded(slot, frozen), slot.disabled():
        parts = [objective.features(batch).cpu().float() for batch in batches(rows, SCORING_BATCH)]
    return torch.cat(parts)


@contextmanager
def _watched(
    slot: AdapterSlot, names: Sequence[str], note: Callable[[str, Tensor], None]
) -> Iterator[None]:
    """Note what enters each layer in the passes of the block; names are whole names of modules."""

    def watch(name: str) -> torch.utils.hooks.RemovableHandle:
        def see(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            note(name, inputs[0].detach())

        return slot.base.model.get_submodule(name).register_forward_pre_hook(see)

    handles = [watch(name) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tokens(inputs: Tensor, batch: Rows, clip: float | None) -> Tensor:
    """Inputs (rows, tokens, d) as (n, d), those of padding left out."""
    mask = batch.get("attention_mask")
    if clip is not None:
        kept = inputs if mask is None else inputs * mask.unsqueeze(-1).to(inputs)
        inputs = clipped(kept, clip)
    flat = inputs.flatten(0, -2)
    return flat if mask is None else flat[mask.flatten().bool()]
