"""Adapters tried by the clients whose tasks are nearest, before they count."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import median_high

import torch
from torch import Tensor

from fedlora.adapter.resize import resize
from fedlora.errors import FedloraError
from fedlora.server.admitting import Samples
from fedlora.server.context import ServerContext
from fedlora.server.describing import Described
from fedlora.server.likeness import nearest
from fedlora.server.serving import value_of
from fedlora.server.vetting import robust_z
from fedlora.wire.message import Message

PHASE = "vouch"
FLOOR = 0.05  # of the metric: however alike the others are, a difference of less than this is none
FEWEST = 3  # peers whose word counts: of two, one liar moves the median


def vouched(
    context: ServerContext,
    samples: Callable[[Described], Samples],
    members: Sequence[Described],
) -> dict[int, str]:
    """Whose adapter its peers find far worse than they find others', and how much, by client.

    The last adapter of each goes to `screening.peers` clients, those whose task vectors are
    nearest among all that have room. A peer says what the adapter reaches on its own validation
    examples, and what the base model does. An adapter is worth the (upper) median of the
    differences, which a minority of its peers that lies cannot move; it is kept out where that is
    too many robust deviations below the others'. Nothing is asked where fewer than
    `screening.least` clients are there, or more than `screening.most`.

    Args:
        context: of the run.
        samples: what a client gives to the bank.
        members: those whose adapters are tried, by one another.

    Raises:
        FedloraError: fewer peers answer than `rounds.min_answers` asks for.
    """
    config = context.config.screening
    if not config.peers or not config.least <= len(members) <= config.most:
        return {}
    seats = [member.seat.client for member in members]
    peers = peers_of([member.vector for member in members], config.peers)
    tried: dict[int, list[int]] = defaultdict(list)
    for at, chosen in enumerate(peers):
        for peer in chosen:
            tried[peer].append(at)
    asked = {
        seats[peer]: _question(context, samples, seats[peer], [members[at] for at in own])
        for peer, own in sorted(tried.items())
    }
    said = _answers(context, asked)
    worth = {}
    for at, chosen in enumerate(peers):
        found = [said[seats[p]][seats[at]] for p in chosen if seats[p] in said]
        if len(found) >= FEWEST:
            worth[seats[at]] = median_high(found)
    return _far_below(worth, config.vouched)


def peers_of(vectors: Sequence[Tensor], count: int) -> list[list[int]]:
    """For each of n tasks the `count` others that try its adapter, nearest first.

    No task tries more than twice as many, so that a task in the middle of all is not overrun.

    vectors: of the tasks, (c,).
    """
    load = [0] * len(vectors)
    chosen = []
    for order in nearest(torch.stack(list(vectors)), len(vectors)):
        own = [peer for peer in order if load[peer] < 2 * count][:count]
        for peer in own:
            load[peer] += 1
        chosen.append(own)
    return chosen


def _question(
    context: ServerContext,
    samples: Callable[[Described], Samples],
    peer: int,
    candidates: Sequence[Described],
) -> Message:
    """The message that asks a peer to try some clients' adapters, cut to its own rank."""
    spec = context.spec.with_rank(context.rank(peer))
    adapters = {str(c.seat.client): resize(samples(c)[-1][1], spec) for c in candidates}
    return context.message("adapter", "vouch", adapters)


def _answers(context: ServerContext, asked: Mapping[int, Message]) -> dict[int, dict[int, float]]:
    """By peer and client, how much better than the base model an adapter is there."""
    metric = context.profile.metric if context.profile else "accuracy"
    sign = -1.0 if metric == "nll" else 1.0

    def gains(peer: int, answer: Message) -> dict[int, float]:
        values = answer.meta.get("values")
        names = [name.removeprefix("adapter.") for name in asked[peer].tensors]
        if not isinstance(values, dict) or set(values) != {"base", *names}:
            raise FedloraError("answer without a score for each adapter that was to be tried")
        base = value_of(values["base"], metric)
        return {int(name): sign * (value_of(values[name], metric) - base) for name in names}

    def check(peer: int, answer: Message) -> None:
        context.check_task(peer, answer)
        gains(peer, answer)

    answers = context.asker.ask(PHASE, 0, asked, check)
    return {peer: gains(peer, answer) for peer, answer in answers.items()}


def _far_below(worth: Mapping[int, float], limit: float) -> dict[int, str]:
    scores = robust_z(torch.tensor(list(worth.values()), dtype=torch.float64), FLOOR).tolist()
    return {
        client: f"on its peers' examples it is worth {gain:+.3g} over the base model,"
        f" {-z:.1f} robust deviations below the median (screening.vouched={limit:g})"
        for (client, gain), z in zip(worth.items(), scores, strict=True)
        if z < -limit
    }
