"""After each step: how every task met so far is done, counted by all clients."""

from dataclasses import dataclass

from fedlora.continual.heads import named
from fedlora.continual.keeper import Keeper
from fedlora.errors import FedloraError
from fedlora.server.stream.context import StreamContext
from fedlora.server.weighing import MOST_EXAMPLES
from fedlora.wire.message import Message

SPLITS = ("test", "validation")


@dataclass(frozen=True)
class Judged:
    """Accuracies by split; None for a task that was not met.

    within: told apart from the classes of its own task. among: from all classes met.
    """

    within: dict[str, list[float | None]]
    among: dict[str, list[float | None]]


def judge(context: StreamContext, keeper: Keeper, step: int) -> Judged:
    """Send the model as it is to every client, and add up what they count.

    Raises:
        FedloraError: too few clients answer.
    """
    message = context.message("evaluation", "assess", keeper.frozen, named(keeper.heads))

    def check(_: int, answer: Message) -> None:
        for split in SPLITS:
            _counts(answer, split, keeper)

    answers = context.asker.ask("assess", step + 1, dict.fromkeys(context.clients, message), check)
    every = [answers[client] for client in answers]
    rates: dict[str, list[list[float | None]]] = {"within": [], "among": []}
    for split in SPLITS:
        counts = [_counts(answer, split, keeper) for answer in every]
        for place, key in enumerate(("within", "among"), start=1):
            rates[key].append(
                [_rate([c.get(t) for c in counts], place) for t in range(len(keeper.classes))]
            )
    return Judged(*(dict(zip(SPLITS, rates[key], strict=True)) for key in ("within", "among")))


def _counts(answer: Message, split: str, keeper: Keeper) -> dict[int, tuple[int, int, int]]:
    """Task -> rows, right within and right among, of an answer from anybody."""
    said = answer.meta.get(split)
    if not isinstance(said, dict) or not set(said) <= {str(task) for task in keeper.heads}:
        raise FedloraError(f"answer without its counts of the {split} split")
    found = {}
    for task, score in said.items():
        values = [score.get(k) if isinstance(score, dict) else None for k in _KEYS]
        rows, within, among = values
        if not all(type(n) is int and 0 <= n <= MOST_EXAMPLES for n in values):
            raise FedloraError("answer with counts that are not whole numbers")
        assert isinstance(rows, int)
        assert isinstance(within, int)
        assert isinstance(among, int)
        if max(within, among) > rows:
            raise FedloraError("answer that is right more often than it was asked")
        found[int(task)] = (rows, within, among)
    return found


_KEYS = ("rows", "within", "among")


def _rate(counts: list[tuple[int, int, int] | None], place: int) -> float | None:
    known = [count for count in counts if count is not None]
    rows = sum(count[0] for count in known)
    return sum(count[place] for count in known) / rows if rows else None
