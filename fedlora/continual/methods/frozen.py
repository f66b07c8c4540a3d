"""The control that many methods lose to: a frozen backbone, a head a task."""

from typing_extensions import override

from fedlora import seeding
from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.fresh import fresh_adapter
from fedlora.continual.contract import Method, MethodConfig, Moments, State, Step


class Frozen(Method):
    """Heads alone are trained; nothing can be forgotten. `align` makes it frozen + CA."""

    Config = MethodConfig
    trains = "head"

    @override
    def begin(
        self, state: State, spec: AdapterSpec, step: Step, moments: Moments
    ) -> tuple[State, LoraAdapter]:
        return state, fresh_adapter(spec, seeding.derive(step.seed, "start"))

    @override
    def end(self, state: State, branch: LoraAdapter, step: Step, moments: Moments) -> State:
        return state
