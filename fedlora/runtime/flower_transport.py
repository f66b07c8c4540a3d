"""Frames between the server and many virtual clients, over the few nodes of a Flower Grid."""

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from flwr.app import Message

from fedlora.config import RunConfig
from fedlora.runtime import pack
from fedlora.runtime.backlog import Backlog, Flight
from fedlora.runtime.balance import longest_first
from fedlora.runtime.carriers import Carriers
from fedlora.runtime.clientapp import ANSWER
from fedlora.runtime.probes import Probes
from fedlora.runtime.pulling import answers
from fedlora.runtime.relay import Meter, divide
from fedlora.wire.exchange import Reply, Request

PACK_SECONDS = 1.0
"""For a simulation: a message costs about 0.1 s there, and a bar should move every second."""

_SHORTEST, _LONGEST = 0.01, 0.5
"""Seconds between two looks for replies; the longer nothing came, the rarer."""


ABSENT = "no connected node carries it: start its node again, or name it in a node's config"


class FlowerTransport:
    """A Transport; each node gets its clients' requests in packs.

    A pack that is lost with its node's process is asked again in the groups that train together,
    and a group that is lost as well client by client, so that a client that takes its process
    down costs nobody else an answer. Nothing a client computes depends on its pack, its node or
    the order of replies; what it computes in a group that trains at once depends on that group.

    carriers: the nodes.
    config, seed: sent with every pack; `rounds.timeout` bounds each exchange.
    pack_seconds: work that a pack should hold. Short packs show progress and lose little, long
        ones pay a message's fixed cost rarely. None puts all of a node's requests into one.
    meter: counts each node's bytes on the wire; None where nothing does.
    origin: sent with every pack, for nodes on other machines to check.

    Raises:
        FedloraError: fewer than `runtime.nodes` nodes connected in time.
    """

    def __init__(
        self,
        carriers: Carriers,
        config: RunConfig,
        seed: int,
        pack_seconds: float | None,
        meter: Meter | None = None,
        origin: pack.Origin = pack.NOWHERE,
    ) -> None:
        self._carriers = carriers
        self._grid = carriers.grid
        self._config = config.model_dump_json()
        self._seed = seed
        self._timeout = config.rounds.timeout
        self._pack_seconds = pack_seconds
        self._simulated = pack_seconds is not None
        self._together = config.runtime.together
        self._meter = meter
        self._origin = origin
        self._carriers.wait_for(config.runtime.nodes)

    def exchange(self, requests: Sequence[Request]) -> Iterator[Reply]:
        """Yield one reply for each request as the packs come back."""
        deadline = time.monotonic() + self._timeout
        self._carriers.refresh()
        backlog = Backlog(self._pack_seconds, self._together)
        for node, request in self._placed(requests):
            if node is None:
                yield _refusal(request, ABSENT, 0)
            else:
                backlog.put(node, request)
        probes = None if self._simulated else Probes(self._grid)
        flying: dict[str, Flight] = {}
        heard = time.monotonic()
        while time.monotonic() < deadline:
            for flight in backlog.deal(flying.values()):
                name = self._push(flight, deadline)
                if name is None:
                    reason = "Flower took no message for its node: the node is gone, or too much"
                    yield from (_refusal(r, reason, flight.lost) for r in flight.requests)
                else:
                    flying[name] = flight
            if not flying and not backlog.waits:
                return
            for name, answer in answers(self._grid, flying):
                heard = time.monotonic()
                flight = flying.pop(name)
                replies = list(self._settle(answer, flight, backlog))
                yield from self._metered(flight, replies)
            for name in probes.lost(flying) if probes else ():
                gone = "it was started anew while it worked on them"
                yield from self._lose(flying.pop(name), gone, backlog)
            self._carriers.check()
            time.sleep(min(max((time.monotonic() - heard) / 20, _SHORTEST), _LONGEST))
        reason = f"no answer within {self._timeout:g} s (rounds.timeout)"
        for flight in flying.values():
            yield from (_late(r, reason, 1 + flight.lost) for r in flight.requests)
        yield from (_late(request, reason, tries) for request, tries in backlog.drain())

    def _placed(self, requests: Sequence[Request]) -> Iterable[tuple[int | None, Request]]:
        """Each request with its node; in a simulation, where data is everywhere, as suits best."""
        if self._simulated:
            return longest_first(requests, self._carriers.nodes)
        return [(self._carriers.of(request.client), request) for request in requests]

    def _push(self, flight: Flight, deadline: float) -> str | None:
        """Send a pack, which expires at the deadline; its name, or None where nobody takes it."""
        about = self._config, self._seed
        asked = pack.RequestPack(*about, flight.requests, self._origin, self._together)
        ttl = max(deadline - time.monotonic(), 1.0)
        message = Message(pack.write_requests(asked), flight.node, ANSWER, ttl=ttl)
        return next(iter(self._grid.push_messages([message])), None)

    def _settle(self, answer: Message | None, flight: Flight, backlog: Backlog) -> Iterator[Reply]:
        """The replies in one answer; the requests of a lost pack go back, until each was alone."""
        try:
            if answer is None:
                raise ValueError("its node's answer cannot be read")
            if answer.has_error():
                raise ValueError(answer.error.reason)
            replied = pack.read_replies(answer.content)
            if [r.client for r in replied.replies] != [r.client for r in flight.requests]:
                raise ValueError("the replies are not those of the clients asked")
        except Exception as error:  # noqa: BLE001 - whatever a node sends, others go on
            yield from self._lose(flight, _plain(str(error)), backlog)
            return
        backlog.learn(replied.seconds, len(flight.requests))
        yield from (replace(reply, tries=1 + flight.lost) for reply in replied.replies)

    def _lose(self, flight: Flight, reason: str, backlog: Backlog) -> Iterator[Reply]:
        """Ask the requests of a lost pack again, until each was alone."""
        if flight.last or flight.node not in self._carriers:
            why = f"its node was lost: {reason}"
            yield from (_refusal(r, why, 1 + flight.lost) for r in flight.requests)
        else:
            backlog.put_again(flight)

    def _metered(self, flight: Flight, replies: list[Reply]) -> list[Reply]:
        """Replies with their shares of what their node sent and received since its last one."""
        if self._meter is None or not replies:
            return replies
        down, up = self._meter.take(self._carriers.share_of(flight.node))
        downs = divide(down, [len(request.frame) for request in flight.requests])
        ups = divide(up, [len(reply.frame or b"") for reply in replies])
        return [
            replace(reply, socket=pair)
            for reply, pair in zip(replies, zip(downs, ups, strict=True), strict=True)
        ]


def _plain(reason: str) -> str:
    """One line; Flower wraps what was raised as <class 'X'>:<'...'>."""
    return " ".join(re.sub(r"^<class '.*?'>:<'(.*)'>$", r"\1", reason, flags=re.S).split())[:300]


def _late(request: Request, reason: str, tries: int) -> Reply:
    """For a client that may well be there; to ask it again would take as long."""
    return Reply(request.client, None, reason, tries)


def _refusal(request: Request, reason: str, tries: int = 1) -> Reply:
    """For a client whose node is gone."""
    return Reply(request.client, None, reason, tries, absent=True)
