"""Phase four: the generator, and the baselines it must beat, learn from the bank."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedlora import atomic, registry, seeding
from fedlora.adapter.product import distance, norm
from fedlora.config import GeneratorPart
from fedlora.generators.contract import Generator, TrainingBank
from fedlora.server.context import ServerContext

PHASE = "generator"


def learn(context: ServerContext, bank: TrainingBank) -> dict[str, Generator]:
    """Fitted generators by method name; `generated` is the one that serves newcomers."""
    part = context.config.generator
    folder = context.folder / "generator"
    if context.journal.outcome(PHASE, 0) is None:
        lines: list[Mapping[str, float]] = []
        generator = _fit(context, part, bank, lines)
        generator.save(folder)
        context.journal.add_lines("metrics", PHASE, lines)
        _reconstruct(context, generator, bank)
        context.journal.conclude(PHASE, 0, digest(folder).encode())
    learned = {"generated": registry.find(part.room, part.name).load(folder)}
    for baseline in context.config.evaluation.baselines:
        learned[baseline.name] = _fit(context, baseline, bank, [])
    return learned


def digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a folder's files."""
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            total.update(f"{file.relative_to(folder)}\0".encode())
            total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def _fit(
    context: ServerContext, part: GeneratorPart, bank: TrainingBank, lines: list[Mapping[str, Any]]
) -> Generator:
    context.observer.phase(f"learn {part.name}", 1)
    generator: Generator = part.build()
    generator.fit(
        bank,
        seed=seeding.derive(context.seed, "generator", part.name),
        workdir=context.folder / "checkpoints" / part.name,
        progress=lines.append,
    )
    context.observer.advance()
    return generator


def _reconstruct(context: ServerContext, generator: Generator, bank: TrainingBank) -> None:
    """How near the generator comes to the adapters it has seen, in product space."""
    first = {task: number for number, task in reversed(list(enumerate(bank.tasks)))}
    order = sorted(first.values())
    made = generator.sample(bank.conditions[order], seed=context.seed)
    trained = [bank.adapters[number] for number in order]
    lines = []
    for number, own, generated in zip(order, trained, made, strict=True):
        size = norm(own)
        others = [distance(own, other) for other in trained if other is not own]
        lines.append(
            {
                "task": bank.tasks[number],
                "distance": distance(own, generated) / size,
                "nearest": min(others) / size if others else None,
                "norm_generated": norm(generated),
                "norm_trained": size,
            }
        )
    atomic.write_text(context.folder / "reconstruction.json", json.dumps(lines, indent=1))
