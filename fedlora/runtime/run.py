"""A run from its configuration to its results, on whichever runtime it names."""

import hashlib
import importlib
import json
import resource
import sys
from pathlib import Path
from typing import Any

from fedlora import atomic, spans
from fedlora.bank import Bank
from fedlora.config import RunConfig
from fedlora.run_folder import failure_kept, seed_folder
from fedlora.runtime.serving import Serve
from fedlora.runtime.stories import results_of, story_of
from fedlora.server.learning import digest as folder_digest
from fedlora.server.observer import Observer


def run(config: RunConfig, folder: Path, observer: Observer) -> dict[str, Any]:
    """Live every seed of the run that is not finished yet, on the runtime it names.

    Returns:
        What results.json holds then.

    Raises:
        FedloraError: too few clients answer, or the folder holds what cannot be used.
    """
    left = unfinished(config, folder)
    for seed in config.seeds:
        if seed not in left and (bank := seed_folder(folder, seed) / "bank").is_dir():
            Bank.open(bank).check()  # which is not made again
    finished = None if left else _written(folder)
    if finished is not None:
        return finished
    runtime = importlib.import_module(f"fedlora.runtime.{config.runtime.name}")
    if config.runtime.name == "deployment":
        # Its story is told beside the SuperLink, in a process that calls `live`. Before anything
        # starts for it, nobody else may be at work.
        with atomic.alone(folder):
            pass
        runtime.run(folder, config.runtime, observer)
        results: dict[str, Any] = json.loads((folder / "results.json").read_bytes())
        return results
    with runtime.serving(config.runtime) as serve:
        return live(config, folder, observer, serve)


def live(config: RunConfig, folder: Path, observer: Observer, serve: Serve) -> dict[str, Any]:
    """Live every seed of the run that is not finished yet, and write results.json.

    serve: tells a story over a transport that reaches the clients.

    Raises:
        FedloraError: as for `run`.
    """
    spans.serve()
    with atomic.alone(folder), failure_kept(folder):
        for seed in unfinished(config, folder):
            if len(config.seeds) > 1:
                observer.note(f"seed {seed}")
            serve(config, seed, story_of(config, seed, folder, observer))
        results = results_of(config, folder) | {"peak_memory_bytes": peak_memory()}
        atomic.write_text(folder / "results.json", json.dumps(results, indent=1))
    spans.flush()
    return results


def unfinished(config: RunConfig, folder: Path) -> list[int]:
    """Seeds that have not written what a finished seed writes last, or have lost of it since."""
    return [s for s in config.seeds if not _is_whole(seed_folder(folder, s))]


def _is_whole(place: Path) -> bool:
    """Whether a seed has ended, and its generator and table are as they were then."""
    try:
        then = json.loads((place / "facts.json").read_bytes())["fingerprint"]
    except (FileNotFoundError, ValueError, TypeError, KeyError, RecursionError):
        return False
    now = {"generator": folder_digest(place / "generator"), "table": _hash(place / "table.json")}
    return all(then.get(name, found) == found for name, found in now.items())


def _hash(file: Path) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None


def peak_memory() -> int:
    """The most resident memory that this process or one of its children had, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return unit * max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def _written(folder: Path) -> dict[str, Any] | None:
    """What results.json holds; None where it is missing or damaged, to be compiled anew."""
    try:
        results: dict[str, Any] = json.loads((folder / "results.json").read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return results
