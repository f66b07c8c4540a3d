"""Any federated torch model, wrapped: the same four methods, with an adapter underneath."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from typing_extensions import override

from fedlora.errors import FedloraError
from fedlora.lora.config import LoRAConfig
from fedlora.lora.injection import Injection, has_adapter
from fedlora.lora.received import check_count, fitting
from fedlora.lora.targets import find_layers

STILL = (
    "train_step has changed nothing that trains: does it move tensors that it took from the model"
    " before wrapping, or by an optimiser that is not torch's, or is the layer behind the adapter"
    " zero and frozen?"
)

INTERFACE = ("get_parameters", "set_parameters", "train_step", "evaluate")


class LoRAWrapper(nn.Module):
    """A federated model and, once applied, its adapter.

    The wrapper has the model's four methods and passes on every attribute that it has not itself,
    so a training script sees no difference: `train_step` and `evaluate` are the model's own, and
    an optimiser that held the adapted weights goes on with the adapter.

    Args:
        model: a torch module with `get_parameters`, `set_parameters`, `train_step`, `evaluate`.
        lora_config: rank, layers and the rest; its defaults when left out.

    Raises:
        FedloraError: the model is no module, lacks one of the methods, or is wrapped already, or
            the configuration is none.
    """

    def __init__(self, model: nn.Module, lora_config: LoRAConfig | None = None) -> None:
        super().__init__()
        missing = [name for name in INTERFACE if not callable(getattr(model, name, None))]
        if not isinstance(model, nn.Module) or missing:
            raise FedloraError(
                f"{type(model).__name__} cannot be wrapped: it must be a torch module with"
                f" {', '.join(INTERFACE)}" + (f"; {missing[0]} is missing" if missing else "")
            )
        self._refuse_adapted(model)
        if not isinstance(lora_config, LoRAConfig | None):
            raise FedloraError(
                "lora_config: give a LoRAConfig, such as LoRAConfig(r=8), not a"
                f" {type(lora_config).__name__}"
            )
        self.lora_config = lora_config or LoRAConfig()
        self._injection: Injection | None = None
        self.federated_model = model

    @property
    def applied(self) -> bool:
        """Whether the adapter is in the model."""
        return self._injection is not None

    @property
    def injection(self) -> Injection:
        """The adapter in the model.

        Raises:
            FedloraError: there is none yet.
        """
        if self._injection is None:
            raise FedloraError(
                "the model has no adapter yet; call apply_lora_to_federated_model() first"
            )
        return self._injection

    def apply_lora_to_federated_model(self) -> Self:
        """Put the adapter into the model, in place; a second call does nothing.

        Outputs stay as they were, since `up` starts at zero; a head made of class names that
        follows the text tower is then computed in every pass, which rounds otherwise. `down` is
        drawn from torch's global generator, as PEFT does.

        Raises:
            FedloraError: no layer matches; the model is then unchanged.
        """
        if self._injection is None:
            self._refuse_adapted(self.federated_model)
            layers, beside = self.target_layers(), self.trained_beside()
            self._injection = Injection(self.federated_model, self.lora_config, layers, beside)
            self._changed()
        return self

    def target_layers(self) -> list[str]:
        """Full names of the layers to adapt, in the model's order.

        Raises:
            FedloraError: no layer matches.
        """
        return list(self.injection.layers) if self.applied else self._find_layers()

    def trained_beside(self) -> list[str]:
        """Names of the model's own parameters that train beside the adapter."""
        return []

    def made_of_names(self) -> list[str]:
        """Names of frozen tensors made of class names, which other tasks have others of."""
        return []

    def enable_lora_layers(self) -> None:
        """Use the adapter again."""
        self.injection.enable(True)
        self._changed()

    def disable_lora_layers(self) -> None:
        """Use the model as it was before wrapping; what was trained since is kept."""
        self.injection.enable(False)
        self._changed()

    def enable_gradient_checkpointing(self) -> None:
        """Keep a block's input only and compute the block again in the backward pass.

        Raises:
            FedloraError: the model has no transformer of transformers that can.
        """
        for part in self._checkpointable():
            # the name since transformers 5.1, and the one before
            start = getattr(part, "activation_checkpointing_enable", None)
            (start or part.gradient_checkpointing_enable)()

    def disable_gradient_checkpointing(self) -> None:
        """Keep all activations again.

        Raises:
            FedloraError: as for enabling.
        """
        for part in self._checkpointable():
            stop = getattr(part, "activation_checkpointing_disable", None)
            (stop or part.gradient_checkpointing_disable)()

    def merge_and_unload(self) -> nn.Module:
        """Add the adapter to the weights and give the model back as it was before wrapping.

        An adapter that is disabled is merged as well. Outputs stay as they are with the adapter, up
        to rounding, unless `forward` reads a weight that it also calls as a layer.
        """
        self.injection.merge()
        self._injection = None
        self._changed()
        return self.federated_model

    def parameter_counts(self) -> dict[str, int]:
        """How many values are "trainable", and how many there are in "total", adapter included."""
        names = set(self.injection.trained)
        sizes = {name: p.numel() for name, p in self.federated_model.named_parameters()}
        trainable = sum(size for name, size in sizes.items() if name in names)
        return {"trainable": trainable, "total": sum(sizes.values())}

    def shared_tensors(self) -> dict[str, Tensor]:
        """What `get_parameters` and saved files hold, by name, without copies."""
        return self.injection.tensors(self.lora_config.save_only_trainable)

    def get_parameters(self) -> list[np.ndarray]:
        """The trained tensors, or all of them with save_only_trainable=False, as copies."""
        if self._injection is None:
            own: list[np.ndarray] = self.federated_model.get_parameters()  # type: ignore[operator]
            return own
        return [_array(tensor) for tensor in self.shared_tensors().values()]

    def set_parameters(self, parameters: Sequence[Any]) -> None:
        """Take what another client's or the server's `get_parameters` gave.

        Raises:
            FedloraError: another number or shape; nothing is then changed.
        """
        if self._injection is None:
            self.federated_model.set_parameters(parameters)  # type: ignore[operator]
            return
        tensors = self.shared_tensors()
        check_count(parameters, len(tensors))
        self.write(dict(zip(tensors, parameters, strict=True)))

    def write(self, values: dict[str, Any]) -> None:
        """Copy values into tensors of the model by name, all or none.

        Raises:
            FedloraError: a name or shape is not the model's, or a value is not a finite number;
                nothing is then changed.
        """
        own = self.injection.tensors(trained_only=False)
        given: dict[str, Tensor] = {}
        for name, value in values.items():
            if name not in own:
                raise FedloraError(f"the model has no tensor '{name}'; was it wrapped otherwise?")
            given[name] = fitting(name, value, own[name])
        with torch.no_grad():
            for name, tensor in given.items():
                own[name].copy_(tensor)
        self._changed()

    def train_step(self, data: Any, labels: Any) -> Any:
        """The model's own: one step, the loss.

        It warns once if many steps have left all that trains as it was.

        Raises:
            FedloraError: the adapter is disabled, and all else is frozen.
        """
        if self._injection is not None and not self._injection.enabled:
            raise FedloraError("nothing trains: call enable_lora_layers() before train_step")
        loss = self.federated_model.train_step(data, labels)  # type: ignore[operator]
        if self._injection is not None and self._injection.stands_still():
            warnings.warn(STILL, stacklevel=2)
        return loss

    def evaluate(self, data: Any, labels: Any) -> Any:
        """The model's own: metrics by name."""
        return self.federated_model.evaluate(data, labels)  # type: ignore[operator]

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """The model's own."""
        return self.federated_model(*inputs, **named)

    @override
    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """The model's, by the names that they have there."""
        return self.federated_model.named_parameters(prefix, recurse, remove_duplicate)

    def _find_layers(self) -> list[str]:
        return find_layers(self.federated_model, self.lora_config.target_modules)

    @staticmethod
    def _refuse_adapted(model: nn.Module) -> None:
        if isinstance(model, LoRAWrapper) or has_adapter(model):
            raise FedloraError("the model has an adapter already; merge_and_unload() it first")

    def _changed(self) -> None:
        """Tell a model that wants to know (`parameters_changed`) that its tensors have changed."""
        told = getattr(self.federated_model, "parameters_changed", None)
        if callable(told):
            told()

    def _checkpointable(self) -> list[Any]:
        parts = [
            part
            for part in self.federated_model.modules()
            if isinstance(part, PreTrainedModel) and part.supports_gradient_checkpointing
        ]
        if not parts:
            name = type(self.federated_model).__name__
            raise FedloraError(f"{name} has no transformer whose blocks can be checkpointed")
        return parts

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            modules = self.__dict__.get("_modules", {})
            if "federated_model" not in modules:
                raise
            return getattr(modules["federated_model"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        """What is not the wrapper's own is set on the model, which is meant: `m.rate = 0.1`."""
        model = self.__dict__.get("_modules", {}).get("federated_model")
        own = name in self.__dict__ or hasattr(type(self), name) or name == "federated_model"
        if model is not None and not own:
            setattr(model, name, value)
        else:
            super().__setattr__(name, value)


def _array(tensor: Tensor) -> np.ndarray:
    """A copy; numpy has no bfloat16, and float32 holds every value of it."""
    values = tensor.detach().cpu()
    values = values.float() if values.dtype == torch.bfloat16 else values
    return np.array(values.numpy(), copy=True)
