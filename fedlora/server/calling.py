"""Phase zero: who takes part."""

from dataclasses import dataclass

from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.roster import LONGEST_TASK, ROSTER, Seat, seats
from fedlora.server.asking import Asker
from fedlora.wire.message import Message

MOST_TASKS = 1_000_000


@dataclass(frozen=True)
class _Names:
    bank: tuple[str, ...]
    held_out: tuple[str, ...]


def call_roll(config: RunConfig, asker: Asker) -> list[Seat]:
    """Every client of the run, and its task.

    The names of tasks follow from the configuration, or, in some families, from the rows of a
    source: the first client tells them then, so that the server reads no data.

    Raises:
        FedloraError: the first client does not answer, or with names that no family has.
    """
    if not config.tasks.build().from_rows:
        return seats(config)
    question = Message("control", {}, {"action": ROSTER})

    def check(_: int, answer: Message) -> None:
        seats(config, _names(answer))

    try:
        answers = asker.ask(ROSTER, 0, {0: question}, check)
    except FedloraError as error:
        reasons = [lost.reason for lost in asker.journal.lost() if lost.phase == ROSTER]
        raise FedloraError(reasons[0] if reasons else str(error)) from None
    return seats(config, _names(answers[0]))


def _names(answer: Message) -> _Names:
    return _Names(_texts(answer, "bank"), _texts(answer, "held_out"))


def _texts(answer: Message, key: str) -> tuple[str, ...]:
    found = answer.meta.get(key)
    if not isinstance(found, list) or len(found) > MOST_TASKS:
        raise FedloraError(f"answer without a list of the tasks '{key}'")
    if not all(isinstance(name, str) and 1 <= len(name) <= LONGEST_TASK for name in found):
        raise FedloraError(f"answer whose tasks '{key}' are not all names")
    return tuple(map(str, found))
