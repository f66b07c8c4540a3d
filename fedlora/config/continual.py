"""A continual run: a stream of tasks in place of a bank and newcomers."""

from typing import ClassVar, Literal

from pydantic import Field

from fedlora.config.parts import AggregatorPart, GeneratorPart, default
from fedlora.config.privacy import Budget
from fedlora.section import Part, Section


class MethodPart(Part):
    """A continual method by name."""

    room: ClassVar[str] = "continual.methods"


class NoiseConfig(Budget):
    """Gaussian noise on the statistics of inputs, for a whole run.

    epsilon, delta: the budget of each example, of all its statistics together. It covers them
        alone, not the adapters and heads that are trained on the example.
    clip: the most that one example's sum of squares over its tokens counts in one layer.
    """

    clip: float = Field(100.0, gt=0)


class ContinualConfig(Section):
    """How a stream is learned; `shards.per_task` clients share each task's examples.

    One client and one round is a stream on one machine.
    """

    method: MethodPart = default(MethodPart, "inflora")
    rounds: int = Field(1, ge=1, description="of averaging, a task")
    aggregation: AggregatorPart = default(AggregatorPart, "fedavg")
    order: Literal["same", "shuffled"] = Field(
        "same", description="shuffled: every client meets the tasks in an order of its own"
    )
    pace: Literal["same", "mixed"] = Field(
        "same", description="mixed: half of the clients take a task at every second step only"
    )
    sketch: int | None = Field(
        None, ge=1, description="directions of a layer's statistics that are sent; all when absent"
    )
    noise: NoiseConfig | None = None
    generator: GeneratorPart | None = Field(
        None, description="learns from the branches so far where the next starts; zero when absent"
    )
