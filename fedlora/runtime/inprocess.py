"""Every client in this process: no Flower, no Ray, only torch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fedlora.client.opening import open_clients
from fedlora.config import RunConfig, RuntimeConfig
from fedlora.runtime.serving import Serve, Story
from fedlora.wire.exchange import Answer, Handle, Reply, Request, answer


class InProcess:
    """A transport that calls the clients."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle

    def exchange(self, requests: Sequence[Request]) -> Iterator[Reply]:
        """Answers in the order of the requests."""
        for request in requests:
            yield answer(self.handle, request)


class InPacks:
    """A transport that asks the clients `size` at a time."""

    def __init__(self, answer_many: Answer, size: int) -> None:
        self.answer_many = answer_many
        self.size = size

    def exchange(self, requests: Sequence[Request]) -> Iterator[Reply]:
        """Answers in the order of the requests."""
        for at in range(0, len(requests), self.size):
            yield from self.answer_many(requests[at : at + self.size])


@contextmanager
def serving(_: RuntimeConfig) -> Iterator[Serve]:
    """Nothing needs to be started."""
    yield serve


def serve(config: RunConfig, seed: int, story: Story) -> None:
    """Tell the story with every client in this process."""
    story(InPacks(open_clients(config, seed).handle_many, config.runtime.together))
