"""A control: keep away from old tasks, whatever the new one needs."""

from typing_extensions import override

from fedlora import seeding
from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.continual.contract import Moments, State, Step, with_downs
from fedlora.continual.design import random_down
from fedlora.continual.inputs import widths
from fedlora.continual.memory import Memory
from fedlora.continual.methods import inflora


class ComplementOnly(inflora.InfLora):
    """InfLoRA with random directions of the complement in place of the task's strongest."""

    Config = inflora.Config
    designs = False

    @override
    def begin(
        self, state: State, spec: AdapterSpec, step: Step, moments: Moments
    ) -> tuple[State, LoraAdapter]:
        rank = spec.layers[0].rank
        downs = {
            name: random_down(
                state.memories.get(name, Memory.empty(width)),
                rank,
                seeding.generator(step.seed, "down", step.index, name),
                f"{step.what}, layer {name}",
                self.config.exhausted,
            )
            for name, width in widths(spec).items()
        }
        return state, with_downs(spec, downs)
