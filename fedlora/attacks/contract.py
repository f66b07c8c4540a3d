"""What an attack is: where in a client's working it takes hold."""

from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.section import Section


@dataclass(frozen=True, eq=False)
class Sight:
    """What an attacker sees when it answers with an adapter.

    start: what it was to train on from.
    honest: what training made of that.
    known: what honest training made of it on the data of each attacker, its own included, in the
        order of their clients; `honest` alone, unless the attack colludes.
    clients, attackers: how many fill the bank, and how many of these attack.
    seed: this attacker's own, for this answer.
    """

    start: LoraAdapter
    honest: LoraAdapter
    known: Sequence[LoraAdapter]
    clients: int
    attackers: int
    seed: int


class Attack(ABC):
    """One way to harm a federation; one file an attack in `attacks/`.

    An attack overrides what it changes and is honest in all else. All of it is a function of the
    arguments, so that it gives the same numbers wherever a client lives.

    colludes: whether it needs what the other attackers would have sent.
    """

    Config: ClassVar[type[Section]]
    colludes: ClassVar[bool] = False

    def __init__(self, config: Any) -> None:
        self.config = config

    def rows(
        self,
        rows: Mapping[str, Tensor],
        classes: int,  # noqa: ARG002 - most attacks leave data alone
        seed: int,  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """The n training rows it works with in place of its own; as many, of the same columns.

        Raises:
            FedloraError: the attack has no meaning for such rows.
        """
        return dict(rows)

    def vector(self, own: Tensor, other: Callable[[], Tensor]) -> Tensor:  # noqa: ARG002
        """The task vector (c,) that it claims.

        other: gives the vector of a client of another task.
        """
        return own

    def adapter(self, sight: Sight) -> LoraAdapter:
        """The adapter that it sends, of the spec of the honest one."""
        return sight.honest

    def frame(self, frame: bytes) -> bytes:
        """The bytes that leave it."""
        return frame
