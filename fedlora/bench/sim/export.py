"""A workload's model, data and start as plain files, for systems that know nothing of fedlora."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from fedlora.adapter import LoraAdapter
from fedlora.bench.sim.workloads import Workload
from fedlora.client.client import Client
from fedlora.client.lessons import LESSONS
from fedlora.finetune.course import Course
from fedlora.finetune.job import Job
from fedlora.finetune.objectives.contract import take
from fedlora.finetune.objectives.linear_head import LinearHeadObjective
from fedlora.wire.message import Message

START, ROWS, HEAD = "start.safetensors", "rows.safetensors", "head.safetensors"
ROUND = 2
"""Of the warm start; the first one in which an adapter travels to the clients."""


def export(workload: Workload, clients: int, folder: Path) -> dict[str, Any]:
    """Write the tensors of the first `clients` of a workload; what its federation.json says.

    The rows stand in the order that fedlora's clients draw for themselves, so that everybody
    trains on the same batches.

    Raises:
        FedloraError: the data or the model is missing.
    """
    config = workload.config()
    client = Client(config, config.seeds[0])
    jobs = [_job(client, number) for number in range(clients)]
    folder.mkdir(parents=True, exist_ok=True)
    save_file(peft_names(jobs[0].start), folder / START)
    save_file(_stacked([_ordered(job) for job in jobs]), folder / ROWS)
    objective = jobs[0].objective
    if isinstance(objective, LinearHeadObjective):
        head = {"weight": objective.weight.detach(), "bias": objective.bias.detach()}
        save_file({name: t.contiguous() for name, t in head.items()}, folder / HEAD)
    train = config.warm_start.train
    return {
        "reference": client.slot.base.reference,
        "modality": client.slot.base.modality,
        "layers": [layer.name for layer in client.slot.spec.layers],
        "rank": config.lora.rank,
        "alpha": config.lora.alpha,
        "examples": workload.examples,
        **train.model_dump(),
    }


def peft_names(adapter: LoraAdapter) -> dict[str, Tensor]:
    """An adapter's tensors under the names of a PeftModel's state."""
    factors = {"lora_A": adapter.down, "lora_B": adapter.up}
    return {
        f"base_model.model.{layer.name}.{factor}.weight": values[layer.name].contiguous()
        for layer in adapter.spec.layers
        for factor, values in factors.items()
    }


def flat(tensors: dict[str, Tensor]) -> Tensor:
    """All values as one vector, by name."""
    return torch.cat([tensors[name].flatten() for name in sorted(tensors)])


def _job(client: Client, number: int) -> Job:
    """What a client is to train, from the adapter that it draws itself."""
    asked = Message("train", {}, {"action": "warm_up", "round": ROUND})
    place = client.place(number)
    return LESSONS["warm_up"](place, asked)[0][0]


def _ordered(job: Job) -> dict[str, Tensor]:
    """Its rows as its first epoch meets them."""
    return take(job.rows, torch.cat(Course(job).shuffle()))


def _stacked(shards: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Columns (clients, examples, ...); texts are filled up with zeros that their mask hides."""
    if "attention_mask" not in shards[0]:
        return {name: torch.stack([rows[name] for rows in shards]) for name in shards[0]}
    longest = max(rows["attention_mask"].shape[1] for rows in shards)
    return {
        name: torch.stack([_filled(rows[name], longest) for rows in shards])
        for name in shards[0]
        if name != "target"
    }


def _filled(column: Tensor, longest: int) -> Tensor:
    return column if column.ndim == 1 else functional.pad(column, (0, longest - column.shape[1]))


def write_settings(folder: Path, settings: dict[str, Any]) -> None:
    """What the next process in this folder is to do."""
    (folder / "federation.json").write_text(json.dumps(settings))
