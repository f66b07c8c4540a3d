"""One federated round of 100, 1,000 and 10,000 tiny clients: how fast, and how much memory.

Every client trains a LoRA adapter on 16 images of its own and sends its own reply. It is the first
round, in which each draws the common start from the seed.

    python simulations/scale.py
    python simulations/scale.py --clients 100 1000 --set runtime.name=ray
"""

import argparse
import time
from contextlib import closing
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from rich.console import Console
from rich.table import Table

import fedlora
from fedlora.bench.resident import Watch, tree
from fedlora.config import RunConfig
from fedlora.roster import seats
from fedlora.runtime.serving import Serve
from fedlora.server.asking import Asker
from fedlora.server.journal import Journal
from fedlora.server.observer import Silent
from fedlora.wire.exchange import Transport
from fedlora.wire.message import Message

DOMAINS, IMAGES = 50, 16


def one_round(config: RunConfig, serve: Serve) -> tuple[float, int]:
    """Seconds and peak memory of one round of every client."""
    members = [seat.client for seat in seats(config) if seat.role == "bank"]
    message = Message("train", {}, {"action": "warm_up", "round": 1})
    taken: list[tuple[float, int]] = []

    def story(transport: Transport) -> None:
        with (
            TemporaryDirectory() as folder,
            closing(Watch(lambda: tree(psutil.Process()))) as watch,
        ):
            journal = Journal(Path(folder) / "journal.sqlite")
            asker = Asker(transport, journal, config.rounds, Silent(), limit=1 << 24)
            began = time.perf_counter()
            answers = asker.ask("warm_start", 1, dict.fromkeys(members, message), lambda *_: None)
            seconds = time.perf_counter() - began
            assert len(answers) == len(members), "a client failed"
            journal.close()
        taken.append((seconds, watch.peak))

    serve(config, 0, story)
    return taken[0]


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--clients", type=int, nargs="+", default=[100, 1000, 10000])
parser.add_argument("--set", nargs="*", default=[], metavar="section.key=value")
arguments = parser.parse_args()


# The data: the same 50 image domains, dealt to more and more clients.
def federation(clients: int) -> RunConfig:
    shards = max(clients // DOMAINS, 1)
    return fedlora.load(
        Path(__file__).parents[1] / "configs/scale_1k.yaml",
        [
            f"tasks.bank={min(clients, DOMAINS)}",
            f"shards.per_task={shards}",
            f"tasks.splits.train={shards * IMAGES}",
            *arguments.set,
        ],
    )


# The rounds, all in the same processes, so that what stays resident can be compared.
measured: list[tuple[int, float, int]] = []
first = federation(arguments.clients[0])
runtime = import_module(f"fedlora.runtime.{first.runtime.name}")
with runtime.serving(first.runtime) as serve:
    for clients in arguments.clients:
        config = federation(clients)
        count = sum(seat.role == "bank" for seat in seats(config))
        measured.append((count, *one_round(config, serve)))

# The table.
table = Table("clients", "seconds", "clients/s", "peak memory, MiB", "growth a client, KiB")
for row, (clients, seconds, peak) in enumerate(measured):
    growth = "-"
    if row and clients > measured[row - 1][0]:
        fewer, _, before = measured[row - 1]
        growth = f"{(peak - before) / 1024 / (clients - fewer):.1f}"
    numbers = (f"{clients:,}", f"{seconds:.1f}", f"{clients / seconds:.0f}", f"{peak / 2**20:.0f}")
    table.add_row(*numbers, growth)
Console().print(table)
