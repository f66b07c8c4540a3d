"""Ways to teach a CLIP a task, each federated over skewed shards and with all data in one place."""

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from typing_extensions import TypedDict

from fedlora import seeding
from fedlora.config import CLIP_TARGETS, ShardsConfig
from fedlora.lora import CLIPLoRAWrapper, FederatedCLIPModel, LoRAConfig
from fedlora.tasks.contract import Examples
from fedlora.tasks.image_transform import ImageTransform
from fedlora.tasks.shards import shard
from fedlora.tasks.sources.fashion_mnist import LABEL_NAMES, Config, FashionMnist

Model = CLIPLoRAWrapper | FederatedCLIPModel

# A class subset, a rotation, a corruption: what no image of the CLIP's pretraining looked like.
TASKS = {
    "rotation 40": (ImageTransform(rotation=40), tuple(range(10))),
    "contrast 0.4, inverted": (ImageTransform(contrast=0.4, inversion=True), tuple(range(10))),
    "tops alone, shear 30": (ImageTransform(shear=30), (0, 2, 3, 4, 6)),
}
METHODS = ("zero-shot", "linear head", "LoRA r 4", "LoRA r 8", "LoRA r 16", "full")
SKEW = 0.5

# Federated, and with all data in one place: images a step, and the learning rates of the first
# round, from which they fall to zero. Those of LoRA were chosen on the images of another seed, from
# 3e-3, 6e-3 and 1.2e-2: a mean of ten clients stands a rate at which training in one place fails.
BATCHES = (8, 16)
RATES = {"linear": (3e-2, 3e-2), "LoRA": (1.2e-2, 3e-3), "full": (5e-4, 5e-4)}


@dataclass(frozen=True)
class Size:
    """How much is trained: images, clients, rounds of one local epoch each."""

    train: int = 600
    test: int = 1000
    clients: int = 10
    rounds: int = 20


@dataclass(frozen=True)
class Case:
    """One method on one task from one seed."""

    task: str
    method: str
    seed: int
    size: Size

    @property
    def name(self) -> str:
        """Of a file."""
        return f"{self.task}, {self.method}, {self.seed}"


@dataclass(frozen=True)
class Recipe:
    """Of one training: images a step, the first round's rate, rounds, the seed of the order."""

    batch: int
    rate: float
    rounds: int
    seed: int


class Row(TypedDict):
    """A case and its test accuracies; `seconds` of both trainings."""

    task: str
    method: str
    seed: int
    federated: float
    centralised: float
    seconds: float


def measure(case: Case) -> Row:
    """Train both ways: of the same images, epochs and start."""
    started = time.perf_counter()
    train, test, names = _data(case.task, case.seed, case.size)
    skew = ShardsConfig(
        per_task=case.size.clients, partition="dirichlet", alpha=SKEW, min_examples=4
    )
    assert train.labels is not None
    dealt = shard(train.labels, skew, seeding.derive(case.seed, "shards", case.task))
    whole = [np.arange(len(train))]
    rates = RATES.get(case.method.partition(" ")[0])
    found = []
    for place, shards in enumerate((dealt, whole)):
        with torch.random.fork_rng():
            torch.manual_seed(seeding.derive(case.seed, "down and dropout"))
            model = _model(case.method, names)
            if rates:
                recipe = Recipe(BATCHES[place], rates[place], case.size.rounds, case.seed)
                federated_averaging(model, train, shards, recipe)
        pixels = model.prepare(torch.as_tensor(test.inputs))
        found.append(float(model.evaluate(pixels, test.labels)["accuracy"]))
    return Row(
        task=case.task,
        method=case.method,
        seed=case.seed,
        federated=found[0],
        centralised=found[1],
        seconds=time.perf_counter() - started,
    )


def federated_averaging(
    model: Model,
    train: Examples,
    shards: list[np.ndarray],
    recipe: Recipe,
) -> None:
    """Rounds of one local epoch and a mean weighted by examples; one shard is plain training.

    The learning rate falls along half a cosine, round by round.
    """
    pixels, labels = model.prepare(torch.as_tensor(train.inputs)), torch.as_tensor(train.labels)
    order = seeding.generator(recipe.seed, "order")
    shared = model.get_parameters()
    for round in range(recipe.rounds):
        model.learning_rate = recipe.rate * (1 + math.cos(math.pi * round / recipe.rounds)) / 2
        mean = [np.zeros(values.shape) for values in shared]
        for rows in shards:
            if len(shards) > 1:
                model.set_parameters(shared)
            shuffled = torch.from_numpy(rows)[torch.randperm(len(rows), generator=order)]
            for batch in shuffled.split(recipe.batch):
                model.train_step(pixels[batch], labels[batch])
            share = len(rows) / len(train)
            mean = [a + share * b for a, b in zip(mean, model.get_parameters(), strict=True)]
        shared = [values.astype(np.float32) for values in mean]
    model.set_parameters(shared)


def _data(task: str, seed: int, size: Size) -> tuple[Examples, Examples, tuple[str, ...]]:
    transform, classes = TASKS[task]
    table = FashionMnist(Config()).load()
    all_labels = np.asarray(table.examples.labels)
    assert table.test is not None
    rng = np.random.default_rng(seeding.derive(seed, "bench clip", task))
    parts = []
    for mask, count in ((~table.test, size.train), (table.test, size.test)):
        rows = rng.permutation(np.flatnonzero(mask & np.isin(all_labels, classes)))[:count]
        images = transform.apply(np.asarray(table.examples.take(rows).inputs), seed)
        parts.append(Examples(images, np.searchsorted(classes, all_labels[rows])))
    return parts[0], parts[1], tuple(LABEL_NAMES[i] for i in classes)


def _model(method: str, names: tuple[str, ...]) -> Model:
    head_alone = method == "linear head"
    model = FederatedCLIPModel("tiny_clip", len(names), names, trainable_head=head_alone)
    if head_alone:
        model.clip.requires_grad_(False)
    if not method.startswith("LoRA"):
        return model
    rank = int(method.rpartition(" ")[2])
    config = LoRAConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=CLIP_TARGETS)
    return CLIPLoRAWrapper(model, config).apply_lora_to_federated_model()
