"""One step's training: rounds of local training, branch and heads averaged."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from fedlora.adapter import LoraAdapter
from fedlora.aggregation.contract import Aggregator, Duty, State
from fedlora.continual.contract import without_head
from fedlora.continual.heads import Head, head_of, mean, split
from fedlora.continual.keeper import Keeper
from fedlora.continual.start import nearest_start
from fedlora.errors import FedloraError
from fedlora.server.asking import Answers, number
from fedlora.server.screening import screen
from fedlora.server.stream.context import StreamContext
from fedlora.server.weighing import MOST_EXAMPLES, believed
from fedlora.wire.message import Message


def train(
    context: StreamContext,
    keeper: Keeper,
    step: int,
    workers: Mapping[int, int],
    covered: Mapping[int, list[int]],
    start: LoraAdapter,
) -> LoraAdapter:
    """The step's branch after all rounds, without a head; the heads go to the keeper.

    Where `down` is fixed, every client has the same, and the average of `up` is exact:
    sum p_i (up_i down) = (sum p_i up_i) down.

    Args:
        context: of the run.
        keeper: of the stream.
        step: its number.
        workers: client -> task.
        covered: client -> the tasks whose classes it tells apart.
        start: where the branch starts.

    Raises:
        FedloraError: too few clients answer.
    """
    state = State(0, context.codec.as_received(start), len(workers), asked=len(workers))
    aggregator: Aggregator = context.continual.aggregation.build()
    if aggregator.duty(1) != Duty():
        raise FedloraError(
            "continual.aggregation: a stream's clients train and send whole adapters;"
            " choose fedavg, flexlora or product"
        )
    for round in range(1, context.continual.rounds + 1):
        state = _round(context, keeper, step, round, workers, covered, state, aggregator)
    return state.common


def _round(
    context: StreamContext,
    keeper: Keeper,
    step: int,
    round: int,
    workers: Mapping[int, int],
    covered: Mapping[int, list[int]],
    state: State,
    aggregator: Aggregator,
) -> State:
    frozen, messages = keeper.frozen, {}
    made: dict[tuple[int, ...], Message] = {}
    for client, task in workers.items():
        key = (task, *covered[client])
        if key not in made:
            sent = context.codec.encode(keeper.with_head(state.common, covered[client]))
            made[key] = context.message(
                "train",
                "learn",
                frozen,
                {"adapter.start": sent},
                task=task,
                covered=covered[client],
                step=step,
                round=round,
            )
        messages[client] = made[key]

    def check(client: int, answer: Message) -> None:
        screen(
            _trained(context, keeper, answer, covered[client]),
            context.spec_of(keeper, covered[client]),
            context.config.rounds.max_norm,
        )
        if not 1 <= number(answer, "examples") <= MOST_EXAMPLES:
            raise FedloraError("answer with an unbelievable number of examples")

    place = step * context.continual.rounds + round
    answers = context.asker.ask("learn", place, messages, check)
    return _average(context, keeper, answers, covered, state, aggregator)


def _average(
    context: StreamContext,
    keeper: Keeper,
    answers: Answers,
    covered: Mapping[int, list[int]],
    before: State,
    aggregator: Aggregator,
) -> State:
    """The clients' branches as one, and each task's heads as one, weighted by examples."""
    told, branches = [], []
    parts: list[list[tuple[int, Head]]] = []
    for client in answers:
        answer = answers[client]
        told.append(number(answer, "examples"))
        trained = _trained(context, keeper, answer, covered[client])
        branches.append(without_head(trained))
        own = split(head_of(trained), [keeper.classes[task] for task in covered[client]])
        parts.append(list(zip(covered[client], own, strict=True)))
    weights = believed(told)
    heads: dict[int, list[tuple[Head, float]]] = {}
    for weight, own_heads in zip(weights, parts, strict=True):
        for task, head in own_heads:
            heads.setdefault(task, []).append((head, weight))
    keeper.heads |= {task: mean(*zip(*found, strict=True)) for task, found in heads.items()}
    after = aggregator.aggregate(before, branches, weights)
    branch = aggregator.give(after, before.common.spec)
    if keeper.method.trains != "both":  # then no answer has a say in `down`
        branch = _kept_down(before.common, branch)
    return replace(after, common=branch)


def _kept_down(designed: LoraAdapter, averaged: LoraAdapter) -> LoraAdapter:
    """The averaged update with `down` as designed; every client's update lies in its rows.

    A method that averages products gives factors of its own, which are brought into those rows.
    """
    same = all(
        torch.allclose(averaged.down[name], down, rtol=1e-4, atol=1e-6)
        for name, down in designed.down.items()
    )
    return replace(averaged, down=designed.down) if same else nearest_start(designed, averaged)


def _trained(
    context: StreamContext, keeper: Keeper, answer: Message, covered: list[int]
) -> LoraAdapter:
    tensor = answer.tensors.get("adapter.trained")
    if tensor is None:
        raise FedloraError("answer lacks the adapter 'trained'")
    return context.codec.decode(tensor, context.spec_of(keeper, covered))
