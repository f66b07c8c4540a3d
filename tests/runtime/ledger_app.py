"""Clients that send back whatever they get, asked as a run asks them, for a deployment."""

import torch

from fedlora.runtime.clientapp import client_app
from fedlora.runtime.serverapp import server_app
from fedlora.server.asking import Asker
from fedlora.server.journal import Journal
from fedlora.server.observer import Silent
from fedlora.wire.exchange import Reply
from fedlora.wire.message import Message

ROUNDS, CLIENTS, VALUES = 2, 3, 100_000


def live(config, folder, serve):
    """Ask every client in every round; the ledger's lines go to ledger.jsonl."""
    message = Message("train", {"adapter.start": torch.zeros(VALUES)})

    def story(transport):
        journal = Journal(folder / "journal.sqlite")
        asker = Asker(transport, journal, config.rounds, Silent(), 10 * VALUES)
        for round in range(1, ROUNDS + 1):
            asker.ask("echo", round, dict.fromkeys(range(CLIENTS), message), lambda *_: None)
        (folder / "ledger.jsonl").write_text("\n".join(journal.lines("ledger")))
        journal.close()

    serve(config, 0, story)


def respond(asked):
    """Each frame as it came."""
    return [Reply(request.client, request.frame) for request in asked.requests]


server = server_app(live)
client = client_app(respond)
