"""Joint training: the ceiling, which keeps every example."""

from typing_extensions import override

from fedlora import seeding
from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.fresh import fresh_adapter
from fedlora.continual.contract import Method, MethodConfig, Moments, State, Step


class Joint(Method):
    """At each step a new adapter, trained on all examples of all tasks met so far."""

    Config = MethodConfig
    trains = "both"

    @override
    def begin(
        self, state: State, spec: AdapterSpec, step: Step, moments: Moments
    ) -> tuple[State, LoraAdapter]:
        return State(), fresh_adapter(spec, seeding.derive(step.seed, "start"))

    @override
    def recalled(self) -> int | None:
        return None
