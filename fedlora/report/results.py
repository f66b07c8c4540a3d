"""What results.json says, validated; every part of it may be missing."""

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


Number = Annotated[float | None, AfterValidator(_finite)]
"""A number, or None where a run wrote null, NaN or infinity."""


class _Part(BaseModel):
    """Old and newer runs stay readable: what is not known here is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Interval(_Part):
    """A mean over n tasks with its 95% interval, which says nothing where n is 1."""

    mean: Number = None
    low: Number = None
    high: Number = None
    n: int = 0


Measured = Annotated[Interval, BeforeValidator(lambda found: found or Interval())]
"""An interval; an empty one where a run wrote null."""


class Row(_Part):
    """One method on one unseen task with one seed; `gap` is the share of the gap it closes."""

    seed: int = 0
    task: str = ""
    client: int | None = None
    method: str
    value: Number = None
    gap: Number = None


class MethodSummary(_Part):
    """One line of the table."""

    method: str
    value: Measured = Interval()
    gap: Measured = Interval()


class Bytes(_Part):
    """Serialised bytes of the run, and what two other ways would have sent."""

    up: int = 0
    down: int = 0
    fedavg_lora: int | None = None
    full_finetuning: int | None = None


class Lost(_Part):
    """One contribution that did not arrive, or was refused, and why."""

    seed: int | None = None
    phase: str = ""
    round: int | None = None
    client: int | None = None
    task: str | None = None
    reason: str = ""


class Spent(_Part):
    """What was spent of one privacy budget; `budget` is what it allows."""

    protects: str
    epsilon: float
    delta: float
    budget: float


class Siege(_Part):
    """Of one seed: who attacked, and of how many attackers and others something was kept out.

    fooled: of newcomers' marked examples, the share taken for the backdoor's target with the
        generated adapters; None where nobody tells.
    """

    seed: int
    clients: int
    attackers: tuple[int, ...]
    caught: int
    wronged: int
    fooled: float | None = None


class Results(_Part):
    """The whole file; `metric` is better when higher unless `higher_is_better` is false.

    stream: of a continual run, its measures by split and name.
    """

    metric: str = "accuracy"
    higher_is_better: bool = True
    finished: bool = False
    seeds: tuple[int, ...] = ()
    rows: tuple[Row, ...] = ()
    summary: tuple[MethodSummary, ...] = ()
    stream: dict[str, dict[str, Interval]] = {}
    bytes: Bytes | None = None
    lost: tuple[Lost, ...] = ()
    privacy: tuple[Spent, ...] = ()
    attackers: tuple[Siege, ...] = ()
    seconds: Number = None
    peak_memory_bytes: int | None = None
    fingerprint: dict[str, Any] = {}

    @property
    def unit(self) -> str:
        """What the metric is called in a sentence."""
        return "nats a token" if self.metric == "nll" else self.metric
