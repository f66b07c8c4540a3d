"""What may be learned of one example from all that a client sends: budgets, and what is clipped."""

from pydantic import Field

from fedlora.section import Section


class Budget(Section):
    """(epsilon, delta)-differential privacy for one example, and the most that it may count."""

    epsilon: float = Field(8.0, gt=0)
    delta: float = Field(1e-5, gt=0, lt=1)
    clip: float = Field(1.0, gt=0)


class ExamplePrivacy(Budget):
    """Of the adapters that a bank's client sends in a run, all rounds and samples together.

    clip: the most that the gradient of one example's loss may measure (L2, all that trains).

    `down` keeps the values that it starts from, since noise on both factors would be squared.
    Losses and scores of the client's examples are then not sent.
    """


class VectorPrivacy(Budget):
    """Of the task vector.

    clip: the most that one example's features may measure (L2).
    """


class PrivacyConfig(Section):
    """Noise against what adapters and task vectors tell of single examples; none when absent."""

    examples: ExamplePrivacy | None = None
    task_vector: VectorPrivacy | None = None
