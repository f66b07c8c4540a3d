"""A client: it answers the server's messages from its own data and nothing else."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from fedlora import cache
from fedlora.aggregation.fedex import at_most
from fedlora.backbone import open_slot
from fedlora.client.actions import ACTIONS
from fedlora.client.desk import Desk, open_desk
from fedlora.client.encoded_task import TaskCache, encode_task
from fedlora.client.lessons import LESSONS, Answer
from fedlora.client.released import released
from fedlora.client.siege import Siege
from fedlora.client.workplace import Workplace, state_cache
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.finetune.job import Job
from fedlora.finetune.local import train
from fedlora.finetune.trainer import Done, Trainer
from fedlora.roster import ROSTER, seats
from fedlora.spans import span
from fedlora.wire.codecs.contract import Codec
from fedlora.wire.exchange import Reply, Request, lost, one_by_one
from fedlora.wire.message import Message, decode, encode

# Bytes of encoded tasks that one process keeps.
TASKS = 256 << 20
# In the cache: how many clients are best trained at once, as found before.
MEMORY = "training.json"
# A message to a client carries at most this many adapters: the candidates of an evaluation.
MOST_ADAPTERS = 32
# Bytes of a message that carries nothing.
QUESTION = 4096


@dataclass(frozen=True, eq=False)
class _Pupil:
    """A client whose training was asked for, and where its jobs stand among all."""

    request: Request
    jobs: list[Job]
    answer: Answer
    seal: Callable[[int, Message], bytes]

    def reply(self, done: Sequence[Done]) -> Reply:
        """The reply that the jobs lead to, or what one of them raised."""
        try:
            trained = [each.result() for each in done]
            seconds = sum(each.seconds for each in done)
            answer = self.answer(trained, seconds)
            remarks = {each.remark: None for each in done if each.remark}
            frame = self.seal(self.request.client, _with_remarks(answer, list(remarks)))
        except Exception as error:  # noqa: BLE001 - a fault in one client's data or code
            return lost(self.request, error)
        return Reply(self.request.client, frame)


def _with_remarks(answer: Message, remarks: list[str]) -> Message:
    """An answer that tells a person what its client has to say, beside what it says already."""
    own = answer.meta.get("remark")
    told = [*([own] if isinstance(own, str) else []), *remarks]
    return replace(answer, meta={**answer.meta, "remark": "; ".join(told)}) if told else answer


class Client:
    """Every client of a run that lives in this process, on one frozen base model.

    An answer depends on the configuration, the seed, the client's index and the message alone,
    never on what was answered before, but for noise that no seed repeats: it is drawn once for
    each purpose. Where many are trained at once, it depends on who else is in the group as well,
    by rounding.
    """

    def __init__(self, config: RunConfig, seed: int) -> None:
        runtime = config.runtime
        torch.set_num_threads(runtime.threads)
        self.config = config
        self.seed = seed
        self.slot = open_slot(config.backbone, config.lora, runtime.device)
        self.codec: Codec = config.codec.build()
        self.codec_up: Codec = (config.codec_up or config.codec).build()
        self.family = config.tasks.build()
        self.seats = seats(config, self.family.names())
        self.siege = Siege(config, self.seats, seed) if config.attackers else None
        self.tasks = TaskCache(TASKS)
        self.states = state_cache(config, self.slot)
        self.scores: dict[str, tuple[str, dict[str, float]]] = {}
        self.released = released(config, seed)
        self.trainer = Trainer(runtime.training, runtime.group, cache.folder() / MEMORY)

    def handle(self, client: int, frame: bytes) -> bytes:
        """Answer one encoded message with another.

        Raises:
            FedloraError: the message asks for what is unknown, or the client's data is wrong.
        """
        if _asks_roster(frame):
            return encode(self._roster())
        place, message, action = self._receive(client, frame)
        purpose = self.released.purpose(client, action, message)
        if (before := self.released.before(purpose)) is not None:
            return before
        if action not in LESSONS:
            return self._seal(purpose, self._act(action, place, message))
        jobs, answer = self._lesson(action, place, message)
        started = time.perf_counter()
        with span("training"):
            trained = [train(*job) for job in jobs]
        seconds = time.perf_counter() - started
        return self._seal_trained(purpose, client, answer(trained, seconds))

    def handle_many(self, requests: Sequence[Request]) -> list[Reply]:
        """Answer many requests, in their order; training is done as `runtime.training` says.

        A client that fails costs its own answer only.
        """
        if self.config.runtime.training == "sequential":
            return one_by_one(self.handle)(requests)
        size = self.config.runtime.together
        groups = (requests[at : at + size] for at in range(0, len(requests), size))
        return [reply for group in groups for reply in self._handle_group(group)]

    def _handle_group(self, requests: Sequence[Request]) -> list[Reply]:
        """Those that train together, whatever pack they came in; only their data is held."""
        begun = [self._begin(request) for request in requests]
        jobs = [job for one in begun if isinstance(one, _Pupil) for job in one.jobs]
        with span("training"):
            done = iter(self.trainer.train(jobs))
        return [
            one.reply([next(done) for _ in one.jobs]) if isinstance(one, _Pupil) else one
            for one in begun
        ]

    def _begin(self, request: Request) -> _Pupil | Reply:
        """The reply, unless it needs training first."""
        try:
            if _asks_roster(request.frame):
                return Reply(request.client, encode(self._roster()))
            client = request.client
            place, message, action = self._receive(client, request.frame)
            purpose = self.released.purpose(client, action, message)
            if (before := self.released.before(purpose)) is not None:
                return Reply(client, before)
            if action in LESSONS:
                lesson = self._lesson(action, place, message)
                return _Pupil(request, *lesson, partial(self._seal_trained, purpose))
            return Reply(client, self._seal(purpose, self._act(action, place, message)))
        except Exception as error:  # noqa: BLE001 - a fault in one client's data or code
            return lost(request, error)

    def _receive(self, client: int, frame: bytes) -> tuple[Workplace, Message, str]:
        if not 0 <= client < len(self.seats):
            raise FedloraError(f"no client {client}: the run has {len(self.seats)}")
        desk = self.desk(client)
        message = decode(frame, self._limit(desk))
        action = str(message.meta.get("action"))
        if action not in ACTIONS and action not in LESSONS:
            raise FedloraError(f"message asks for '{action}': not something a client does")
        return self._place(desk), message, action

    def _act(self, action: str, place: Workplace, message: Message) -> Message:
        answer = ACTIONS[action](place, message)
        siege, client = self.siege, place.desk.seat.client
        if siege is None or client not in siege.clients:
            return answer
        if action == "describe":
            return siege.described(answer, place, self.desk)
        metric = place.desk.objective.metric
        if action == "vouch":
            return siege.vouched(answer, metric)
        return siege.tried(answer, metric) if action == "try" else answer

    def _lesson(self, action: str, place: Workplace, message: Message) -> tuple[list[Job], Answer]:
        if self.siege and place.desk.seat.client in self.siege.clients:
            return self.siege.lesson(action, place, message, self.place)
        return LESSONS[action](place, message)

    def _seal(self, purpose: Path | None, answer: Message) -> bytes:
        """What leaves a client."""
        return self.released.keep(purpose, encode(answer))

    def _seal_trained(self, purpose: Path | None, client: int, answer: Message) -> bytes:
        """What leaves a client that has trained."""
        frame = self._seal(purpose, answer)
        if self.siege and client in self.siege.clients:
            return self.siege.attack.frame(frame)
        return frame

    def place(self, client: int) -> Workplace:
        """Where a client of this run carries actions out.

        Raises:
            FedloraError: its data is missing or too little.
        """
        return self._place(self.desk(client))

    def _place(self, desk: Desk) -> Workplace:
        codecs = self.codec, self.codec_up
        return Workplace(
            self.config, self.seed, desk, *codecs, self.states, self.scores, self.trainer
        )

    def _roster(self) -> Message:
        """The names of the run's tasks, for a server that reads no data."""
        names = self.family.names()
        return Message("control", {}, {"bank": [*names.bank], "held_out": [*names.held_out]})

    @span("data")
    def desk(self, client: int) -> Desk:
        """What a client of this run works with.

        Raises:
            FedloraError: its data is missing or too little.
        """
        seat, config = self.seats[client], self.config
        task = self.tasks.get(
            seat.task,
            lambda: encode_task(config, self.family, seat.task, seat.role, self.slot, self.seed),
        )
        desk = open_desk(seat, task, config.shards.min_examples)
        if self.siege and client in self.siege.clients:
            return self.siege.desk(desk, self.seed)
        return desk

    def _limit(self, desk: Desk) -> int:
        head = sum(parameter.numel() for parameter in desk.objective.head().values())
        most = (1 << 20) + 8 * MOST_ADAPTERS * (self.slot.spec.size + head)
        if not self.config.warm_start.aggregation.build().duty(1).folds:
            return most
        # A method that folds sends an update of full rank at most.
        layers = self.slot.spec.layers
        return most + 8 * at_most(self.slot.spec, max(max(x.d_in, x.d_out) for x in layers)).size


def _asks_roster(frame: bytes) -> bool:
    """Whether a message asks for the names of tasks: it needs nobody's data in particular."""
    return len(frame) <= QUESTION and decode(frame, QUESTION).meta.get("action") == ROSTER
