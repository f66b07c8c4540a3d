"""Every client in this process, one after another: no Flower, no Ray, only torch."""

from collections.abc import Callable, Iterator, Sequence

from fedlora.client.client import Client
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.wire.exchange import Reply, Request, Transport


class InProcess:
    """A transport that calls the clients."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def exchange(self, requests: Sequence[Request]) -> Iterator[Reply]:
        """Answers in the order of the requests; a client that raises costs its own answer."""
        for request in requests:
            try:
                frame = self.client.handle(request.client, request.frame)
            except FedloraError as error:
                yield Reply(request.client, None, str(error))
            except (RuntimeError, ValueError, ArithmeticError, LookupError, TypeError) as error:
                # A fault of one client's data or code; on a federation it would reach the
                # server as an error message too.
                yield Reply(request.client, None, f"{type(error).__name__}: {error}")
            else:
                yield Reply(request.client, frame)


def serve(config: RunConfig, seed: int, story: Callable[[Transport], None]) -> None:
    """Tell the story with every client in this process."""
    story(InProcess(Client(config, seed)))
