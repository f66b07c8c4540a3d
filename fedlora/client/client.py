"""A client: it answers the server's messages from its own data and nothing else."""

from collections.abc import Callable
from functools import lru_cache

import torch

from fedlora.backbone import open_slot
from fedlora.client.actions import ACTIONS, Workplace
from fedlora.client.desk import Desk, open_desk
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.roster import seats
from fedlora.wire.codecs.contract import Codec
from fedlora.wire.message import decode, encode

# Clients whose encoded data one process keeps; the least recently used goes first.
DESKS = 128
# A message to a client carries at most this many adapters: the candidates of an evaluation.
MOST_ADAPTERS = 32


class Client:
    """Every client of a run that lives in this process, on one frozen base model.

    An answer depends on the configuration, the seed, the client's index and the message alone,
    never on what was answered before.
    """

    def __init__(self, config: RunConfig, seed: int) -> None:
        torch.set_num_threads(config.runtime.threads)
        self.config = config
        self.seed = seed
        self.slot = open_slot(config.backbone, config.lora, config.runtime.device)
        self.codec: Codec = config.codec.build()
        self.family = config.tasks.build()
        self.seats = seats(config)
        self.desk: Callable[[int], Desk] = lru_cache(DESKS)(self._open_desk)

    def handle(self, client: int, frame: bytes) -> bytes:
        """Answer one encoded message with another.

        Raises:
            FedloraError: the message asks for what is unknown, or the client's data is wrong.
        """
        if not 0 <= client < len(self.seats):
            raise FedloraError(f"no client {client}: the run has {len(self.seats)}")
        message = decode(frame, self._limit(self.desk(client)))
        action = str(message.meta.get("action"))
        if action not in ACTIONS:
            raise FedloraError(f"message asks for '{action}': not something a client does")
        place = Workplace(self.config, self.seed, self.desk(client), self.codec)
        return encode(ACTIONS[action](place, message))

    def _open_desk(self, client: int) -> Desk:
        return open_desk(self.config, self.family, self.seats[client], self.slot, self.seed)

    def _limit(self, desk: Desk) -> int:
        head = sum(parameter.numel() for parameter in desk.objective.head().values())
        return (1 << 20) + 8 * MOST_ADAPTERS * (self.slot.spec.size + head)
