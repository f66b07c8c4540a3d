"""Many clients trained at once on one frozen base model."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from fedlora.backbone.packed import packed
from fedlora.errors import FedloraError
from fedlora.finetune.clientwise_adamw import ClientwiseAdamW
from fedlora.finetune.course import Course
from fedlora.finetune.job import Job, Trained
from fedlora.finetune.lanes import join
from fedlora.finetune.lower_blocks import replay
from fedlora.finetune.many_adapters import Routing, dropout_noise, many_adapters
from fedlora.finetune.objectives import Rows
from fedlora.finetune.objectives.contract import take
from fedlora.finetune.stack import AdapterStack

Outcome = Trained | Exception
"""What became of a job."""


class GivenUpError(Exception):
    """The caller did not want a group to go on."""


def train_many(jobs: Sequence[Job], go_on: Callable[[int], bool] = lambda _: True) -> list[Outcome]:
    """What `local.train` gives for each job, from passes that all of them share.

    Each job sees the batches, learning rates, clipping and dropout that it would see alone, and
    its loss is the mean over its own rows; the sum over jobs is differentiated, so no gradient
    crosses from one to another. Results differ from `local.train` by rounding alone, and so do
    those of one job in different company. A job that is finished leaves the batch. One whose loss
    is not finite has the error in its place, and costs the others nothing.

    Args:
        jobs: on one slot and of one kind; data sizes, batch sizes, ranks, heads and settings may
            differ.
        go_on: asked after each step, given the examples that it trained on; False ends it all.

    Raises:
        FedloraError: the jobs do not go together, or the architecture mixes the rows of a batch.
        GivenUpError: `go_on` said no.
    """
    if not jobs:
        return []
    _check(jobs)
    slot = jobs[0].objective.slot
    with packed(slot.model), many_adapters(slot) as routing:
        group = _Group(jobs, routing)
        while group.courses:
            examples = group.step()
            if group.courses and not go_on(examples):
                raise GivenUpError
        return [group.outcomes[number] for number in range(len(jobs))]


class _Group:
    """The jobs that still train: course k is row k of the stack."""

    def __init__(self, jobs: Sequence[Job], routing: Routing) -> None:
        slot = jobs[0].objective.slot
        dtype = slot.parameters()[0].dtype
        self.routing = routing
        self.stack = AdapterStack([job.start for job in jobs], dtype, slot.device)
        self.optimizer = ClientwiseAdamW(self.stack.values, jobs)
        self.courses = [_Running(number, job) for number, job in enumerate(jobs)]
        self.outcomes: dict[int, Outcome] = {}

    def step(self) -> int:
        """One optimiser step of every job; those whose epoch is over are judged.

        Returns: the examples in it.
        """
        batches = [running.next_batch() for running in self.courses]
        examples = sum(len(next(iter(rows.values()))) for rows in batches)
        losses = self._losses(batches)
        torch.stack(losses).sum().backward()
        assert self.stack.values.grad is not None
        self.optimizer.step(self.stack.values, self.stack.values.grad, self.stack.reached())
        self.stack.values.grad = None
        for running, loss in zip(self.courses, losses, strict=True):
            running.losses.append(loss.detach())
        self._settle()
        return examples

    def _losses(self, batches: Sequence[Rows]) -> list[Tensor]:
        joined, lanes = join(batches)
        self.routing.lanes = lanes
        self.routing.factors, self.routing.scalings = self.stack.factors(), self.stack.scalings()
        self.routing.noise = [running.noise for running in self.courses]
        objective = self.courses[0].job.objective
        with replay(objective.slot, joined):
            responses = objective.respond(joined).split(list(lanes.counts))
        return [
            running.job.objective.loss_of(response, rows, head)
            for running, response, rows, head in zip(
                self.courses, responses, batches, self.stack.heads(), strict=True
            )
        ]

    def _settle(self) -> None:
        """Close the epochs that are over, and let go of the jobs that are."""
        left: list[int] = []
        for row, running in enumerate(self.courses):
            if running.waiting or self._close_epoch(row, running):
                left.append(row)
        if len(left) < len(self.courses):
            self.courses = [self.courses[row] for row in left]
            self.stack.keep(torch.tensor(left, dtype=torch.int64))
            self.optimizer.keep(torch.tensor(left, dtype=torch.int64))

    def _close_epoch(self, row: int, running: "_Running") -> bool:
        losses, running.losses = running.losses, []
        try:
            goes_on = running.course.close_epoch(
                losses, lambda: self._validate(row, running.job), lambda: self.stack.read(row)
            )
        except FedloraError as error:
            self.outcomes[running.number] = error
            return False
        if goes_on:
            running.waiting = running.course.shuffle()
        else:
            self.outcomes[running.number] = running.course.trained()
        return goes_on

    def _validate(self, row: int, job: Job) -> float:
        """Validation loss of one job, with its adapter alone."""
        assert job.validation is not None
        with torch.no_grad():
            pairs = self.stack.factors().items()
            self.routing.factors = {n: (d[row : row + 1], u[row : row + 1]) for n, (d, u) in pairs}
            of = self.stack.scalings().items()
            self.routing.scalings = {name: scaling[row : row + 1] for name, scaling in of}
            self.routing.lanes, self.routing.noise = None, ()
            for name, parameter in job.objective.head().items():
                parameter.copy_(self.stack.heads()[row][name])
        return job.objective.score(job.validation)["loss"]


class _Running:
    """One job under way."""

    def __init__(self, number: int, job: Job) -> None:
        self.number = number
        self.job = job
        self.course = Course(job)
        self.waiting = self.course.shuffle()
        self.losses: list[Tensor] = []
        self.noise = dropout_noise(job.seed)

    def next_batch(self) -> Rows:
        return take(self.job.rows, self.waiting.pop(0))


def _check(jobs: Sequence[Job]) -> None:
    """Refuse what cannot share one pass of one model."""
    first = jobs[0].objective
    for job in jobs:
        if job.objective.slot is not first.slot or type(job.objective) is not type(first):
            raise FedloraError("clients trained at once need one base model and one kind of task")
        spec, own = first.slot.spec, job.start.spec
        if own.base != spec.base or [(x.name, x.d_in, x.d_out) for x in own.layers] != [
            (x.name, x.d_in, x.d_out) for x in spec.layers
        ]:
            raise FedloraError("adapter of another base model or of other layers than the slot's")
        if job.guide is not None or job.protection is not None:
            raise FedloraError("guided and private jobs train alone; give them to local.train")
        if set(job.rows) != set(jobs[0].rows):
            raise FedloraError("clients trained at once need rows of the same columns")
        head = {name: tuple(parameter.shape) for name, parameter in job.objective.head().items()}
        if dict(own.head) != head:
            raise FedloraError("adapter without the head that its task trains, or with another")
    dropout = any(
        isinstance(module, nn.Dropout) and module.p > 0 and "lora_dropout" in name
        for name, module in first.slot.model.named_modules()
    )
    if dropout and first.slot.device.type != "cpu":
        raise FedloraError(
            "lora.dropout: on a GPU its noise cannot be drawn a client;"
            " set it to 0 or runtime.training=sequential"
        )
