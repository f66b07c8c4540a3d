"""Whether generators listen to their condition, and what that is worth on tasks never seen."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedlora import registry
from fedlora.adapter import LoraAdapter
from fedlora.bench.claims import interval_claim
from fedlora.bench.hyperconv.families import Made, Member, accuracy
from fedlora.evaluation.table import Row, rows, summarise
from fedlora.generators.contract import Generator, TrainingBank
from fedlora.pipeline.experiment.judging import nearest_tasks, share
from fedlora.results import Claim
from fedlora.server.observer import Observer

WIDTH = 384
GROUP = 4
OPTIONS: dict[str, dict[str, Any]] = {
    "hyperconv": {"training": {"epochs": 150, "batch_size": 24}},
    "hyperconv, prompts": {
        "prompt_width": WIDTH,
        "samples_per_prompt": GROUP,
        "training": {"epochs": 60, "batch_size": 24},
    },
}
CONTROLS = ("mean", "nearest", "topk", "ridge", "cvae")


def fit_all(made: Made, seed: int, observer: Observer) -> dict[str, Generator]:
    """Every generator on the same bank; with prompts where the family has them."""
    names = [
        *CONTROLS,
        *(m for m in OPTIONS if m == "hyperconv" or made.bank[0].prompts is not None),
    ]
    observer.phase("generators", len(names))
    fitted = {}
    for name in names:
        part = registry.find("generators", name.partition(",")[0])
        generator: Generator = part(part.Config.model_validate(OPTIONS.get(name, {})))
        bank = TrainingBank(
            [member.trained for member in made.bank],
            conditions(made.bank, name),
            [member.desk.seat.task for member in made.bank],
        )
        with tempfile.TemporaryDirectory() as scratch:
            generator.fit(bank, seed=seed, workdir=Path(scratch), progress=lambda _: None)
        fitted[name] = generator
        observer.advance()
    return fitted


def conditions(members: Sequence[Member], name: str) -> Tensor:
    """(m, c): prompts for those that are named so, task vectors for the others."""
    if name.endswith("prompts"):
        return torch.stack([m.prompts for m in members if m.prompts is not None])
    return torch.stack([member.vector for member in members])


def listening(made: Made, generator: Generator) -> dict[str, float]:
    """H1: share of unseen prompt groups of bank tasks whose adapter is nearest to its own task.

    `shuffled`: the same where each group is taken for the next task's.
    """
    bank = {member.desk.seat.task: [member.trained] for member in made.bank}
    tasks, groups = [], []
    for member in made.bank:
        assert member.unseen is not None
        for group in member.unseen.view(-1, GROUP * WIDTH):
            tasks.append(member.desk.seat.task)
            groups.append(group)
    found = nearest_tasks(generator.sample(torch.stack(groups), seed=0), bank)
    names = list(bank)
    others = dict(zip(names, [*names[1:], names[0]], strict=True))
    return {
        "own": share(found, tasks),
        "shuffled": share(found, [others[task] for task in tasks]),
        "chance": 1 / len(bank),
        "groups": len(groups),
    }


def table(made: Made, fitted: Mapping[str, Generator], seed: int, observer: Observer) -> list[Row]:
    """H2: accuracy of every method on every newcomer, and the share of the gap it closes."""
    offered: dict[str, list[LoraAdapter]] = {
        name: generator.sample(conditions(made.newcomers, name), seed=seed)
        for name, generator in fitted.items()
    }
    for name in (n for n in fitted if n.startswith("hyperconv")):
        asked = conditions(made.newcomers, name).roll(1, 0)
        offered[f"{name}, shuffled"] = fitted[name].sample(asked, seed=seed)
    offered["few_labels"] = made.few
    observer.phase("newcomers", len(made.newcomers))
    out: list[Row] = []
    for number, member in enumerate(made.newcomers):
        values = {name: accuracy(member, adapters[number]) for name, adapters in offered.items()}
        values |= {
            "base": accuracy(member, made.zero),
            "warm": accuracy(member, made.start),
            "local": accuracy(member, member.trained),
        }
        seat = member.desk.seat
        out += rows(seed, seat.task, seat.client, values, higher_is_better=True)
        observer.advance()
    return out


def as_rows(family: str, found: Sequence[Row]) -> list[dict[str, Any]]:
    """A row a method, with means and intervals over tasks."""
    return [
        {
            "table": "methods",
            "family": family,
            "method": summary.method,
            "accuracy": summary.value.mean,
            "low": summary.value.low,
            "high": summary.value.high,
            "gap": summary.gap and summary.gap.mean,
            "gap low": summary.gap and summary.gap.low,
            "gap high": summary.gap and summary.gap.high,
            "tasks": summary.value.n,
        }
        for summary in summarise(found)
    ]


def beyond(family: str, found: Sequence[Row], method: str, rival: str) -> Claim:
    """H2: a method's accuracy minus a rival's, paired by task, in points."""
    by_task: dict[str, dict[str, list[float]]] = {}
    for row in found:
        by_task.setdefault(row.task, {}).setdefault(row.method, []).append(row.value)
    points = [
        100 * (sum(own[method]) / len(own[method]) - sum(own[rival]) / len(own[rival]))
        for own in by_task.values()
    ]
    what = f"{family}: {method} minus {rival} on unseen tasks, paired"
    return interval_claim("H2", what, points, ">=", 0, "points")
