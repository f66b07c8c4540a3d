"""Plain facts of a run: where it stands, what it cost, what it lost, what it was."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedlora.phases import PHASES
from fedlora.report import privacy, traffic
from fedlora.report.formats import decimal, digits, duration, size, times
from fedlora.report.outcome import Line, line
from fedlora.report.results import Lost
from fedlora.report.run_folder import RunFolder
from fedlora.report.series import step
from fedlora.report.siege import attacked

MOST_LOST = 200
"""Lost contributions that the page lists."""


@dataclass(frozen=True)
class Tile:
    """One number that is worth a large type size."""

    label: str
    value: str
    note: str = ""


def notice(run: RunFolder) -> str:
    """What to know of a run that is not finished; empty for one that is."""
    if run.results.finished:
        return ""
    metrics = next((seed.metrics for seed in reversed(run.seeds) if seed.metrics), [])
    where = "before its first measurement"
    if metrics:
        last = max(metrics, key=lambda record: (_place(record.get("phase")), step(record)))
        where = f"in the phase “{str(last.get('phase')).replace('_', ' ')}”"
        where += f", step {step(last)}" if step(last) else ""
    return (
        f"This run is in progress or was interrupted {where}; the page shows what is there."
        f" To go on: fedlora run --resume {run.path.name}"
    )


def tiles(run: RunFolder, lines: list[Line]) -> list[Tile]:
    """Four at most: quality, bytes, time, memory."""
    found = []
    generated, base, local = (line(lines, name) for name in ("generated", "base", "local"))
    places = digits(run.results.unit)
    if generated is not None and generated.value.mean is not None:
        ends = [
            f"{name} {decimal(end.value.mean, places)}"
            for name, end in (("base", base), ("local LoRA", local))
            if end is not None
        ]
        found.append(
            Tile(
                f"{run.results.unit} at once",
                decimal(generated.value.mean, places),
                ", ".join(ends),
            )
        )
    sent = traffic.total(run, traffic.purposes(run))
    if sent and sum(sent):
        rivals = [
            f"{name}: {times(count / sum(sent))} times as much"
            for name, count in traffic.rivals(run)
        ]
        found.append(Tile("sent and received", size(sum(sent)), ", ".join(rivals)))
    if run.results.seconds is not None:
        count = len(run.seeds)
        found.append(
            Tile(
                "wall time",
                duration(run.results.seconds),
                f"{count} seeds" if count > 1 else "one seed",
            )
        )
    if run.results.peak_memory_bytes is not None:
        found.append(Tile("peak memory", size(run.results.peak_memory_bytes)))
    return found


def lost(run: RunFolder) -> tuple[list[Lost], int]:
    """The contributions to list, and how many more there are."""
    tasks: dict[tuple[int | None, Any], str] = {
        (seed.seed, record.get("client")): str(record["task"])
        for seed in run.seeds
        for record in seed.metrics
        if "task" in record
    }
    every = [
        entry.model_copy(update={"task": entry.task or tasks.get((entry.seed, entry.client))})
        for entry in run.results.lost
    ]
    return every[:MOST_LOST], max(0, len(every) - MOST_LOST)


def run_facts(run: RunFolder) -> list[tuple[str, str]]:
    """What was run, what it spent of privacy, who attacked, and fingerprints of what it made."""
    of_stream = (
        ("Method", "continual.method.name"),
        ("Rounds a task", "continual.rounds"),
        ("Generator", "continual.generator.name"),
    )
    of_bank = (("Generator", "generator.name"), ("Warm-start rounds", "warm_start.rounds"))
    keys = (
        ("Backbone", "backbone.name"),
        ("Tasks", "tasks.name"),
        *(of_stream if run.config.get("continual") is not None else of_bank),
        ("LoRA rank", "lora.rank"),
        ("LoRA alpha", "lora.alpha"),
        ("Fine-tuning epochs", "finetune.epochs"),
        ("Runtime", "runtime.name"),
        ("Device", "runtime.device"),
        ("Seeds", "seeds"),
    )
    named = [(label, _at(run.config, key)) for label, key in keys]
    prints = [
        (f"Fingerprint of the {name}, seed {seed}", str(value))
        for seed, values in run.results.fingerprint.items()
        if isinstance(values, dict)
        for name, value in values.items()
    ]
    present = [(label, value) for label, value in named if value]
    return present + privacy.spent(run) + attacked(run) + prints


def _place(phase: object) -> int:
    """A phase's place in the story; the lines of a run are not in the order of time."""
    return PHASES.index(phase) if phase in PHASES else -1


def _at(config: Mapping[str, Any], key: str) -> str:
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")
