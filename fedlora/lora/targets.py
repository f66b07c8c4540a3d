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


def adaptable_layers(
    model: nn.Module, unfit: Mapping[str, str], root: str = ""
) -> dict[str, nn.Module]:
    """Full name -> layer, of all that PEFT can adapt, merge and take out again.

    Args:
        model: whose layers.
        unfit: as `unfit_layers` gives it.
        root: a submodule to look at or below.
    """
    return {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, ADAPTABLE)
        and name not in unfit
        and (not root or name == root or name.startswith(f"{root}."))
    }


def unfit_layers(model: nn.Module) -> dict[str, str]:
    """Full name -> why PEFT's adapter would be passed by in that layer, or could not be merged."""
    closed = tuple(f"{name}." for name, m in model.named_modules() if isinstance(m, _CLOSED))
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(_place(parameter), []).append(name)
    unfit = {}
    for name, layer in model.named_modules(remove_duplicate=False):
        if not isinstance(layer, ADAPTABLE):
            continue
        weight = getattr(layer, "weight", None)
        if not isinstance(weight, nn.Parameter) or nn.parameter.is_lazy(weight):
            unfit[name] = "its weight is computed, or not there yet"
        elif shared := [n for n in names[_place(weight)] if n != f"{name}.weight"]:
            unfit[name] = f"its weight is that of '{shared[0]}' too"
        elif name.startswith(closed):
            unfit[name] = "its module reads the weight without calling the layer"
        elif why := _special(layer):
            unfit[name] = why
    return unfit


def _place(weight: nn.Parameter) -> int:
    """Where the values are: the same for parameters that share them."""
    if nn.parameter.is_lazy(weight) or weight.is_meta:
        return id(weight)
    return weight.data_ptr() or id(weight)


def _special(layer: nn.Module) -> str:
    """What a layer does that PEFT's own arithmetic does not; empty for a plain one."""
    kind = next(kind for kind in ADAPTABLE if isinstance(layer, kind))
    if type(layer).forward is not kind.forward:
        return f"it is a {kind.__name__} with a forward of its own"
    if getattr(layer, "groups", 1) != 1:
        return "it is a convolution in groups"
    if any(step != 1 for step in getattr(layer, "dilation", ())):
        return "it is a dilated convolution"
    if getattr(layer, "padding_mode", "zeros") != "zeros":
        return "it is a convolution whose padding is not zeros"
    if getattr(layer, "max_norm", None) is not None:
        return "it is an embedding whose rows are cut to a norm"
    return ""


def automatic(layers: Mapping[str, nn.Module]) -> list[str]:
    """Query and value projections where there are any, every linear layer otherwise."""
    endings = {_ending(name) for name in layers}
    pair = next((set(pair) for pair in QUERY_VALUE if set(pair) <= endings), None)
    if pair is not None:
        return [name for name in layers if _ending(name) in pair]
    return [name for name, layer in layers.items() if isinstance(layer, (nn.Linear, Conv1D))]


def find_layers(model: nn.Module, targets: Literal["auto"] | Sequence[str]) -> list[str]:
    """Full names of the layers that the targets name.

    Raises:
        FedloraError: a target names none that can be adapted; the message has the nearest name.
    """
    unfit = unfit_layers(model)
    layers = adaptable_layers(model, unfit)
    if targets == "auto":
        found = automatic(layers)
        if not found:
            raise FedloraError("target_modules: the model has no linear layer that LoRA can adapt")
        return found
    check_targets(layers, targets, unfit)
    return [name for name in layers if any(matches(name, target) for target in targets)]


def check_targets(layers: Iterable[str], targets: Sequence[str], unfit: Mapping[str, str]) -> None:
    """Refuse a target that names no layer, or an empty list.

    Args:
        layers: full names of those that can be adapted.
        targets: what was asked for.
        unfit: as `unfit_layers` gives it.

    Raises:
        FedloraError: which, and why it is not fit, or the nearest name.
    """
    names = list(layers)
    if not targets:
        raise FedloraError("target_modules: the list is empty; name a layer, or write auto")
    for target in targets:
        if any(matches(name, target) for name in names):
            continue
        for name, why in unfit.items():
            if matches(name, target):
                raise FedloraError(
                    f"target_modules: '{name}' cannot be adapted, since {why}; leave it out"
                )
        hint = nearest(target, sorted({_ending(name) for name in names} or {"auto"}))
        raise FedloraError(f"target_modules: no layer is called '{target}'; {hint}")


def base_weight(model: nn.Module, name: str) -> nn.Parameter:
    """The frozen weight under the adapter of a layer."""
    return model.get_submodule(name).get_parameter("base_layer.weight")


def matches(name: str, target: str) -> bool:
    """Whether a target is a layer's name or the end of it."""
    return name == target or name.endswith(f".{target}")


def exactly(names: Iterable[str]) -> str:
    """An expression that PEFT matches with these layers and no others."""
    return "|".join(re.escape(name) for name in names)


def _ending(name: str) -> str:
    return name.rpartition(".")[2]
