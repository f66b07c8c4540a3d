"""Which Flower node carries which of the virtual clients."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from fedlora.errors import FedloraError
from fedlora.runtime.clientapp import CARRIES
from fedlora.runtime.pulling import answers

PATIENCE = 120.0
"""Seconds for the nodes of a run to connect and to say whom they carry."""

START_OTHERS = "start the others, each with the share of the clients that it was made for"
"""Where nodes are SuperNodes."""

_AGAIN = 30.0
"""Seconds after which a node that has not answered is asked again: it may have been killed."""
_BRIEFLY = 5.0
"""Seconds that an exchange waits for what new nodes say: who works on something, says it later."""
_PAUSE = 0.1


@dataclass(frozen=True)
class _Load:
    """What one node carries: the clients it names, or those with index mod `of` == `share`.

    version: of its fedlora; empty for one that does not say.
    """

    clients: frozenset[int] | None
    share: int
    of: int
    version: str = ""

    def __contains__(self, client: int) -> bool:
        if self.clients is not None:
            return client in self.clients
        return self.of > 0 and client % self.of == self.share

    @property
    def idle(self) -> bool:
        """Whether it carries nobody, as a newcomer does."""
        return not self.clients if self.clients is not None else self.of <= 0


_NOBODY = _Load(frozenset(), 0, 0)


def _hope() -> None:
    """No reason to give up."""


def _unknown() -> None:
    """Nothing is known of the nodes but what they say."""


class Carriers:
    """Asks every node whom it carries, newcomers among the nodes included.

    grid: where the nodes are.
    check: called while waiting; raises when no answer can come any more.
    say: is told of nodes that take no part.
    remedy: what helps where too few nodes come.
    known: the shares of nodes as the server knows them, by node, and how many shares there are;
        None where what a node says of itself is believed.
    """

    def __init__(
        self,
        grid: Grid,
        check: Callable[[], None] = _hope,
        say: Callable[[str], None] = lambda _: None,
        remedy: str = START_OTHERS,
        known: Callable[[], tuple[Mapping[int, int], int] | None] = _unknown,
    ) -> None:
        self.grid = grid
        self.check = check
        self._say = say
        self._remedy = remedy
        self._known = known
        self._loads: dict[int, _Load] = {}
        self._strangers: set[int] = set()
        self._asked: dict[str, int] = {}
        self._since: dict[int, float] = {}

    def wait_for(self, count: int) -> None:
        """Return when `count` nodes that carry clients are connected, and have said so.

        Raises:
            FedloraError: fewer did so in time.
        """
        began, told = time.monotonic(), count
        while (here := self._carrying()) < count and time.monotonic() < began + PATIENCE:
            self.check()
            self._look()
            if here != told and time.monotonic() > began + _BRIEFLY:
                missing = f"{count - here} of {count} machines"
                self._say(f"waiting for {missing}, {PATIENCE:.0f} s at most")
                told = here
            time.sleep(_PAUSE)
        if here < count:
            refused = "mend those that take no part, or " if self._strangers else ""
            raise FedloraError(
                f"runtime.nodes: {count} expected, {here} answered within {PATIENCE:.0f} s;"
                f" {refused}{self._remedy}"
            )

    def refresh(self) -> None:
        """Meet the nodes that came, forget those that went."""
        until = time.monotonic() + _BRIEFLY
        while self._look() and time.monotonic() < until:
            self.check()
            time.sleep(_PAUSE)

    def _look(self) -> bool:
        """Ask whoever is new, hear what has come; whether somebody has just been asked."""
        here, now = self._here(), time.monotonic()
        self._loads = {node: load for node, load in self._loads.items() if node in here}
        self._since = {node: since for node, since in self._since.items() if node in here}
        silent = here - set(self._loads) - self._strangers
        late = {node for node in silent if now - self._since.get(node, -_AGAIN) >= _AGAIN}
        if late:
            self._ask(sorted(late), now)
        for name, answer in answers(self.grid, list(self._asked)):
            node = self._asked.pop(name)
            load = _load(answer)
            if load is not None and node in silent:
                self._meet(node, load)
                silent.discard(node)
        return any(now - self._since[node] < _BRIEFLY for node in silent)

    def _ask(self, nodes: Sequence[int], now: float) -> None:
        ours = RecordDict({"server": ConfigRecord({"version": version("fedlora")})})
        asked = [Message(ours, node, CARRIES, ttl=PATIENCE) for node in nodes]
        self._asked |= dict(zip(self.grid.push_messages(asked), nodes, strict=False))
        self._since |= dict.fromkeys(nodes, now)

    def _carrying(self) -> int:
        return sum(not load.idle for load in self._loads.values())

    def _meet(self, node: int, load: _Load) -> None:
        """Keep what a node carries, unless it runs another fedlora."""
        ours, known = version("fedlora"), self._known()
        if load.version in ("", ours):
            if known is not None:
                shares, of = known
                load = _Load(None, shares[node], of) if node in shares else _NOBODY
            self._loads[node] = load
        else:
            self._strangers.add(node)
            self._say(
                f"a client's machine runs fedlora {load.version!a:.20}, this server {ours}:"
                " it takes no part; install the same on both"
            )

    def of(self, client: int) -> int | None:
        """The node that carries a client; None when nobody does."""
        return next((node for node, load in self._loads.items() if client in load), None)

    @property
    def nodes(self) -> list[int]:
        """All that have said whom they carry, in the order of their shares."""
        return sorted(self._loads, key=lambda node: self._loads[node].share)

    def share_of(self, node: int) -> int:
        """Which share of the clients a node carries: its partition-id."""
        return self._loads[node].share

    def __contains__(self, node: int) -> bool:
        return node in self._here()

    def _here(self) -> set[int]:
        return set(self.grid.get_node_ids())


def _load(answer: Message | None) -> _Load | None:
    """What a node says; None for one that says nothing of use, which then carries nobody."""
    if answer is None or answer.has_error():
        return None
    try:
        node: Any = answer.content["node"]
        named = node.get("clients")
        clients = None if named is None else frozenset(map(int, named))
        share, of = (int(node.get(key, 0)) for key in ("partition-id", "num-partitions"))
        return _Load(clients, share, of, str(node.get("version", "")))
    except Exception:  # noqa: BLE001 - a node can say anything
        return None
