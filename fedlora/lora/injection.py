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
from fedlora.lora.optimizers import adopt, held_by, release
from fedlora.lora.targets import exactly


class Injection:
    """One adapter in a model.

    Attributes:
        layers: full names of the adapted layers.
        trained: names of all that trains, in the model's order: the adapter's factors, biases if
            the configuration says so, and what the model trains beside them.
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
            if name in beside:
                parameter.requires_grad_(True)
        self.trained = tuple(name for name, p in model.named_parameters() if p.requires_grad)
        self._optimizers = held_by(model)
        self._joined = {
            weight: [p for n, p in model.get_submodule(name).named_parameters() if "lora_" in n]
            for name, weight in zip(layers, weights, strict=True)
        }
        adopt(self._optimizers, self._joined)
        parameters = dict(model.named_parameters())
        # Biases as they were: what a disabled adapter must leave, and an enabled one takes back.
        self._aside = {
            name: parameters[name].detach().clone()
            for name in self.trained
            if "lora_" not in name and name not in beside
        }
        self.enabled = True

    def enable(self, wanted: bool) -> None:
        """Use the adapter, or the model as if there were none."""
        if wanted == self.enabled:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT leaves trained biases in place; here they go
            if wanted:
                self._tuner.enable_adapter_layers()
            else:
                self._tuner.disable_adapter_layers()
        with torch.no_grad():
            for name, other in self._aside.items():
                parameter = self.model.get_parameter(name)
                now = parameter.detach().clone()
                parameter.copy_(other)
                other.copy_(now)
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
        release(self._optimizers, self._joined)
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
