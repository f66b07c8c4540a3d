"""Full fine-tuning as a rival: federated averaging of every weight, over the same clients."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import mean

import torch
from torch import Tensor, nn

from fedlora import seeding
from fedlora.bench.comm.curve import Point, reached
from fedlora.client.client import Client
from fedlora.client.desk import Desk
from fedlora.config import RunConfig, TrainSection
from fedlora.finetune.course import Course
from fedlora.finetune.job import Job
from fedlora.finetune.local import fresh, put
from fedlora.finetune.objectives.contract import take
from fedlora.wire.message import Message, encode, payload

Weights = dict[str, Tensor]


def full_curve(config: RunConfig, seed: int, rate: float) -> list[Point]:
    """FedAvg of the whole model (McMahan et al. 2017, arXiv 1602.05629), in float32.

    Clients, data, rounds, batches, epochs and clipping are those of the run's warm start; only
    what moves differs: every weight of the base model, and where `lora.head` says so the head
    that all tasks share. As many messages as rounds of adapters send: in the first round the model
    is known to all, and the last one is asked for its score alone.

    rate: of AdamW, which falls linearly to zero in each round as LoRA's does.
    """
    client = Client(config, seed)
    seats = [seat for seat in client.seats if seat.role == "bank"]
    settings = config.warm_start.train.model_copy(update={"learning_rate": rate})
    desks = [client.desk(seat.client) for seat in seats]
    for desk in desks:
        put(desk.objective, fresh(desk.objective, seed))  # `up` is zero: the base model itself
    points, up, down, values = list[Point](), 0, 0, 0
    with unfrozen(desks[0]) as base:
        common = _read({**base, **desks[0].objective.head()})
        for round in range(1, config.warm_start.rounds + 1):
            sent = Message("train", common if round > 1 else {}, {"round": round})
            down += len(desks) * len(encode(sent))
            before, values = values, values + len(desks) * payload(sent)
            n = len(desks)  # all of them send and get the same
            value = mean(_served(desks, base, common))
            point = Point(round - 1, up, down, values, before, up // n, down // n, value)
            points.append(point)
            if round == config.warm_start.rounds:
                break
            trained = []
            for desk in desks:
                own = seeding.derive(seed, "full", round, desk.seat.client)
                trained.append(_trained(desk, base, common, settings, own))
                answer = Message("train", trained[-1])
                up += len(encode(answer))
                values += payload(answer)
            common = _averaged(trained, [desk.examples for desk in desks])
    return points


@contextmanager
def unfrozen(desk: Desk) -> Iterator[dict[str, nn.Parameter]]:
    """Every weight of the base model, trainable; at the end they are what they were."""
    named = desk.objective.slot.model.named_parameters()
    base = {name: parameter for name, parameter in named if "lora_" not in name}
    before = _read(base)
    for parameter in base.values():
        parameter.requires_grad_(True)
    try:
        yield base
    finally:
        _write(base, before)
        for parameter in base.values():
            parameter.requires_grad_(False)
            parameter.grad = None


def _served(
    desks: Sequence[Desk], base: Mapping[str, nn.Parameter], common: Weights
) -> Iterator[float]:
    for desk in desks:
        _write({**base, **desk.objective.head()}, common)
        yield reached(desk.objective.score(desk.test))


def _trained(
    desk: Desk,
    base: Mapping[str, nn.Parameter],
    common: Weights,
    settings: TrainSection,
    seed: int,
) -> Weights:
    """All weights after one client's epochs."""
    objective = desk.objective
    moving = {**base, **objective.head()}
    _write(moving, common)
    course = Course(Job(objective, fresh(objective, seed), desk.train, None, settings, seed))
    optimizer = torch.optim.AdamW(
        moving.values(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    steps = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, course.job.steps)
    for _ in range(settings.epochs):
        for index in course.shuffle():
            optimizer.zero_grad(set_to_none=True)
            objective.loss(take(desk.train, index)).backward()
            nn.utils.clip_grad_norm_(moving.values(), settings.clip_norm)
            optimizer.step()
            steps.step()
    return _read(moving)


def _averaged(trained: Sequence[Weights], examples: Sequence[int]) -> Weights:
    """The mean by examples, name by name."""
    shares = [count / sum(examples) for count in examples]
    names = trained[0].keys()
    return {
        name: sum(
            (s * each[name] for s, each in zip(shares, trained, strict=True)),
            torch.zeros_like(trained[0][name]),
        )
        for name in names
    }


def _read(tensors: Mapping[str, Tensor]) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def _write(tensors: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(values[name])
