"""What a run has for newcomers after its end: what its own newcomers were served by."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from fedlora import atomic
from fedlora.adapter import LoraAdapter, bundle
from fedlora.adapter.resize import resize
from fedlora.adoption.chosen import Chosen
from fedlora.adoption.guarded import Guarded
from fedlora.config import RunConfig
from fedlora.errors import FedloraError
from fedlora.generators.contract import Generator
from fedlora.generators.nearest import Nearest
from fedlora.generators.saved import load_generator
from fedlora.server.growing import FOLDER as GROWTH
from fedlora.server.trial import FILE as TRIAL

FOLDER = "serving"
"""Where a baseline is kept that serves."""
GUARD, WARM = "guard", "guard.safetensors"
"""Where the bank's tasks are kept that a newcomer's is compared with, and the warm start."""


@dataclass(frozen=True, eq=False)
class InService:
    """Serves newcomers of a finished run.

    generator: makes adapters. prompts: of a task vector.
    guard: what knows how far a task lies from the bank; None where the run does not ask.
    beyond: the distance, in the farthest of the bank's own tasks, from which a task is foreign.
    warm: what a foreign task is given; its nearest task's adapter when None.
    """

    generator: Generator
    prompts: int
    guard: Nearest | None = None
    beyond: float = 1.0
    warm: LoraAdapter | None = None

    def serve(
        self, vector: Tensor, *, seed: int, rank: int | None, samples: int = 1
    ) -> tuple[Sequence[LoraAdapter], float | None]:
        """Adapters for a task vector (c,); and where it is foreign, how far it lies from the bank.

        A foreign task is given one adapter. Distances are squared, in the farthest that a task of
        the bank lies from the others.

        Raises:
            FedloraError: the vector or the rank does not fit.
        """
        if self.guard is not None:
            asked = self.guard.sees(vector[None], self.prompts)[0]
            ((nearest, apart),) = self.guard.neighbours(asked, 1)
            distance = apart / self.guard.facts["reach"]
            if distance > self.beyond:
                given = self.warm or nearest
                spec = given.spec if rank is None else given.spec.with_rank(rank)
                return [resize(given, spec)], distance
        seen = self.generator.sees(vector[None], self.prompts).expand(samples, -1)
        return self.generator.sample(seen, seed=seed, rank=rank), None


def open_service(config: RunConfig, folder: Path) -> InService:
    """What serves, in the folder of a seed or of the pipeline.

    Raises:
        FedloraError: the run is not finished, or what it kept is damaged.
    """
    generator = load_generator(folder_in_service(config, folder))
    policy, prompts = config.adoption.policy.build(), config.task_vector.prompts
    if not isinstance(policy, Guarded):
        return InService(generator, prompts)
    if not (folder / GUARD).is_dir():
        raise FedloraError(f"{folder}: keeps nothing to compare a task with; run it anew")
    warm = None
    if policy.config.otherwise == "warm":
        try:
            warm = bundle.from_bytes((folder / WARM).read_bytes())["warm"]
        except (OSError, KeyError, FedloraError) as error:
            raise FedloraError(f"{folder / WARM}: damaged ({error}); run it anew") from None
    return InService(generator, prompts, Nearest.load(folder / GUARD), policy.config.beyond, warm)


def keep_guard(
    config: RunConfig, folder: Path, nearest: Callable[[], Nearest], warm: LoraAdapter | None
) -> None:
    """Keep what tells a foreign task, where the run's adoption asks for that.

    nearest: of the bank; called in that case alone.

    Raises:
        FedloraError: a foreign task is to be given the warm start, and there is none.
    """
    policy = config.adoption.policy.build()
    if not isinstance(policy, Guarded):
        return
    nearest().save(folder / GUARD)
    if policy.config.otherwise == "warm":
        if warm is None:
            raise FedloraError(
                "adoption.policy.otherwise=warm: there is no common warm start; use nearest"
            )
        atomic.write_bytes(folder / WARM, bundle.to_bytes({"warm": warm}))


def method_in_service(config: RunConfig, chosen: str | None) -> str:
    """The method of the table that the run's adoption serves with; chosen: by its trial."""
    policy = config.adoption.policy.build()
    if isinstance(policy, Chosen) and chosen is not None:
        return chosen
    methods: tuple[str, ...] = policy.methods
    return methods[0] if methods else "generated"


def keep_in_service(folder: Path, method: str, generator: Generator | None) -> None:
    """Save what serves where the run would not keep it anyway."""
    if generator is not None and method not in ("generated", "grown"):
        generator.save(folder / FOLDER)


def folder_in_service(config: RunConfig, folder: Path) -> Path:
    """The generator's folder, in the folder of a seed or of the pipeline.

    Raises:
        FedloraError: the trial's record is damaged.
    """
    trial, chosen = folder / TRIAL, None
    if trial.is_file():
        try:
            chosen = str(json.loads(trial.read_text(encoding="utf-8"))["chosen"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FedloraError(f"{trial}: damaged ({error}); resume the run") from None
    method = method_in_service(config, chosen)
    place = folder / {"generated": "generator", "grown": GROWTH}.get(method, FOLDER)
    return place if place.is_dir() else folder / "generator"
