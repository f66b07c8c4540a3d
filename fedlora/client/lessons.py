"""Actions that train for the bank: first what is to be trained, then what is answered.

Between the two, the training may be done for many clients at once.
"""

from collections.abc import Callable, Sequence

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.client.protecting import keeps_scores, protection_of
from fedlora.client.trial import score
from fedlora.client.tuition import begin, planned_round
from fedlora.client.workplace import Workplace
from fedlora.finetune.job import Job, Trained
from fedlora.finetune.local import fresh
from fedlora.wire.message import JSON, Message

Answer = Callable[[Sequence[Trained], float], Message]
"""The message back, given what became of the jobs and the seconds they took."""

Lesson = Callable[[Workplace, Message], tuple[list[Job], Answer]]
"""What a message asks to train, and how it is answered."""


def warm_up(place: Workplace, message: Message) -> tuple[list[Job], Answer]:
    """One round of the warm start: train the common adapter a little."""
    tuition = begin(place, message)
    value = tuition.value()

    def answer(trained: Sequence[Trained], seconds: float) -> Message:
        tensors, meta = tuition.answer(trained[-1].adapters[-1])
        return Message("train", tensors, _account(place, trained, seconds) | value | meta)

    return [tuition.job()], answer


def finetune(place: Workplace, message: Message) -> tuple[list[Job], Answer]:
    """Fine-tune for the client's own task, once a repeat.

    The last checkpoints of every repeat are samples, each with its own validation score.
    """
    settings = place.config.finetune
    independent = settings.init == "independent"
    jobs = [
        place.job(
            _start(place, message, repeat if independent else None),
            settings,
            place.purpose("finetune", repeat),
            settings.checkpoints,
        )
        for repeat in range(settings.repeats)
    ]

    def answer(trained: Sequence[Trained], seconds: float) -> Message:
        samples = [adapter for repeat in trained for adapter in repeat.adapters]
        desk = place.desk
        scores: list[JSON] = [{} for _ in samples]
        if not keeps_scores(place.config):
            scores = [score(desk.objective, a, desk.validation) for a in samples]
        named = {str(number): adapter for number, adapter in enumerate(samples)}
        account = _account(place, trained, seconds) | {"samples": scores}
        return Message("adapter", place.write(named), account)

    return jobs, answer


def grow(place: Workplace, message: Message) -> tuple[list[Job], Answer]:
    """One round of growth: train what was generated for this client's task a little."""
    seed = place.purpose("growth", planned_round(message, place.config.growth.rounds))

    def answer(trained: Sequence[Trained], seconds: float) -> Message:
        tensors = place.write({"trained": trained[-1].adapters[-1]})
        return Message("train", tensors, _account(place, trained, seconds))

    return [place.job(_start(place, message), place.config.growth.train, seed)], answer


LESSONS: dict[str, Lesson] = {"warm_up": warm_up, "grow": grow, "finetune": finetune}


def _start(place: Workplace, message: Message, own: int | None = None) -> LoraAdapter:
    """The adapter that came along, or a first one: this client's own, or common to the run."""
    if "adapter.start" in message.tensors:
        return place.read(message, "start")
    objective = place.desk.objective
    if own is not None:
        return fresh(objective, place.purpose("start", own), place.desk.seat.rank)
    return fresh(objective, seeding.derive(place.seed, "start"), place.desk.seat.rank)


def _account(place: Workplace, trained: Sequence[Trained], seconds: float) -> dict[str, JSON]:
    last = trained[-1]
    account: dict[str, JSON] = {
        "task": place.desk.seat.task,
        "examples": place.desk.examples,
        "seconds": seconds,
    }
    if protection := protection_of(place.config, place.desk.examples):
        account["noise"] = protection.noise
    else:
        account |= {"curve": last.curve, "validation": last.validation, "loss": last.curve[-1]}
    return account | ({"remark": place.states.remark} if place.states.remark else {})
