"""PEFT's LoRA layers in somebody's model, in place, and out again."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from peft import LoraConfig
from peft import LoraModel as Tuner
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from torch.nn import Parameter
from torch.nn.modules.batchnorm import _NormBase

from fedlora.errors import FedloraError
from fedlora.lora.config import LoRAConfig
from fedlora.lora.optimizers import Adoption
from fedlora.lora.targets import exactly

PATIENCE = 32
"""Steps until somebody who trains nothing is told; gradients may be accumulated over a few."""


class Injection:
    """One adapter in a model.

    Attributes:
        layers: full names of the adapted layers.
        trained: names of all that training changes, in the model's order: the adapter's factors,
            biases if the configuration says so, what the model trains beside them, and the running
            statistics of its normalisations.
    """

    def __init__(
        self, model: nn.Module, config: LoRAConfig, layers: Sequence[str], beside: Sequence[str]
    ) -> None:
        self.model = model
        self.layers = tuple(layers)
        self._required = {name: p.requires_grad for name, p in model.named_parameters()}
        if unknown := sorted(set(beside) - self._required.keys()):
            raise FedloraError(f"trained_beside: the model has no parameter '{unknown[0]}'")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT's advice to callers of its own classes
            self._tuner: Any = Tuner(model, _peft_config(config, layers), "default")
        # PEFT wraps a head's layers too, and then its own tensors have longer names
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(parameter.requires_grad or name in beside)
            if not parameter.requires_grad:
                parameter.grad = None  # an old one would go on moving it
        state, statistics = _state(model), _statistics(model)
        self.trained = tuple(
            name for name, tensor in state.items() if tensor.requires_grad or name in statistics
        )
        self._adoption = Adoption(model, layers)
        # As they were: what a disabled adapter must leave, and an enabled one takes back.
        self._aside = {
            name: tensor.detach().clone()
            for name, tensor in state.items()
            if "lora_" not in name and (name in self.trained or not isinstance(tensor, Parameter))
        }
        self.enabled = True
        self._steps, self._first = 0, list[Tensor]()

    def enable(self, wanted: bool) -> None:
        """Use the adapter and all that was trained with it, or the model as if never wrapped."""
        if wanted == self.enabled:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT leaves trained biases in place; here they go
            if wanted:
                self._tuner.enable_adapter_layers()
            else:
                self._tuner.disable_adapter_layers()
        state = _state(self.model)
        with torch.no_grad():
            for name, other in self._aside.items():
                now = state[name].detach().clone()
                state[name].copy_(other)
                other.copy_(now)
                if isinstance(state[name], Parameter):
                    state[name].requires_grad_(wanted)
        self.enabled = wanted

    def stands_still(self) -> bool:
        """Count a step; true at the last of `PATIENCE` that left all that trains as it was."""
        self._steps += 1
        if self._steps == 1:
            self._first = [t.clone() for t in self.tensors(trained_only=True).values()]
        if self._steps != PATIENCE:
            return False
        pairs = zip(self._first, self.tensors(trained_only=True).values(), strict=True)
        still = all(torch.equal(first, now) for first, now in pairs)
        self._first = []
        return still

    def tensors(self, trained_only: bool) -> dict[str, Tensor]:
        """By name, what trains, or the whole state; as they are with the adapter enabled."""
        state = {name: tensor.detach() for name, tensor in _state(self.model).items()}
        if not self.enabled:
            state |= self._aside
        if not trained_only:
            return state
        return {name: state[name] for name in self.trained}

    def merge(self) -> None:
        """Add the adapter to the weights, take its layers out, and unfreeze what was frozen."""
        self.enable(True)
        self._adoption.undo()
        self._tuner.merge_and_unload()
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(self._required[name])


def has_adapter(model: nn.Module) -> bool:
    """Whether a layer of the model is PEFT's already."""
    return any(isinstance(module, BaseTunerLayer) for module in model.modules())


def _state(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of a model's state; a module may have other things in it."""
    state = model.state_dict(keep_vars=True)
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def _statistics(model: nn.Module) -> set[str]:
    """Names of what training changes without a gradient."""
    return {
        f"{name}.{own}" if name else own
        for name, module in model.named_modules()
        if isinstance(module, _NormBase)
        for own, _ in module.named_buffers(recurse=False)
    }


def _peft_config(config: LoRAConfig, layers: Sequence[str]) -> LoraConfig:
    return LoraConfig(
        r=config.r,
        lora_alpha=config.lora_alpha,  # type: ignore[arg-type]  # PEFT takes floats as well
        lora_dropout=config.lora_dropout,
        target_modules=exactly(layers),
        bias=config.bias,
    )
