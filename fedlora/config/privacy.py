"""What may be learned of one example or one client: budgets, and what is clipped."""

from typing import ClassVar

from pydantic import Field

from fedlora.section import Section


class Budget(Section):
    """(epsilon, delta)-differential privacy, and the most that what it protects may count.

    key: where it stands in a configuration.
    """

    key: ClassVar[str] = "privacy"

    epsilon: float = Field(8.0, gt=0)
    delta: float = Field(
        1e-5, gt=0, le=1e-2, description="well below one over the number of what is protected"
    )
    clip: float = Field(1.0, gt=0, le=1e6)


class ExamplePrivacy(Budget):
    """Of one example: the adapters that its client sends, all rounds, samples and seeds together.

    clip: the most that the gradient of one example's loss may measure (L2, all that trains).

    `down` keeps the values that it starts from, since noise on both factors would be squared.
    Losses and scores of the client's examples are then not sent.
    """

    key: ClassVar[str] = "privacy.examples"


class VectorPrivacy(Budget):
    """Of one example: its part in the task vectors of all seeds.

    clip: the most that one example's features may measure (L2).
    """

    key: ClassVar[str] = "privacy.task_vector"


class ClientPrivacy(Budget):
    """Of one client: the common adapter of the warm start, all rounds and seeds together.

    clip: the most that a client's change of a round may measure (L2 over `up` and the head).

    The server is trusted: it sees every answer, and puts the noise on their mean. Of the bank, and
    of what is generated from it, this says nothing.
    """

    key: ClassVar[str] = "privacy.clients"


class PrivacyConfig(Section):
    """Noise against what adapters and task vectors tell; none when absent."""

    examples: ExamplePrivacy | None = None
    task_vector: VectorPrivacy | None = None
    clients: ClientPrivacy | None = None
