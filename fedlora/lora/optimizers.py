"""Optimisers that hold the weights of a model which was wrapped since."""

from collections.abc import Mapping
from typing import Any
from weakref import finalize, ref

from torch import nn
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook


class Adoption:
    """An adapter's tensors join the optimisers of the weights that they stand on.

    Those among the model's own attributes take them at once, as mixed precision wants it; any
    other takes them when it steps: one that the training script made before wrapping, or that
    the model keeps deeper. A tensor trains with the learning rate and schedule of its weight's
    group. The weight stays there: it has no gradient, so it is passed over.

    Args:
        model: whose optimisers.
        trained: frozen weight -> the tensors that train in its place.
    """

    def __init__(self, model: nn.Module, trained: Mapping[Parameter, list[Parameter]]) -> None:
        self._model = model
        self._trained = dict(trained)
        self._by_weight = {id(weight): tensors for weight, tensors in trained.items()}
        self._late: list[ref[Optimizer]] = []
        for optimizer in self._own():
            self._join(optimizer)
        me = ref(self)

        def before_step(optimizer: Optimizer, *_: Any) -> None:
            adoption = me()
            if adoption is not None and adoption._join(optimizer):
                alive = [other for other in adoption._late if other() is not None]
                adoption._late = [*alive, ref(optimizer)]

        finalize(self, register_optimizer_step_pre_hook(before_step).remove)

    def undo(self) -> None:
        """Take the tensors out again; what an optimiser remembered of them is forgotten."""
        self._by_weight = {}
        gone = {id(tensor) for tensors in self._trained.values() for tensor in tensors}
        late = [optimizer for other in self._late if (optimizer := other()) is not None]
        for optimizer in [*self._own(), *late]:
            for group in optimizer.param_groups:
                for tensor in [p for p in group["params"] if id(p) in gone]:
                    optimizer.state.pop(tensor, None)
                group["params"][:] = [p for p in group["params"] if id(p) not in gone]

    def _own(self) -> list[Optimizer]:
        return [value for value in vars(self._model).values() if isinstance(value, Optimizer)]

    def _join(self, optimizer: Optimizer) -> bool:
        """Whether there was something to add to the optimiser's groups."""
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if not held & self._by_weight.keys():
            return False
        joined = False
        for group in optimizer.param_groups:
            for weight in list(group["params"]):
                new = [p for p in self._by_weight.get(id(weight), ()) if id(p) not in held]
                group["params"].extend(new)
                joined |= bool(new)
        return joined
