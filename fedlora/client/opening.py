"""The clients of a run, whichever kind of run it is."""

from fedlora.client.client import Client
from fedlora.client.stream.client import StreamClient
from fedlora.config import RunConfig


def open_clients(config: RunConfig, seed: int) -> Client | StreamClient:
    """What answers for every client that lives in this process.

    Raises:
        FedloraError: the base model or the data cannot be used.
    """
    if config.continual is not None:
        return StreamClient(config, config.continual, seed)
    return Client(config, seed)
