"""Phase four: the generator, and the baselines it must beat, learn from the bank."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fedlora import atomic, registry, seeding
from fedlora.adapter.product import distance, norm
from fedlora.config import GeneratorPart
from fedlora.generators.contract import Generator, TrainingBank
from fedlora.server.context import ServerContext
from fedlora.server.observer import learning
from fedlora.spans import span

PHASE = "generator"
LAST = 1 << 30  # the line of a fit that says what it came to


def learn(context: ServerContext, bank: TrainingBank) -> dict[str, Generator]:
    """Fitted generators by method name; `generated` is the one that serves newcomers.

    One whose files are no longer what was saved is fitted again.
    """
    part = context.config.generator
    folder = context.folder / "generator"
    saved = context.journal.outcome(PHASE, 0)
    if saved is None or saved != digest(folder).encode():
        if saved is not None:
            context.observer.note(f"{folder}: files have changed; the generator is fitted again")
        generator = fit(context, part, bank, place=part.name, keep=True)
        generator.save(folder)
        _reconstruct(context, generator, bank)
        context.journal.conclude(PHASE, 0, digest(folder).encode())
    learned = {"generated": registry.find(part.room, part.name).load(folder)}
    for baseline in context.config.evaluation.baselines:
        learned[baseline.name] = fit(context, baseline, bank, place=baseline.name)
    return learned


def digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a folder's files."""
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            total.update(f"{file.relative_to(folder)}\0".encode())
            total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


@span("generator")
def fit(
    context: ServerContext,
    part: GeneratorPart,
    bank: TrainingBank,
    *,
    place: str,
    keep: bool = False,
) -> Generator:
    """A fitted generator.

    place: of what an interrupted fit needs to go on, among the checkpoints.
    keep: whether its losses go into the run's metrics as they come.
    """

    def journal(losses: Mapping[str, float]) -> None:
        if keep:
            context.journal.add_metrics(PHASE, int(losses.get("epoch", LAST)), losses)

    progress = learning(context.observer, part.name, journal)
    generator: Generator = part.build()
    bank = replace(bank, conditions=context.seen_by(generator, bank.conditions))
    generator.fit(
        bank,
        seed=seeding.derive(context.seed, "generator", part.name),
        workdir=context.folder / "checkpoints" / place,
        progress=progress,
    )
    if keep and (alarm := generator.alarm()):
        context.observer.note(alarm)
    return generator


def _reconstruct(context: ServerContext, generator: Generator, bank: TrainingBank) -> None:
    """How near the generator comes to the adapters it has seen, in product space.

    Distances are shares of the trained adapter's norm: one that changes nothing has none.
    """
    first = {task: number for number, task in reversed(list(enumerate(bank.tasks)))}
    order = sorted(first.values())
    asked = context.seen_by(generator, bank.conditions[order])
    made = generator.sample(asked, seed=context.seed)
    trained = [bank.adapters[number] for number in order]
    lines = []
    for number, own, generated in zip(order, trained, made, strict=True):
        size = norm(own)
        if not size > 0:
            continue
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
