"""A bank's adapters as rows of numbers on one scale, for generators that are not fedlora's."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fedlora import atomic
from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.lora import tensor_shapes
from fedlora.adapter.product import distance, norm
from fedlora.bank.store import Bank
from fedlora.errors import FedloraError
from fedlora.generators.representation import Factors

ROWS, CARD = "normalised.safetensors", "normalised.json"


@dataclass(frozen=True)
class Normalised:
    """What `normalise` made.

    rows, values: the size of `points`.
    error: the largest ||DeltaW restored - DeltaW|| / ||DeltaW|| over the bank.
    spread: tensor name -> root mean square of its values around the mean, before scaling.
    """

    rows: int
    values: int
    error: float
    spread: dict[str, float]


def normalise(
    bank: Bank, rank: int, folder: Path, reference: str, task_type: str | None
) -> Normalised:
    """Write the adapters of one rank as rows, beside the statistics that lead back.

    Factors are brought into one gauge first (balanced, then turned to the bank's mean), then
    x = (factors - mean) / (spread sqrt(k)): one spread a tensor, from this bank alone, so that a
    task that is not in the bank can be restored as well. ICM-LoRA's release divides each adapter
    by its own statistics, which an unseen task has not.

    Args:
        bank: the bank.
        rank: which of its adapters.
        folder: gets `normalised.safetensors`, with points (n, k), conditions (n, c), mean (k,)
            and spread (k,), and `normalised.json`, with the task and digest of each row.
        reference: what `from_pretrained` takes to load the base model.
        task_type: PEFT's name of the task; None for images.

    Raises:
        FedloraError: no adapter of this rank, or all are the same.
    """
    held = bank.training_bank(rank=rank)
    factors, points = Factors.of(held.adapters, 0)
    tensors = {"points": points, "conditions": held.conditions, **factors.tensors()}
    rows = [{"task": r.task, "digest": r.digest} for r in bank.records() if r.rank == rank]
    spec = held.adapters[0].spec
    card = {
        "spec": json.loads(spec.to_json()),
        "base": reference,
        "task_type": task_type,
        "rows": rows,
    }
    with atomic.folder(folder) as draft:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, draft / ROWS)
        (draft / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    pairs = zip(held.adapters, factors.decode(points), strict=True)
    error = max(distance(own, restored) / max(norm(own), 1e-12) for own, restored in pairs)
    return Normalised(len(points), points.shape[1], error, _spreads(spec, factors))


def restore(folder: Path, points: Tensor) -> list[LoraAdapter]:
    """Adapters from rows (n, k) on the scale of a folder that `normalise` wrote.

    Raises:
        FedloraError: the folder is none, or the rows are of another length or not finite.
    """
    card, tensors = _read(folder)
    spec = AdapterSpec.from_json(json.dumps(card["spec"]))
    if points.ndim != 2 or points.shape[1] != spec.size or points.dtype != torch.float32:
        raise FedloraError(
            f"rows of {tuple(points.shape)} {points.dtype}, not (n, {spec.size}) torch.float32"
        )
    return Factors.load(spec, tensors).decode(points)


def read_points(file: Path) -> Tensor:
    """The rows that a generator wrote: the tensor `points` of a safetensors file.

    Raises:
        FedloraError: there is no such tensor.
    """
    try:
        return load_file(file)["points"]
    except (OSError, KeyError, SafetensorError) as error:
        raise FedloraError(f"{file}: no tensor 'points' can be read from it ({error})") from None


def base_of(folder: Path) -> tuple[str, str | None]:
    """The base model's reference and PEFT's task type, as they were given to `normalise`."""
    card, _ = _read(folder)
    return card["base"], card["task_type"]


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
        return card, load_file(folder / ROWS)
    except (OSError, ValueError, SafetensorError) as error:
        raise FedloraError(f"{folder}: not what fedlora bank normalise writes ({error})") from None


def _spreads(spec: AdapterSpec, factors: Factors) -> dict[str, float]:
    """The root mean square around the mean of each tensor, undone of its sqrt(k)."""
    scaled = factors.tensors()["spread"]
    varying = int((scaled > 0).sum())
    parts = scaled.split([torch.Size(shape).numel() for shape in tensor_shapes(spec).values()])
    pairs = zip(tensor_shapes(spec), parts, strict=True)
    return {name: float(part[0]) / varying**0.5 for name, part in pairs}
