"""The ServerApp of `fedlora deploy serve`: newcomers are served as they connect."""

import json
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from flwr.app import Context, Message
from flwr.serverapp import Grid, ServerApp

from fedlora import run_folder
from fedlora.config import RunConfig
from fedlora.runtime import pack
from fedlora.runtime.answering import NO_NEWCOMER
from fedlora.runtime.clientapp import ANSWER
from fedlora.runtime.log_observer import LogObserver
from fedlora.runtime.pulling import answers
from fedlora.runtime.serverapp import origin_of
from fedlora.server.standing import Standing
from fedlora.wire.exchange import Request

_EVERY = 0.2
_MOST_AT_ONCE = 64
_TRIES, _PAUSE = 3, 5.0
"""How often a newcomer that was not served is greeted, and the seconds between."""

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Serve until the run is stopped, or for `seconds` of its run config."""
    folder = Path(str(context.run_config["folder"]))
    config = run_folder.resume(folder)
    seed = config.seeds[0]
    origin = replace(origin_of(config, folder), standing=True)
    host = _Host(grid, config, seed, origin, Standing(config, folder, seed))
    host.note(f"serving newcomers from {folder}")
    until = time.monotonic() + float(str(context.run_config["seconds"]))
    while time.monotonic() < until:
        host.look()
        time.sleep(_EVERY)


class _Host:
    """Who is here, who waits for what.

    A node is greeted once while it stays connected; one that is no newcomer says so, and one that
    was not served is greeted again, a few times. Each has `rounds.timeout` seconds for an answer.
    """

    def __init__(
        self, grid: Grid, config: RunConfig, seed: int, origin: pack.Origin, standing: Standing
    ) -> None:
        self._grid, self._standing = grid, standing
        self._config, self._seed, self._origin = config.model_dump_json(), seed, origin
        self._timeout = config.rounds.timeout
        self._met: dict[int, float] = {}
        self._asked: dict[str, tuple[int, str]] = {}
        self._failures: Counter[int] = Counter()
        self._due: dict[int, float] = {}
        self.note = LogObserver().note

    def look(self) -> None:
        """Greet who is new, answer who has answered."""
        here = set(self._grid.get_node_ids())
        self._met = {node: since for node, since in self._met.items() if node in here}
        self._asked = {k: v for k, v in self._asked.items() if v[0] in here}
        self._failures = Counter({n: times for n, times in self._failures.items() if n in here})
        self._forgive()
        for node in here - set(self._met):
            if len(self._asked) < _MOST_AT_ONCE:
                self._met[node] = time.monotonic()
                self._ask(node, "describe", self._standing.greeting())
        for name, answer in answers(self._grid, self._asked):
            node, action = self._asked.pop(name)
            try:
                self._go_on(node, action, _frame(answer))
            except Exception as error:  # noqa: BLE001 - whatever one sends, others are served
                if NO_NEWCOMER not in str(error):
                    self._failures[node] += 1
                    if self._failures[node] < _TRIES:
                        self._due[node] = time.monotonic() + _PAUSE
                    self.note(f"a newcomer was not served: {' '.join(str(error).split())[:300]}")

    def _forgive(self) -> None:
        """Whoever was not served is as new after a while."""
        now = time.monotonic()
        for node in [node for node, when in self._due.items() if now > when]:
            del self._due[node]
            self._met.pop(node, None)

    def _go_on(self, node: int, action: str, frame: bytes) -> None:
        if action == "describe":
            self._ask(node, "take", self._standing.offer(frame))
            return
        seconds = time.monotonic() - self._met[node]
        told = {"seconds": round(seconds, 2), **self._standing.worth(frame)}
        self.note(f"served a newcomer: {json.dumps(told)}")

    def _ask(self, node: int, action: str, frame: bytes) -> None:
        asked = pack.RequestPack(self._config, self._seed, (Request(0, frame),), self._origin)
        content = pack.write_requests(asked)
        message = Message(content, node, ANSWER, ttl=self._timeout)
        for name in self._grid.push_messages([message]):
            self._asked[name] = (node, action)


def _frame(answer: Message | None) -> bytes:
    """The one frame of an answer.

    Raises:
        ValueError: it cannot be read, is an error, or no answer to one request.
    """
    if answer is None:
        raise ValueError("its answer cannot be read")
    if answer.has_error():
        raise ValueError(answer.error.reason)
    (reply,) = pack.read_replies(answer.content).replies
    if reply.frame is None:
        raise ValueError(reply.error)
    return reply.frame
