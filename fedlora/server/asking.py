"""One round: ask clients, keep what they answer, go on without those that fail."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fedlora.config import RoundsConfig
from fedlora.errors import FedloraError
from fedlora.server.journal import Answer, Journal
from fedlora.server.observer import Observer
from fedlora.spans import span
from fedlora.wire.exchange import Reply, Request, Transport
from fedlora.wire.ledger import Entry
from fedlora.wire.message import JSON, Message, decode, encode, payload

Check = Callable[[int, Message], None]
MOST_REASON = 500  # characters of what a client says went wrong
QUIET = ("spec", "remark")  # what an answer's metrics need not repeat
MOST_REMARKS = 5
PAUSE = 5.0
"""Seconds before clients are asked again for the first time; doubled each time."""


class Answers(Mapping[int, Message]):
    """The good answers of a round by client, in order; each is read from the journal when asked.

    So a round of any size takes no more memory than the answers that somebody holds.
    """

    def __init__(
        self, journal: Journal, phase: str, round: int, clients: Sequence[int], limit: int
    ) -> None:
        self._journal = journal
        self._place = (phase, round)
        self._clients = dict.fromkeys(clients)
        self._limit = limit

    def __getitem__(self, client: int) -> Message:
        if client not in self._clients:
            raise KeyError(client)
        return decode(self._journal.frame(*self._place, client), self._limit)

    def __iter__(self) -> Iterator[int]:
        return iter(self._clients)

    def __len__(self) -> int:
        return len(self._clients)

    def __contains__(self, client: object) -> bool:
        return client in self._clients


@dataclass
class Asker:
    """Asks through a transport and remembers through a journal.

    limit: the most bytes an answer may have.
    retries: how often a client that is absent is asked again.
    work: of each client that has described its task, the size of its training data.
    """

    transport: Transport
    journal: Journal
    rounds: RoundsConfig
    observer: Observer
    limit: int
    retries: int = 0
    remarks: set[str] = field(default_factory=set)
    work: dict[int, float] = field(default_factory=dict)

    def ask(
        self,
        phase: str,
        round: int,
        messages: Mapping[int, Message],
        check: Check,
        least: float | None = None,
    ) -> Answers:
        """Send each client its message; the good answers, in the order of the clients.

        An answer that `check` refuses costs its own client only. What the journal holds is not
        asked again, unless the round failed: then those that gave no good answer are.

        least: the share of good answers that is needed; `rounds.min_answers` when None.

        Raises:
            FedloraError: fewer of the clients gave a good answer.
        """
        needed = self.rounds.min_answers if least is None else least
        self.observer.phase(_title(phase, round), len(messages))
        known = self.journal.answers(phase, round)
        if known.keys() >= messages.keys() and not self._enough(phase, round, known, needed):
            self.journal.forget_lost(phase, round)
            known = self.journal.answers(phase, round)
        unknown = {c: message for c, message in messages.items() if c not in known}
        frames = _frames(unknown)
        self.observer.advance(len(messages) - len(frames))
        reasons = Counter[str]()
        with span("waiting"):
            requests = [Request(c, f, self.work.get(c, 1.0)) for c, f in frames.items()]
            for reply in self._replies(requests):
                client = reply.client
                if client not in frames or client in known:
                    continue  # nobody asked it, or it has answered: one answer a round
                error = self._receive(phase, round, messages[client], frames[client], reply, check)
                known[client] = error
                if error:
                    self._tell(phase, client, error, reasons)
                self.observer.advance()
        for reason, clients in reasons.items():
            if clients > 1:
                self.observer.note(f"{phase}: {clients - 1} more lost: {reason}")
        self.journal.seal()
        return self._good(phase, round, known, needed)

    def _replies(self, requests: Sequence[Request]) -> Iterator[Reply]:
        """Whatever comes back; who is absent is asked again, `retries` times."""
        left, lost = {request.client: request for request in requests}, dict[int, Reply]()
        for pause in (*(PAUSE * 2**n for n in range(self.retries)), None):
            again = []
            for reply in self.transport.exchange(list(left.values())):
                whole = _after(lost.get(reply.client), reply)
                if reply.absent and pause is not None and reply.client in left:
                    lost[reply.client] = whole
                    again.append(reply.client)
                else:
                    yield whole
            if not again or pause is None:
                return
            left = {client: left[client] for client in again}
            time.sleep(pause)

    def refuse(self, phase: str, round: int, client: int, reason: str) -> None:
        """Lose an answer that was good by itself but does not fit the others."""
        self.observer.note(f"{phase}: client {client} lost: {reason}")
        self.journal.refuse(phase, round, client, reason)

    def _tell(self, phase: str, client: int, reason: str, before: Counter[str]) -> None:
        """Say whom a round lost and why; each reason once."""
        if reason not in before:
            self.observer.note(f"{phase}: client {client} lost: {reason}")
        before[reason] += 1

    @span("storing")
    def _receive(
        self, phase: str, round: int, sent: Message, frame: bytes, reply: Reply, check: Check
    ) -> str:
        """Check one reply and write it down, whatever it is worth; why it is lost, or ""."""
        error, message = reply.error[:MOST_REASON], None
        if reply.frame is None:
            error = error or "no answer"
        else:
            try:
                message = decode(reply.frame, self.limit)
                check(reply.client, message)
            except FedloraError as refused:
                error, message = str(refused), None
        if message is not None:
            self._pass_on(message.meta.get("remark"))
        answer = Answer(reply.frame, "") if message else Answer(None, error)
        entries = _entries(phase, round, sent, frame, reply, message)
        metrics = {k: v for k, v in message.meta.items() if k not in QUIET} if message else None
        self.journal.record(phase, round, reply.client, answer, entries, metrics)
        return answer.error

    def _pass_on(self, remark: JSON) -> None:
        """Tell a person what clients say of their own working, once however many say it."""
        known = self.remarks
        if isinstance(remark, str) and remark not in known and len(known) < MOST_REMARKS:
            self.remarks.add(remark)
            self.observer.note(f"clients say: {remark!a:.300}")

    def _enough(self, phase: str, round: int, known: Mapping[int, str], needed: float) -> bool:
        """Whether a round goes on; an answer that only does not fit the others counts here."""
        misfits = self.journal.misfits(phase, round)
        good = sum(not error or client in misfits for client, error in known.items())
        return good >= needed * len(known)

    def _good(self, phase: str, round: int, known: Mapping[int, str], needed: float) -> Answers:
        good = sorted(client for client, error in known.items() if not error)
        if not self._enough(phase, round, known, needed):
            reasons = [error for error in known.values() if error]
            if not good and len(set(reasons)) == 1:
                raise FedloraError(f"{reasons[0]} (said by every client in {_title(phase, round)})")
            raise FedloraError(
                f"{_title(phase, round)}: {len(good)} of {len(known)} clients answered, fewer than"
                f" rounds.min_answers={needed} asks for;"
                f" one said: {reasons[-1] if reasons else 'nothing'}; mend the clients and resume"
                " the run, or start one that asks for less"
            )
        return Answers(self.journal, phase, round, good, self.limit)


def _after(before: Reply | None, reply: Reply) -> Reply:
    """A reply with the tries, and the bytes on the wire, of those before it."""
    if before is None:
        return reply
    pairs = [pair for pair in (before.socket, reply.socket) if pair is not None]
    socket = (sum(down for down, _ in pairs), sum(up for _, up in pairs)) if pairs else None
    return replace(reply, tries=before.tries + reply.tries, socket=socket)


def _title(phase: str, round: int) -> str:
    return f"{phase.replace('_', ' ')} {round}" if round else phase


def _frames(messages: Mapping[int, Message]) -> dict[int, bytes]:
    """Each client's message encoded; a message that goes to many of them once."""
    different = {id(message): message for message in messages.values()}
    encoded = {key: encode(message) for key, message in different.items()}
    return {client: encoded[id(message)] for client, message in messages.items()}


