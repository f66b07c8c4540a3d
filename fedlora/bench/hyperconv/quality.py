"""One bank of a family: what the generator makes of task vectors and of prompts, beside the others.

The banks, newcomers and rivals are those of the bench of generators.
"""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.bench.generator import quality
from fedlora.bench.generator.copies import copies, mean_copies
from fedlora.bench.generator.families import Family
from fedlora.bench.generator.side import Side
from fedlora.client.desk import Desk
from fedlora.config import TaskVectorConfig
from fedlora.finetune.objectives import Rows
from fedlora.finetune.task_vector import task_vector
from fedlora.generators.contract import Generator, TrainingBank
from fedlora.pipeline.experiment.judging import nearest_tasks, share

VECTORS, PROMPTED = "hyperconv", "hyperconv, prompts"
RIVALS = {name: part for name, part in quality.PARTS.items() if name != "corrected"}
WIDTH, GROUP = 384, 16
"""Features of an encoded text, and texts in a group."""
PROMPTS = TaskVectorConfig(samples=64, features=("prompts",))
STEPS, BATCH = 1500, 32
"""Of training: as many steps as the CVAE takes."""

Row = dict[str, Any]


def measure(family: Family, seed: int, steps: int = STEPS) -> Row:
    """What a case came to.

    newcomers: a row each; more is better. methods: seconds and bytes by method. copies: by method.
    listening: of families of text, see `_listening`; None of others.
    """
    with tempfile.TemporaryDirectory() as scratch:
        side = Side(family.config(seed), Path(scratch))
        vectors = {VECTORS: part(len(side.bank.adapters), 1, steps)}
        learned, costs = quality.learn_all(side, {**RIVALS, **vectors})
        made = side.alone() | {name: side.sample(one) for name, one in learned.items()}
        made[f"{VECTORS}, shuffled"] = side.sample(learned[VECTORS], shuffled=True)
        heard = None
        if "input_ids" in side.client.desk(0).train:
            more, more_costs, heard = _prompted(side, steps)
            made, costs = made | more, costs | more_costs
        values = {method: side.reached(adapters) for method, adapters in made.items()}
        shown = mean_copies(copies(side.bank.adapters, made, made["local"]))
    return {
        "newcomers": quality.newcomer_rows(family, side.tasks, values),
        "methods": costs,
        "copies": shown,
        "listening": heard,
    }


def part(adapters: int, groups: int, steps: int, **options: Any) -> dict[str, Any]:
    """The section `generator` with which it trains so many steps on adapters and their groups."""
    epochs = math.ceil(steps / math.ceil(adapters * groups / BATCH))
    training = {"epochs": epochs, "batch_size": BATCH}
    return {"name": "hyperconv", "training": training, **options}


def _prompted(
    side: Side, steps: int
) -> tuple[dict[str, list[LoraAdapter]], dict[str, Row], dict[str, float]]:
    """What it makes of prompts for newcomers, what that costs, and whether it listens to them."""
    clients = [newcomer.seat.client for newcomer in side.newcomers]
    told = prompts([side.client.desk(client) for client in clients])
    bank = replace(side.bank, conditions=prompts(_desks(side)))
    groups = PROMPTS.samples // GROUP
    section = part(len(bank.adapters), groups, steps, prompt_width=WIDTH, samples_per_prompt=GROUP)
    learned, costs = quality.learn_all(side, {PROMPTED: section}, bank)
    deaf = side.learn({"scrambled": section}, scrambled(bank, side.seed))["scrambled"]
    costs[PROMPTED]["up"] += 4 * (told.shape[1] - side.vectors.shape[1])
    generator, rank = learned[PROMPTED], side.client.config.lora.rank
    made = {
        PROMPTED: generator.sample(told, seed=0, rank=rank),
        f"{PROMPTED}, shuffled": generator.sample(told.roll(1, 0), seed=0, rank=rank),
    }
    return made, costs, _listening(side, bank, generator, deaf)


def prompts(desks: Sequence[Desk], split: str = "train") -> Tensor:
    """(m, samples * WIDTH): the first texts of a split of each client, as the encoder sees them."""
    return torch.stack([_texts(desk, getattr(desk, split)) for desk in desks])


def _texts(desk: Desk, rows: Rows) -> Tensor:
    return task_vector(desk.objective, rows, PROMPTS)


def scrambled(bank: TrainingBank, seed: int) -> TrainingBank:
    """The bank, its prompts dealt to its tasks at random: whoever learns from it knows nothing."""
    every = bank.conditions.view(-1, WIDTH)
    order = torch.randperm(len(every), generator=seeding.generator(seed, "scrambled"))
    return replace(bank, conditions=every[order].view_as(bank.conditions))


def _listening(
    side: Side, known: TrainingBank, generator: Generator, deaf: Generator
) -> dict[str, float]:
    """H1: the share of groups of unseen texts whose adapter is nearest to its own task's.

    own: of the bank's tasks, by texts of their test split. scrambled: by a generator that learned
    from prompts of no task in particular. told: by the encodings alone, of groups whose mean is
    nearest to the mean of their own task's training texts. chance: of one that guesses.
    """
    bank: dict[str, list[LoraAdapter]] = {}
    for task, adapter in zip(side.bank.tasks, side.bank.adapters, strict=True):
        bank.setdefault(task, []).append(adapter)
    groups = prompts(_desks(side), "test").view(-1, GROUP, WIDTH)
    tasks = [task for task in side.bank.tasks for _ in range(PROMPTS.samples // GROUP)]
    asked = groups.flatten(1)
    return {
        "own": share(nearest_tasks(generator.sample(asked, seed=0), bank), tasks),
        "scrambled": share(nearest_tasks(deaf.sample(asked, seed=0), bank), tasks),
        "told": told_apart(groups, tasks, known.conditions, known.tasks),
        "chance": 1 / len(bank),
        "groups": len(asked),
    }


def told_apart(
    groups: Tensor, tasks: Sequence[str], conditions: Tensor, known: Sequence[str]
) -> float:
    """The share of groups of encodings whose mean is nearest to the mean of their own task's.

    groups: (n, group, WIDTH), of `tasks`. conditions: (m, prompts * WIDTH), of `known`.
    """
    centres = conditions.view(len(known), -1, WIDTH).mean(1)
    nearest = torch.cdist(groups.mean(1), centres).argmin(1).tolist()
    return share([known[at] for at in nearest], tasks)


def _desks(side: Side) -> list[Desk]:
    """Of the clients that made the bank's adapters, in its order."""
    return [side.client.desk(client) for client in side.bank.clients or ()]
