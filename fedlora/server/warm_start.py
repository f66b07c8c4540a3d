"""Phase two: federated rounds, so that every client fine-tunes from a place it shares."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from secrets import randbits
from typing import overload

import numpy as np
import torch

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.adapter.parts import alone
from fedlora.aggregation.contract import CONTROL, FOLD, Aggregator, State
from fedlora.aggregation.suspects import TooFewAnswersError
from fedlora.errors import FedloraError
from fedlora.privacy.chance import repeats
from fedlora.roster import Seat
from fedlora.server.asking import Answers, number
from fedlora.server.context import ServerContext
from fedlora.server.describing import Described
from fedlora.server.groups import PHASE, Group, Warm, first_state, groups_of, load, save, settle
from fedlora.server.questions import BROADCAST, Asked, Round, ranks_of
from fedlora.server.screening import screen
from fedlora.server.shielding import Shield
from fedlora.server.verdicts import decided
from fedlora.server.vetting import Suspect, vet
from fedlora.server.weighing import MOST_EXAMPLES, believed
from fedlora.wire import parcel
from fedlora.wire.message import Message


def warm_start(context: ServerContext, clients: list[Described]) -> Warm | None:
    """What everybody goes on from after the configured rounds; None when there are none.

    The first round sends no adapter: every client draws the same one from the run's seed. Of a
    group of which nobody answers in a round, what it had come to before stays.
    """
    config = context.config.warm_start
    if not config.rounds:
        return None
    method: Aggregator = config.aggregation.build()
    shield = Shield.of(context.config, context.seed)
    groups = groups_of(context, _taking_part(context, clients, shield))
    _note_small(context, groups)
    history: list[dict[str, State]] = []
    for round in range(1, config.rounds + 1):
        states = load(context, round, groups)
        if states is None:
            states, ranks = _round(context, method, shield, groups, history, round)
            save(context, round, states, ranks)
        history.append(states)
    return settle(context, method, groups, history)


def _taking_part(
    context: ServerContext, clients: Sequence[Described], shield: Shield | None
) -> list[Seat]:
    """Whom the rounds may ask: those who are there.

    Where no client is to be told, all that the configuration seats, since who is drawn and by how
    many a sum is divided would tell who is not there.
    """
    if shield is None:
        return [client.seat for client in clients]
    return [seat for seat in context.seats if seat.role == "bank"]


def _note_small(context: ServerContext, groups: Sequence[Group]) -> None:
    """Say that screening has too few to compare in a round, where it has enough in the bank."""
    screening, most = context.config.screening, context.config.warm_start.clients_per_round
    everyone = sum(len(group.members) for group in groups)
    fewest = min((len(group.members) for group in groups), default=0)
    asked = min(fewest, most or fewest)
    if screening.of_rounds and asked < screening.least <= everyone:
        context.observer.note(
            f"screening compares nobody in rounds that ask {asked} clients together:"
            f" screening.least={screening.least}"
        )


def _round(
    context: ServerContext,
    method: Aggregator,
    shield: Shield | None,
    groups: Sequence[Group],
    history: Sequence[Mapping[str, State]],
    number_of: int,
) -> tuple[dict[str, State], dict[int, int]]:
    """What each group has come to, and the ranks that clients have pruned themselves to."""
    chosen = set(_choose(context, [c for group in groups for c in group.members], number_of))
    rounds = {
        group.name: Round(
            context,
            method,
            number_of,
            [past[group.name] for past in history],
            history[-1][group.name] if history else first_state(context, group),
        )
        for group in groups
    }
    asked = {
        client: rounds[group.name].ask(client)
        for group in groups
        for client in group.members
        if client in chosen
    }
    gathered = _Gathered(context, method, number_of, asked)
    answers = context.asker.ask(
        PHASE, number_of, {c: question.message for c, question in asked.items()}, gathered.check
    )
    states, ranks = dict[str, State](), dict[int, int]()
    for group in groups:
        members = _believable(rounds[group.name], gathered, answers, group)
        states[group.name] = _aggregated(
            rounds[group.name], shield, gathered, answers, group, members
        )
        if method.duty(number_of).prunes:
            ranks |= ranks_of({client: answers[client] for client in members})
    return states, ranks


def _aggregated(
    round: Round,
    shield: Shield | None,
    gathered: "_Gathered",
    answers: Answers,
    group: Group,
    members: Sequence[int],
) -> State:
    """What a group has come to by its members; what it was where they are none, or too few."""
    # What was folded once is not folded again.
    kept = {name: adapter for name, adapter in round.state.extra.items() if name != FOLD}
    asked = sum(gathered.asked(client) for client in group.members)
    state = replace(round.state, report={}, extra=kept, asked=asked)
    trained = _Adapters(gathered, answers, members, "trained")
    if shield and asked:
        state = shield.aggregate(state, round.method, group.name, trained, asked)
    elif members:
        weights = believed([gathered.weight(client, answers) for client in members])
        controls = _Adapters(gathered, answers, members, CONTROL) if round.duty.controls else ()
        try:
            state = round.method.aggregate(state, trained, weights, controls)
        except TooFewAnswersError as error:
            round.context.observer.note(f"round {round.number} changes nothing: {error}")
            state = replace(state, report={"too_few": 1.0})
    if state.report:
        line = {"round": round.number, "group": group.name, **state.report}
        round.context.journal.add_metrics(PHASE, round.number, line)
    heard = round.broadcast()
    extra = {**state.extra, BROADCAST: heard} if heard else state.extra
    return replace(state, round=round.number, extra=extra)


def _believable(round: Round, gathered: "_Gathered", answers: Answers, group: Group) -> list[int]:
    """Those of a group who answered, without those who stand out, if the run looks for them."""
    members = [client for client in group.members if client in answers]
    context = round.context
    if not context.config.screening.of_rounds:
        return members

    def judge() -> dict[int, str]:
        suspects = [gathered.suspect(client, answers) for client in members]
        # In a deployment nobody is to know with whom all will be compared.
        foreseen = repeats(context.config)
        seed = seeding.derive(context.seed, "compared", round.number) if foreseen else randbits(63)
        return vet(context.config.screening, suspects, tasks=False, factors=True, seed=seed)

    place = f"screening {PHASE} {group.name}"
    for client, reason in decided(context.journal, place, round.number, judge).items():
        if client in members:
            context.asker.refuse(PHASE, round.number, client, reason)
            members.remove(client)
    return members


class _Gathered:
    """What came of a round's questions, each answer checked and read by what was asked."""

    def __init__(
        self, context: ServerContext, method: Aggregator, round: int, asked: Mapping[int, Asked]
    ) -> None:
        self._context, self._asked = context, asked
        self._duty = method.duty(round)
        self._examples: dict[int, float] = {}
        self._starts: dict[int, LoraAdapter] = {}  # as screening sees them, once each

    def check(self, client: int, answer: Message) -> None:
        """Refuse an answer that cannot count."""
        self._context.check_task(client, answer)
        for name in ("trained", CONTROL) if self._duty.controls else ("trained",):
            adapter = self.read(client, answer, name)
            screen(adapter, self._context.spec, self._context.config.rounds.max_norm)
        examples = number(answer, "examples")
        if not 1 <= examples <= MOST_EXAMPLES:
            raise FedloraError("answer with an unbelievable number of examples")
        self._examples[client] = examples

    def asked(self, client: int) -> bool:
        """Whether a client was chosen for the round."""
        return client in self._asked

    def weight(self, client: int, answers: Answers) -> float:
        """What a client says it counts."""
        if self._context.config.warm_start.weights == "equal":
            return 1.0
        # Only answers from before a kill are read for it again.
        known = self._examples.get(client)
        return number(answers[client], "examples") if known is None else known

    def suspect(self, client: int, answers: Answers) -> Suspect:
        """A client's answer as screening sees it: of methods that send one factor, that alone."""
        sent = [part for part in self._duty.sends if part != "head"]

        def seen(adapter: LoraAdapter) -> LoraAdapter:
            return adapter if len(sent) == 2 else alone(adapter, sent[0])

        def read() -> list[LoraAdapter]:
            return [seen(self.read(client, answers[client], "trained"))]

        start, task = self._asked[client].start, self._context.seats[client].task
        if id(start) not in self._starts:
            self._starts[id(start)] = seen(start)
        begun = self._starts[id(start)]
        return Suspect(client, task, torch.zeros(0), begun, read)

    def read(self, client: int, answer: Message, name: str) -> LoraAdapter:
        """An adapter of an answer; parts that did not travel are those of its start.

        Raises:
            FedloraError: it is missing, malformed or of another rank than it may be.
        """
        tensor = answer.tensors.get(f"adapter.{name}")
        if tensor is None:
            raise FedloraError(f"answer lacks the adapter '{name}'")
        start = self._asked[client].start
        if name == CONTROL:
            return self._context.codec_up.decode(tensor, start.spec)
        near: LoraAdapter | None = start
        if self._duty.prunes:
            rank, most = answer.meta.get("rank"), start.spec.layers[0].rank
            if not isinstance(rank, int) or not 1 <= rank <= most:
                raise FedloraError(f"answer of rank {rank!a:.40}, not 1 to {most}")
            if rank != most:
                spec = start.spec.with_rank(rank)
                return self._context.codec_up.decode(tensor, spec)
        return parcel.unpack(self._context.codec_up, tensor, self._duty.sends, start, near)


class _Adapters(Sequence[LoraAdapter]):
    """The adapters of a round in the order of their clients, each read when it is asked for."""

    def __init__(
        self, gathered: _Gathered, answers: Answers, clients: Sequence[int], name: str
    ) -> None:
        self._gathered, self._answers, self._clients = gathered, answers, clients
        self._name = name

    def __len__(self) -> int:
        return len(self._clients)

    @overload
    def __getitem__(self, at: int) -> LoraAdapter: ...

    @overload
    def __getitem__(self, at: slice) -> list[LoraAdapter]: ...

    def __getitem__(self, at: int | slice) -> LoraAdapter | list[LoraAdapter]:
        if isinstance(at, slice):
            return [self[number] for number in range(*at.indices(len(self)))]
        client = self._clients[at]
        return self._gathered.read(client, self._answers[client], self._name)


def _choose(context: ServerContext, clients: list[int], round: int) -> list[int]:
    count = context.config.warm_start.clients_per_round
    if count is None or count >= len(clients):
        return clients
    rng = np.random.default_rng(seeding.derive(context.seed, "clients of round", round))
    return sorted(int(client) for client in rng.choice(sorted(clients), count, replace=False))
