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

from fedlora.lora.config import LoRAConfig
from fedlora.lora.optimizers import Adoption
from fedlora.lora.targets import exactly


class Injection:
    """One adapter in a model.

    Attributes:
        layers: full names of the adapted layers.
        trained: names of all that training changes, in the model's order: the adapter's factors,
            biases if the configuration says so, what the model trains beside them, and buffers
            that are part of its state, such as the running statistics of a normalisation.
    """

    def __init__(
        self, model: nn.Module, config: LoRAConfig, layers: Sequence[str], beside: Sequence[str]
    ) -> None:
        self.model = model
        self.layers = tuple(layers)
        self._required = {name: p.requires_grad for name, p in model.named_parameters()}
        weights = [_weight(model.get_submodule(name)) for name in layers]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT's advice to callers of its own classes
            self._tuner: Any = Tuner(model, _peft_config(config, layers), "default")
        # PEFT wraps a head's layers too, and then its own tensors have longer names
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(parameter.requires_grad or name in beside)
            if not parameter.requires_grad:
                parameter.grad = None  # an old one would go on moving it
        state = model.state_dict(keep_vars=True)
        self.trained = tuple(
            name for name, t in state.items() if t.requires_grad or not isinstance(t, Parameter)
        )
        self._adoption = Adoption(model, {
            weight: [p for n, p in model.get_submodule(name).named_parameters() if "lora_" in n]
            for name, weight in zip(layers, weights, strict=True)
        })  # fmt: skip
        # As they were: what a disabled adapter must leave, and an enabled one takes back.
        self._aside = {
            name: state[name].detach().clone() for name in self.trained if "lora_" not in name
        }
        self.enabled = True

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
        state = self.model.state_dict(keep_vars=True)
        with torch.no_grad():
            for name, other in self._aside.items():
                now = state[name].detach().clone()
                state[name].copy_(other)
                other.copy_(now)
                if isinstance(state[name], Parameter):
                    state[name].requires_grad_(wanted)
        self.enabled = wanted

    def tensors(self, trained_only: bool) -> dict[str, Tensor]:
        """By name, what trains, or the whole state; as they are with the adapter enabled."""
        state = {name: t.detach() for name, t in self.model.state_dict(keep_vars=True).items()}
        if not self.enabled:
            state |= self._aside
        if not trained_only:
            return state
        return {name: state[name] for name in self.trained}

    def merge(self) -> None:
        """Add the adapter to the weights, take its layers out, and unfreeze what was frozen."""
        self.enable(True)
        self._tuner.merge_and_unload()
        self._adoption.undo()
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(self._required[name])


def has_adapter(model: nn.Module) -> bool:
    """Whether a layer of the model is PEFT's already."""
    return any(isinstance(module, BaseTunerLayer) for module in model.modules())


def _weight(layer: nn.Module) -> Parameter:
    return layer.get_parameter("weight")


def _peft_config(config: LoRAConfig, layers: Sequence[str]) -> LoraConfig:
    return LoraConfig(
        r=config.r,
        lora_alpha=config.lora_alpha,  # type: ignore[arg-type]  # PEFT takes floats as well
        lora_dropout=config.lora_dropout,
        target_modules=exactly(layers),
        bias=config.bias,
    )
