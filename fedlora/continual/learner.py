"""One machine that learns a stream: begin a task, train, end it, predict."""

from collections.abc import Sequence

from torch import Tensor

from fedlora import seeding
from fedlora.adapter import LoraAdapter
from fedlora.backbone import AdapterSlot
from fedlora.config import TrainSection
from fedlora.continual.contract import Method, Step, describe, without_head
from fedlora.continual.heads import head_of, split
from fedlora.continual.keeper import Keeper
from fedlora.continual.stream import StreamTask, feature_width, recalled_rows
from fedlora.continual.study import Score, features_of, judge, study, survey
from fedlora.errors import FedloraError
from fedlora.finetune.job import Trained
from fedlora.finetune.objectives import Rows


class Learner:
    """A method at work on a stream of tasks.

        for number in range(len(tasks)):
            learner.begin_task(number)
            learner.train()
            learner.end_task()
        logits = learner.predict(0, tasks[0].test)

    The same steps as those of a federation with a single client and one round, without messages.

    Args:
        slot: the wrapped base model.
        method: how tasks are learned.
        tasks: of the stream, in their order.
        settings: of the training of each task.
        seed: of everything that is drawn.

    Attributes:
        keeper: branches, spaces and heads so far.
        leaks: of each task's branch, None for methods that keep no space.
    """

    def __init__(
        self,
        slot: AdapterSlot,
        method: Method,
        tasks: Sequence[StreamTask],
        settings: TrainSection,
        seed: int,
    ) -> None:
        self.method, self.tasks, self.settings, self.seed = method, list(tasks), settings, seed
        classes = [len(task.classes) for task in tasks]
        self.keeper = Keeper(method, slot.spec, classes, feature_width(tasks[0]), seed)
        self.leaks: list[float | None] = []
        self._step = Step(0, len(self.tasks), "", seed)
        self._branch: LoraAdapter | None = None

    def begin_task(self, number: int) -> None:
        """Design the branch of a task.

        Raises:
            FedloraError: there is no such task, or no branch fits; the message names task and
                layer.
        """
        if not 0 <= number < len(self.tasks):
            raise FedloraError(f"task {number}: the stream has tasks 0 to {len(self.tasks) - 1}")
        task = self.tasks[number]
        self._step = Step(number, len(self.tasks), describe(number, task.name), self.seed)
        needed = self.method.designs
        found = survey(task, task.train, self.keeper.frozen) if needed else None
        self._branch = self.keeper.begin(self._step, found.moments if found else {})

    def train(self) -> Trained:
        """Train the branch and its head on the task, and on what the method recalls.

        Raises:
            FedloraError: no task was begun, or the loss is not finite.
        """
        branch = self._begun()
        number, keeper = self._step.index, self.keeper
        covered = keeper.covered(range(number), number)
        objective, rows = recalled_rows(
            [self.tasks[i] for i in covered],
            [self.tasks[i].train for i in covered],
            self.tasks[number].name,
            self.method.recalled(),
            self.seed,
        )
        start = keeper.with_head(branch, covered)
        seed = seeding.derive(self.seed, "client", 0, "study", number, 1)
        trained = study(self.method, objective, start, keeper.frozen, rows, self.settings, seed)
        self._branch = trained.adapters[-1]
        parts = split(head_of(trained.adapters[-1]), [len(self.tasks[i].classes) for i in covered])
        keeper.heads |= dict(zip(covered, parts, strict=True))
        return trained

    def end_task(self) -> None:
        """Keep the branch, remember the task's inputs, align the heads.

        Raises:
            FedloraError: no task was begun.
        """
        branch = without_head(self._begun())
        number, keeper = self._step.index, self.keeper
        task = self.tasks[number]
        moments, known = {}, {}
        if keeper.surveys:
            found = survey(task, task.train, keeper.with_branch(branch))
            moments, known = found.moments, {number: found.classes}
        self.leaks.append(keeper.end(self._step, branch, moments, known))
        self._branch = None

    def _begun(self) -> LoraAdapter:
        if self._branch is None:
            raise FedloraError("no task is being learned: call begin_task first")
        return self._branch

    def predict(self, number: int, rows: Rows, among: Sequence[int] | None = None) -> Tensor:
        """Logits (n, classes) of a task's rows over its own classes, or those of the tasks `among`.

        Raises:
            FedloraError: a task was not learned yet.
        """
        wanted = [number] if among is None else among
        for task in wanted:
            if task not in self.keeper.heads:
                raise FedloraError(f"{describe(task, self.tasks[task].name)} was not learned yet")
        features = features_of(self.tasks[number].objective, rows, self.keeper.frozen)
        return self.keeper.head(wanted).logits(features)

    def scores(self, split: str = "test") -> dict[int, Score]:
        """Right answers on every task met so far; `split` is test or validation."""
        rows = {
            number: (task.objective, getattr(task, split))
            for number, task in enumerate(self.tasks)
            if number in self.keeper.heads
        }
        return judge(rows, self.keeper.heads, self.keeper.frozen)
