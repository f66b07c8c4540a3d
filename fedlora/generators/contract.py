"""What a generator is: condition in, adapters out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from fedlora.adapter import LoraAdapter
from fedlora.errors import FedloraError
from fedlora.section import Section

Progress = Callable[[Mapping[str, float]], None]


@dataclass(frozen=True)
class TrainingBank:
    """What a generator learns from.

    adapters: n adapters of one base model and one set of layers.
    conditions: (n, c) float32, the task vector that stands beside each adapter.
    tasks: n names; several adapters may share a task.
    clients: who made each adapter; None where that is not known.
    """

    adapters: Sequence[LoraAdapter]
    conditions: Tensor
    tasks: Sequence[str]
    clients: Sequence[int] | None = None

    def __post_init__(self) -> None:
        n = len(self.adapters)
        if n == 0:
            raise FedloraError("the bank is empty: no adapter to learn from")
        if self.conditions.ndim != 2 or len(self.conditions) != n or len(self.tasks) != n:
            raise FedloraError(
                f"{n} adapters beside conditions of {tuple(self.conditions.shape)}"
                f" and {len(self.tasks)} task names"
            )
        if self.clients is not None and len(self.clients) != n:
            raise FedloraError(f"{n} adapters of {len(self.clients)} clients")


class Generator(ABC):
    """Learns adapters given a condition; one file a generator in `generators/`."""

    Config: ClassVar[type[Section]]
    takes_prompts: ClassVar[bool] = False
    """Whether a condition may be a row of prompts rather than one vector."""
    least_tasks: ClassVar[int] = 1
    """Tasks of a bank that it can learn from."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @classmethod
    def name(cls) -> str:
        """In the registry: that of its file."""
        return cls.__module__.rpartition(".")[2]

    def sees(self, conditions: Tensor, prompts: int) -> Tensor:
        """Conditions (m, prompts * w) as this generator takes them: whole, or their mean (m, w).

        Conditions of any other shape are passed on for `sample` to refuse.
        """
        if self.takes_prompts or conditions.ndim != 2 or conditions.shape[1] % prompts:
            return conditions
        return conditions.view(len(conditions), prompts, -1).mean(1)

    @abstractmethod
    def fit(self, bank: TrainingBank, *, seed: int, workdir: Path, progress: Progress) -> None:
        """Learn from the bank; the same bank and seed give the same generator, bit for bit.

        `workdir` keeps what an interrupted fit needs to go on; `progress` takes named losses.

        Raises:
            FedloraError: the bank cannot be learned from (one task, mixed bases, no spread).
        """

    @abstractmethod
    def sample(
        self, conditions: Tensor, *, seed: int, rank: int | None = None
    ) -> list[LoraAdapter]:
        """One adapter for each row of conditions (n, c).

        rank: of every layer; each layer's largest in the bank when None.

        Raises:
            FedloraError: c is not the size the generator was fitted on, or the rank does not fit
                a layer.
        """

    def drawing(self) -> "Generator":
        """The generator as it answers where samples of one task are to differ.

        Raises:
            FedloraError: it draws nothing, so that they would be the same.
        """
        raise FedloraError(
            f"{self.name()} draws nothing: the task alone decides what it makes, so that every"
            " sample would be the same; ask for one, or train cvae or icm, which draw"
        )

    def alarm(self) -> str | None:
        """What is amiss with what was learned, in one line with its remedy; None if nothing is."""
        return None

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write everything `load` needs (safetensors and JSON), whole or not at all."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> "Generator":
        """The inverse of `save`.

        Raises:
            FedloraError: the folder lacks a file or holds one that is not a generator's.
        """


class Taught(Generator):
    """A generator that goes on learning from what training changes in the adapters it makes."""

    @abstractmethod
    def begin(self, start: LoraAdapter, conditions: Tensor, *, seed: int) -> None:
        """Make `start` of every task vector from now on; conditions (n, c) of all that will teach.

        Raises:
            FedloraError: all conditions are the same.
        """

    @abstractmethod
    def step(
        self, conditions: Tensor, made: Sequence[LoraAdapter], trained: Sequence[LoraAdapter]
    ) -> None:
        """Move towards what became of the adapters that were made for conditions (m, c), m > 0.

        Factors are compared, so that each of `trained` has to be trained from its own of `made`.
        """
