"""One place for one adapter in a frozen model, filled and emptied in place."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn

from fedlora import seeding
from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter
from fedlora.adapter.fresh import first_ranks, fresh_adapter
from fedlora.backbone.load import BaseModel
from fedlora.backbone.targets import find_targets
from fedlora.config import LoraSection
from fedlora.errors import FedloraError


class AdapterSlot:
    """A base model wrapped once by PEFT; adapters come and go without rebuilding anything.

    Attributes:
        base: the frozen model.
        model: the PeftModel around it.
        device: where both live.
    """

    def __init__(self, base: BaseModel, lora: LoraSection, device: torch.device) -> None:
        self.base = base
        self.device = device
        names = find_targets(base.model, lora.targets, lora.layers)
        layers = tuple(_layer(name, base.model.get_submodule(name), lora.rank) for name in names)
        self._spec = AdapterSpec(base.digest, layers, lora.alpha, lora.rslora)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers by old names
            self.model: PeftModel = get_peft_model(base.model, _peft_config(lora, names))
        self.model.to(device).eval()
        self._down: dict[str, nn.Parameter] = {}
        self._up: dict[str, nn.Parameter] = {}
        for name in names:
            self._down[name] = base.model.get_parameter(f"{name}.lora_A.default.weight")
            self._up[name] = base.model.get_parameter(f"{name}.lora_B.default.weight")
        self._held = self._spec
        # The base stays in evaluation mode when an adapter trains: only LoRA's dropout is noisy.
        self._dropout = [base.model.get_submodule(f"{name}.lora_dropout") for name in names]

    @property
    def spec(self) -> AdapterSpec:
        """The spec of the adapter that the slot takes, without a head."""
        return self._spec

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the frozen base."""
        return next(p.dtype for n, p in self.model.named_parameters() if "lora_" not in n)

    def by_name(self) -> dict[str, nn.Parameter]:
        """The trainable tensors under the names of `LoraAdapter.tensors`; ranks may be padded."""
        downs = {f"{name}.down": parameter for name, parameter in self._down.items()}
        return downs | {f"{name}.up": parameter for name, parameter in self._up.items()}

    def parameters(self) -> list[nn.Parameter]:
        """The trainable tensors, in the order of `LoraAdapter.tensors`."""
        return [p for name in self._down for p in (self._down[name], self._up[name])]

    def fresh(self, seed: int, rank: int | None = None) -> LoraAdapter:
        """A new adapter, as `fresh_adapter` draws it; a smaller rank has the first of its ranks."""
        whole = fresh_adapter(self._spec, seed)
        return whole if rank is None else first_ranks(whole, whole.spec.with_rank(rank))

    def write(self, adapter: LoraAdapter) -> None:
        """Put an adapter into the model, in place; a head is the caller's.

        A smaller rank is filled up with zeros, which stay zero in training since each is the only
        factor of the other's gradient, and gets the scaling of its own rank.

        Raises:
            FedloraError: the adapter is of another base model, a larger rank, or other layers.
        """
        if adapter.spec.base != self._spec.base:
            raise FedloraError(
                f"adapter of base model {adapter.spec.base[:12]}, but this base is"
                f" {self._spec.base[:12]}: use the model it was trained on"
            )
        if (adapter.spec.alpha, adapter.spec.rslora) != (
            self._spec.alpha,
            self._spec.rslora,
        ) or not _fits(adapter.spec, self._spec):
            raise FedloraError("adapter of other layers, rank or alpha than the lora section says")
        with torch.no_grad():
            for layer in adapter.spec.layers:
                name, rank = layer.name, layer.rank
                self._down[name].zero_()[:rank] = adapter.down[name].to(self.device)
                self._up[name].zero_()[:, :rank] = adapter.up[name].to(self.device)
                scalings: Any = self.base.model.get_submodule(name).scaling
                scalings["default"] = adapter.spec.scaling(layer)
        self._held = replace(adapter.spec, head=())

    def read(self, head: Mapping[str, Tensor] | None = None) -> LoraAdapter:
        """A copy of the adapter now in the model, beside a trained head if there is one."""
        trained = {n: _copy(tensor) for n, tensor in (head or {}).items()}
        shapes = tuple((name, tuple(tensor.shape)) for name, tensor in trained.items())
        spec = replace(self._held, head=shapes)
        down = {x.name: _copy(self._down[x.name][: x.rank]) for x in spec.layers}
        up = {x.name: _copy(self._up[x.name][:, : x.rank]) for x in spec.layers}
        return LoraAdapter.from_tensors(spec, LoraAdapter(spec, down, up, trained).tensors())

    @contextmanager
    def training(self, seed: int) -> Iterator[list[nn.Parameter]]:
        """The trainable parameters, with LoRA's dropout switched on and seeded."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seeding.derive(seed, "dropout"))
            for dropout in self._dropout:
                dropout.train()
            try:
                yield self.parameters()
            finally:
                for dropout in self._dropout:
                    dropout.eval()

    @contextmanager
    def only(self, what: Literal["up", "both", "head"]) -> Iterator[None]:
        """Train nothing else of the adapter for a while: a `down` or both factors stay fixed."""
        fixed = {"both": [], "up": [self._down], "head": [self._down, self._up]}[what]
        frozen = [parameter for factors in fixed for parameter in factors.values()]
        for parameter in frozen:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)

    def downs(self) -> Mapping[str, nn.Parameter]:
        """The `down` of each layer as it is in the model, for penalties on it."""
        return self._down

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """LoRA's dropout off for a moment: what is scored in training is what will be used."""
        noisy = [dropout for dropout in self._dropout if dropout.training]
        for dropout in noisy:
            dropout.eval()
        try:
            yield
        finally:
            for dropout in noisy:
                dropout.train()

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """The base model alone."""
        with self.model.disable_adapter():
            yield


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32, copy=True)


def _peft_config(lora: LoraSection, names: list[str]) -> LoraConfig:
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # PEFT takes floats as well
        lora_dropout=lora.dropout,
        target_modules=names,
        use_rslora=lora.rslora,
        bias="none",
    )


def _layer(name: str, module: nn.Module, rank: int) -> LayerSpec:
    if isinstance(module, nn.Linear):
        return LayerSpec(name, module.in_features, module.out_features, rank)
    # transformers' Conv1D stores its weight transposed
    d_in, d_out = module.get_parameter("weight").shape
    return LayerSpec(name, int(d_in), int(d_out), rank)


def _fits(spec: AdapterSpec, slot: AdapterSpec) -> bool:
    """Whether the layers are those of the slot, no rank above its own."""
    place = [(layer.name, layer.d_in, layer.d_out) for layer in slot.layers]
    return [(layer.name, layer.d_in, layer.d_out) for layer in spec.layers] == place and all(
        own.rank <= layer.rank for own, layer in zip(spec.layers, slot.layers, strict=True)
    )
