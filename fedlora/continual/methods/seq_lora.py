"""Sequential LoRA: one adapter, trained on task after task."""

from dataclasses import replace

from typing_extensions import override

from fedlora import seeding
from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.fresh import fresh_adapter
from fedlora.continual.contract import Method, MethodConfig, Moments, State, Step


class SeqLora(Method):
    """Both factors go on from where the last task left them; nothing is protected."""

    Config = MethodConfig
    trains = "both"

    @override
    def begin(
        self, state: State, spec: AdapterSpec, step: Step, moments: Moments
    ) -> tuple[State, LoraAdapter]:
        if state.branches:
            return replace(state, branches=()), state.branches[0]
        return state, fresh_adapter(spec, seeding.derive(step.seed, "start"))