def _entries(
    phase: str, round: int, sent: Message, frame: bytes, reply: Reply, message: Message | None
) -> list[Entry]:
    """The ledger's lines of one exchange: the request as often as it was sent, and the reply.

    message: what the reply says; None when it is worth nothing.
    """
    down, up = reply.socket or (None, None)
    about = (phase, round, reply.client)
    sizes = payload(sent), len(frame)
    # The same frame each time: all that crossed the socket for it is shared out evenly.
    share = None if down is None else down // max(reply.tries, 1)
    again = Entry(*about, "down", sent.purpose, *sizes, share, "lost")
    entries = [again] * (reply.tries - 1)
    if reply.tries:
        rest = None if down is None or share is None else down - share * (reply.tries - 1)
        entries.append(Entry(*about, "down", sent.purpose, *sizes, rest))
    if reply.frame is not None or up:
        purpose, values = (message.purpose, payload(message)) if message else ("control", 0)
        status = "ok" if message else "lost"
        size = len(reply.frame or b"")
        entries.append(Entry(*about, "up", purpose, values, size, up, status))
    return entries


def number(message: Message, key: str) -> float:
    """A finite number of a message's meta.

    Raises:
        FedloraError: it is missing or of another type.
    """
    value: JSON = message.meta.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FedloraError(f"answer lacks the number '{key}'")
    return float(value)
