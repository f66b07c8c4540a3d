"""What one message costs a client's machine: Flower's own process a message beside a warm worker.

Two SuperNodes of one federation are asked the same in turn, by the ServerApp below. The question is
one that a client answers without work, so what is left is what carries it.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from flwr.app import Context, Message
from flwr.serverapp import Grid, ServerApp

from fedlora.bench.deploy.machines import Machine, family
from fedlora.bench.deploy.rehearsal import Rehearsal
from fedlora.errors import FedloraError
from fedlora.runtime import pack
from fedlora.runtime.carriers import Carriers
from fedlora.runtime.clientapp import ANSWER
from fedlora.runtime.deploy import submit as submitting
from fedlora.runtime.deploy.place import CONNECTION
from fedlora.runtime.processes import flower_environment
from fedlora.runtime.submission import submit, write_app
from fedlora.wire.exchange import Request
from fedlora.wire.message import Message as Asked
from fedlora.wire.message import encode

COMPONENTS = {
    "serverapp": "fedlora.bench.deploy.pings:app",
    "clientapp": "fedlora.runtime.clientapp:app",
}
_PATIENCE = 600.0

app = ServerApp()


@dataclass(frozen=True)
class Cost:
    """Means a message: wall seconds with Flower's polling, CPU seconds of the node's machine."""

    side: str
    messages: int
    wall: float
    cpu: float


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Ask each side in turn, and write down what every message took."""
    about = {key: str(value) for key, value in context.run_config.items()}
    sides = json.loads(about["sides"])
    carriers = Carriers(grid)
    carriers.wait_for(len(sides))
    lines = []
    for turn in range(1 + int(about["turns"])):
        for side in sides:
            node = next(n for n in carriers.nodes if carriers.share_of(n) == side["share"])
            cpu, began = _cpu(side["pid"]), time.monotonic()
            _ask(grid, node, about["config"])
            wall = time.monotonic() - began
            line = {"side": side["name"], "wall": wall, "cpu": _cpu(side["pid"]) - cpu}
            lines += [line] if turn else []  # the first one loads the model on either side
    Path(about["out"]).write_text(json.dumps(lines))


def measure(
    federation: Rehearsal, config: str, sides: Sequence[tuple[str, int, Machine]], turns: int
) -> list[Cost]:
    """Have the ServerApp ask, through a federation's SuperLink.

    sides: name, share and machine of each.
    """
    out = federation.folder / "pings.json"
    told = [{"name": n, "share": share, "pid": m.process.pid} for n, share, m in sides]
    run_config = {"config": config, "out": str(out), "turns": str(turns), "sides": json.dumps(told)}
    write_app(federation.folder / "pings", run_config, COMPONENTS)
    submitting.connect(federation.server_place, lambda _: None)
    log = federation.folder / "pings.log"
    submit(federation.folder / "pings", CONNECTION, flower_environment(None), log, lambda _: None)
    lines = json.loads(out.read_text())
    found = []
    for name, _, _ in sides:
        own = [line for line in lines if line["side"] == name]
        wall, cpu = (sum(line[key] for line in own) / len(own) for key in ("wall", "cpu"))
        found.append(Cost(name, len(own), wall, cpu))
    return found


def _ask(grid: Grid, node: int, config: str) -> None:
    """One question of no consequence, answered."""
    frame = encode(Asked("control", {}, {"action": "nothing"}))
    asked = pack.RequestPack(config, 0, (Request(0, frame),))
    (name,) = grid.push_messages([Message(pack.write_requests(asked), node, ANSWER)])
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if list(grid.pull_messages([name])):
            return
        time.sleep(0.05)
    raise FedloraError("a client gave no answer")


def _cpu(pid: int) -> float:
    """CPU seconds of a machine's processes and of those that have ended below them."""
    total = 0.0
    for process in family(pid):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.Error:
            continue
    return total
