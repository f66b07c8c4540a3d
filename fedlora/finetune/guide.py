"""What a federated method asks of local training beside plain fine-tuning."""

from dataclasses import dataclass

import torch
from torch import nn

from fedlora.adapter import LoraAdapter
from fedlora.adapter.parts import Parts
from fedlora.finetune.objectives import Objective


@dataclass(frozen=True, eq=False)
class Guide:
    """How one job departs from plain fine-tuning.

    trains: the factors that move; heads always do.
    fold: an update that the frozen base holds while the job lasts; None for none.
    pull: mu of the proximal term mu / 2 |w - start|^2.
    correction: added to every gradient; None for none.
    fades: share of the ranks that are left alone and the weight of the term
        sum_layers |up_last| |down_last| on the others; None for none.
    """

    trains: Parts = ("down", "up")
    fold: LoraAdapter | None = None
    pull: float = 0.0
    correction: LoraAdapter | None = None
    fades: tuple[float, float] | None = None


def steer(guide: Guide, objective: Objective, start: LoraAdapter) -> None:
    """Change the gradients in the model as the guide says, once they are there."""
    parameters = {
        **objective.slot.by_name(),
        **{f"head.{name}": parameter for name, parameter in objective.head().items()},
    }
    first = start.tensors()
    correction = guide.correction.tensors() if guide.correction else {}
    if guide.fades:
        _fade(guide.fades, start, parameters)
    for name, parameter in parameters.items():
        if name.rpartition(".")[2] not in guide.trains and not name.startswith("head."):
            parameter.grad = None
        if parameter.grad is None:
            continue
        part = tuple(slice(0, size) for size in first[name].shape)
        grad = parameter.grad[part]
        if guide.pull:
            grad += guide.pull * (parameter.detach()[part] - first[name].to(grad))
        if name in correction:
            grad += correction[name].to(grad)


def _fade(
    fades: tuple[float, float], start: LoraAdapter, parameters: dict[str, nn.Parameter]
) -> None:
    """Add the gradient of weight |up_last| |down_last| to each layer's last ranks."""
    keep, weight = fades
    for layer in start.spec.layers:
        last = slice(kept_ranks(layer.rank, keep), layer.rank)
        down, up = parameters[f"{layer.name}.down"], parameters[f"{layer.name}.up"]
        if down.grad is None or up.grad is None:
            continue
        tall, wide = up.detach()[:, last], down.detach()[last]
        of_tall, of_wide = torch.linalg.norm(tall), torch.linalg.norm(wide)
        # At zero, where the norm has no gradient, there is nothing left to fade.
        up.grad[:, last] += weight * of_wide * tall / of_tall.clamp_min(1e-12)
        down.grad[last] += weight * of_tall * wide / of_wide.clamp_min(1e-12)


def kept_ranks(rank: int, keep: float) -> int:
    """How many ranks remain of so many when the others are given up; one at least."""
    return max(int(rank * keep), 1)
