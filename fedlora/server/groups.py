"""Whose adapters are averaged together, and what each group has come to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from fedlora import seeding
from fedlora.adapter import AdapterSpec, LoraAdapter, bundle
from fedlora.adapter.fresh import first_ranks, fresh_adapter
from fedlora.adapter.product import mean_delta
from fedlora.aggregation.contract import FOLD, Aggregator, State, effective
from fedlora.errors import FedloraError
from fedlora.roster import Seat
from fedlora.server.context import ServerContext

PHASE = "warm_start"
COMMON = "common"


@dataclass(frozen=True)
class Group:
    """Clients that are averaged together: all, or those of one task."""

    name: str
    members: tuple[int, ...]


@dataclass(frozen=True)
class Warm:
    """What the rounds have led to.

    starts: for each client, what it fine-tunes from.
    common: one adapter for a newcomer.
    """

    starts: Mapping[int, LoraAdapter]
    common: LoraAdapter


def groups_of(context: ServerContext, seats: Sequence[Seat]) -> list[Group]:
    """In the order of their first clients."""
    tasks: dict[str, list[int]] = {}
    for seat in seats:
        name = seat.task if context.config.warm_start.per_task else "all"
        tasks.setdefault(name, []).append(seat.client)
    return [Group(name, tuple(members)) for name, members in tasks.items()]


def first_state(context: ServerContext, group: Group) -> State:
    """Before any round: the factors that every client draws, a head of zeros."""
    return State(0, drawn(context, context.spec), len(group.members))


def drawn(context: ServerContext, spec: AdapterSpec, round: int | None = None) -> LoraAdapter:
    """The adapter that clients of a spec draw from the run's seed, its head zero.

    round: where they draw a new one in each.
    """
    purpose = ("start",) if round is None else ("start", round)
    whole = fresh_adapter(context.spec, seeding.derive(context.seed, *purpose))
    head = {name: torch.zeros(shape) for name, shape in spec.head}
    return replace(first_ranks(whole, spec), head=head)


def save(
    context: ServerContext, round: int, states: Mapping[str, State], ranks: Mapping[int, int]
) -> None:
    """Write down what a round came to, and the ranks that clients go on with from here.

    Both at once: answers of a round that is told again are read at the ranks it was asked with.
    """
    adapters = {
        f"{group}/{name}": adapter
        for group, state in states.items()
        for name, adapter in {COMMON: state.common, **state.extra}.items()
    }
    kept = {("rank", client): str(rank).encode() for client, rank in ranks.items()}
    context.journal.conclude_all({(PHASE, round): bundle.to_bytes(adapters), **kept})


def load(context: ServerContext, round: int, groups: Sequence[Group]) -> dict[str, State] | None:
    """What a round came to, by group; None for one that is not concluded."""
    data = context.journal.outcome(PHASE, round)
    if data is None:
        return None
    adapters = bundle.from_bytes(data)
    return {group.name: _state(adapters, group, round) for group in groups}


def _state(adapters: Mapping[str, LoraAdapter], group: Group, round: int) -> State:
    prefix = f"{group.name}/"
    own = {n.removeprefix(prefix): a for n, a in adapters.items() if n.startswith(prefix)}
    if COMMON not in own:
        raise FedloraError(f"the journal holds no adapter of '{group.name}' for round {round}")
    return State(round, own.pop(COMMON), len(group.members), extra=own)


def settle(
    context: ServerContext,
    method: Aggregator,
    groups: Sequence[Group],
    history: Sequence[Mapping[str, State]],
) -> Warm:
    """What everybody goes on from after the last round.

    What a method folded into the base is added to the adapter again, cut to the client's rank.

    history: the states after each round.
    """
    starts: dict[int, LoraAdapter] = {}
    commons = []
    for group in groups:
        state = history[-1][group.name]
        folds = [past[group.name].extra[FOLD] for past in history if FOLD in past[group.name].extra]
        made = {
            rank: _given(method, state, folds, context.spec.with_rank(rank))
            for rank in {context.spec.layers[0].rank, *map(context.rank, group.members)}
        }
        starts |= {client: made[context.rank(client)] for client in group.members}
        commons.append(made[context.spec.layers[0].rank])
    weights = [1 / len(commons)] * len(commons)
    rank = context.spec.layers[0].rank
    common = commons[0] if len(commons) == 1 else mean_delta(commons, weights, rank)
    return Warm(starts, common)


def _given(
    method: Aggregator, state: State, folds: Sequence[LoraAdapter], spec: AdapterSpec
) -> LoraAdapter:
    given = method.give(state, spec)
    return effective(given, folds, replace(spec, head=given.spec.head)) if folds else given
