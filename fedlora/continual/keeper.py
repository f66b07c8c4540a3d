"""What is kept from task to task, on one machine or on a server: branches, spaces, heads."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from fedlora import seeding
from fedlora.adapter import AdapterSpec, LoraAdapter
from fedlora.adapter.total import total
from fedlora.continual.alignment import align
from fedlora.continual.contract import Method, Moments, State, Step
from fedlora.continual.design import leak
from fedlora.continual.heads import Head, joined
from fedlora.continual.inputs import input_of
from fedlora.continual.memory import Memory
from fedlora.continual.statistics import Statistics, summed


class Keeper:
    """Runs a method on statistics and adapters; it never sees an example.

    Args:
        method: how tasks are learned.
        spec: of every branch, without a head.
        classes: how many each task of the stream has.
        width: of the features that heads see.
        seed: of everything that is drawn.

    Attributes:
        state: branches and spaces so far.
        heads: of each task met, by its place in the stream.
    """

    def __init__(
        self, method: Method, spec: AdapterSpec, classes: Sequence[int], width: int, seed: int
    ) -> None:
        self.method, self.spec = method, spec
        self.classes, self.width, self.seed = tuple(classes), width, seed
        self.state = State()
        self.heads: dict[int, Head] = {}
        self._known: dict[int, list[Statistics]] = {}

    @property
    def frozen(self) -> LoraAdapter | None:
        """The branches so far, as one adapter."""
        return total(self.state.branches) if self.state.branches else None

    def begin(self, step: Step, moments: Moments) -> LoraAdapter:
        """The branch that a step starts from, without a head.

        Raises:
            FedloraError: no branch fits; the message names task and layer.
        """
        self.state, start = self.method.begin(self.state, self.spec, step, moments)
        return start

    def covered(self, met: Iterable[int], task: int) -> list[int]:
        """The tasks whose classes are told apart in training, given those met before it."""
        return [task] if self.method.recalled() == 0 else sorted({*met, task})

    def head(self, tasks: Sequence[int]) -> Head:
        """The heads of some tasks as one; those not trained yet are zero."""
        zero = [Head.zero(self.classes[task], self.width) for task in tasks]
        return joined([self.heads.get(t, z) for t, z in zip(tasks, zero, strict=True)])

    def with_head(self, branch: LoraAdapter, tasks: Sequence[int]) -> LoraAdapter:
        """A branch beside the heads that are trained with it."""
        tensors = self.head(tasks).tensors()
        spec = replace(branch.spec, head=tuple((n, tuple(t.shape)) for n, t in tensors.items()))
        return LoraAdapter(spec, branch.down, branch.up, tensors)

    def with_branch(self, branch: LoraAdapter) -> LoraAdapter | None:
        """The model as it will be after a step that trained `branch`."""
        if self.method.trains == "head":
            return self.frozen
        return total([*self.state.branches, branch])

    @property
    def surveys(self) -> bool:
        """Whether `end` needs statistics taken with the trained model."""
        return self.method.remembers or self.method.config.align is not None

    def end(
        self,
        step: Step,
        branch: LoraAdapter,
        moments: Moments,
        known: Mapping[int, list[Statistics]],
    ) -> float | None:
        """Keep a step's trained branch; its heads stand in `heads` already.

        Args:
            step: that was trained.
            branch: without a head.
            moments: of the inputs, where the method remembers.
            known: of the features of each class of the step's tasks, where heads are aligned.

        Returns:
            The leak of the branch into the space of the tasks before it; None for methods that
            keep no such space.
        """
        leaked = None
        if self.method.remembers:
            source = input_of(branch.spec)
            empty = {x.name: Memory.empty(x.d_in) for x in branch.spec.layers}
            spaces = {n: self.state.memories.get(source[n], empty[n]) for n in empty}
            leaked = leak(branch, spaces)
        self.state = self.method.end(self.state, branch, step, moments)
        settings = self.method.config.align
        if settings is not None:
            for task, found in known.items():
                before = self._known.get(task)
                # Clients that meet a task at another step bring classes of their own.
                self._known[task] = (
                    [summed(pair) for pair in zip(before, found, strict=True)] if before else found
                )
            self._align(step)
        return leaked

    def _align(self, step: Step) -> None:
        settings, tasks = self.method.config.align, sorted(self.heads)
        if len(tasks) < 2:
            return
        known = [one for task in tasks for one in self._known[task]]
        rng = seeding.generator(self.seed, "alignment", step.index)
        aligned = align([self.heads[task] for task in tasks], known, settings, rng)
        self.heads |= dict(zip(tasks, aligned, strict=True))
