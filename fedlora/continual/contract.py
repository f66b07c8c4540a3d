"""What a continual method is: where a task's branch starts, what of it is trained, what is kept."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.continual.alignment import Alignment
from fedlora.continual.inputs import input_of
from fedlora.continual.memory import Memory
from fedlora.continual.statistics import Statistics
from fedlora.section import Section

Trains = Literal["up", "both", "head"]
Moments = Mapping[str, Statistics]
"""Statistics of each input, by the layer that stands for it."""


class MethodConfig(Section):
    """Options of every method.

    align: train the heads of all tasks together after each; None leaves them apart.
    """

    align: Alignment | None = None


@dataclass(frozen=True)
class Step:
    """Where a stream stands: step `index` of `steps`, from 0; `what` names it in errors."""

    index: int
    steps: int
    what: str
    seed: int


@dataclass(frozen=True, eq=False)
class State:
    """What a method knows of the tasks so far.

    branches: adapters that are part of the model now.
    memories: the old tasks' space, by the layer that stands for an input; empty where a method
        keeps none.
    """

    branches: tuple[LoraAdapter, ...] = ()
    memories: Mapping[str, Memory] = field(default_factory=dict)


class Method(ABC):
    """One way to learn a stream; one file a method in `continual/methods/`.

    It sees statistics and adapters, never examples, and keeps no state of its own: the same code
    serves one machine and a server.

    trains: what of a branch is trained beside the head.
    designs: whether `begin` needs statistics of the new task, taken with the model as it is.
    remembers: whether `end` needs them, taken with the trained model.
    """

    Config: ClassVar[type[MethodConfig]]
    trains: ClassVar[Trains] = "up"
    designs: ClassVar[bool] = False
    remembers: ClassVar[bool] = False

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def begin(
        self, state: State, spec: AdapterSpec, step: Step, moments: Moments
    ) -> tuple[State, LoraAdapter]:
        """The branches that are frozen while a step trains, and where its own branch starts.

        Raises:
            FedloraError: no branch fits; the message names task and layer.
        """

    def end(self, state: State, branch: LoraAdapter, step: Step, moments: Moments) -> State:  # noqa: ARG002
        """The state with a trained branch in it."""
        return replace(state, branches=(*state.branches, branch))

    def recalled(self) -> int | None:
        """Examples a class of earlier tasks that are trained on again: 0, or None for all."""
        return 0

    def penalty(self, downs: Mapping[str, Tensor], frozen: LoraAdapter) -> Tensor | None:  # noqa: ARG002
        """What is added to each batch's loss, a scalar with a graph through `downs`."""
        return None


def with_downs(spec: AdapterSpec, downs: Mapping[str, Tensor]) -> LoraAdapter:
    """A branch that changes nothing yet: a given `down` for each input, `up` zero."""
    source = input_of(spec)
    return LoraAdapter(
        spec,
        {layer.name: downs[source[layer.name]].float().clone() for layer in spec.layers},
        {layer.name: torch.zeros(layer.d_out, layer.rank) for layer in spec.layers},
        {},
    )


def without_head(branch: LoraAdapter) -> LoraAdapter:
    """The branch alone."""
    return LoraAdapter(replace(branch.spec, head=()), branch.down, branch.up, {})


def describe(number: int, name: str) -> str:
    """A task as errors name it: task 3 '4+5', counted from 1."""
    return f"task {number + 1} '{name}'"
