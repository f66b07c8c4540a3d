"""A control: a fixed random `down`, nothing protected."""

from typing_extensions import override

from fedlora import seeding
from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.continual.contract import (
    Method,
    MethodConfig,
    Moments,
    State,
    Step,
    with_downs,
)
from fedlora.continual.design import random_down
from fedlora.continual.inputs import widths
from fedlora.continual.memory import Memory


class RandomDown(Method):
    """A branch a task with random orthogonal rows, as long as InfLoRA's."""

    Config = MethodConfig

    @override
    def begin(
        self, state: State, spec: AdapterSpec, step: Step, moments: Moments
    ) -> tuple[State, LoraAdapter]:
        downs = {
            name: random_down(
                Memory.empty(width),
                spec.layers[0].rank,
                seeding.generator(step.seed, "down", step.index, name),
                f"{step.what}, layer {name}",
            )
            for name, width in widths(spec).items()
        }
        return state, with_downs(spec, downs)
