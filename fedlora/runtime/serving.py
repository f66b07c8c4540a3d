"""What a runtime provides: `serving(runtime)`, a context that yields a `Serve`."""

from collections.abc import Callable

from fedlora.config import RunConfig
from fedlora.wire.exchange import Transport

Story = Callable[[Transport], None]
"""What the server does, given a way to reach its clients."""

Serve = Callable[[RunConfig, int, Story], None]
"""Tells a story to the clients of one seed of a run; what the story raises passes."""
