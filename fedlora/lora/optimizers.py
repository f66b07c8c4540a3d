"""Optimisers that hold the weights of a model which was wrapped since."""

from collections.abc import Sequence
from typing import Any
from weakref import finalize, ref

from torch import nn
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from fedlora.lora.targets import base_weight


class Adoption:
    """An adapter's tensors join the optimisers of the weights that they stand on.

    Those among the model's own attributes take them at once, as mixed precision wants it; any
    other takes them when it steps: one that the training script made before wrapping, or that
    the model keeps deeper. A tensor trains with the learning rate and schedule of its weight's
    group. The weight stays there: it has no gradient, so it is passed over. A copy of the model
    has an adoption of its own.

    Args:
        model: whose optimisers; its adapter is in place.
        layers: full names of the adapted layers.
    """

    _late: list[ref[Optimizer]]
    _by_weight: dict[int, list[Parameter]] | None

    def __init__(self, model: nn.Module, layers: Sequence[str]) -> None:
        self._model, self._layers = model, tuple(layers)
        self._watch()
        self._tensors()
        for optimizer in self._own():
            self._join(optimizer)

    def undo(self) -> None:
        """Take the tensors out again; what an optimiser remembered of them is forgotten."""
        gone = {id(tensor) for tensors in self._tensors().values() for tensor in tensors}
        self._by_weight = {}
        late = [optimizer for other in self._late if (optimizer := other()) is not None]
        for optimizer in [*self._own(), *late]:
            for group in optimizer.param_groups:
                for tensor in [p for p in group["params"] if id(p) in gone]:
                    optimizer.state.pop(tensor, None)
                group["params"][:] = [p for p in group["params"] if id(p) not in gone]

    def _watch(self) -> None:
        self._late, self._by_weight = [], None
        me = ref(self)

        def before_step(optimizer: Optimizer, *_: Any) -> None:
            adoption = me()
            if adoption is not None and adoption._join(optimizer):
                alive = [other for other in adoption._late if other() not in (None, optimizer)]
                adoption._late = [*alive, ref(optimizer)]

        finalize(self, register_optimizer_step_pre_hook(before_step).remove)

    def __getstate__(self) -> dict[str, Any]:
        return {"_model": self._model, "_layers": self._layers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._watch()

    def _tensors(self) -> dict[int, list[Parameter]]:
        """id of a frozen weight -> the tensors that train in its place."""
        if self._by_weight is None:
            self._by_weight = {
                id(base_weight(self._model, name)): [
                    tensor
                    for own, tensor in self._model.get_submodule(name).named_parameters()
                    if "lora_" in own
                ]
                for name in self._layers
            }
        return self._by_weight

    def _own(self) -> list[Optimizer]:
        return [value for value in vars(self._model).values() if isinstance(value, Optimizer)]

    def _join(self, optimizer: Optimizer) -> bool:
        """Whether the optimiser holds a weight under the adapter, which then joins its group."""
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if not held & self._tensors().keys():
            return False
        for group in optimizer.param_groups:
            for weight in list(group["params"]):
                tensors = self._tensors().get(id(weight), ())
                group["params"].extend(p for p in tensors if id(p) not in held)
        return True
