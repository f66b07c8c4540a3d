"""What is fuzzed: something that reads, and valid inputs to begin with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from fedlora.adapter import AdapterSpec, LayerSpec, LoraAdapter

_SPEC = AdapterSpec("0" * 64, (LayerSpec("a", 6, 5, 2), LayerSpec("b", 5, 4, 2)), 4.0)
ADAPTER = LoraAdapter.from_flat(_SPEC, torch.linspace(-1, 1, _SPEC.size))
"""A small adapter."""


@dataclass(frozen=True)
class Target:
    """Something that reads what anybody may have sent.

    seeds: valid inputs. read: raises FedloraError for the others, and nothing else.
    state: what it keeps between inputs, which none that it refuses may change; None where it
    keeps nothing.
    """

    name: str
    seeds: Sequence[bytes]
    read: Callable[[bytes], object]
    state: Callable[[], object] | None = None
