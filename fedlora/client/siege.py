"""The clients that attack, and how their answers differ from honest ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.attacks.contract import Attack, Sight
from fedlora.client.desk import Desk
from fedlora.client.lessons import LESSONS, Answer
from fedlora.client.workplace import Workplace
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.evaluation.attackers import attackers_of
from fedlora.finetune.job import Job, Trained
from fedlora.finetune.task_vector import task_vector
from fedlora.roster import Seat
from fedlora.wire.message import JSON, Message

USELESS = 100.0
"""Nats a token, far more than any adapter costs."""


class Siege:
    """All attackers of a run, each answering as the run's attack has it.

    Colluding attackers know what the others would have sent: each trains on all their data. That
    costs one training more an attacker and answer, and needs no channel between processes.

    Raises:
        FedloraError: the attack needs several attackers, and the run has one.
    """

    def __init__(self, config: RunConfig, seats: Sequence[Seat], seed: int) -> None:
        assert config.attackers is not None
        self.attack: Attack = config.attackers.attack.build()
        self._seats = seats
        self._bank = sum(seat.role == "bank" for seat in seats)
        self.clients = frozenset(attackers_of(config, self._bank, seed))
        if self.attack.colludes and len(self.clients) < 2:
            share, name = config.attackers.share, config.attackers.attack.name
            raise FedloraError(
                f"attackers.share={share:g}: '{name}' needs two attackers, and of {self._bank}"
                " clients that is one; raise it"
            )

    def desk(self, desk: Desk, seed: int) -> Desk:
        """An attacker's desk, its training rows as the attack wants them."""
        purpose = seeding.derive(seed, "client", desk.seat.client, "poison")
        rows = self.attack.rows(desk.train, len(desk.objective.label_names), purpose)
        return replace(desk, train=rows)

    def described(
        self, honest: Message, place: Workplace, open_desk: Callable[[int], Desk]
    ) -> Message:
        """An attacker's description of its task."""

        def other() -> Tensor:
            desk = open_desk(self._elsewhere(place.desk.seat))
            return task_vector(desk.objective, desk.train, place.config.task_vector)

        vector = self.attack.vector(honest.tensors["vector"], other)
        return replace(honest, tensors={**honest.tensors, "vector": vector})

    def vouched(self, honest: Message, metric: str) -> Message:
        """An attacker's word on the adapters it was asked to try: the best of its fellows', the
        worst of all others'.
        """
        best, worst = (0.0, USELESS) if metric == "nll" else (1.0, 0.0)
        said = honest.meta["values"]
        assert isinstance(said, Mapping)
        values: dict[str, JSON] = {
            name: {metric: best if int(name) in self.clients else worst}
            for name in said
            if name != "base"
        }
        return replace(honest, meta={**honest.meta, "values": {**values, "base": said["base"]}})

    def tried(self, honest: Message, metric: str) -> Message:
        """An attacker's word on what methods make for its task: the best as bad as the worst is
        good.
        """
        said = honest.meta["values"]
        assert isinstance(said, Mapping)
        names = [name for name in said if name != "base"]
        order = sorted(names, key=lambda name: _worth(said[name], metric))
        turned = dict(zip(order, [said[name] for name in reversed(order)], strict=True))
        return replace(honest, meta={**honest.meta, "values": {**turned, "base": said["base"]}})

    def lesson(
        self,
        action: str,
        place: Workplace,
        message: Message,
        open_place: Callable[[int], Workplace],
    ) -> tuple[list[Job], Answer]:
        """What an attacker trains, its fellows' jobs after its own, and what it answers."""
        client = place.desk.seat.client
        jobs, answer = LESSONS[action](place, message)
        fellows = [c for c in sorted(self.clients) if c != client] if self.attack.colludes else []
        theirs = [LESSONS[action](open_place(fellow), message)[0] for fellow in fellows]
        order = sorted(range(len(fellows) + 1), key=[client, *fellows].__getitem__)

        def forged(trained: Sequence[Trained], seconds: float) -> Message:
            groups = [trained[at : at + len(jobs)] for at in range(0, len(trained), len(jobs))]
            false = [
                self._forge(place, job, [groups[at][number] for at in order], groups[0][number])
                for number, job in enumerate(jobs)
            ]
            return answer(false, seconds)

        return [*jobs, *(job for own in theirs for job in own)], forged

    def _forge(self, place: Workplace, job: Job, known: Sequence[Trained], own: Trained) -> Trained:
        def sent(checkpoint: int, honest: LoraAdapter) -> LoraAdapter:
            return self.attack.adapter(
                Sight(
                    start=job.start,
                    honest=honest,
                    known=[each.adapters[checkpoint] for each in known],
                    clients=self._bank,
                    attackers=len(self.clients),
                    seed=seeding.derive(place.purpose("forge"), job.seed, checkpoint),
                )
            )

        return replace(own, adapters=[sent(*numbered) for numbered in enumerate(own.adapters)])

    def _elsewhere(self, seat: Seat) -> int:
        """The next client of another task, round the table of the bank."""
        after = [self._seats[(seat.client + step) % self._bank] for step in range(1, self._bank)]
        found = next((other for other in after if other.task != seat.task), None)
        if found is None:
            raise FedloraError("attackers.attack: 'spoofing' needs a bank of two tasks at least")
        return found.client


def _worth(scores: JSON, metric: str) -> tuple[float, float]:
    """What adapters are sorted by: the metric, and where that is the same the loss."""
    assert isinstance(scores, Mapping)
    value, loss = scores[metric], scores["loss"]
    assert isinstance(value, float)
    assert isinstance(loss, float)
    return value, -loss
