"""Optimisers that a model made for itself before it was wrapped."""

from torch import nn
from torch.nn import Parameter
from torch.optim import Optimizer


def held_by(model: nn.Module) -> list[Optimizer]:
    """The optimisers among a model's own attributes."""
    return [value for value in vars(model).values() if isinstance(value, Optimizer)]


def adopt(optimizers: list[Optimizer], parameters: dict[Parameter, list[Parameter]]) -> None:
    """An adapter joins the group of the weight that it stands on.

    It then trains with that weight's learning rate and schedule. The weight stays in the group:
    it has no gradient, so it is passed over.

    Args:
        optimizers: of the model.
        parameters: frozen weight -> the tensors that train in its place.
    """
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            held = {id(parameter) for parameter in group["params"]}
            for weight, trained in parameters.items():
                if id(weight) in held:
                    group["params"].extend(trained)


def release(optimizers: list[Optimizer], parameters: dict[Parameter, list[Parameter]]) -> None:
    """The inverse of `adopt`; what an optimiser remembered of the adapter is forgotten."""
    gone = {id(parameter) for trained in parameters.values() for parameter in trained}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for parameter in [p for p in group["params"] if id(p) in gone]:
                optimizer.state.pop(parameter, None)
            group["params"][:] = [p for p in group["params"] if id(p) not in gone]
