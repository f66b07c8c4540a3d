"""Adapters tried by the clients whose tasks are nearest, before they count."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import median, median_high

import torch

from fedlora.adapter.resize import resize
from fedlora.server.admitting import Samples
from fedlora.server.context import ServerContext
from fedlora.server.describing import Described
from fedlora.server.likeness import nearest
from fedlora.server.serving import gains_of
from fedlora.server.vetting import robust_z
from fedlora.wire.message import Message

PHASE = "vouch"
FLOOR = 0.05  # of the metric: however alike the others are, a difference of less than this is none
FEWEST = 3  # peers whose word counts: of two, one liar moves the median
SPARE_TURNS = 2  # how often others are asked in the place of peers that are silent


def vouched(
    context: ServerContext,
    samples: Callable[[Described], Samples],
    members: Sequence[Described],
) -> dict[int, str]:
    """Whose adapter its peers find far worse than they find others', and how much, by client.

    The last adapter of each goes to `screening.peers` clients, those whose task vectors are
    nearest among all that have room. A peer says what the adapter reaches on its own validation
    examples, and what the base model does; where fewer than three do, the next nearest are asked in
    their place, twice at most. From the differences that a peer tells its own median is taken away,
    since tasks differ in how much there is to gain. An adapter is worth the (upper) median of what
    is left, which a minority of its peers that lies cannot move; it is kept out where that is too
    many robust deviations below the others'. Nothing is asked where fewer than
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
    order = nearest(torch.stack([member.vector for member in members]), len(members))
    asked: list[list[int]] = [[] for _ in members]
    said: list[dict[int, float]] = [{} for _ in members]
    for turn in range(1 + SPARE_TURNS):
        wanted = [0 if len(own) >= FEWEST else config.peers - len(own) for own in said]
        chosen = peers_of(order, asked, wanted, most=(2 + turn) * config.peers)
        for peer, gains in _tried(context, samples, members, chosen, turn).items():
            for at, gain in gains.items():
                said[at][peer] = gain
        asked = [[*before, *own] for before, own in zip(asked, chosen, strict=True)]
    few = sum(len(own) < FEWEST for own in said)
    if few:
        context.observer.note(f"{few} adapters count though fewer than {FEWEST} peers tried them")
    worth = {
        member.seat.client: median_high(own.values())
        for member, own in zip(members, beside_usual(said), strict=True)
        if len(own) >= FEWEST
    }
    return _far_below(worth, config.vouched)


def beside_usual(said: Sequence[Mapping[int, float]]) -> list[dict[int, float]]:
    """Gains of each adapter by peer, less what that peer usually tells of what it tries."""
    told: dict[int, list[float]] = defaultdict(list)
    for own in said:
        for peer, gain in own.items():
            told[peer].append(gain)
    usual = {peer: median(gains) for peer, gains in told.items()}
    return [{peer: gain - usual[peer] for peer, gain in own.items()} for own in said]


def peers_of(
    order: Sequence[Sequence[int]],
    asked: Sequence[Sequence[int]],
    wanted: Sequence[int],
    most: int,
) -> list[list[int]]:
    """For each of n tasks so many more of the others that try its adapter, nearest first.

    No task tries more than `most`, so that one in the middle of all is not overrun.

    Args:
        order: of each task the others, nearest first.
        asked: of each task those that were asked before.
        wanted: how many more each is to have.
        most: that one tries, with what it was asked before.
    """
    load = Counter(peer for own in asked for peer in own)
    chosen = []
    for others, before, count in zip(order, asked, wanted, strict=True):
        own = [p for p in others if load[p] < most and p not in before][:count]
        load.update(own)
        chosen.append(own)
    return chosen


def _tried(
    context: ServerContext,
    samples: Callable[[Described], Samples],
    members: Sequence[Described],
    chosen: Sequence[Sequence[int]],
    turn: int,
) -> dict[int, dict[int, float]]:
    """What the chosen peers say of the members' adapters: by peer's and member's places."""
    trials: dict[int, list[int]] = defaultdict(list)
    for at, peers in enumerate(chosen):
        for peer in peers:
            trials[peer].append(at)
    seats = [member.seat.client for member in members]
    asked = {
        seats[peer]: _question(context, samples, seats[peer], [members[at] for at in own])
        for peer, own in sorted(trials.items())
    }
    if not asked:
        return {}
    said = _answers(context, asked, turn)
    return {
        peer: {at: said[seats[peer]][seats[at]] for at in own}
        for peer, own in trials.items()
        if seats[peer] in said
    }


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


def _answers(
    context: ServerContext, asked: Mapping[int, Message], turn: int
) -> dict[int, dict[int, float]]:
    """By peer and client, how much better than the base model an adapter is there.

    However few of those answer that are asked in the place of others, the run goes on.
    """
    metric = context.profile.metric if context.profile else "accuracy"

    def gains(peer: int, answer: Message) -> dict[int, float]:
        names = [name.removeprefix("adapter.") for name in asked[peer].tensors]
        return {int(name): gain for name, gain in gains_of(answer, names, metric).items()}

    def check(peer: int, answer: Message) -> None:
        context.check_task(peer, answer)
        gains(peer, answer)

    answers = context.asker.ask(PHASE, turn, asked, check, least=0.0 if turn else None)
    return {peer: gains(peer, answer) for peer, answer in answers.items()}


def _far_below(worth: Mapping[int, float], limit: float) -> dict[int, str]:
    scores = robust_z(torch.tensor(list(worth.values()), dtype=torch.float64), FLOOR).tolist()
    return {
        client: f"on its peers' examples it is worth {gain:+.3g} beside what they try,"
        f" {-z:.1f} robust deviations below the median (screening.vouched={limit:g})"
        for (client, gain), z in zip(worth.items(), scores, strict=True)
        if z < -limit
    }
