"""H1: whether what is generated follows from the prompts, and from nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.generators.contract import Generator, TrainingBank
from fedlora.pipeline.experiment.judging import nearest_tasks, share

WIDTH = 384
"""Features of an encoded text."""

Heard = dict[str, Any]


def scrambled(bank: TrainingBank, seed: int) -> TrainingBank:
    """The bank, its prompts dealt to its tasks at random: whoever learns from it knows nothing."""
    every = bank.conditions.view(-1, WIDTH)
    order = torch.randperm(len(every), generator=seeding.generator(seed, "scrambled"))
    return replace(bank, conditions=every[order].view_as(bank.conditions))


def listening(
    generator: Generator,
    deaf: Generator,
    known: TrainingBank,
    groups: Tensor,
    tasks: Sequence[str],
) -> Heard:
    """What groups of unseen texts of the bank's tasks lead to.

    own: by task, the share of its groups whose adapter is nearest to its own task's. scrambled: the
    same of a generator that learned from prompts of no task in particular. told: of all groups, by
    the encodings alone. chance: of one that guesses. groups: how many.

    Args:
        generator: learned from `known`.
        deaf: learned from `known` scrambled.
        known: the bank with its prompts, (m, prompts * WIDTH).
        groups: (n, group, WIDTH).
        tasks: whose they are.
    """
    bank: dict[str, list[LoraAdapter]] = {}
    for task, adapter in zip(known.tasks, known.adapters, strict=True):
        bank.setdefault(task, []).append(adapter)
    own, other = (
        nearest_tasks(one.sample(groups.flatten(1), seed=0), bank) for one in (generator, deaf)
    )
    return {
        "own": _by_task(own, tasks),
        "scrambled": _by_task(other, tasks),
        "told": told_apart(groups, tasks, known.conditions, known.tasks),
        "chance": 1 / len(bank),
        "groups": len(groups),
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


def _by_task(found: Sequence[str], tasks: Sequence[str]) -> Mapping[str, float]:
    right: dict[str, list[bool]] = {}
    for one, task in zip(found, tasks, strict=True):
        right.setdefault(task, []).append(one == task)
    return {task: sum(own) / len(own) for task, own in right.items()}
