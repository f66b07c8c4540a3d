"""A generator for the adapters of a bank."""

import time
from dataclasses import dataclass, replace

from fedlora import seeding
from fedlora.config import GeneratorPart
from fedlora.generators import store
from fedlora.generators.contract import Generator
from fedlora.pipeline.workshop import Workshop
from fedlora.server.in_service import keep_in_service
from fedlora.server.observer import Observer, learning
from fedlora.server.offering import Offering, neighbours


@dataclass(frozen=True)
class Learned:
    """What a generator was made from, and what it came to; sizes in bytes, of float32 values.

    adapter_bytes: of the largest adapter.
    """

    generator: str
    tasks: int
    adapters: int
    seconds: float
    generator_bytes: int
    adapter_bytes: int


def train_generator(
    workshop: Workshop, part: GeneratorPart, rank: int | None, observer: Observer
) -> Learned:
    """Fit a generator to the workshop's bank, and write it to generator/.

    An interrupted fit goes on from its last checkpoint.

    Args:
        workshop: whose bank to learn from.
        part: which generator, with its options.
        rank: learn from the adapters of this rank alone; from all when None.
        observer: told of the progress.

    Raises:
        FedloraError: the bank has too few tasks or adapters, or cannot be learned from.
    """
    bank = workshop.bank().training_bank(rank=rank)
    progress = learning(observer, part.name)
    generator: Generator = part.build()
    seen = generator.sees(bank.conditions, workshop.config.task_vector.prompts)
    taught = replace(bank, conditions=seen)
    started = time.perf_counter()

    generator.fit(
        taught,
        seed=seeding.derive(workshop.seed, "generator", part.name),
        workdir=workshop.folder / "checkpoints" / part.name,
        progress=progress,
    )
    if alarm := generator.alarm():
        observer.note(alarm)
    generator.save(workshop.generator_folder)
    near = neighbours(workshop.config, bank, workshop.folder)
    keep_in_service(
        workshop.config, workshop.folder, Offering({"generated": generator}, nearest=near)
    )
    return Learned(
        generator=part.name,
        tasks=len(set(bank.tasks)),
        adapters=len(bank.adapters),
        seconds=round(time.perf_counter() - started, 2),
        generator_bytes=(workshop.generator_folder / store.MODEL).stat().st_size,
        adapter_bytes=4 * max(adapter.spec.size for adapter in bank.adapters),
    )
