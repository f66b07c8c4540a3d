"""Layers of a model that do something else for a while."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def forwards(instead: Mapping[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    """Each layer answers by the function that stands beside it, for as long as the block runs."""
    for layer, forward in instead.items():
        layer.forward = forward
    try:
        yield
    finally:
        for layer in instead:
            del layer.forward  # the instance's own, which hid that of its class
