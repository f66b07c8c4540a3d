"""Who takes part: one seat for every shard of a bank task and for every newcomer."""

from dataclasses import dataclass
from typing import Literal, Protocol

from fedlora.config import RunConfig
from fedlora.errors import FedloraError

Role = Literal["bank", "newcomer"]


@dataclass(frozen=True)
class Seat:
    """One client: its index, its task, which shard of the task's data it holds, and its rank."""

    client: int
    task: str
    shard: int
    role: Role
    rank: int


class Names(Protocol):
    """The tasks of a run: those that fill the bank, and those that newcomers bring."""

    @property
    def bank(self) -> tuple[str, ...]:
        """In the order of their clients."""
        ...

    @property
    def held_out(self) -> tuple[str, ...]:
        """In the order of their clients, who follow the bank's."""
        ...


LONGEST_TASK = 1000
"""Characters of a task's name."""

ROSTER = "roster"
"""What a message asks for that asks for the names; the answer holds `bank` and `held_out`."""


def seats(config: RunConfig, names: Names | None = None) -> list[Seat]:
    """Every client of a run; seat i is client i, the bank's clients first.

    A newcomer holds the whole of its task.

    Args:
        config: of the run.
        names: of its tasks; the family's own when None, which some families read data for.

    Raises:
        FedloraError: the task family yields no bank task, or a task twice, or too few clients for
            the method that averages them.
    """
    if names is None:
        names = config.tasks.build().names()
    if not names.bank:
        raise FedloraError("tasks: the family yields no task for the bank; raise tasks.bank")
    everyone = [*names.bank, *names.held_out]
    longest = max(everyone, key=len)
    if len(longest) > LONGEST_TASK:
        raise FedloraError(
            f"tasks: '{longest[:40]}...' has {len(longest):,} characters, a name at most"
            f" {LONGEST_TASK}; shorten the value or the labels that it is made of"
        )
    if len(set(everyone)) < len(everyone):
        twice = next(name for name in everyone if everyone.count(name) > 1)
        raise FedloraError(f"tasks: '{twice}' is named twice; a held-out task is never in the bank")
    places: list[tuple[str, int, Role]] = [
        (task, shard, "bank") for task in names.bank for shard in range(config.shards.per_task)
    ]
    places += [(task, 0, "newcomer") for task in names.held_out]
    _check_rounds(config, sum(role == "bank" for _, _, role in places))
    return [
        Seat(client, task, shard, role, rank_of(config, client, role))
        for client, (task, shard, role) in enumerate(places)
    ]


def _check_rounds(config: RunConfig, clients: int) -> None:
    """Refuse rounds of fewer clients than their method needs, before they begin."""
    rounds = config.warm_start
    asked = min(rounds.clients_per_round or clients, clients)
    misfit = rounds.aggregation.build().misfit(asked)
    if rounds.rounds and not rounds.per_task and misfit:  # else each task has as many as it has
        raise FedloraError(misfit)


def rank_of(config: RunConfig, client: int, role: Role) -> int:
    """The rank of a client's adapters: `lora.ranks` in turn for the bank, else `lora.rank`."""
    ranks = config.lora.ranks if role == "bank" else None
    return ranks[client % len(ranks)] if ranks else config.lora.rank
