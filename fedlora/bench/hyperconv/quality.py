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

from fedlora.adapter import LoraAdapter
from fedlora.bench.generator import quality
from fedlora.bench.generator.copies import copies, mean_copies
from fedlora.bench.generator.families import Family
from fedlora.bench.generator.side import Side
from fedlora.bench.hyperconv.listening import WIDTH, Heard, listening, scrambled
from fedlora.client.desk import Desk
from fedlora.config import TaskVectorConfig
from fedlora.finetune.task_vector import task_vector

VECTORS, PROMPTED = "hyperconv", "hyperconv, prompts"
GROUP = 16
"""Texts in a group."""
PROMPTS = TaskVectorConfig(samples=64, features=("prompts",))
STEPS, BATCH = 1500, 32
"""Of training: as many steps as the CVAE takes."""

Row = dict[str, Any]


def measure(family: Family, seed: int, steps: int = STEPS) -> Row:
    """What a case came to.

    newcomers: a row each; more is better. methods: seconds and bytes by method. copies: by method.
    listening: of families of text, see `listening`; None of others.
    """
    with tempfile.TemporaryDirectory() as scratch:
        side = Side(family.config(seed), Path(scratch))
        vectors = {VECTORS: part(len(side.bank.adapters), 1, steps)}
        learned, costs = quality.learn_all(side, {**quality.rivals(family), **vectors})
        made = side.alone() | {name: side.sample(one) for name, one in learned.items()}
        made[f"{VECTORS}, shuffled"] = side.sample(learned[VECTORS], side.others())
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


def _prompted(side: Side, steps: int) -> tuple[dict[str, list[LoraAdapter]], dict[str, Row], Heard]:
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
    unseen = prompts(_desks(side), "test").view(-1, GROUP, WIDTH)
    tasks = [task for task in bank.tasks for _ in range(groups)]
    return made, costs, listening(generator, deaf, bank, unseen, tasks)


def prompts(desks: Sequence[Desk], split: str = "train", count: int = PROMPTS.samples) -> Tensor:
    """(m, count * WIDTH): the first texts of a split of each client, as the encoder sees them."""
    asked = PROMPTS.model_copy(update={"samples": count})
    return torch.stack([task_vector(d.objective, getattr(d, split), asked) for d in desks])


def _desks(side: Side) -> list[Desk]:
    """Of the clients that made the bank's adapters, in its order."""
    return [side.client.desk(client) for client in side.bank.clients or ()]
