"""Every client in this process, one after another: no Flower, no Ray, only torch."""

from collections.abc import Callable, Iterator, Sequence

from fedlora.client.client import Client
from fedlora.config import RunConfig
from fedlora.wire.exchange import Handle, Reply, Request, Transport, answer


class InProcess:
    """A transport that calls the clients."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle

    def exchange(self, requests: Sequence[Request]) -> Iterator[Reply]:
        """Answers in the order of the requests."""
        for request in requests:
            yield answer(self.handle, request)


def serve(config: RunConfig, seed: int, story: Callable[[Transport], None]) -> None:
    """Tell the story with every client in this process."""
    story(InProcess(Client(config, seed).handle))
