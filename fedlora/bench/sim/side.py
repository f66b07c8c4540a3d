"""fedlora's own side of the bench: rounds of a warm start, as the server of a run lives them.

python -m fedlora.bench.sim.side FOLDER
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from fedlora import config as configuration
from fedlora.adapter import LoraAdapter
from fedlora.aggregation.contract import State
from fedlora.bench.sim.export import ROUND, START, flat, peft_names
from fedlora.config import RunConfig
from fedlora.roster import seats
from fedlora.runtime import inprocess
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
COMPARED = 1000
"""Replies that are kept for the comparison."""


class Recording:
    """A transport that keeps the frames of the first clients' latest replies."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.frames: dict[int, bytes] = {}

    def exchange(self, requests: Sequence[Request]) -> Iterator[Reply]:
        """What the transport under it yields."""
        for reply in self._transport.exchange(requests):
            if reply.frame is not None and reply.client < COMPARED:
                self.frames[reply.client] = reply.frame
            yield reply


class Server:
    """The server of a run, whose second round of federated averaging it lives again and again.

    folder: of the federation; `START` is what the first round has led to.
    """

    def __init__(self, config: RunConfig, transport: Transport, folder: Path) -> None:
        from fedlora.backbone import open_slot

        runtime = config.runtime
        self.config = config
        self.folder = folder
        self.transport = Recording(transport)
        self.spec = open_slot(config.backbone, config.lora, runtime.device).spec
        self.seats = [seat for seat in seats(config) if seat.role == "bank"]
        self.start = flat(load_file(folder / START))

    def describe(self, clients: int) -> None:
        """The first word of a run, for which every client loads its data."""
        with tempfile.TemporaryDirectory() as scratch:
            context = self._context(Path(scratch))
            describe(context, "describe", self.seats[:clients])
            context.journal.close()

    def round(self, clients: int) -> None:
        """One round, with everything that a run does in it."""
        with tempfile.TemporaryDirectory() as scratch:
            context = self._context(Path(scratch))
            start = LoraAdapter.from_flat(self.spec, self.start)
            save(context, ROUND - 1, {"all": State(ROUND - 1, start)}, {})
            self.transport.frames.clear()
            warm_start(context, [Described(seat, {}) for seat in self.seats[:clients]])
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

    def story(transport: Transport) -> None:
        server = Server(config, transport, folder)
        _live(server, settings["clients"], settings["warm_up"])
        server.write_replies()

    if config.runtime.name == "ray":
        from fedlora.runtime import ray

        with ray.serving(config.runtime) as serve:
            serve(config, config.seeds[0], story)
    else:
        inprocess.serve(config, config.seeds[0], story)


def _live(server: Server, clients: int, warm_up: int) -> None:
    """With a warm-up, the clients' data is loaded before the first round that is asked for."""
    if warm_up:
        server.round(1)
        _say("first")
        server.describe(clients)
    size, word = warm_up or clients, "ready"
    while _go(word):
        server.round(size)
        size, word = clients, "done"


def _say(word: str) -> None:
    _out.write(f"@{word}\n")
    _out.flush()


def _go(word: str) -> bool:
    _say(word)
    return sys.stdin.readline().strip() == "go"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
