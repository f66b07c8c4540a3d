"""The frozen blocks below the lowest adapter, and passes that skip them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from fedlora.backbone import AdapterSlot
from fedlora.backbone.forwards import forwards
from fedlora.errors import FedloraError

BELOW = "below"
"""A column that rows may bring: what enters the lowest adapted block, (n, ...)."""


class NothingBelowError(FedloraError):
    """The adapters start in the first block."""


@contextmanager
def replay(slot: AdapterSlot, rows: Mapping[str, Tensor]) -> Iterator[None]:
    """Passes over rows that bring their states skip the blocks below the lowest adapter."""
    if BELOW not in rows:
        yield
        return
    states = rows[BELOW].to(slot.device)
    with forwards(dict.fromkeys(lower_blocks(slot), lambda *_, **__: states)):
        yield


def lower_blocks(slot: AdapterSlot) -> list[nn.Module]:
    """The blocks of the adapted stack that lie below every adapter, lowest first.

    Raises:
        NothingBelowError: there are none.
        FedloraError: the adapters are not in one stack of blocks.
    """
    stacks, numbers = set(), []
    for layer in slot.spec.layers:
        steps = layer.name.split(".")
        at = next((i for i, step in enumerate(steps) if step.isdigit()), 0)
        stacks.add(".".join(steps[:at]))
        numbers.append(int(steps[at]) if at else 0)
    if min(numbers) == 0:
        raise NothingBelowError(
            "activation cache: the first block is adapted, nothing below is frozen"
        )
    if len(stacks) > 1:
        raise FedloraError("activation cache: adapters lie in several stacks of blocks")
    stack: Any = slot.base.model.get_submodule(stacks.pop())
    return list(stack[: min(numbers)])
