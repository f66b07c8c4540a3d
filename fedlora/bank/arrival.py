"""An adapter from outside, on its way into a bank."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.bank.record import Record


@dataclass(frozen=True, eq=False)
class Arrival:
    """One adapter in a file of somebody's.

    record: what it is to be in the bank.
    vector: (c,) float32, of its task.
    digest: of the adapter.
    read: gives the adapter.
    """

    record: Record
    vector: Tensor
    digest: str
    read: Callable[[], LoraAdapter]
