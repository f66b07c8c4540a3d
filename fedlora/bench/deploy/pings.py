"""What one message costs a client's machine: Flower's own process a message beside a warm worker.

Two SuperNodes of one federation are asked the same in turn, by the ServerApp below: a question that
a client answers without work, so that what is left is what carries it, and one that it trains for.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
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
class Question:
    """What a client is asked.

    config: of its run, as JSON. action: what it does; "nothing" is none of its actions.
    """

    name: str
    config: str
    action: str = "nothing"


@dataclass(frozen=True)
class Side:
    """One machine, which carries the client of the same number."""

    name: str
    share: int
    machine: Machine


@dataclass(frozen=True)
class Cost:
    """Means a message: wall seconds with Flower's polling, CPU seconds of the node's machine."""

    question: str
    side: str
    messages: int
    wall: float
    cpu: float


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Ask each side in turn, and write down what every message took."""
    about = {key: str(value) for key, value in context.run_config.items()}
    sides, questions = json.loads(about["sides"]), json.loads(about["questions"])
    carriers = Carriers(grid)
    carriers.wait_for(len(sides))
    lines = []
    # One question after the other: a client keeps the model and the data of one run.
    for question, turn in product(questions, range(1 + int(about["turns"]))):
        for side in sides:
            node = next(n for n in carriers.nodes if carriers.share_of(n) == side["share"])
            cpu, began = _cpu(side["pid"]), time.monotonic()
            _ask(grid, node, side["share"], question, turn)
            took = {"wall": time.monotonic() - began, "cpu": _cpu(side["pid"]) - cpu}
            line = {"question": question["name"], "side": side["name"], **took}
            lines += [line] if turn else []  # the first one loads the model on either side
    Path(about["out"]).write_text(json.dumps(lines))


def measure(
    federation: Rehearsal, questions: Sequence[Question], sides: Sequence[Side], turns: int
) -> list[Cost]:
    """Have the ServerApp ask, through a federation's SuperLink; a row a question and side."""
    out = federation.folder / "pings.json"
    told = [{"name": s.name, "share": s.share, "pid": s.machine.process.pid} for s in sides]
    run_config = {
        "out": str(out),
        "turns": str(turns),
        "sides": json.dumps(told),
        "questions": json.dumps([asdict(question) for question in questions]),
    }
    write_app(federation.folder / "pings", run_config, COMPONENTS)
    submitting.connect(federation.server_place, lambda _: None)
    log = federation.folder / "pings.log"
    submit(federation.folder / "pings", CONNECTION, flower_environment(None), log, lambda _: None)
    lines = json.loads(out.read_text())
    found = []
    for question, side in product(questions, sides):
        names = (question.name, side.name)
        own = [line for line in lines if (line["question"], line["side"]) == names]
        wall, cpu = (sum(line[key] for line in own) / len(own) for key in ("wall", "cpu"))
        found.append(Cost(*names, len(own), wall, cpu))
    return found


def _ask(grid: Grid, node: int, client: int, question: dict[str, str], turn: int) -> None:
    """One question, answered.

    turn: a question that was asked before would be answered by what was kept.

    Raises:
        FedloraError: it is not, or not with what an action brings.
    """
    action = question["action"]
    frame = encode(Asked("control", {}, {"action": action, "turn": turn}))
    asked = pack.RequestPack(question["config"], 0, (Request(client, frame),))
    (name,) = grid.push_messages([Message(pack.write_requests(asked), node, ANSWER)])
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        for answer in grid.pull_messages([name]):
            (reply,) = pack.read_replies(answer.content).replies
            if action != "nothing" and reply.frame is None:
                raise FedloraError(reply.error)
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
