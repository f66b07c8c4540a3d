"""fedlora's own side of the bench: rounds of a warm start, as the server of a run lives them.

python -m fedlora.bench.sim.side FOLDER
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from fedlora import config as configuration
from fedlora.adapter import LoraAdapter
from fedlora.aggregation.contract import State
from fedlora.bench.sim.export import ROUND, START, flat, peft_names
from fedlora.client.client import Client
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.finetune.state_store import StateStore
from fedlora.roster import seats
from fedlora.runtime.inprocess import InPacks
from fedlora.server.asking import Asker
from fedlora.server.context import ENVELOPE_BYTES, ServerContext
from fedlora.server.describing import Described, describe
from fedlora.server.groups import save
from fedlora.server.journal import Journal
from fedlora.server.observer import Silent
from fedlora.server.warm_start import warm_start
from fedlora.wire.exchange import Reply, Request, Transport
from fedlora.wire.message import decode

_out = sys.stdout


class Recording:
    """A transport that keeps the frames of the latest replies of some clients."""

    def __init__(self, transport: Transport, compared: Sequence[int]) -> None:
        self._transport = transport
        self._compared = frozenset(compared)
        self.frames: dict[int, bytes] = {}

    def exchange(self, requests: Sequence[Request]) -> Iterator[Reply]:
        """What the transport under it yields."""
        for reply in self._transport.exchange(requests):
            if reply.frame is not None and reply.client in self._compared:
                self.frames[reply.client] = reply.frame
            yield reply


class Server:
    """The server of a run, whose second round of federated averaging it lives again and again.

    folder: of the federation; `START` is what the first round has led to.
    compared: clients whose replies are kept.
    """

    def __init__(
        self, config: RunConfig, transport: Transport, folder: Path, compared: Sequence[int]
    ) -> None:
        from fedlora.backbone import open_slot

        runtime = config.runtime
        self.config = config
        self.folder = folder
        self.transport = Recording(transport, compared)
        self.spec = open_slot(config.backbone, config.lora, runtime.device).spec
        self.seats = [seat for seat in seats(config) if seat.role == "bank"]
        self.start = flat(load_file(folder / START))

    def describe(self, clients: Sequence[int]) -> None:
        """The first word of a run, for which every client loads its data."""
        with tempfile.TemporaryDirectory() as scratch:
            context = self._context(Path(scratch))
            describe(context, "describe", [self.seats[number] for number in clients])
            context.journal.close()

    def round(self, clients: Sequence[int]) -> None:
        """One round, with everything that a run does in it."""
        with tempfile.TemporaryDirectory() as scratch:
            context = self._context(Path(scratch))
            start = LoraAdapter.from_flat(self.spec, self.start)
            save(context, ROUND - 1, {"all": State(ROUND - 1, start)}, {})
            self.transport.frames.clear()
            warm_start(context, [Described(self.seats[number], {}) for number in clients])
            context.journal.close()

    def write_replies(self) -> None:
        """Keep what the clients sent in the last round, for comparison."""
        codec: Any = self.config.codec.build()
        frames = dict(sorted(self.transport.frames.items()))
        messages = [decode(frame, ENVELOPE_BYTES) for frame in frames.values()]
        adapters = [codec.decode(m.tensors["adapter.trained"], self.spec) for m in messages]
        values = torch.stack([flat(peft_names(adapter)) for adapter in adapters])
        clients = torch.tensor(list(frames))
        save_file({"clients": clients, "values": values}, self.folder / "replies")

    def _context(self, scratch: Path) -> ServerContext:
        journal = Journal(scratch / "journal.sqlite")
        asker = Asker(self.transport, journal, self.config.rounds, Silent(), ENVELOPE_BYTES)
        return ServerContext(
            config=self.config,
            seed=self.config.seeds[0],
            folder=scratch,
            seats=self.seats,
            spec=self.spec,
            codec=self.config.codec.build(),
            journal=journal,
            asker=asker,
            observer=Silent(),
        )


def main(folder: Path) -> None:
    """Live the rounds that standard input asks for."""
    settings = json.loads((folder / "federation.json").read_text())
    config = configuration.from_dict(settings["config"], origin="bench")
    torch.set_num_threads(config.runtime.threads)
    chosen, warm_up = settings["chosen"], settings["warm_up"]

    def live(transport: Transport, look: Callable[[], None] = lambda: None) -> None:
        server = Server(config, transport, folder, settings["compared"])
        _live(server, chosen, warm_up, look)
        server.write_replies()

    if config.runtime.name == "ray":
        from fedlora.runtime import ray

        with ray.serving(config.runtime) as serve:
            serve(config, config.seeds[0], live)
    else:
        client = Client(config, config.seeds[0])
        transport = InPacks(client.handle_many, config.runtime.together)
        live(transport, lambda: check_kept(client.states.store, chosen))


def check_kept(store: StateStore, clients: Sequence[int]) -> None:
    """See that an activation cache is one: that it holds the states of every client of a round.

    Raises:
        FedloraError: some are recorded anew in each round.
    """
    lost = sum(store.find(client) is None for client in clients) if store.most else 0
    if lost:
        raise FedloraError(f"the cache has no room for the states of {lost} of its clients")


def _live(server: Server, clients: Sequence[int], warm_up: int, look: Callable[[], None]) -> None:
    """With a warm-up, the clients' data is loaded before the first round that is asked for.

    look: called after each round of all clients.
    """
    if warm_up:
        server.round(clients[:1])
        _say("first")
        server.describe(clients)
        if _go("ready"):
            server.round(clients[:warm_up])
    word = "done" if warm_up else "ready"
    while _go(word):
        server.round(clients)
        look()
        word = "done"


def _say(word: str) -> None:
    _out.write(f"@{word}\n")
    _out.flush()


def _go(word: str) -> bool:
    _say(word)
    return sys.stdin.readline().strip() == "go"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
