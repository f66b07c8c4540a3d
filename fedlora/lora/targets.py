"""Which layers of a module get an adapter, found at run time."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from torch import nn
from transformers.pytorch_utils import Conv1D

from fedlora.backbone.targets import QUERY_VALUE
from fedlora.errors import FedloraError
from fedlora.registry import nearest

ADAPTABLE = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d, Conv1D)

# These read their layers' weights without calling the layers, past any adapter.
_CLOSED = (nn.MultiheadAttention, nn.TransformerEncoderLayer)


def adaptable_layers(model: nn.Module, root: str = "") -> dict[str, nn.Module]:
    """Full name -> layer, of all that PEFT can adapt, merge and take out again.

    Args:
        model: whose layers.
        root: a submodule to look at or below.
    """
    closed = [f"{name}." for name, m in model.named_modules() if isinstance(m, _CLOSED)]
    return {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, ADAPTABLE)
        and isinstance(getattr(layer, "weight", None), nn.Parameter)  # not one that is computed
        and getattr(layer, "groups", 1) == 1
        and (not root or name == root or name.startswith(f"{root}."))
        and not any(name.startswith(prefix) for prefix in closed)
    }


def automatic(layers: Mapping[str, nn.Module]) -> list[str]:
    """Query and value projections where there are any, every linear layer otherwise."""
    endings = {_ending(name) for name in layers}
    pair = next((set(pair) for pair in QUERY_VALUE if set(pair) <= endings), None)
    if pair is not None:
        return [name for name in layers if _ending(name) in pair]
    return [name for name, layer in layers.items() if isinstance(layer, (nn.Linear, Conv1D))]


def find_layers(
    layers: Mapping[str, nn.Module], targets: Literal["auto"] | Sequence[str]
) -> list[str]:
    """Full names of the layers that the targets name.

    Raises:
        FedloraError: a target names none of them; the message has the nearest name.
    """
    if targets == "auto":
        found = automatic(layers)
        if not found:
            raise FedloraError("target_modules: the model has no linear layer that LoRA can adapt")
        return found
    check_targets(layers, targets)
    return [name for name in layers if any(matches(name, target) for target in targets)]


def check_targets(layers: Iterable[str], targets: Sequence[str]) -> None:
    """Refuse a target that names no layer, or an empty list.

    Raises:
        FedloraError: which, with the nearest name.
    """
    names = list(layers)
    if not targets:
        raise FedloraError("target_modules: the list is empty; name a layer, or write auto")
    for target in targets:
        if not any(matches(name, target) for name in names):
            hint = nearest(target, sorted({_ending(name) for name in names} or {"auto"}))
            raise FedloraError(f"target_modules: no layer is called '{target}'; {hint}")


def matches(name: str, target: str) -> bool:
    """Whether a target is a layer's name or the end of it."""
    return name == target or name.endswith(f".{target}")


def exactly(names: Iterable[str]) -> str:
    """An expression that PEFT matches with these layers and no others."""
    return "|".join(re.escape(name) for name in names)


def _ending(name: str) -> str:
    return name.rpartition(".")[2]
