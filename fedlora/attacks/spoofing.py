"""One task's adapter under another task's vector."""

from collections.abc import Callable

from torch import Tensor
from typing_extensions import override

from fedlora.attacks.contract import Attack
from fedlora.section import Section


class SpoofingConfig(Section):
    """No options."""


class Spoofing(Attack):
    """Claims the task vector of a client of another task, and sends an honest adapter of its own.

    Newcomers near that task are then served from an adapter that was trained for another.
    """

    Config = SpoofingConfig

    @override
    def vector(self, own: Tensor, other: Callable[[], Tensor]) -> Tensor:
        return other()
