"""A control: the new task's strongest directions, old tasks not protected."""

from typing_extensions import override

from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.continual.contract import (
    Method,
    MethodConfig,
    Moments,
    State,
    Step,
    with_downs,
)
from fedlora.continual.design import design_down
from fedlora.continual.inputs import widths
from fedlora.continual.memory import Memory


class SubspaceOnly(Method):
    """InfLoRA without its memory: `down` spans the task's own inputs."""

    Config = MethodConfig
    designs = True

    @override
    def begin(
        self, state: State, spec: AdapterSpec, step: Step, moments: Moments
    ) -> tuple[State, LoraAdapter]:
        downs = {
            name: design_down(
                moments[name].mean,
                Memory.empty(width),
                spec.layers[0].rank,
                f"{step.what}, layer {name}",
            )
            for name, width in widths(spec).items()
        }
        return state, with_downs(spec, downs)
