"""results.json of a continual run: what the seeds of a stream add up to."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fedlora.config import RunConfig
from fedlora.continual.metrics import summarise
from fedlora.evaluation.table import interval
from fedlora.run_folder import seed_folder
from fedlora.wire.ledger import Entry, by_purpose

READINGS = ("within", "among")
"""Accuracies: within the task's own classes (task-incremental), and among those of all tasks met
(class-incremental)."""


def compile_stream(config: RunConfig, folder: Path) -> dict[str, Any]:
    """Means with 95% intervals over the seeds that are finished, bytes, losses and hashes."""
    done = {
        s: f for s in config.seeds if (f := seed_folder(folder, s)).joinpath("facts.json").is_file()
    }
    streams = [json.loads((place / "stream.json").read_text()) for place in done.values()]
    lost = [
        {"seed": seed, **json.loads(line)}
        for seed, place in done.items()
        for line in (place / "lost.jsonl").read_text().splitlines()
    ]
    return {
        "kind": "stream",
        "metric": "accuracy",
        "higher_is_better": True,
        "finished": len(done) == len(config.seeds),
        "seeds": list(done),
        "stream": {
            split: _over_seeds([seed_summary(stream, split) for stream in streams])
            for split in ("test", "validation")
        },
        "bytes": _bytes(list(done.values())),
        "lost": lost,
        "seconds": sum(json.loads((f / "seconds.json").read_text()) for f in done.values()),
        "fingerprint": {
            str(seed): json.loads((place / "facts.json").read_text())["fingerprint"]
            for seed, place in done.items()
        },
    }


def seed_summary(stream: Mapping[str, Any], split: str) -> dict[str, float]:
    """One seed's numbers by name, such as within_final and among_averaged, from its stream.json.

    forward_transfer: of test rows, how much better nearest class means do on a task about to be
        learned than with the base model's features, over the tasks after the first.
    leak, memory: the largest leak of a branch, and the share of a layer's input space that is
        remembered at the end, a mean over layers; only where a method keeps such a space.
    """
    steps = stream["steps"]
    found: dict[str, float] = {}
    for reading in READINGS:
        summary = summarise([step[reading][split] for step in steps])
        found |= {f"{reading}_{name}": value for name, value in asdict(summary).items()}
    gains = [step["transfer"][0] - step["transfer"][1] for step in steps[1:] if step["transfer"]]
    if gains and split == "test":
        found["forward_transfer"] = sum(gains) / len(gains)
    leaks = [step["leak"] for step in steps if step["leak"] is not None]
    if leaks:
        found["leak"] = max(leaks)
    last = steps[-1]
    if last["memory"]:
        shares = [size / last["width"][name] for name, size in last["memory"].items()]
        found["memory"] = sum(shares) / len(shares)
    if lost := max(step["sketch_lost"] for step in steps):
        found["sketch_lost"] = lost
    return found


def _over_seeds(seeds: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    names = dict.fromkeys(name for seed in seeds for name in seed)
    return {
        name: asdict(interval([seed[name] for seed in seeds if name in seed])) for name in names
    }


def _bytes(places: Sequence[Path]) -> dict[str, Any]:
    """Bytes over all seeds, each purpose counted three ways, statistics among them."""
    entries = [
        Entry.from_line(line)
        for place in places
        for line in (place / "ledger.jsonl").read_text().splitlines()
    ]
    return {
        "up": sum(entry.serialised for entry in entries if entry.direction == "up"),
        "down": sum(entry.serialised for entry in entries if entry.direction == "down"),
        "by_purpose": by_purpose(entries),
    }
